"""What stands in the way of copying to one backup, found out by trying, and said in words. Nothing is written there."""

from __future__ import annotations

from hesiod_watch.config import Backup, Config
from hesiod_watch.core.check import Check
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.host.command import Ended, Runner, run
from hesiod_watch.remote import ssh
from hesiod_watch.remote.backup import questions
from hesiod_watch.remote.backup.init import refuse_same_disk
from hesiod_watch.remote.backup.store import Store, reached
from hesiod_watch.remote.sequencer.checks import check_rsync

SMALLEST_SHARE = 0.05


def check_backup(backup: Backup, config: Config, *, runner: Runner = run) -> tuple[Check, ...]:
    """Try everything that copying to a backup needs. Never raises for what is wrong."""
    try:
        with reached(backup, runner=runner) as store:
            return (_marked(store), _apart(store, config), _writable(store), _room(store), _rsync(store))
    except (HesiodError, OSError) as error:
        names = ("marker", "apart", "writable", "room", "rsync")
        not_tried = (Check(name, None, "not tried, because it cannot be reached") for name in names)
        return (Check("reaches", False, str(error)), *not_tried)


def _marked(store: Store) -> Check:
    if store.identity:
        return Check("marker", True, f"{store.backup.location} is the backup {store.identity}")
    return Check(
        "marker",
        False,
        f"{questions.MARKER} is not in {store.backup.location}: is it mounted? "
        f"If it is new: hesiod-watch backup-init {store.backup.name}",
    )


def _apart(store: Store, config: Config) -> Check:
    try:
        refuse_same_disk(store, config)
    except HesiodError as error:
        return Check("apart", False, str(error))
    return Check("apart", True, "it lies on another file system than landing and output")


def _writable(store: Store) -> Check:
    if _ask(store, "test", "-w", store.backup.place.path).code:
        return Check("writable", False, f"{store.backup.location} cannot be written")
    return Check("writable", True, "it can be written")


def _room(store: Store) -> Check:
    place = store.place
    says = f"{place.free / 1e9:.1f} GB free of {place.size / 1e9:.1f}"
    return Check("room", place.size == 0 or place.free / place.size > SMALLEST_SHARE, says)


def _rsync(store: Store) -> Check:
    command = ("rsync", "--version")
    here = store.runner(command, quiet=store.backup.timeout)
    there = {"there": _ask(store, *command)} if store.backup.place.over_ssh else {}
    return check_rsync({"here": here, **there})


def _ask(store: Store, *command: str) -> Ended:
    """Run a command where the backup is."""
    if store.backup.place.over_ssh:
        command = ssh.remote(store.backup.reached, command, store.control)
    return store.runner(command, quiet=store.backup.connect_timeout + store.backup.timeout)
