"""A backup that is killed at every call that changes a disk.

It loses no data, records nothing false, and continues afterwards.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_mount import BackupMount
from sites import Site
from traced import changing_calls, killing_at, needs_strace

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(900), needs_strace]

RUN, LIBRARY, CELL = "20261122_TEST_alpha", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
CHANGES = {
    "rename": ("rename", "renameat", "renameat2"),
    "link": ("link", "linkat"),
    "unlink": ("unlink", "unlinkat"),
    "mkdir": ("mkdir", "mkdirat"),
    "fsync": ("fsync", "syncfs"),
    "attributes": ("fchmod", "utimensat"),
}
ONLY_RSYNC = {"mkdir", "attributes"}
"""Calls that only rsync makes."""
MOST = 60
"""Number of calls of one name that no backup reaches."""


@pytest.fixture
def backed(site: Site) -> Iterator[tuple[Site, Path]]:
    """A site with a processed cell and its backup, and the directory of the backup."""
    mounted = BackupMount(site.root / "second")
    mounted.mount()
    try:
        more = f"backups: {{second: {{location: {mounted.place}, timeout: 10s}}}}\n"
        site.configure(processing="workers: 2, ingest: false", more=more)
        site.run("backup-init", "second")
        SimulatedCell(
            site.landing,
            RUN,
            LIBRARY,
            CELL,
            barcodes=("barcode01",),
            files_per_barcode=2,
            reads_per_file=10,
        ).write()
        site.run("poll")
        yield site, mounted.place
    finally:
        mounted.close()


def files(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def spoil(site: Site, mounted: Path, former: bytes, stray: tuple[str, bytes]) -> None:
    """Create every kind of work for a backup.

    There are missing files, one file that differs and must be kept as superseded, and one foreign
    file.
    """
    there = mounted / RUN / "results" / LIBRARY / CELL
    (there / "qc.json").write_bytes(former)
    (there / stray[0]).write_bytes(stray[1])
    (there / "cell_info.yaml").unlink()
    shutil.rmtree(mounted / RUN / "raw")
    (site.landing / RUN / "pipeline" / f"{CELL}.backup.done").unlink()  # from the attempt before


def test_no_other_call_changes_a_disk(backed: tuple[Site, Path]) -> None:
    """CHANGES contains every call that changes a disk."""
    site, mounted = backed
    spoil(site, mounted, b"former", ("stray", b"stray"))
    made = changing_calls(site.command("perform", "backup", RUN, CELL), site.environ)
    assert made
    assert made <= {call for calls in CHANGES.values() for call in calls}


@pytest.mark.parametrize(
    ("victim", "calls"),
    [
        (victim, calls)
        for victim in ("backup", "child")
        for calls in CHANGES
        if victim == "child" or calls not in ONLY_RSYNC
    ],
)
def test_killed_at_every_change(backed: tuple[Site, Path], victim: str, calls: str) -> None:
    """A backup that is killed at any call loses no byte, and the next attempt completes it.

    The same is true if a program that it started is killed. The killed backup leaves no
    `.backup.done`, unless the copy is complete.
    """
    site, mounted = backed
    there = mounted / RUN / "results" / LIBRARY / CELL
    good = files(there)
    raw = files(mounted / RUN / "raw" / LIBRARY / CELL)
    done = site.landing / RUN / "pipeline" / f"{CELL}.backup.done"
    lost: set[bytes] = set()
    kills = 0
    for call in CHANGES[calls]:
        for number in range(1, MOST):
            left = {f"former {call} {number}".encode(), f"stray {call} {number}".encode()}
            former, stray = sorted(left)
            spoil(site, mounted, former, (f"stray-{call}-{number}", stray))
            kill = killing_at(call, number, children=victim == "child")
            command = [*kill, *site.command("perform", "backup", RUN, CELL)]
            killed = subprocess.run(
                command, capture_output=True, env=site.environ, timeout=120, check=False
            )
            if done.exists():
                assert files(there) == good, f"done at {call} {number} with something else there"
            assert left <= set(files(mounted).values()), f"lost at {call} {number}"
            site.run("perform", "backup", RUN, CELL)
            assert files(there) == good
            assert files(mounted / RUN / "raw" / LIBRARY / CELL) == raw
            assert done.exists()
            lost |= left
            if killed.returncode == 0:
                break
            kills += 1
        else:
            pytest.fail(f"there is no end of {call}")
    assert lost <= set(files(mounted / RUN / "superseded").values())
    assert kills > 0
    site.run("verify", RUN, "--backup")
