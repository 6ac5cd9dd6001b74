"""Runs on a sequencer behind a real ssh, from discovery to report, by poll or service."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from facility import (
    CELL,
    LIBRARY,
    OTHER,
    Facility,
    assert_arrived,
    assert_like_local,
    run_of,
    state,
)
from sshd_pair import Pair, needs_sshd
from upstream_cells import ODD_NAMES

pytestmark = [
    pytest.mark.system,
    needs_sshd,
]

RUN = run_of()


@pytest.fixture
def facility(tmp_path: Path, servers: Pair) -> Facility:
    """A site with `hosta` as its only upstream."""
    made = Facility(tmp_path, servers)
    made.reach()
    return made


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_one_poll_is_enough(facility: Facility, tmp_path: Path, mode: str) -> None:
    """One poll takes a run from sequencer to report; the next changes and prints nothing.

    It says only that it looked.
    """
    facility.reach(mode=mode)
    facility.cell().write()
    facility.poll()
    assert facility.status()[RUN]["status"] == "complete"
    marks = {f"{CELL}.{flag}" for flag in ("synced", "started", "done")}
    assert marks | {"upstream", "output", "sync.done"} <= facility.flags(RUN)
    assert (
        facility.landing / RUN / "pipeline" / "upstream"
    ).read_text() == f"{facility.location()}\n"
    assert (facility.output / RUN / "report.html").exists()
    places = facility.landing, facility.output / RUN, facility.output / ".hesiod-watch" / "cells"
    before = [state(place) for place in places]
    facility.poll()
    assert [state(place) for place in places] == before
    assert {path.name for path in facility.output.iterdir()} == {RUN, ".hesiod-watch"}
    assert_like_local(facility, tmp_path / "local")


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_the_service_queries_by_itself(facility: Facility, tmp_path: Path, mode: str) -> None:
    """The service fetches and reports a new run of the sequencer without an event or a poll."""
    facility.reach(mode=mode)
    with facility.service():
        facility.cell().write()
        facility.eventually(lambda: facility.processed(RUN), "the cell is processed")
        facility.eventually((facility.output / RUN / "report.html").exists, "the run is reported")
    assert_like_local(facility, tmp_path / "local")


def test_a_name_is_given_once(facility: Facility) -> None:
    """A run keeps its name if its first cell is lost upstream, or an earlier cell appears later."""
    first = facility.cell()
    first.write()
    facility.poll()
    shutil.rmtree(first.path)
    facility.cell(cell=OTHER).write()
    earlier = "20250101_0900_1C_PAW00003_2a2b3c4d"
    facility.cell(cell=earlier).write()
    facility.poll()
    assert [path.name for path in facility.landing.iterdir()] == [RUN]
    assert all(facility.processed(RUN, cell) for cell in (CELL, OTHER, earlier))
    assert facility.status()[RUN]["status"] == "complete"


def test_an_unreachable_host_does_not_affect_another(facility: Facility) -> None:
    """An unreachable host does not affect another host's runs, and the poll names it.

    Its own runs keep their stages.
    """
    facility.reach("hosta", "hostb")
    facility.cell("alpha").write()
    unfinished = facility.cell("beta", OTHER, host="hostb")
    steps = unfinished.steps()
    for _ in range(unfinished.step_count - 1):
        next(steps)
    facility.poll()
    before = facility.stages()
    assert before == {
        f"{RUN}/{LIBRARY}/{CELL}": "processed",
        f"{run_of('beta')}/{LIBRARY}/{OTHER}": "incomplete",
    }
    for _ in steps:
        pass
    third = "20261122_2212_1C_PAW00003_2a2b3c4d"
    facility.cell("gamma", third).write()
    facility.pair.hostb.down()
    try:
        polled = facility.run("-v", "poll", check=1)
    finally:
        facility.pair.hostb.up()
    complaints = [line for line in polled.stderr.splitlines() if line.startswith("hesiod-watch: ")]
    assert len(complaints) == 1
    assert "upstream hostb: " in complaints[0]
    assert f"Commencing sync of runs: {run_of('gamma')}\n" in polled.stderr
    assert facility.processed(run_of("gamma"), third)
    assert {
        cell: stage for cell, stage in facility.stages().items() if "gamma" not in cell
    } == before
    facility.poll()
    assert facility.processed(run_of("beta"), OTHER)


def test_odd_names_of_files_arrive(facility: Facility) -> None:
    """Any file name arrives: with blanks, quotes, commands, newlines or bytes that are not text."""
    facility.reach("hosta")
    facility.reach("hostb", mode="push")
    cells = [facility.cell("alpha"), facility.cell("beta", OTHER, host="hostb")]
    for cell in cells:
        cell.write()
        for name in ODD_NAMES:
            (cell.path / "other_reports" / name).mkdir(parents=True)
            (cell.path / "other_reports" / name / name).write_bytes(os.fsencode(name))
    facility.poll()
    for cell, run in zip(cells, (RUN, run_of("beta")), strict=True):
        assert_arrived(cell.path, facility.landing / run / LIBRARY / cell.cell)
        assert facility.processed(run, cell.cell)
    assert [
        path
        for path in (Path("owned"), Path.home() / "owned", *facility.root.glob("*/owned"))
        if path.exists()
    ] == []


def test_names_outside_the_grammar_are_shown_and_left_alone(facility: Facility) -> None:
    """A run or library with a refused name is reported and not fetched.

    Poll and list-upstream report it.
    """
    good = facility.cell()
    good.write()
    there = facility.there["hosta"]
    odd_runs = [
        "$(touch owned)",
        "-rf",
        "a;b",
        "new\nline",
        "`x`",
        "é",
        "\udcff",
        "#x",
        "'",
        "z" * 201,
    ]
    for name in odd_runs:
        shutil.copytree(good.path, there / name / LIBRARY / CELL)
    shutil.copytree(good.path, there / "alpha" / "lib;x" / OTHER)
    polled = facility.run("poll", check=1)
    complaints = polled.stderr.splitlines()
    assert len(complaints) == len(odd_runs) + 1
    assert all(
        line.startswith("hesiod-watch: upstream hosta: ") and line.isprintable()
        for line in complaints
    )
    assert facility.processed(RUN)
    assert [path.name for path in facility.landing.iterdir()] == [RUN]
    assert not (facility.landing / RUN / "lib;x").exists()
    listed = facility.run("list-upstream")
    assert listed.stdout == f"{RUN}\t{facility.location()}\t{LIBRARY}/{CELL}\n"
    assert listed.stderr.splitlines() == complaints


def test_a_directory_for_temporary_files_with_an_odd_name(facility: Facility) -> None:
    """A path with blanks or quotes cannot have the socket of ssh; another directory is used."""
    odd = facility.root / 'it\'s a "directory"'
    odd.mkdir()
    facility.environ["TMPDIR"] = str(odd)
    facility.cell().write()
    facility.poll()
    assert facility.processed(RUN)


def test_with_a_sequencer_that_writes_to_landing(facility: Facility) -> None:
    """With LOCAL and a host in one configuration each run is taken up once, from its own source."""
    facility.upstreams["local"] = {"location": "LOCAL"}
    facility.write()
    local = facility.cell("20261122_HERE_beta", OTHER)
    local.landing = facility.landing
    with facility.service():
        facility.cell().write()
        local.write()
        facility.poll()
        facility.eventually(
            lambda: facility.processed(RUN) and facility.processed(local.run, OTHER),
            "both cells are processed",
        )
    upstreams = {
        run: (facility.landing / run / "pipeline" / "upstream").read_text()
        for run in (RUN, local.run)
    }
    assert upstreams == {RUN: f"{facility.location()}\n", local.run: "LOCAL\n"}
    assert facility.flags(local.run) & {"sync.started", "sync.done", "sync.failed"} == set()
