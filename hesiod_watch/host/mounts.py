"""Which file system a path lies on, and whether events can be believed there.

inotify tells what was done through this host's kernel. On network, cluster and FUSE file systems
other hosts (or the process behind FUSE) make changes that it never hears of, and adding a watch
succeeds all the same; so does it on a stacked file system whose lower layers change. The type is
the first evidence; `watching` adds the second, what a sweep finds and no event announced. Unknown
types start with the benefit of the doubt and are judged by that.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["local", "network", "stacked", "unknown"]

_TYPES: dict[Kind, str] = {
    # fuseblk: FUSE on a block device of this host, as ntfs-3g
    "local": "ext2 ext3 ext4 xfs btrfs zfs tmpfs ramfs f2fs jfs nilfs2 reiserfs bcachefs vfat exfat msdos ntfs ntfs3"
    " hfsplus udf fuseblk",
    # plain fuse: what bindfs and others show; all of fuse.* beside it
    "network": "nfs nfs4 lustre cifs smb3 smbfs ncpfs gpfs beegfs ceph 9p afs panfs pvfs2 orangefs glusterfs coda ocfs2"
    " gfs2 virtiofs vboxsf vmhgfs prl_fs fuse",
    "stacked": "overlay overlayfs aufs unionfs ecryptfs shiftfs",
}
_KINDS: dict[str, Kind] = {
    fstype: kind for kind, types in _TYPES.items() for fstype in types.split()
}

_OCTAL = re.compile(r"\\([0-7]{3})")
_SEPARATOR = 6  # optional fields end with "-", not before this field


@dataclass(frozen=True, slots=True)
class Mount:
    """The mount that a path lies on. `fstype` is "" where it could not be found out."""

    fstype: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class _MountinfoLine:
    id: str
    parent: str
    mount_point: Path
    fstype: str


def kind_of(fstype: str) -> Kind:
    """Whether events on a file system of this type (as mountinfo spells it) can be believed."""
    return "network" if fstype.startswith("fuse.") else _KINDS.get(fstype, "unknown")


def parse_mountinfo(text: str, path: Path) -> Mount:
    """The mount of the absolute, resolved `path`, from the text of `/proc/self/mountinfo`
    (proc(5)).

    Mounts are followed from the root as the kernel follows a path, because the longest mount point
    is not always the one: a later mount higher up hides what was mounted below it before. Lines
    that make no sense are skipped.
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
    # No root shows where mounts were hidden from us (a chroot, a container): the longest, then the
    # latest, is best.
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


def mount_of(path: Path) -> Mount:
    """The mount of `path` on this host, symbolic links resolved. `unknown` where the kernel does
    not tell.
    """
    try:
        text = os.fsdecode(Path("/proc/self/mountinfo").read_bytes())
    except OSError:
        return Mount("", "unknown")
    return parse_mountinfo(text, Path(os.path.realpath(path)))


def _parse(raw: str) -> _MountinfoLine | None:
    """`36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/sda1 rw`"""
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
