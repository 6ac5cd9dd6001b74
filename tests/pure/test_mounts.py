"""Mount of a path, from the text of mountinfo, and the effect of its type on events."""

from __future__ import annotations

from pathlib import Path

import pytest

from hesiod_watch.host.mounts import Kind, kind_of, parse_mountinfo

ROOT = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"


@pytest.mark.parametrize(
    ("mounts", "path", "fstype"),
    [
        pytest.param((ROOT,), "/data/landing", "ext4", id="root"),
        pytest.param(
            (ROOT, "30 22 0:40 / /data rw - nfs4 server:/x rw"),
            "/data/landing",
            "nfs4",
            id="below root",
        ),
        # A path is not below a mount point with which its name only begins.
        pytest.param(
            (ROOT, "30 22 0:40 / /data rw - nfs4 server:/x rw"),
            "/database",
            "ext4",
            id="a similar name",
        ),
        # Nested mounts; the order of the lines does not matter.
        pytest.param(
            (
                ROOT,
                "31 30 0:41 / /data/a rw - xfs /dev/sdb rw",
                "30 22 0:40 / /data rw - nfs4 server:/x rw",
            ),
            "/data/a/run",
            "xfs",
            id="nested mounts",
        ),
        # Two mounts at one place: the later hides the earlier.
        pytest.param(
            (
                ROOT,
                "30 22 0:40 / /data rw - nfs4 server:/x rw",
                "33 30 0:43 / /data rw - tmpfs tmpfs rw",
            ),
            "/data/run",
            "tmpfs",
            id="two mounts at one place",
        ),
        # A later mount higher up hides the longer mount point below it.
        pytest.param(
            (
                ROOT,
                "30 22 0:40 / /data/a rw - xfs /dev/sdb rw",
                "31 22 0:41 / /data rw - lustre mds:/p rw",
            ),
            "/data/a/run",
            "lustre",
            id="hidden by a later mount",
        ),
        # Optional fields may be many or none; blanks and backslashes are escaped.
        pytest.param(
            (
                ROOT,
                r"30 22 0:40 / /my\040data\134x rw shared:1 master:2 propagate_from:3 - "
                r"fuse.sshfs a@b:/ rw",
            ),
            r"/my data\x/run",
            "fuse.sshfs",
            id="escaped names",
        ),
        # A container that shows no root.
        pytest.param(
            ("31 30 0:41 / /d rw - xfs /dev/sdb rw", "40 39 0:41 / /d/x rw - ext4 /dev/sdc rw"),
            "/d/x",
            "ext4",
            id="no root",
        ),
        # The kernel's own first mount, which is its own parent.
        pytest.param(
            ("1 1 0:1 / / rw - rootfs rootfs rw", "22 1 8:1 / / rw - btrfs /dev/sda1 rw"),
            "/data",
            "btrfs",
            id="rootfs",
        ),
        # Invalid lines are skipped.
        pytest.param(
            ("", "garbage", "30 22 0:40 / /data rw", ROOT), "/data", "ext4", id="invalid lines"
        ),
        pytest.param(("garbage",), "/data", "", id="only an invalid line"),
    ],
)
def test_mount_of_a_path(mounts: tuple[str, ...], path: str, fstype: str) -> None:
    """The mount is found as the kernel walks the path, not by the longest name."""
    assert parse_mountinfo("\n".join(mounts) + "\n", Path(path)).fstype == fstype


@pytest.mark.parametrize(
    ("fstypes", "kind"),
    [
        ("ext4 xfs btrfs zfs tmpfs fuseblk", "local"),
        (
            "nfs nfs4 lustre cifs smb3 gpfs beegfs ceph 9p afs ocfs2 gfs2 virtiofs "
            "fuse fuse.sshfs fuse.bindfs",
            "network",
        ),
        ("overlay aufs ecryptfs", "stacked"),
        ("newfs autofs proc", "unknown"),
    ],
)
def test_kind_of_file_system(fstypes: str, kind: Kind) -> None:
    """Every type is one of four kinds; an unlisted type is unknown, not local."""
    assert {kind_of(fstype) for fstype in fstypes.split()} == {kind}
    assert kind_of("") == "unknown"
