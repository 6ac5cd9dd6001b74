"""The shape of the landing area, on a real file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.host.mounts import Mount, mount_of
from hesiod_watch.runs.landing import Batch, LandingArea


def make(root: Path, *directories: str) -> None:
    for directory in directories:
        (root / directory).mkdir(parents=True)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ("none", ["2026", "2026-11", "2026-13", "b run", "run_a"]),
        ("year", ["2026/y1", "2026/y2"]),
        ("month", ["2026-11/m1"]),
    ],
    ids=["none", "year", "month"],
)
def test_runs(tmp_path: Path, batch: Batch, expected: list[str]) -> None:
    """Runs are in the landing area, or in batch directories of the configured kind only."""
    make(
        tmp_path,
        "run_a/lib",
        "b run",
        "2026/y1",
        "2026/y2",
        "2026-11/m1",
        "2026-13/no_month",
        ".hidden",
        "lost+found",
    )
    make(tmp_path, "2026/.hidden", "2026-11/lost+found")
    (tmp_path / "a_file").touch()
    (tmp_path / "2026" / "a_file").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "run_a")
    (tmp_path / "2026" / "linked").symlink_to(tmp_path / "run_a")
    assert LandingArea(tmp_path, batch).runs() == [tmp_path / run for run in expected]


def test_runs_with_hostile_names(tmp_path: Path) -> None:
    """Names that are not UTF-8 or contain newlines are returned unchanged."""
    names = [b"caf\xe9", b"new\nline", b"-rf"]
    for name in names:
        (tmp_path / name.decode("utf-8", "surrogateescape")).mkdir()
    assert [bytes(run).rsplit(b"/", 1)[1] for run in LandingArea(tmp_path).runs()] == sorted(names)


@pytest.mark.parametrize(
    ("batch", "path", "run"),
    [
        ("none", "/l/run", "/l/run"),
        ("none", "/l/run/lib/cell/final_summary.txt", "/l/run"),
        ("none", "/l", None),
        ("none", "/elsewhere/run", None),
        ("none", "/lx/run", None),
        ("none", "/l/.hidden/lib", None),
        ("none", "/l/lost+found/x", None),
        ("year", "/l/2026", None),
        ("year", "/l/2026/run/lib", "/l/2026/run"),
        ("year", "/l/run/lib", None),
        ("month", "/l/2026-11/run", "/l/2026-11/run"),
        ("month", "/l/2026/run", None),
    ],
)
def test_run_of(batch: Batch, path: str, run: str | None) -> None:
    """A path belongs to a run by its names alone; nothing need exist."""
    assert LandingArea(Path("/l"), batch).run_of(Path(path)) == (Path(run) if run else None)


def test_a_missing_landing_area_is_an_error(tmp_path: Path) -> None:
    """An empty list is returned only for a landing area that was read."""
    assert LandingArea(tmp_path).runs() == []
    (tmp_path / "file").touch()
    with pytest.raises(TemporaryError, match="does not exist"):
        LandingArea(tmp_path / "missing").runs()
    with pytest.raises(TemporaryError, match="is not a directory"):
        LandingArea(tmp_path / "file").runs()


@pytest.mark.parametrize(
    ("content", "known_runs", "problem"),
    [
        ((), 0, ""),
        ((), 1, "is empty although 1 run is known"),
        ((), 7, "is empty although 7 runs are known"),
        ((".snapshot",), 7, "is empty although"),
        (("run",), 7, ""),
        (("lost+found",), 7, ""),
    ],
    ids=[
        "empty, no run known",
        "empty, one run known",
        "empty, seven runs known",
        "only a hidden name",
        "a run",
        "lost+found",
    ],
)
def test_an_empty_directory_in_the_place_of_a_mount(
    tmp_path: Path, content: tuple[str, ...], known_runs: int, problem: str
) -> None:
    """An empty directory is a landing area only as long as no runs are known."""
    make(tmp_path, *content)
    found = LandingArea(tmp_path).problem(known_runs)
    assert problem in found
    assert bool(found) == bool(problem)


def test_problems_of_a_path_that_is_no_directory(tmp_path: Path) -> None:
    """A sentence names the path that is missing or no directory."""
    (tmp_path / "file").touch()
    assert (
        LandingArea(tmp_path / "missing").problem(0)
        == f"the landing area {tmp_path}/missing does not exist"
    )
    assert (
        LandingArea(tmp_path / "file").problem(0)
        == f"the landing area {tmp_path}/file is not a directory"
    )


def test_identity_changes_with_the_directory(tmp_path: Path) -> None:
    """Another directory at the same path is recognised as another; a link to it is not."""
    place = tmp_path / "landing"
    place.mkdir()
    before = LandingArea(place).identity()
    (tmp_path / "link").symlink_to(place)
    assert LandingArea(tmp_path / "link").identity() == before
    place.rename(tmp_path / "away")
    with pytest.raises(TemporaryError, match="does not exist"):
        LandingArea(place).identity()
    place.mkdir()
    assert LandingArea(place).identity() != before


def test_mount_of_a_link_is_that_of_its_target(tmp_path: Path) -> None:
    """Symbolic links are resolved before the mount is looked up."""
    link = tmp_path / "link"
    link.symlink_to("/proc")
    assert mount_of(link).fstype == "proc"
    assert mount_of(tmp_path).fstype not in ("", "proc")


@pytest.mark.parametrize("text", ["", "36 1 98:0 / /elsewhere rw - nfs4 host:/ rw\n", None])
def test_mount_in_a_chroot(text: str | None, tmp_path: Path) -> None:
    """Where mountinfo is missing or has no line for a path, the file system itself is asked."""
    mountinfo = tmp_path / "mountinfo"
    if text is not None:
        mountinfo.write_text(text)
    assert mount_of(Path("/proc"), mountinfo) == Mount("proc", "unknown")
    assert mount_of(Path("/dev/shm"), mountinfo) == Mount("tmpfs", "local")
    assert mount_of(tmp_path, mountinfo).kind == mount_of(tmp_path).kind
    gone = mount_of(tmp_path / "gone", mountinfo)
    assert (gone, str(gone)) == (Mount("", "unknown"), "a file system of unknown type")


@pytest.mark.parametrize(
    ("batch", "places", "fitting"),
    [
        ("year", ["20261122_a"], "none"),
        ("year", ["2026-11/20261122_a"], "month"),
        ("month", ["2026/20261122_a", "2025/20251122_b"], "year"),
        ("none", ["2026/20261122_a"], "year"),
        ("year", ["project/20261122_a"], None),
        ("none", ["2026/11/20261122_a"], None),
        ("month", ["2026/11/20261122_a"], None),
        ("month", ["20261122_a", "2026/20261122_b"], None),
    ],
)
def test_runs_in_other_batches(
    tmp_path: Path, batch: Batch, places: list[str], fitting: Batch | None
) -> None:
    """Cells at either level where `batch` expects none are found, and the setting that fits."""
    cell = "lib/20261122_2210_1A_PAW00001_0a1b2c3d"
    make(tmp_path, *(f"{place}/{cell}" for place in places), "empty/directory")
    area = LandingArea(tmp_path, batch)
    beside = area.runs_beside()
    assert beside == sorted(tmp_path / place for place in places)
    assert area.fitting_batch(beside) == fitting
    right = {"none": "r", "year": "2026/r", "month": "2026-11/r"}[batch]
    make(tmp_path, f"{right}/{cell}")
    assert (area.runs_beside(), area.fitting_batch(beside)) == (beside, None)
