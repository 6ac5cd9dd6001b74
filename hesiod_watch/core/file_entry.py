"""One file on its way from a listing to a manifest: as listed, as read, as recorded.

The same value describes an entry of a cell in the landing area, on an upstream or on a backup, a
source of an ingest, a line of `manifest.json` or `raw.json`, and a file in a deletion proof. Each
step adds what it knows; a field that is not known is 0 or "".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.records import whole_number

EntryKind = Literal["f", "d", "l", "o"]
"""Type of a directory entry: file, directory, link, anything else (FIFO, socket, device)."""

_KINDS: Mapping[int, EntryKind] = {0o100000: "f", 0o040000: "d", 0o120000: "l"}
_TYPE_BITS = 0o170000


def is_inside(name: str) -> bool:
    """Whether a relative path stays inside its directory, and has only one spelling."""
    return "\0" not in name and not any(part in ("", ".", "..") for part in name.split("/"))


class FileStatus(Protocol):
    """The part of `os.stat_result` that describes a file."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...
    @property
    def st_dev(self) -> int: ...
    @property
    def st_ino(self) -> int: ...


@frozen
class FileEntry:
    """One entry of a directory. Times are nanoseconds since the epoch, by the file system's clock.

    `ctime_ns` is the inode's change time. No program can set it back, so it reveals a file that was
    rewritten and given its old mtime. A cell may have a hundred thousand entries: `location` is a
    string because a `Path` takes three times the memory.
    """

    name: str  # relative to its directory, with `/` between the parts
    kind: EntryKind = "f"
    size: int = 0  # bytes
    mtime_ns: int = 0
    ctime_ns: int = 0
    device: int = 0
    inode: int = 0
    target: str = ""  # target of a link
    md5: str = ""  # of its bytes
    sha256: str = ""  # of its bytes; in raw.json only if MinKNOW wrote one for this file
    location: str = ""  # full path of a file that is opened by its path

    @classmethod
    def of_status(
        cls, name: str, status: FileStatus, *, target: str = "", location: str = ""
    ) -> FileEntry:
        return cls(
            name,
            _KINDS.get(status.st_mode & _TYPE_BITS, "o"),
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_dev,
            status.st_ino,
            target=target,
            location=location,
        )

    @property
    def path(self) -> Path:
        return Path(self.location)

    @property
    def gzipped(self) -> bool:
        return self.name.endswith(".gz")

    @property
    def identity(self) -> tuple[object, ...]:
        """Values that differ if the entry has changed.

        The times of a directory do not count: the entries in it show the changes themselves.
        """
        if self.kind != "f":
            return (self.kind, self.target)
        return (self.kind, self.size, self.mtime_ns, self.ctime_ns)

    @property
    def inode_name(self) -> str:
        """Unique among the files that this host sees; "" if it is not known."""
        return f"{self.device}:{self.inode}" if self.inode else ""

    def same_file(self, other: FileEntry) -> bool:
        """Whether both are the same inode, unchanged."""
        return (self.identity, self.inode_name) == (other.identity, other.inode_name)

    def same_content(self, other: FileEntry) -> bool:
        """Whether two readings found the same bytes."""
        return (self.size, self.md5) == (other.size, other.md5)

    def is_like(self, copy: FileEntry | None) -> bool:
        """Whether a copy of this entry need not be copied again.

        Times are compared in whole seconds, because some file systems store no more.
        """
        if copy is None or copy.kind != self.kind:
            return False
        if self.kind == "f":
            return (copy.size, copy.mtime_ns // 10**9) == (self.size, self.mtime_ns // 10**9)
        return self.kind == "d" or copy.target == self.target

    def looks_like(self, former: FileEntry) -> bool:
        """Whether name, size and mtime, which a program can set, are those of an earlier look."""
        return (self.name, self.size, self.mtime_ns) == (former.name, former.size, former.mtime_ns)

    def may_differ(self, former: FileEntry) -> bool:
        """Whether this may be another file than an earlier one of the same size and mtime.

        Change time and inode are hints: a hint that one of the two lacks is not compared.
        """
        hints = ((self.ctime_ns, former.ctime_ns), (self.inode, former.inode))
        return any(now and then and now != then for now, then in hints)

    def unchanged_since(self, former: FileEntry) -> bool:
        """Whether the file need not be read again."""
        return self.looks_like(former) and not self.may_differ(former)

    def as_read(self, md5: str, sha256: str = "") -> FileEntry:
        """The entry with its checksums, and without the hints that no manifest states."""
        return replace(self, device=0, inode=0, location="", md5=md5, sha256=sha256)

    def record(self, *, times: bool = True) -> dict[str, object]:
        """Its entry in a manifest. Results have no times: a copy may change them."""
        return {
            "name": self.name,
            "bytes": self.size,
            **({"md5": self.md5} if self.md5 else {}),
            **({"mtime_ns": self.mtime_ns} if times else {}),
            **({"ctime_ns": self.ctime_ns} if times and self.ctime_ns else {}),
            **({"sha256": self.sha256} if self.sha256 else {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], *, times: bool = True) -> FileEntry:
        """Read a regular file with its MD5. Raises ValueError, KeyError or TypeError."""
        name, size, md5 = record["name"], record["bytes"], record["md5"]
        if not isinstance(name, str) or not is_inside(name):
            raise ValueError(f"{name!r} is not a valid name of a file")
        if whole_number(size) is None or not isinstance(md5, str) or len(md5) != 32:
            raise ValueError(f"its entry for {name!r} is not valid")
        mtime_ns = int(record["mtime_ns"]) if times else 0
        ctime_ns, sha256 = int(record.get("ctime_ns", 0)), str(record.get("sha256", ""))
        return cls(name, "f", size, mtime_ns, ctime_ns, md5=md5, sha256=sha256)


Entries = Mapping[str, FileEntry]
"""Entries by their names."""


def file_sizes(entries: Entries, names: Iterable[str] | None = None) -> dict[str, int]:
    """Size of each regular file, in bytes; of all files, or of those in `names`."""
    return {
        name: entries[name].size
        for name in (entries if names is None else names)
        if name in entries and entries[name].kind == "f"
    }


def changed_names(before: Entries, after: Entries) -> tuple[str, ...]:
    """Names that were added, removed or changed between two listings."""
    both = before.keys() & after.keys()
    changed = {name for name in both if before[name].identity != after[name].identity}
    return tuple(sorted((before.keys() ^ after.keys()) | changed))
