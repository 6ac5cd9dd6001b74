"""Upstream queries: listed runs with stable names, and problems for a person."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import pytest
from open_runs import opened, pipeline_at
from second_user import make_pipeline, needs_second_user

from hesiod_watch.actions import Job, queue_messages
from hesiod_watch.config import Config, UpstreamSettings
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.model import LOCAL, CellId, Stage
from hesiod_watch.host import process
from hesiod_watch.rules.stages import stage_of
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import observe
from hesiod_watch.service.watch.listings import ListedRuns, query_upstreams

CELL = CellId("lib 1", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")
LATER = CellId("lib 1", "20190711_1723_2-A5-D5_PAD38578_c6ded78c")
EARLIER = CellId("lib 1", "20190101_1723_2-A5-D5_PAD38578_c6ded78d")


class Mounts:
    """Two upstreams mounted on this host, and a landing area."""

    def __init__(self, root: Path) -> None:
        self.landing, self.output = root / "landing", root / "output"
        self.first, self.second = root / "first", root / "second"
        for directory in (self.landing, self.output, self.first, self.second):
            directory.mkdir()
        self.upstreams = (
            UpstreamSettings("EGS1", str(self.first)),
            UpstreamSettings("EGS2", str(self.second), instrument="PROM"),
        )
        self.batch: Literal["none", "year", "month"] = "none"

    def cell(self, place: Path, run: str, cell: CellId = CELL) -> Path:
        directory = place / run / cell.library / cell.name
        directory.mkdir(parents=True)
        return directory

    def query_upstreams(self, *upstreams: UpstreamSettings) -> ListedRuns:
        return query_upstreams(
            Config(self.landing, self.output, self.batch, upstreams=upstreams or self.upstreams)
        )

    def listed_runs(self) -> dict[str, tuple[str, list[CellId]]]:
        """Upstream location and cells of each listed run, by its path below landing."""
        seen = self.query_upstreams()
        assert seen.problems == ()
        return {
            str(place.relative_to(self.landing)): (listed_run.location, sorted(listed_run.cells))
            for place, listed_run in seen.listed_runs.items()
        }

    def adopt(self, run: str, location: str) -> Path:
        """Make an adopted run."""
        (self.landing / run).mkdir(parents=True)
        (self.output / Path(run).name).mkdir()
        assert flags.adopt(opened(self.landing / run), location, self.output / Path(run).name)
        return self.landing / run


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return Mounts(tmp_path)


def test_new_runs_are_named_after_first_cell_instrument_and_experiment(mounts: Mounts) -> None:
    """A new run is named {date of its first cell}_{instrument}_{name}.

    It is listed with its location and its cells.
    """
    mounts.cell(mounts.first, "My Exp", LATER)
    mounts.cell(mounts.first, "My Exp")
    mounts.cell(mounts.second, "20190710_PROM_other")
    (mounts.first / "queued_reads").mkdir()
    assert mounts.listed_runs() == {
        "20190710_EGS1_My_Exp": (f"{mounts.first}/My Exp", [CELL, LATER]),
        "20190710_PROM_other": (f"{mounts.second}/20190710_PROM_other", [CELL]),
    }
    assert list(mounts.landing.iterdir()) == []


@pytest.mark.parametrize(
    ("batch", "expected"),
    [("none", ""), ("year", "2019/"), ("month", "2019-07/")],
)
def test_new_runs_are_in_their_batch(
    mounts: Mounts, batch: Literal["none", "year", "month"], expected: str
) -> None:
    """With batches by year or month, the date of the first cell selects the batch."""
    mounts.batch = batch
    mounts.cell(mounts.first, "exp")
    assert list(mounts.listed_runs()) == [f"{expected}20190710_EGS1_exp"]


@pytest.mark.parametrize("batch", ["none", "year"])
def test_an_adopted_run_keeps_its_name(mounts: Mounts, batch: Literal["none", "year"]) -> None:
    """An adopted run that a person renamed keeps its name and place, also if its cells change."""
    mounts.batch = batch
    place = "2031/renamed by hand" if batch == "year" else "renamed by hand"
    mounts.adopt(place, f"{mounts.first}/exp")
    for cell in (EARLIER, LATER):
        mounts.cell(mounts.first, "exp", cell)
        assert list(mounts.listed_runs()) == [place]
    shutil.rmtree(mounts.first / "exp" / EARLIER.library / EARLIER.name)
    assert list(mounts.listed_runs()) == [place]


def test_equal_run_names_are_reported(mounts: Mounts) -> None:
    """If two runs would get one name, the first is listed and the other is reported.

    It is reported again after the first is adopted.
    """
    mounts.cell(mounts.first, "My Exp", CELL)
    mounts.cell(mounts.first, "My_Exp", CELL)
    for _ in range(2):
        seen = mounts.query_upstreams()
        assert [listed_run.location for listed_run in seen.listed_runs.values()] == [
            f"{mounts.first}/My Exp"
        ]
        (problem,) = seen.problems
        assert problem.startswith(
            f"{mounts.first}/My_Exp: it would be called 20190710_EGS1_My_Exp, which is "
        )
        if not list(mounts.landing.iterdir()):
            mounts.adopt("20190710_EGS1_My_Exp", f"{mounts.first}/My Exp")


def test_a_directory_without_an_owner_keeps_its_name(mounts: Mounts) -> None:
    """A filled run directory without pipeline/ belongs to another owner.

    An upstream run that would get its name is reported.
    """
    mounts.cell(mounts.first, "exp")
    mounts.cell(mounts.landing, "20190710_EGS1_exp")
    seen = mounts.query_upstreams()
    assert dict(seen.listed_runs) == {}
    assert "does not say where it comes from" in seen.problems[0]


def test_a_directory_without_adoption_is_adopted(mounts: Mounts) -> None:
    """A kill between making a run's directory and adopting the run does not block adoption."""
    mounts.cell(mounts.first, "exp")
    (mounts.landing / "20190710_EGS1_exp" / ".pipeline.0123").mkdir(parents=True)
    assert list(mounts.listed_runs()) == ["20190710_EGS1_exp"]


def test_a_local_run_keeps_its_name(mounts: Mounts) -> None:
    """A run written here by a sequencer is never filled from an upstream run of that name."""
    mounts.adopt("20190710_EGS1_exp", LOCAL)
    mounts.cell(mounts.first, "exp")
    seen = mounts.query_upstreams(*mounts.upstreams, UpstreamSettings("local", LOCAL))
    assert dict(seen.listed_runs) == {}
    assert seen.problems[0].endswith(
        "it would be called 20190710_EGS1_exp, which is LOCAL; rename it, there or here"
    )


def test_a_silent_upstream_hides_no_other(mounts: Mounts) -> None:
    """A silent upstream leads to no conclusion; responses of the others count."""
    mounts.cell(mounts.second, "exp")
    run = mounts.adopt("gone", f"{mounts.first}/gone")
    mounts.cell(mounts.landing, "gone")
    mounts.first.rename(mounts.first.with_name("unmounted"))
    seen = mounts.query_upstreams()
    assert [place.name for place in seen.listed_runs] == ["20190710_PROM_exp"]
    (problem,) = seen.problems
    assert problem.startswith("upstream EGS1: ")
    assert [bool(listing.problem) for listing in seen.listings] == [True, False]
    (cell,) = observe(
        opened(run), mounts.output, listed_run=seen.listed_runs.get(run), judge=process.judge_here
    ).cells
    assert stage_of(cell) is Stage.INCOMPLETE


def test_upstreams_are_queried_in_parallel(
    mounts: Mounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent hosts do not delay each other: each one here fails as soon as all were asked."""
    asked = tmp_path / "asked"
    asked.mkdir()
    silent = tmp_path / "bin" / "ssh"
    silent.parent.mkdir()
    silent.write_text(
        f"#!/bin/sh\n: > {asked}/$$\n"
        f"while [ $(ls {asked} | wc -l) -lt 6 ]; do sleep 0.1; done\n"
        "echo 'everybody was asked' >&2\nexit 255\n"
    )
    silent.chmod(0o755)
    monkeypatch.setenv("PATH", str(silent.parent), prepend=":")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    hosts = [
        UpstreamSettings(f"H{n}", f"silent{n}:/data", timeout=60, connect_timeout=60)
        for n in range(6)
    ]
    mounts.cell(mounts.first, "exp")
    seen = mounts.query_upstreams(mounts.upstreams[0], *hosts)
    assert ["everybody was asked" in problem for problem in seen.problems] == [True] * 6
    assert [place.name for place in seen.listed_runs] == ["20190710_EGS1_exp"]


@pytest.mark.parametrize("name", ["$(touch x)", "-rf", "new\nline", "é", "a;b"])
def test_bad_names_are_reported_and_not_listed(mounts: Mounts, name: str) -> None:
    """An unusable name is reported in one printable line."""
    mounts.cell(mounts.first, name)
    mounts.cell(mounts.first, "good")
    seen = mounts.query_upstreams()
    assert [place.name for place in seen.listed_runs] == ["20190710_EGS1_good"]
    (problem,) = seen.problems
    assert problem.startswith("upstream EGS1: ")
    assert problem.isprintable()


def test_without_upstreams_nothing_is_queried(mounts: Mounts) -> None:
    """With only LOCAL configured, not even the landing area is read."""
    mounts.landing.rmdir()
    assert mounts.query_upstreams(UpstreamSettings("local", LOCAL)) == ListedRuns({}, (), ())


def test_without_a_landing_area_nothing_is_listed(mounts: Mounts) -> None:
    """Without the landing area names are unknown: nothing is listed, and it is retried."""
    mounts.cell(mounts.first, "exp")
    mounts.landing.rmdir()
    with pytest.raises(TemporaryError):
        mounts.query_upstreams()


def test_cells_deleted_from_landing_are_found_upstream(mounts: Mounts) -> None:
    """A cell with only flags of repeated work left here is upstream only.

    It is in the library that it has on the upstream.
    """
    run = mounts.adopt("20190710_EGS1_exp", f"{mounts.first}/exp")
    mounts.cell(mounts.first, "exp")
    (run / "pipeline" / f"{CELL.stem}.ingest.done").touch()
    (cell,) = observe(
        opened(run),
        mounts.output,
        listed_run=mounts.query_upstreams().listed_runs[run],
        judge=process.judge_here,
    ).cells
    assert (cell.id, stage_of(cell)) == (CELL, Stage.NEW)


def test_messages_name_cells_of_the_upstream(mounts: Mounts) -> None:
    """The first message names a cell that is not here yet, as the look did that planned it."""
    run = mounts.adopt("20190710_EGS1_exp", f"{mounts.first}/exp")
    mounts.cell(mounts.first, "exp")
    seen = observe(
        opened(run),
        mounts.output,
        listed_run=mounts.query_upstreams().listed_runs[run],
        judge=process.judge_here,
    )
    config = Config(mounts.landing, mounts.output, upstreams=mounts.upstreams)
    owner = process.this_owner("tell", "inline")
    assert queue_messages.perform(Job("tell", run, config, owner, snapshot=seen)) == "done"
    (message,) = flags.read_messages(pipeline_at(run / "pipeline"))
    assert message.event == "run-new"
    assert f"{CELL}: {Stage.NEW}" in message.text


@needs_second_user
def test_another_user_cannot_take_the_name_of_a_run(mounts: Mounts) -> None:
    """A `pipeline/upstream` of an account that is not trusted pins no name.

    The run of the sequencer has its own name, and its data are not copied into another run.
    """
    mounts.cell(mounts.first, "NEXT")
    location = f"{mounts.first}/NEXT"
    make_pipeline(mounts.landing / "evil", location, mounts.output / "evil")
    assert mounts.listed_runs() == {"20190710_EGS1_NEXT": (location, [CELL])}
    found = observe(opened(mounts.landing / "evil"), mounts.output, judge=process.judge_here)
    assert found.pipeline_foreign
    assert found.upstream is None
