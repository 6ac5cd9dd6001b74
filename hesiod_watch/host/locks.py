"""Locks among this user's processes on this host; the kernel releases them at process end.

The lock files are in a private directory on a local disk, because flock is not reliable on network
mounts. Locks limit load (`slots`), and they order the processes of one host where only this host
can judge. Flags decide, for all hosts, which process may work on a cell or run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.host.files import open_or_create

RUNTIME = Path("/run/hesiod-watch")
"""Directory that systemd makes for the units (RuntimeDirectory=)."""
TEMPORARY = Path("/tmp")  # noqa: S108 -- the directory in it is private
FALLBACK = Path("/var/tmp")  # noqa: S108 -- the directory in it is private
"""Directory used if another user made ours in the temporary directory."""


@frozen
class _LockChoice:
    """The first usable candidate for the directory of the locks, and why others are not used."""

    directory: Path | None
    skipped: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        if self.directory:
            return tuple(
                f"{why}; the locks are in {self.directory} instead, until the cause is fixed or "
                "`locks` in the configuration names another directory"
                for why in self.skipped
            )
        return (
            f"no worker can start on this host, because no directory for its locks is usable: "
            f"{'; '.join(self.skipped)}; set `locks` in the configuration to a directory that only "
            "this user may write",
        )


def lock_directory(landing: Path, locks: Path | None = None) -> Path:
    """Directory of the locks for a landing area; created if needed.

    It is in the first usable candidate: `locks` of the configuration, RUNTIME if it is this user's,
    the temporary directory, FALLBACK. All processes of this user on this host must choose the same
    one. So only owners, modes and absence decide, and no variable of systemd or of a login session:
    a poll of cron has none. Raises PermanentError if none is usable, OSError.
    """
    choice = _choose(landing, locks)
    if choice.directory is None:
        raise PermanentError(*choice.problems)
    choice.directory.mkdir(mode=0o700, exist_ok=True)
    if why := _why_not_ours(choice.directory):  # another user was faster
        raise PermanentError(f"{why}; try again")
    return choice.directory


def lock_problems(landing: Path, locks: Path | None = None) -> tuple[str, ...]:
    """Sentences about candidates for the directory of the locks that are unusable; makes nothing.

    Candidates after the first usable one are not examined.
    """
    return _choose(landing, locks).problems


def locks_missing(landing: Path, locks: Path | None = None) -> str:
    """Reason why no worker can start, if no directory for locks is usable; else ""."""
    choice = _choose(landing, locks)
    return "" if choice.directory else choice.problems[0]


def lock_directory_in_use(landing: Path, locks: Path | None = None) -> Path | None:
    """Directory that `lock_directory` would return, which need not exist; makes nothing."""
    return _choose(landing, locks).directory


def _choose(landing: Path, locks: Path | None) -> _LockChoice:
    digest = hashlib.sha256(os.fsencode(landing)).hexdigest()[:12]
    shared = (temporary_directory(), FALLBACK)
    private = ([locks] if locks else []) + ([RUNTIME] if is_private(RUNTIME) else [])
    skipped: list[str] = []
    for base in dict.fromkeys([*private, *shared]):
        directory = base / f"hesiod-watch-{os.getuid()}-{digest}"
        why = _why_unsafe(base) if base in private else ""
        why = why or _why_not_ours(directory) or _why_not_made(directory)
        if not why:
            return _LockChoice(directory, tuple(skipped))
        skipped.append(why)
    return _LockChoice(None, tuple(skipped))


def temporary_directory() -> Path:
    """Directory for temporary files, whether or not a file can be written into it now.

    `tempfile.gettempdir` writes a file: where the disk is full, it chooses another directory, or
    none. Then processes would choose different locks, or end.
    """
    named = (os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP"))
    places = [Path(each).absolute() for each in named if each]
    usable = (each for each in places if each.is_dir() and os.access(each, os.W_OK | os.X_OK))
    return next(usable, TEMPORARY)


def is_private(directory: Path) -> bool:
    """Whether a directory exists, and only this user may write in it."""
    return os.path.lexists(directory) and not _why_not_ours(directory)


def _why_unsafe(base: Path) -> str:
    try:
        found = base.stat()
    except OSError as error:
        return f"{base} cannot be used: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{base} is not used: it is no directory"
    if found.st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        return f"{base} is not used: every user may write in it"
    return ""


def _why_not_ours(directory: Path) -> str:
    """Reason why a directory is unsafe for locks, if it exists. Raises nothing."""
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{directory} cannot be used: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{directory} is not used: it is no directory"
    if found.st_uid != os.getuid():
        return f"{directory} is not used: it belongs to the user with uid {found.st_uid}"
    return f"{directory} is not used: others may write in it" if found.st_mode & 0o022 else ""


def _why_not_made(directory: Path) -> str:
    """Reason why a missing directory may not be made.

    A read-only file system is no reason: it may be read-only for one process of this user only,
    such as a service in a sandbox. That process must fail, not use another directory.
    """
    base = directory.parent
    if os.path.lexists(directory) or os.access(base, os.W_OK | os.X_OK):
        return ""
    with suppress(OSError):
        if os.statvfs(base).f_flag & os.ST_RDONLY:
            return ""
    return f"{base} is not used: this user may not write in it"


def open_lock(path: Path) -> int:
    """Open a lock file; flock on the descriptor locks it until its last copy is closed."""
    return open_or_create(path, os.O_RDWR, 0o600)


def take_one(files: Iterable[Path]) -> int | None:
    """Lock the first free file; returns its descriptor, or None if all are locked."""
    for file in files:
        descriptor = open_lock(file)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        return descriptor
    return None


@contextmanager
def alone_on_this_host(landing: Path, what: str, locks: Path | None = None) -> Iterator[None]:
    """Admit one process of this user on this host at a time for each `what`; others wait."""
    name = hashlib.sha256(os.fsencode(what)).hexdigest()[:2]  # 256 files serve any number of names
    descriptor = open_lock(lock_directory(landing, locks) / f"alone-{name}")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
