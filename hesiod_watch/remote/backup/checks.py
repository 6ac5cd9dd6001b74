"""Checks of one backup: test everything that copying to it needs; explain failures.

The checks write nothing to the backup.
"""

from __future__ import annotations

from hesiod_watch.config import BackupPlaceSettings, Config
from hesiod_watch.core.check import Check
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.remote.backup import queries
from hesiod_watch.remote.backup.init import refuse_same_disk
from hesiod_watch.remote.backup.store import BackupStore, reached
from hesiod_watch.remote.sequencer.checks import check_rsync_of

SMALLEST_SHARE = 0.05
"""Share of the file system that must be free."""


def check_backup(
    backup: BackupPlaceSettings, config: Config, *, runner: CommandRunner = run
) -> tuple[Check, ...]:
    """Try everything that copying to a backup needs. Never raises: a result has each problem."""
    try:
        with reached(backup, runner=runner) as store:
            return (
                _marked(store),
                _apart(store, config),
                _writable(store),
                _room(store),
                check_rsync_of(store.endpoint),
            )
    except (HesiodError, OSError) as error:
        names = ("marker", "apart", "writable", "room", "rsync")
        not_tried = (Check(name, None, "not tried, because it cannot be reached") for name in names)
        return (Check("reaches", False, str(error)), *not_tried)


def _marked(store: BackupStore) -> Check:
    if store.identity:
        return Check("marker", True, f"{store.backup.location} is the backup {store.identity}")
    return Check(
        "marker",
        False,
        f"{queries.MARKER} is not in {store.backup.location}: is it mounted? "
        f"If it is new: hesiod-watch backup-init {store.backup.name}",
    )


def _apart(store: BackupStore, config: Config) -> Check:
    try:
        refuse_same_disk(store, config)
    except HesiodError as error:
        return Check("apart", False, str(error))
    return Check("apart", True, "it is on another file system than landing and output")


def _writable(store: BackupStore) -> Check:
    if store.endpoint.run(("test", "-w", store.location.path)).code:
        return Check("writable", False, f"{store.backup.location} cannot be written")
    return Check("writable", True, "it can be written")


def _room(store: BackupStore) -> Check:
    place = store.place
    says = f"{place.free / 1e9:.1f} GB free of {place.size / 1e9:.1f}"
    return Check("room", place.size == 0 or place.free / place.size > SMALLEST_SHARE, says)
