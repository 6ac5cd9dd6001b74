"""An unmounted output area: nothing is written into its empty mount point."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_mount import BackupMount
from sites import Site
from unprivileged import needs_unprivileged

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

FIRST = "20261122_TEST_alpha"
NEXT = "20261122_TEST_beta"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"


def land(site: Site, run: str = FIRST) -> None:
    SimulatedCell(site.landing, run, LIBRARY, CELL, files_per_barcode=2, reads_per_file=10).write()


def marker(site: Site) -> Path:
    return site.output / ".hesiod-watch" / "output"


def unmount(site: Site) -> Path:
    """Put an empty directory in place of the output area; return the new path of the real one."""
    away = site.output.rename(site.root / "away")
    site.output.mkdir()
    return away


def mount_again(site: Site, away: Path) -> None:
    assert list(site.output.iterdir()) == []
    site.output.rmdir()
    away.rename(site.output)


def processed(site: Site, run: str) -> bool:
    return (site.landing / run / "pipeline" / f"{CELL}.done").exists()


@pytest.mark.parametrize("root", ["empty", "missing", "marker-is-a-directory"])
def test_nothing_is_written_while_the_output_area_is_missing(root: str, site: Site) -> None:
    """Poll and perform refuse with code 75 while the output area is missing.

    Status and doctor give the reason. Afterwards work continues.
    """
    land(site)
    site.run("poll")
    away = unmount(site)
    if root == "missing":
        site.output.rmdir()
    if root == "marker-is-a-directory":
        marker(site).mkdir(parents=True)
    land(site, NEXT)
    before = sorted(site.output.rglob("*"))
    done = site.run("poll", check=75)
    assert done.stderr.count("\n") == 1
    assert str(site.output) in done.stderr
    assert "mounted?" in done.stderr
    for action, *more in (
        ["new-run", NEXT],
        ["report", FIRST],
        ["tell", FIRST],
        ["process", FIRST, CELL],
    ):
        assert "mounted?" in site.run("perform", action, *more, check=75).stderr
    status = site.run("status")
    assert FIRST in status.stdout
    assert NEXT in status.stdout
    assert "mounted?" in status.stderr
    assert "mounted?" in site.run("explain", NEXT).stderr
    assert any(
        "BAD   output" in line and "mounted?" in line
        for line in site.run("doctor", check=1).stdout.split("\n")
    )
    assert sorted(site.output.rglob("*")) == before
    assert not (site.landing / NEXT / "pipeline").exists()
    if site.output.exists():
        shutil.rmtree(site.output)
    away.rename(site.output)
    site.run("poll")
    assert processed(site, NEXT)
    assert site.run("status").stderr == ""
    assert marker(site).is_file()


@pytest.mark.parametrize("missing", [0, 1, 2], ids=["all-there", "one-there", "none-there"])
def test_an_output_area_of_0_1_0_gets_its_marker(missing: int, site: Site) -> None:
    """Without a marker the results of runs decide: if any exist, the marker is written."""
    for run in (FIRST, NEXT):
        land(site, run)
    site.run("poll")
    shutil.rmtree(marker(site).parent)
    for run in (FIRST, NEXT)[:missing]:
        shutil.rmtree(site.output / run)
    done = site.run("poll", check=75 if missing == 2 else 0)
    assert marker(site).is_file() is (missing < 2)
    if missing == 2:
        assert f"touch {marker(site)}" in done.stderr
        marker(site).parent.mkdir()
        marker(site).touch()
        site.run("poll")


def test_no_marker_without_runs(site: Site) -> None:
    """No marker is written while both file systems are missing.

    So the missing output area is noticed when the runs are back.
    """
    land(site)
    site.run("poll")
    output = unmount(site)
    landing = site.landing.rename(site.root / "runs")
    site.landing.mkdir()
    site.run("poll")
    site.landing.rmdir()
    landing.rename(site.landing)
    site.run("poll", check=75)
    mount_again(site, output)
    site.run("poll")


@needs_unprivileged
def test_no_marker_while_a_run_cannot_be_read(unprivileged: Site) -> None:
    """The results of an unreadable run may be in the output area that is not mounted.

    So the directory in its place gets no marker, and is noticed when the run can be read again.
    """
    site = unprivileged
    land(site)
    site.run("poll")
    away = unmount(site)
    (site.landing / FIRST).chmod(0)
    site.run("poll", check=1)
    assert not marker(site).exists()
    (site.landing / FIRST).chmod(0o755)
    site.run("poll", check=75)
    mount_again(site, away)
    site.run("poll")


def test_reading_commands_write_no_marker(site: Site) -> None:
    """Commands that only read do not change a new output area."""
    land(site)
    for command in ("status", "plan", "doctor"):
        site.run(command)
    site.run("config", "check")
    site.run("explain", FIRST)
    assert list(site.output.iterdir()) == []


def test_a_marker_that_cannot_be_written_stops_no_work(site: Site) -> None:
    """Another file in place of the marker is reported once, and cells are processed."""
    (site.output / ".hesiod-watch").touch()
    land(site)
    with site.service():
        site.eventually(lambda: processed(site, FIRST), "the first run is processed")
        land(site, NEXT)
        site.eventually(lambda: processed(site, NEXT), "the next run is processed")
        assert site.logged("cannot be written") == 1


@pytest.fixture
def mounted(site: Site) -> Iterator[BackupMount]:
    """The site's output area on a separate file system."""
    site.output.rmdir()
    mounted = BackupMount(site.output)
    mounted.mount()
    try:
        yield mounted
    finally:
        mounted.close()


@pytest.mark.parametrize("used", [True, False], ids=["with-results", "new"])
def test_a_service_notices_an_unmount(used: bool, site: Site, mounted: BackupMount) -> None:
    """A service writes nothing to an unmounted output area; after the mount work continues."""
    if used:
        land(site)
        site.run("poll")
    with site.service():
        mounted.hide()
        land(site, NEXT)
        site.eventually(
            lambda: site.logged("the output area is not there") == 1,
            "the service misses the output area",
        )
        site.eventually(lambda: site.run("plan", NEXT).stdout != "", "the next run has landed")
        assert os.listdir(site.output) == []
        assert not (site.landing / NEXT / "pipeline").exists()
        mounted.show()
        site.eventually(lambda: processed(site, NEXT), "the next run is processed")
        assert site.logged("the output area is back") == 1
    assert marker(site).is_file()


def test_a_service_starts_without_the_output_area(site: Site, mounted: BackupMount) -> None:
    """A service that starts before the output area is mounted waits for it."""
    land(site)
    site.run("poll")
    mounted.hide()
    land(site, NEXT)
    with site.service():
        site.eventually(
            lambda: site.logged("the output area is not there") == 1,
            "the service misses the output area",
        )
        assert (
            subprocess.run(["ls", "-A", site.output], capture_output=True, check=True).stdout == b""
        )
        mounted.show()
        site.eventually(lambda: processed(site, NEXT), "the next run is processed")
