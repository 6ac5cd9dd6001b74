"""Making a place a backup, and saying why one is none: on a disk of what it is to be a copy of, it
protects nobody.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from hesiod_watch import __version__
from hesiod_watch.config import BackupPlaceSettings, Config
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.host.process import iso_now
from hesiod_watch.remote.backup import questions
from hesiod_watch.remote.backup.local_files import device_of
from hesiod_watch.remote.backup.store import BackupStore, ask, reached
from hesiod_watch.rules.exit_codes import last_line


def refuse_same_disk(store: BackupStore, config: Config, *more: Path) -> None:
    """Raises PermanentError where a backup lies on the disk of `landing`, `output` or another
    place, TemporaryError.

    `more` are directories that are to be copied: they may be mounts within the two.
    """
    places = [
        ("landing", config.landing),
        ("output", config.output),
        *((str(place), place) for place in more),
    ]
    for name, place in places:
        try:
            device = device_of(place)
        except OSError as error:
            raise TemporaryError(f"{name} {place} cannot be looked at: {error.strerror}") from error
        if device == store.device:
            raise PermanentError(
                f"{store.backup.name}: {store.backup.location} lies on the same file system as {name}: "
                "two copies on one disk are one copy"
            )


def initialise_backup(
    backup: BackupPlaceSettings, config: Config, *, runner: CommandRunner = run
) -> str:
    """Write a new marker into a backup's directory; its id. Raises PermanentError where that is
    refused, and why.
    """
    with reached(backup, runner=runner) as store:
        if store.identity:
            raise PermanentError(
                f"{backup.name}: {backup.location} is a backup already, {store.identity}"
            )
        refuse_same_disk(store, config)
        identity = secrets.token_hex(16)
        made = iso_now()
        marker = {
            "format": questions.FORMAT,
            "id": identity,
            "made": made,
            "by": f"hesiod-watch {__version__}",
        }
        given = (json.dumps(marker) + "\n").encode()
        _, code, errors = ask(backup, questions.INIT, (), store.control, given=given, run=runner)
        if code == questions.MARKED:
            raise PermanentError(
                f"{backup.name}: something is in the place of {backup.location}/{questions.MARKER}"
            )
        if code:
            raise TemporaryError(
                f"{backup.name}: {questions.MARKER} cannot be written: {last_line(errors)}"
            )
    with reached(backup, runner=runner) as store:
        if store.identity != identity:
            raise TemporaryError(
                f"{backup.name}: {questions.MARKER} was written and cannot be read back"
            )
    return identity
