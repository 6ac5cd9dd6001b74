"""File system of a path, and whether inotify events are reliable there.

inotify reports changes made through this host's kernel. On network, cluster and FUSE file systems
other hosts (or the process behind FUSE) make changes that it never reports, although adding a watch
succeeds. The same holds for a stacked file system whose lower layers change. The type of the file
system is the first evidence. `watching` adds the second: changes that a sweep finds and no event
announced. Unknown types are trusted at first and judged by the second evidence.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

from hesiod_watch.core.frozen import frozen
from hesiod_watch.host.command import run

Kind = Literal["local", "network", "stacked", "unknown"]

_TYPES: dict[Kind, str] = {
    # fuseblk: FUSE on a block device of this host, such as ntfs-3g
    "local": "ext2 ext3 ext4 xfs btrfs zfs tmpfs ramfs f2fs jfs nilfs2 reiserfs bcachefs vfat exfat"
    " msdos ntfs ntfs3 hfsplus udf fuseblk",
    # fuse: the type of bindfs and others; every fuse.* counts as well
    "network": "nfs nfs4 lustre cifs smb3 smbfs ncpfs gpfs beegfs ceph 9p afs panfs pvfs2 orangefs"
    " glusterfs coda ocfs2 gfs2 virtiofs vboxsf vmhgfs prl_fs fuse",
    "stacked": "overlay overlayfs aufs unionfs ecryptfs shiftfs",
}
_KINDS: dict[str, Kind] = {
    fstype: kind for kind, types in _TYPES.items() for fstype in types.split()
}

# stat(1) says fuseblk for every FUSE.
_OTHER_NAMES = {"ext2/ext3": "ext4", "fuseblk": "fuse", "smb2": "smb3", "v9fs": "9p"}
_SECONDS = 10.0
"""Seconds that stat(1) may take."""

_OCTAL = re.compile(r"\\([0-7]{3})")
_SEPARATOR = 6  # first field that may be the "-" after the optional fields


@frozen
class Mount:
    """Mount of a path. `fstype` is "" if it is unknown."""

    fstype: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.fstype} ({self.kind})" if self.fstype else "a file system of unknown type"


@frozen
class _MountinfoLine:
    id: str
    parent: str
    mount_point: Path
    fstype: str


def kind_of(fstype: str) -> Kind:
    """Kind of a file system type (as in mountinfo): whether its events are reliable."""
    return "network" if fstype.startswith("fuse.") else _KINDS.get(fstype, "unknown")


def parse_mountinfo(text: str, path: Path) -> Mount:
    """Mount of the absolute, resolved `path`, from the text of `/proc/self/mountinfo` (proc(5)).

    Mounts are followed from the root, as the kernel follows a path. The longest mount point is not
    always the right one: a later mount higher up hides earlier mounts below it. Lines that cannot
    be parsed are skipped.
    """
    lines = [
        line
        for raw in text.split("\n")
        if (line := _parse(raw)) and path.is_relative_to(line.mount_point)
    ]
    if not lines:
        return Mount("", "unknown")
    ids = {line.id for line in lines}
    roots = [line for line in lines if line.parent not in ids or line.parent == line.id]
    # There is no single root if mounts are hidden from this process (a chroot, a container). Then
    # the longest mount point is best, and the latest of equal ones.
    current = (
        roots[-1]
        if len(roots) == 1
        else max(reversed(lines), key=lambda line: len(line.mount_point.parts))
    )
    seen = {current.id}
    while below := [line for line in lines if line.parent == current.id and line.id not in seen]:
        current = min(reversed(below), key=lambda line: len(line.mount_point.parts))
        seen.add(current.id)
    return Mount(current.fstype, kind_of(current.fstype))


def mount_of(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> Mount:
    """Mount of `path` on this host, symbolic links resolved.

    In a chroot mountinfo has no line for the path. Then the type is the one that stat(1) names.
    """
    path = Path(os.path.realpath(path))
    with suppress(OSError):
        found = parse_mountinfo(os.fsdecode(mountinfo.read_bytes()), path)
        if found.fstype:
            return found
    named = run(("stat", "--file-system", "--format=%T", "--", str(path)), quiet=_SECONDS)
    fstype = "" if named.code else named.output.decode("ascii", "replace").strip()
    fstype = _OTHER_NAMES.get(fstype, "" if fstype.startswith("UNKNOWN") else fstype)
    return Mount(fstype, kind_of(fstype))


def _parse(raw: str) -> _MountinfoLine | None:
    """Parse one line of mountinfo; None if it is invalid.

    `36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/sda1 rw`
    """
    fields = raw.split(" ")
    try:
        separator = fields.index("-", _SEPARATOR)
        return _MountinfoLine(
            fields[0], fields[1], Path(_unescaped(fields[4])), fields[separator + 1]
        )
    except (ValueError, IndexError):
        return None


def _unescaped(text: str) -> str:
    r"""Blanks, tabs, newlines and backslashes are written `\040` and so on."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
