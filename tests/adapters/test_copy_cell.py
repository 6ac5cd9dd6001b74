"""Cells copied from a mount with the real rsync: complete, and verified by content."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mounted_upstream import READS, Place, meddling
from open_runs import opened
from upstream_cells import CELL, SUMMARY, make_cell, tree
from younger_files import make_younger

from hesiod_watch.core.model import CellId
from hesiod_watch.remote.backup.manifests import RawManifest, read_raw_data
from hesiod_watch.remote.sequencer.copy_cell import CopyResult, copy_cell

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def rewrite(path: Path, data: bytes) -> None:
    """Write other data under the same size and modification time, in place."""
    status = path.stat()
    assert len(data) == status.st_size
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_whole_cell(place: Place) -> None:
    """A whole cell arrives with the same names, content and times, and is verified."""
    make_cell(place.there, odd=True)
    copied = place.copy()
    assert (copied.outcome, copied.why, copied.verified) == ("done", "", True)
    sizes = [path.stat().st_size for path in place.source.rglob("*") if path.is_file()]
    assert tuple(map(sum, zip(*place.sent(), strict=True))) == (len(sizes), sum(sizes))
    assert place.same()
    assert (place.landed / READS).stat().st_mtime_ns == (place.source / READS).stat().st_mtime_ns


def test_the_files_of_a_verified_cell_are_its_raw_data(place: Place) -> None:
    """The names, sizes, times and checksums in a result are those that a reading would find."""
    make_cell(place.there, odd=True)
    copied = place.copy()
    found = read_raw_data(opened(place.run), CELL, RawManifest(""))
    assert copied.files == found.files
    assert set(copied.files) == {
        str(path.relative_to(place.landed))
        for path in place.landed.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_copying_again_sends_nothing(place: Place) -> None:
    """A copied cell is verified again, and nothing is sent."""
    make_cell(place.there)
    place.copy()
    sent = place.sent()
    assert place.copy() == CopyResult("done", "", verified=True)
    assert place.sent() == sent
    assert place.log.read_text().count("$ nice") == 2


def test_only_the_cell(place: Place) -> None:
    """Another cell, the run's own flags and existing files stay unchanged."""
    make_cell(place.there)
    make_cell(place.there, CellId("other", CELL.name))
    (place.there / "pipeline").mkdir()
    (place.run / "pipeline").mkdir(parents=True)
    (place.run / "pipeline" / "upstream").write_text("x")
    place.landed.mkdir(parents=True)
    (place.landed / "ours").write_text("stays")
    assert place.copy().verified
    assert sorted(os.listdir(place.run)) == [CELL.library, "pipeline"]
    assert (place.landed / "ours").read_text() == "stays"


def test_summary_comes_last(place: Place) -> None:
    """The final_summary arrives only after all other files are verified."""
    make_cell(place.there)
    seen = []
    place.copy(
        runner=meddling("md5sum", lambda: seen.append((place.landed / SUMMARY).exists()), times=9)
    )
    assert seen == [False, True]


def test_growing_cell(place: Place) -> None:
    """Only finished files of a growing cell are copied, and the cell is not verified."""
    make_cell(place.there, finished=False)
    os.utime(place.source / "other_reports" / "pore_scan.json", (1e9, 1e9))
    copied = place.copy()
    assert (copied.outcome, copied.verified) == ("done", False)
    names = {
        str(path.relative_to(place.landed)) for path in place.landed.rglob("*") if path.is_file()
    }
    # Files that did not change for long, and files with a later file in their directory.
    assert names == {
        *(f"fastq_pass/PAD38578_pass_c6ded78b_{number}.fastq" for number in (0, 1)),
        *("other_reports/final_summary_of_something_else.txt", "other_reports/pore_scan.json"),
    }
    assert not place.copy(settled=0).verified
    assert place.same()
    (place.source / SUMMARY).write_text("x")
    assert place.copy().verified
    assert place.same()


def test_same_size_and_time_but_other_content(place: Place) -> None:
    """A file with other content but same size and time is corrected before the summary comes."""
    make_cell(place.there)
    place.copy()
    (place.landed / SUMMARY).unlink()
    rewrite(place.landed / READS, b"x" * 50_000)
    assert place.copy().verified
    assert place.same()
    assert f"differ from the upstream: 1 ({READS}, …)" in place.log.read_text()


def test_rewritten_upstream_with_its_old_time(place: Place) -> None:
    """A file that was rewritten upstream with its old size and time arrives with new content."""
    make_cell(place.there)
    place.copy()
    rewrite(place.source / READS, b"y" * 50_000)
    assert place.copy(settled=0).verified
    assert place.same()


@pytest.mark.parametrize("after", ["rsync", "md5sum", "second rsync", "second md5sum"])
@pytest.mark.parametrize("how", ["rewritten", "grown", "added", "replaced"])
def test_changes_while_it_is_copied(after: str, how: str, place: Place) -> None:
    """After any change upstream at any moment, the final version arrives."""
    make_cell(place.there)
    file = place.source / READS

    def change() -> None:
        match how:
            case "rewritten":
                rewrite(file, b"z" * 50_000)
            case "grown":
                with file.open("ab") as opened:
                    opened.write(b"more")
            case "added":
                (file.parent / "late.fastq").write_bytes(b"late")
            case "replaced":
                other = file.with_name("other")
                other.write_bytes(b"w" * 50_000)
                status = file.stat()
                os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
                other.rename(file)

    left = [None] * (len(after.split()) - 1)
    runner = meddling(
        after.split()[-1], lambda: left.pop() if left else change(), times=len(after.split())
    )
    copied = place.copy(settled=0, runner=runner)
    assert copied.verified
    assert place.same()


def test_data_younger_than_the_summary(place: Place) -> None:
    """A cell whose last change is not its summary is verified when it has rested for a minute."""
    make_cell(place.there)
    os.utime(place.source / SUMMARY, (1, 1))
    with (place.source / READS).open("ab") as file:
        file.write(b"more")
    make_younger(place.source / READS, place.source / SUMMARY)
    copied = place.copy()
    assert (copied.outcome, copied.verified) == ("done", False)
    assert not (place.landed / SUMMARY).exists()
    assert "data are younger than its final_summary" in place.log.read_text()
    assert place.copy(settled=0).verified
    (place.source / SUMMARY).touch()
    assert place.copy().verified


def test_never_stops_changing(place: Place) -> None:
    """A cell that keeps changing is not verified and is copied again later.

    The exit code of rsync does not matter.
    """
    make_cell(place.there)

    def change() -> None:
        with (place.source / READS).open("ab") as opened:
            opened.write(b"more")

    copied = place.copy(settled=0, runner=meddling("md5sum", change, times=99))
    assert (copied.outcome, copied.verified) == ("again", False)
    assert copied.why == "it changes while it is copied, 3 times over"
    assert not (place.landed / SUMMARY).exists()


def test_file_that_vanishes(place: Place) -> None:
    """A file that disappears before it is copied is not an error."""
    make_cell(place.there)
    assert place.copy(settled=0, runner=meddling("find", (place.source / READS).unlink)).verified
    assert place.same()


def test_missing_cell(place: Place) -> None:
    """A cell that disappeared is left for later, and no directory is made for it."""
    place.there.mkdir(parents=True)
    copied = place.copy()
    assert copied.outcome == "again"
    assert "cannot be read" in copied.why
    assert not place.landed.exists()


# Refused.


@pytest.mark.parametrize(
    ("location", "cell", "reason"),
    [
        pytest.param("/etc", CELL, "is not the place of a run", id="outside the upstream"),
        pytest.param("LOCAL", CELL, "is not the place of a run", id="LOCAL"),
        pytest.param("", CELL, "empty", id="no location"),
        pytest.param("{there}", CellId("..", CELL.name), "begins with", id="library with dots"),
        pytest.param("{there}", CellId("lib", "../../x"), "is not copied", id="cell with dots"),
        pytest.param("{there}", CellId("lib", "-rf"), "begins with", id="cell like an option"),
    ],
)
def test_refused_locations_and_names(
    location: str, cell: CellId, reason: str, place: Place
) -> None:
    """A location outside the upstream or an invalid cell name is refused with the reason."""
    make_cell(place.there)
    copied = copy_cell(
        place.upstream,
        location.format(there=place.there),
        cell,
        opened(place.run),
        landing=place.landing,
        log=place.log,
    )
    assert copied.outcome == "failed"
    assert reason in copied.why
    assert not place.run.exists() or tree(place.run) == {}


def test_landing_area_that_is_not_mounted(place: Place) -> None:
    """A landing area that is not mounted is retried later, and not created."""
    make_cell(place.there)
    place.landing.rmdir()
    assert place.copy().outcome == "again"
    assert not place.landing.exists()


def test_directory_of_the_month_is_made(place: Place) -> None:
    """The directories between the landing area and the run are made."""
    make_cell(place.there)
    place.run = place.landing / "2026-11" / "run"
    assert place.copy().verified
    assert place.same()


@pytest.mark.parametrize(
    ("template", "outcome", "reason"),
    [
        pytest.param(
            ("rsync", "-lt", "{source}", "{destination}"), "done", "", id="links and times only"
        ),
        pytest.param(
            ("rsync", "-rlt", "--exclude=*_1.fastq", "{source}", "{destination}"),
            "again",
            "_1.fastq differs from the upstream",
            id="a file excluded",
        ),
        pytest.param(
            ("rsync", "--no-such-option", "{options}", "{source}", "{destination}"),
            "failed",
            "--no-such-option",
            id="an unknown option",
        ),
        pytest.param(
            ("no-such-rsync", "{options}", "{source}", "{destination}"),
            "failed",
            "no-such-rsync",
            id="a missing program",
        ),
        pytest.param(
            ("rsync", "--max-size=1", "{options}", "{source}", "{destination}"),
            "again",
            "differs from the upstream",
            id="a size limit",
        ),
    ],
)
def test_templates(template: tuple[str, ...], outcome: str, reason: str, place: Place) -> None:
    """A template's command is run; if it does not copy everything, the summary is not copied."""
    make_cell(place.there)
    copied = place.copy(replace(place.upstream, rsync=template))
    assert copied.outcome == outcome
    assert reason in copied.why
    assert (place.landed / SUMMARY).exists() == copied.verified == (outcome == "done")


def test_a_stopped_copy_continues(place: Place) -> None:
    """A stopped copy ends soon, keeps its partial file, and continues it at the next attempt."""
    make_cell(place.there)
    big = place.source / "fastq_pass" / "big.fastq"
    big.write_bytes(os.urandom(12_000_000))
    slow = replace(place.upstream, bandwidth_limit="3M")
    seen: list[tuple[int, int]] = []
    total = sum(path.stat().st_size for path in place.source.rglob("*") if path.is_file())

    def on_progress(done: int, of: int) -> None:
        seen.append((done, of))

    copied = place.copy(
        slow,
        settled=0,
        on_progress=on_progress,
        stop=lambda: bool(seen) and seen[-1][0] > 1_000_000,
    )
    assert (copied.outcome, copied.why) == ("again", "copying was ended: stopped")
    assert not (place.landed / SUMMARY).exists()
    kept = place.landed / "fastq_pass" / ".hesiod-watch-partial" / "big.fastq"
    assert kept.read_bytes() == big.read_bytes()[: kept.stat().st_size]
    assert kept.stat().st_size > 0
    assert place.copy(settled=0, on_progress=on_progress).verified
    assert place.same()
    assert {of for _, of in seen} == {total}
    assert seen[-1][0] == total


def test_leftovers_of_killed_copies(place: Place) -> None:
    """Leftovers of a killed rsync are removed when their file is complete.

    Other hidden files stay.
    """
    make_cell(place.there)
    (place.source / ".kept.AbC123").write_text("is there, too")
    (place.source / "kept").write_text("x")
    reads = place.landed / "fastq_pass"
    (reads / ".hesiod-watch-partial").mkdir(parents=True)
    name = Path(READS).name
    for left in (
        f".{name}.AbC123",
        f".hesiod-watch-partial/{name}",
        ".hesiod-watch-partial/other",
        ".other.AbC123",
    ):
        (reads / left).write_text("half")
    (place.landed / f".{SUMMARY}.XyZ789").write_text("half")
    assert place.copy().verified
    hidden = {
        str(path.relative_to(place.landed)) for path in place.landed.rglob(".*") if path.is_file()
    }
    assert hidden == {".kept.AbC123", "fastq_pass/.other.AbC123"}
    assert os.listdir(reads / ".hesiod-watch-partial") == ["other"]
    assert (
        place.log.read_text().count(", left of a copy that was killed") == 2
    )  # rsync has used up the third


def test_log(place: Place) -> None:
    """The log contains every command with its time, ready to paste, and its exit code."""
    make_cell(place.there)
    place.copy()
    lines = place.log.read_text().splitlines()
    assert all(line[:4].isdigit() and line[10] == "T" for line in lines)
    commands = [line.split("$ ", 1)[1] for line in lines if " $ " in line]
    assert len(commands) == 2
    assert all(command.startswith("nice -n 10 rsync --times") for command in commands)
    assert f"'{place.there}/'" in commands[0]
    assert "exit code 0" in lines[-2]
    assert "copied, and equal to" in lines[-1]
