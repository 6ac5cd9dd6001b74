"""Cells with missing files: a later loss is a failure, an acceptance is shown everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sites import Site
from younger_files import end_with_summaries

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NAME = f"{LIBRARY}/{CELL}"
READ = "@r{}\nACGT\n+\n5555\n"
WAITING_TYPE = "types: {held: {runs: '.*', process: false}, free: {runs: x}}\n"
"""Type of runs whose cells wait between the count and the work, until their type is `free`."""
ACCEPTED = "accepted as complete by a person"


def write_cell(
    landing: Path, *, run: str = RUN, fastq: int = 2, pod5: int = 1, more: str = ""
) -> Path:
    """Write a finished cell with these numbers of files; return its directory."""
    cell = landing / run / LIBRARY / CELL
    for directory in ("fastq_pass", "pod5"):
        (cell / directory).mkdir(parents=True)
    for number in range(fastq):
        (cell / "fastq_pass" / f"a_{number}.fastq").write_text(READ.format(number))
    for number in range(pod5):
        (cell / "pod5" / f"a_{number}.pod5").write_bytes(b"raw")
    counts = f"fastq_files_in_final_dest={fastq}\npod5_files_in_final_dest={pod5}\n{more}"
    (cell / "final_summary.txt").write_text(counts)
    return cell


def flag(site: Site, end: str) -> Path:
    return site.landing / RUN / "pipeline" / f"{CELL}.{end}"


def cell_of(site: Site) -> dict[str, Any]:
    cell = site.status()[RUN]["cells"][NAME]
    assert isinstance(cell, dict)
    return cell


def qc_of(site: Site) -> dict[str, Any]:
    qc = json.loads((site.output / RUN / LIBRARY / CELL / "qc.json").read_text())
    assert isinstance(qc, dict)
    return qc


def release(site: Site) -> None:
    """Let the cells of a waiting run be processed."""
    (site.landing / RUN / "pipeline" / "type.yaml").write_text("type: free\n")


def lose_fastq(cell: Path) -> None:
    (cell / "fastq_pass" / "a_1.fastq").unlink()


def lose_pod5(cell: Path) -> None:
    (cell / "pod5" / "a_0.pod5").unlink()


def gain_fastq(cell: Path) -> None:
    (cell / "fastq_pass" / "a_9.fastq").write_text(READ.format(9))


def leave_in_fallback(cell: Path) -> None:
    with (cell / "final_summary.txt").open("a") as file:
        file.write("fastq_files_in_fallback=2\n")


def spoil_summary(cell: Path) -> None:
    (cell / "final_summary.txt").write_text("x\n")


def lose_summary(cell: Path) -> None:
    (cell / "final_summary.txt").unlink()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lose_fastq, "1 of 2 FASTQ files missing"),
        (lose_pod5, "1 of 1 POD5 file missing"),
        (gain_fastq, "1 more FASTQ file here than announced"),
        (lose_summary, "no final_summary yet"),
    ],
)
def test_a_cell_that_changes_after_the_count_fails(
    site: Site, change: Callable[[Path], None], sentence: str
) -> None:
    """A cell that is not complete any more fails with both counts, and no result is published."""
    site.configure(more=WAITING_TYPE)
    cell = write_cell(site.landing)
    site.run("poll")
    assert "all files announced are here" in flag(site, "synced").read_text()
    change(cell)
    release(site)
    site.run("poll", check=1)
    why = json.loads(flag(site, "failed").read_text())["reason"]
    assert "was complete at 20" in why
    assert "2 FASTQ files, 1 POD5 file) and is not any more: " in why
    assert sentence in why
    assert not flag(site, "done").exists()
    results = site.output / RUN / LIBRARY / CELL
    assert not [path.name for path in results.iterdir() if not path.name.startswith(".")]
    assert cell_of(site)["stage"] == "failed"
    assert sentence in site.run("messages", RUN, "--text").stdout
    assert "person accepted" not in why


def test_retry_counts_again(site: Site) -> None:
    """After a retry the cell waits for the removed file, and then all reads are processed."""
    cell = write_cell(site.landing)
    whole = (cell / "fastq_pass" / "a_1.fastq").read_text()
    (cell / "fastq_pass" / "a_1.fastq").write_text(whole[:7])
    end_with_summaries(cell)
    site.run("poll", check=1)
    assert "cut off" in cell_of(site)["why"]
    lose_fastq(cell)
    site.run("retry", RUN, CELL, "--why", "the damaged file is removed")
    assert not flag(site, "synced").exists()
    assert len(list((site.landing / RUN / "pipeline" / "attic").glob(f"*/{CELL}.synced"))) == 1
    site.run("poll")
    found = cell_of(site)
    assert (found["stage"], found["why"]) == ("incomplete", "1 of 2 FASTQ files missing")
    (cell / "fastq_pass" / "a_1.fastq").write_text(whole)
    end_with_summaries(cell)
    site.run("poll")
    assert cell_of(site)["stage"] == "processed"
    qc = qc_of(site)
    assert (qc["completeness"]["verdict"], qc["total"]["reads"]) == ("proven", 2)
    assert "person" not in qc["completeness"]["why"]


def test_retry_keeps_what_a_person_accepted(site: Site) -> None:
    """A person's `synced` outlasts a retry, and the cell is processed with the present files."""
    cell = write_cell(site.landing)
    lose_fastq(cell)
    (cell / "fastq_pass" / "a_0.fastq").write_text("@r0\nAC")
    site.run("poll")
    flag(site, "synced").touch()
    site.run("poll", check=1)
    assert cell_of(site)["stage"] == "failed"
    (cell / "fastq_pass" / "a_0.fastq").write_text(READ.format(0))
    site.run("retry", RUN, CELL, "--why", "mended")
    assert flag(site, "synced").exists()
    site.run("poll")
    assert qc_of(site)["completeness"]["why"] == f"{ACCEPTED}; 1 of 2 FASTQ files missing"


def test_retry_of_a_cell_from_an_upstream(site: Site) -> None:
    """A file lost in the landing area fails the cell; after a retry a sync copies it again."""
    there = site.root / "there"
    write_cell(there)
    site.configure(more=f"upstreams: {{PROM: {{location: {there}}}}}\n{WAITING_TYPE}")
    site.run("poll")
    (run,) = site.status()
    pipeline = site.landing / run / "pipeline"
    record = json.loads((pipeline / f"{CELL}.synced").read_text())
    assert record["reason"].startswith("all files announced are here")
    lose_fastq(site.landing / run / LIBRARY / CELL)
    (pipeline / "type.yaml").write_text("type: free\n")
    site.run("poll", check=1)
    why = json.loads((pipeline / f"{CELL}.failed").read_text())["reason"]
    assert "is not any more: 1 of 2 FASTQ files missing" in why
    site.run("retry", run, CELL, "--why", "fetch it again")
    site.run("poll")
    assert site.stages() == {f"{run}/{NAME}": "processed"}
    qc = json.loads((site.output / run / LIBRARY / CELL / "qc.json").read_text())
    assert (qc["completeness"]["verdict"], qc["total"]["reads"]) == ("proven", 2)


def test_an_accepted_cell_whose_counts_agree_is_complete(site: Site) -> None:
    """A person's `synced` on a cell with all its files causes no warning in any text."""
    site.configure(more=WAITING_TYPE)
    write_cell(site.landing)
    site.run("perform", "new-run", RUN)
    flag(site, "synced").touch()
    site.run("poll")
    assert cell_of(site)["why"] == "its data are here and complete"
    release(site)
    site.run("poll")
    assert qc_of(site)["completeness"]["verdict"] == "proven"
    text = site.run("messages", RUN, "--text").stdout + site.run("explain", RUN, CELL).stdout
    text += json.dumps(site.status()) + (site.output / RUN / "report.html").read_text()
    assert ACCEPTED not in text


def texts_for_people(site: Site) -> dict[str, str]:
    """Every text for people about the run and its cell, by its place."""
    run = site.status()[RUN]
    page = (site.output / RUN / "report.html").read_text()
    return {
        "status": site.run("status", RUN).stdout,
        "why of the run": run["why"],
        "why of the cell": run["cells"][NAME]["why"],
        "explain the run": site.run("explain", RUN).stdout.splitlines()[0],
        "explain the cell": site.run("explain", RUN, CELL).stdout.splitlines()[0],
        "page of the run, on top": page[: page.index("The run in numbers")],
        "page of the run, its cells": page[page.index("The run in numbers") :],
        "page of the cell": (site.output / RUN / LIBRARY / CELL / "report.html").read_text(),
        "log": (site.output / RUN / "pipeline.log").read_text().split("done: ")[-1],
    }


def messages(site: Site) -> dict[str, str]:
    """Text of each message of the run, by its event."""
    text = json.loads(site.run("messages", RUN, "--json").stdout)["messages"]
    return {message["event"]: message["text"] for message in text}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lose_fastq, "1 of 2 FASTQ files missing"),
        (lose_pod5, "1 of 1 POD5 file missing"),
        (gain_fastq, "1 more FASTQ file here than announced"),
        (leave_in_fallback, "2 FASTQ files are in MinKNOW"),
        (spoil_summary, "final_summary.txt"),
        (lose_summary, "no final_summary yet"),
    ],
)
def test_what_a_person_accepted_is_shown_everywhere(
    site: Site, change: Callable[[Path], None], sentence: str
) -> None:
    """All texts name the missing data, from the acceptance by a person to the complete run."""
    site.configure(more=WAITING_TYPE)
    change(write_cell(site.landing))
    site.run("poll", check=None)
    flag(site, "synced").touch()
    site.run("poll", check=None)  # the cell is ready, and waits
    for text in (
        cell_of(site)["why"],
        site.status()[RUN]["why"],
        site.run("explain", RUN, CELL).stdout,
    ):
        assert ACCEPTED in text
        assert sentence in text
    release(site)
    site.run("poll", check=None)
    assert site.status()[RUN]["status"] == "complete"
    for place, text in texts_for_people(site).items():
        assert ACCEPTED in text, place
        assert sentence in text.replace("&#39;", "'"), place
    reported = messages(site)
    for event in ("cell-ready", "all-cells-run", "cell-done", "run-complete"):
        assert f"{ACCEPTED}; " in reported[event], event
        assert sentence in reported[event], event
        assert "data are here" not in reported[event], event
    first = [reported[event].splitlines()[0] for event in ("cell-ready", "cell-done")]
    assert all(sentence in line for line in first)
    assert "Not all its data are proven" in reported["run-complete"].splitlines()[0]
    record = json.loads(flag(site, "done").read_text())["completeness"]
    assert record == qc_of(site)["completeness"] == cell_of(site)["completeness"]
    assert record["verdict"] == "by-hand"
    assert sentence in record["why"]


def test_the_count_of_a_missing_file_is_in_the_flag(site: Site) -> None:
    """`.done` has the kind and the numbers of missing files, for programs."""
    lose_fastq(write_cell(site.landing))
    site.run("perform", "new-run", RUN)
    flag(site, "synced").touch()
    site.run("poll")
    shortfalls = json.loads(flag(site, "done").read_text())["completeness"]["shortfalls"]
    assert shortfalls == [{"kind": "fastq", "found": 1, "expected": 2}]
    assert cell_of(site)["completeness"]["shortfalls"] == shortfalls


def test_what_0_1_0_recorded_is_read(site: Site) -> None:
    """A cell that 0.1.0 processed with a file missing is shown as its own record says."""
    lose_fastq(write_cell(site.landing))
    site.run("perform", "new-run", RUN)
    flag(site, "synced").touch()
    site.run("poll")
    record = json.loads(flag(site, "done").read_text())
    del record["completeness"]
    record["counted"] = "taken as complete by a person; 1 of 2 FASTQ files missing"
    flag(site, "done").write_text(json.dumps(record))
    assert record["counted"] in cell_of(site)["why"]
    assert record["counted"] in site.run("status", RUN).stdout


def test_a_complete_run_has_no_new_text(site: Site) -> None:
    """A cell with all its files has the same messages, sentences and page as before."""
    write_cell(site.landing)
    site.run("poll")
    reported = messages(site)
    named = f"Cell {NAME} of the run {RUN}"
    assert reported["cell-ready"] == f"{named} has been sequenced, and all its data are here."
    assert reported["cell-done"].splitlines()[0] == f"{named} is processed, checked and reported."
    assert (
        reported["run-complete"].splitlines()[0] == f"The run {RUN} is complete: 1 cell processed."
    )
    assert site.status()[RUN]["why"] == "1 cell processed"
    assert cell_of(site)["why"] == "processed, checked and reported"
    assert ">Complete" in (site.output / RUN / "report.html").read_text()
    assert cell_of(site)["completeness"]["verdict"] == "proven"
