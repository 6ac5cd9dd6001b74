"""Directories of a cell, as they were when it was processed, and data that came after that.

`.directories.json` in the cell's output has an entry for each directory: its times, the number of
its data files and a digest of their names. Adding a file changes the times of its directory. So one
`stat` for each directory shows whether files came; only a directory that has changed is listed.
Without the file nothing is reported: the cell was processed by an earlier version.

Names come from the landing area and are not trusted: links are not followed, and the number and
depth of the directories are limited.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hesiod_watch.core.cell_contents import DATA_SUFFIXES, LateData
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import is_final_summary
from hesiod_watch.core.records import record_in, whole_number
from hesiod_watch.host.files import OpenDirectory, directory, read_head, replace_whole
from hesiod_watch.rules import completeness
from hesiod_watch.runs.minknow import holds_data, read_contents

DIRECTORIES = ".directories.json"
MOST = 5000
"""Number of directories of a cell that are recorded; a real cell has a few hundred at most."""
DEEPEST = 6
"""Number of directories in each other that are looked into."""
_LARGEST = 8 << 20  # bytes of the record that are read


@frozen
class RecordedDirectory:
    """One directory of a cell; times are nanoseconds since the epoch."""

    mtime_ns: int
    ctime_ns: int
    files: int = 0  # data files in it, without those in its directories
    names: str = ""  # digest of their names

    def has_times_of(self, status: os.stat_result) -> bool:
        return (self.mtime_ns, self.ctime_ns) == (status.st_mtime_ns, status.st_ctime_ns)


Directories = Mapping[str, RecordedDirectory]
"""Directories by their path in the cell; "" is the cell itself."""


def directories_text(cell_dir: OpenDirectory) -> str:
    """List the directories of a cell as `.directories.json` has them; never raises.

    Without any entry, if they are too many or cannot be listed: then nothing is compared.
    """
    return _text(_list(cell_dir))


def record_removal(cell_dir: OpenDirectory, cell_output: Path, left: Collection[str]) -> None:
    """Record the directories again after raw data were removed; `left` are the remaining files.

    Nothing is recorded if other data files are there: they came meanwhile, and must be reported.
    Raises OSError.
    """
    found, expected = _list(cell_dir), dict[str, list[str]]()
    for path in left:
        inside, _, name = path.rpartition("/")
        if _is_data(name, top=not inside):
            expected.setdefault(inside, []).append(name)
    same = all(each.names == _digest(expected.get(name, [])) for name, each in found.items())
    if same and _read(cell_output):
        with directory(cell_output) as parent:
            replace_whole(parent, DIRECTORIES, _text(found).encode())


def _list(cell_dir: OpenDirectory) -> Directories:
    with suppress(OSError):
        listing = _Listing(cell_dir)
        listing.walk("")
        if len(listing.directories) <= MOST:
            return listing.directories
    return {}


def _text(found: Directories) -> str:
    listed = {
        name: [each.mtime_ns, each.ctime_ns, each.files, each.names]
        for name, each in sorted(found.items())
    }
    return json.dumps({"directories": listed}) + "\n"


def find_late_data(cell_dir: OpenDirectory, cell_output: Path) -> LateData | None:
    """Find data that came into a cell's directory after it was processed; None if there are none.

    Never raises: a directory that cannot be read shows nothing.
    """
    recorded = _read(cell_output)
    if not recorded:
        return None
    late: dict[str, int] = {}
    with suppress(OSError):
        cell, listing = cell_dir.descriptor, _Listing(cell_dir)
        for name, before in recorded.items():
            with suppress(OSError):
                status = os.stat(name or ".", dir_fd=cell, follow_symlinks=False)
                if not before.has_times_of(status):
                    listing.add(name)
        for name in [name for name in listing.inner if name not in recorded]:
            listing.walk(name)
        for name, now in listing.directories.items():
            if more := _more(recorded.get(name), now):
                late[name] = more
    if not late:
        return None
    outside = frozenset(name for name in late if name and not holds_data(name))
    return LateData(late, outside, completeness.judge(read_contents(cell_dir)))


def _more(before: RecordedDirectory | None, now: RecordedDirectory) -> int:
    """Number of data files that came; 1 if only names have changed."""
    if before is None:
        return now.files
    if before.names == now.names:
        return 0
    # Files may have been removed on purpose; `verify` compares each of them.
    return 1 if now.files == before.files else max(0, now.files - before.files)


def _read(cell_output: Path) -> Directories:
    try:
        content = read_head(cell_output / DIRECTORIES, _LARGEST)
    except OSError:
        return {}
    listed = record_in(content).get("directories")
    found = {}
    for name, entry in listed.items() if isinstance(listed, dict) else ():
        if isinstance(entry, list) and len(entry) == 4:
            mtime_ns, ctime_ns, files = map(whole_number, entry[:3])
            if mtime_ns is not None and ctime_ns is not None and files is not None:
                found[name] = RecordedDirectory(mtime_ns, ctime_ns, files, str(entry[3]))
    return found


@dataclass
class _Listing:
    """Listing of some directories of a cell."""

    cell: OpenDirectory
    directories: dict[str, RecordedDirectory] = field(default_factory=dict)
    inner: list[str] = field(default_factory=list)  # directories in the listed ones

    def walk(self, name: str) -> None:
        """List a directory and all below it, until there are too many."""
        pending = [name]
        while pending and len(self.directories) <= MOST:
            before = len(self.inner)
            with suppress(OSError):  # it disappeared, or is closed to us: its data do not count
                self.add(pending.pop())
            pending += self.inner[before:]

    def add(self, name: str) -> None:
        """List one directory.

        Its times are read first: a file that comes meanwhile changes them.
        """
        parts = name.split("/") if name else []
        names = []
        with self.cell.open(*parts) as opened:
            status = os.fstat(opened.descriptor)
            for entry in opened.entries():
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if len(parts) < DEEPEST:
                        self.inner.append("/".join([*parts, entry.name]))
                elif _is_data(entry.name, top=not parts):
                    names.append(entry.name)
        self.directories[name] = RecordedDirectory(
            status.st_mtime_ns, status.st_ctime_ns, len(names), _digest(names)
        )


def _is_data(name: str, *, top: bool) -> bool:
    return name.lower().endswith(DATA_SUFFIXES) or (top and is_final_summary(name))


def _digest(names: Iterable[str]) -> str:
    """Digest of names in any order: the order of a listing is not fixed."""
    total = 0
    for name in names:
        text = name.encode("utf-8", "surrogateescape")
        total += int.from_bytes(hashlib.blake2b(text, digest_size=16).digest())
    return f"{total % 2**128:032x}"
