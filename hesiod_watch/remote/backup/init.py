"""Initialise a backup directory; refuse one on the same file system as its source.

A copy on the same disk as its source protects against nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from hesiod_watch import __version__
from hesiod_watch.config import BackupPlaceSettings, Config
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.host.process import iso_now
from hesiod_watch.remote.backup import queries
from hesiod_watch.remote.backup.local_files import device_of
from hesiod_watch.remote.backup.store import BackupStore, reached
from hesiod_watch.remote.directory import RemoteDirectory
from hesiod_watch.rules.exit_codes import last_line


def refuse_same_disk(store: BackupStore, config: Config, *more: Path) -> None:
    """Refuse a backup on the file system of `landing`, `output` or a directory in `more`.

    `more` are directories to copy: they may be mounts within the first two. Raises PermanentError
    to refuse, TemporaryError if a directory cannot be read.
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
            raise TemporaryError(f"{name} {place} cannot be read: {error.strerror}") from error
        if device == store.device:
            raise PermanentError(
                f"{store.backup.name}: {store.backup.location} is on the same file system as "
                f"{name}: two copies on one disk are one copy"
            )


def initialise_backup(
    backup: BackupPlaceSettings, config: Config, *, runner: CommandRunner = run
) -> str:
    """Write a new marker into a backup's directory and return its id.

    Raises PermanentError with the reason if that is refused, TemporaryError.
    """
    with reached(backup, runner=runner) as store:
        if store.identity:
            raise PermanentError(
                f"{backup.name}: {backup.location} is a backup already, {store.identity}"
            )
        refuse_same_disk(store, config)
        identity = os.urandom(16).hex()
        made = iso_now()
        marker = {
            "format": queries.FORMAT,
            "id": identity,
            "made": made,
            "by": f"hesiod-watch {__version__}",
        }
        given = (json.dumps(marker) + "\n").encode()
        # Not by `store.query`, which accepts only responses with the marker.
        root = RemoteDirectory(store.endpoint, store.location)
        _, code, errors = root.query(queries.INIT, given=given)
        if code == queries.MARKED:
            raise PermanentError(
                f"{backup.name}: {backup.location}/{queries.MARKER} exists already"
            )
        if code:
            raise TemporaryError(
                f"{backup.name}: {queries.MARKER} cannot be written: {last_line(errors)}"
            )
    with reached(backup, runner=runner) as store:
        if store.identity != identity:
            raise TemporaryError(
                f"{backup.name}: {queries.MARKER} was written and cannot be read back"
            )
    return identity
