"""Settled runs on a real file system: which changes are seen, and what the record may save."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from younger_files import next_tick

from hesiod_watch.config import Config
from hesiod_watch.core.model import CellId, ListedRun
from hesiod_watch.core.watch_state import RunSummary
from hesiod_watch.runs.landing import LandingArea
from hesiod_watch.runs.settled_runs import LONGEST, RECENT, RECORD, SettledRuns

CELL = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
SUMMARY = RunSummary("run_a", "complete", cells={"processed": 1}, reads=7)
LATER = 100.0
"""Seconds after which a run of the test is old enough to be settled."""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name in ("landing", "output/.hesiod-watch"):
        (tmp_path / name).mkdir(parents=True)
    return Config(landing=tmp_path / "landing", output=tmp_path / "output")


def make(config: Config) -> SettledRuns:
    return SettledRuns(config, LandingArea(config.landing))


def add(config: Config, name: str = "run_a") -> Path:
    """Make a run with two libraries, a cell and flags."""
    run = config.landing / name
    (run / "lib" / CELL / "pod5").mkdir(parents=True)
    (run / "lib2").mkdir()
    (run / "pipeline").mkdir()
    (run / "pipeline" / f"{CELL}.done").touch()
    return run


def note(runs: SettledRuns, run: Path, now: float, due: float = 0.0) -> None:
    runs.note(run, runs.signature(run), now, quiet=True, due=due, summary=SUMMARY)


def replace_flag(run: Path) -> None:
    (run / "pipeline" / ".new").write_text("x")
    (run / "pipeline" / ".new").rename(run / "pipeline" / f"{CELL}.done")


def exchange(run: Path) -> None:
    """Put a copy in the run's place, with the same modification times."""
    copy = run.with_name(".copy")
    shutil.copytree(run, copy, copy_function=shutil.copy2)
    shutil.rmtree(run)
    copy.rename(run)


CHANGES: dict[str, Callable[[Path], object]] = {
    "new library": lambda run: (run / "lib3").mkdir(),
    "library renamed": lambda run: (run / "lib2").rename(run / "lib3"),
    "library gone": lambda run: (run / "lib2").rmdir(),
    "new cell": lambda run: (run / "lib2" / CELL).mkdir(),
    "cell renamed": lambda run: (run / "lib" / CELL).rename(run / "lib" / "other"),
    "flag made": lambda run: (run / "pipeline" / "failed").touch(),
    "flag removed": lambda run: (run / "pipeline" / f"{CELL}.done").unlink(),
    "flag replaced": replace_flag,
    "pipeline gone": lambda run: shutil.rmtree(run / "pipeline"),
    "mode changed": lambda run: (run / "lib").chmod(0o700),
    "run exchanged": exchange,
    "run gone": shutil.rmtree,
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_seen(config: Config, change: str) -> None:
    """A comparison reports each change of a run's upper directories, and no other run."""
    run, other = add(config), add(config, "run_b")
    runs, now = make(config), time.time() + LATER
    note(runs, run, now)
    note(runs, other, now)
    assert runs.moved(full=True) == []
    next_tick(config.landing)
    CHANGES[change](run)
    assert runs.moved(full=False) == [run]
    assert runs.moved(full=True) == [run]
    assert not runs.is_quiet(run, now)
    assert runs.is_quiet(other, now)


def test_sweeps_compare_what_changed_last(config: Config) -> None:
    """A sweep compares the settled runs that changed last; a full one compares all of them."""
    runs, now = make(config), time.time() + LATER
    old, tick = add(config, "old"), config.output / "tick"
    note(runs, old, now)
    oldest = runs.signature(old)
    tick.touch()
    while oldest and tick.stat().st_ctime <= oldest.newest:  # the file system's clock
        tick.touch()
    for number in range(RECENT):
        note(runs, add(config, f"recent_{number}"), now)
    assert runs.moved(full=True) == []
    recent = config.landing / "recent_7"
    for run in (old, recent):
        (run / "pipeline" / f"{CELL}.done").unlink()
    assert runs.moved(full=False) == [recent]
    assert runs.moved(full=True) == [old, recent]


def test_a_change_within_one_tick_is_not_missed(config: Config) -> None:
    """A run that changed just before its look is looked at again, and compared at each sweep."""
    run, runs, now = add(config), make(config), time.time()
    note(runs, run, now)
    assert not runs.is_quiet(run, now)
    assert list(runs.due([str(run)], now, least=0)) == [str(run)]
    (run / "pipeline" / "failed").touch()
    assert runs.moved(full=False) == [run]


def test_a_look_counts_for_a_limited_time(config: Config) -> None:
    """A look counts until its planned end, for two days at most, and not from the future."""
    run, runs, now = add(config), make(config), time.time() + LATER
    note(runs, run, now, due=now + 60)
    assert runs.is_quiet(run, now)
    assert not runs.is_quiet(run, now + 61)
    note(runs, run, now)
    assert runs.is_quiet(run, now + LONGEST - 1)
    assert not runs.is_quiet(run, now + LONGEST + 1)
    assert not runs.is_quiet(run, now - 1)


def test_each_run_has_its_turn(config: Config) -> None:
    """A pass looks at every other run, and at the settled runs with the oldest looks."""
    names = [str(add(config, f"run_{number}")) for number in range(5)]
    runs, now = make(config), time.time() + LATER
    for number, name in enumerate(names[:4]):
        note(runs, Path(name), now + number)
    assert list(runs.due(names, now + 9, least=0)) == names[4:]
    (Path(names[3]) / "pipeline" / "new").touch()
    note(runs, Path(names[3]), now + 3)
    assert list(runs.due(names, now + 9, least=1)) == [names[4], names[3], names[0]]
    assert set(runs.due(names, now + 9, least=9, rest=8)) == {names[4], *names[:2]}


def test_a_listing_of_an_upstream_that_changed_is_seen(config: Config) -> None:
    """A settled run is looked at again when its upstream lists other cells than before."""
    run, runs, now = add(config), make(config), time.time() + LATER
    listed = ListedRun("sequencer:/data/run_a", frozenset({CellId("lib", CELL)}))
    runs.note(run, runs.signature(run), now, quiet=True, listed=listed, summary=SUMMARY)
    assert runs.is_quiet(run, now, listed)
    more = ListedRun(listed.location, listed.cells | {CellId("lib2", CELL)})
    assert not runs.is_quiet(run, now, more)
    assert runs.is_quiet(run, now)  # an upstream without a response changes nothing


def test_the_record_serves_the_next_process(config: Config) -> None:
    """The next process of the same configuration knows the runs that are quiet and unchanged."""
    run, moved, runs, now = add(config), add(config, "run_b"), make(config), time.time() + LATER
    note(runs, run, now)
    note(runs, moved, now)
    runs.save()
    (moved / "lib3").mkdir()
    later = make(config)
    later.load()
    assert later.moved(full=True) == [moved]
    assert later.summaries() == {str(run): SUMMARY}
    assert list(later.due([str(run), str(moved)], now + 1, least=0)) == [str(moved)]


def other_configuration(config: Config) -> Config:
    return Config(landing=config.landing, output=config.output, landing_owners=(0,))


def damaged(config: Config) -> Config:
    record = config.output / ".hesiod-watch" / RECORD
    record.write_bytes(record.read_bytes()[:-20])
    return config


def of_another_kind(config: Config) -> Config:
    record = config.output / ".hesiod-watch" / RECORD
    record.write_text(record.read_text().replace('"lib/lib2"', "[1]").replace(",0.0,", ',"x",'))
    return config


def missing(config: Config) -> Config:
    (config.output / ".hesiod-watch" / RECORD).unlink()
    return config


def link(config: Config) -> Config:
    record = config.output / ".hesiod-watch" / RECORD
    record.rename(config.output / "elsewhere")
    record.symlink_to(config.output / "elsewhere")
    return config


@pytest.mark.parametrize(
    "change",
    [other_configuration, damaged, of_another_kind, missing, link],
    ids=lambda c: c.__name__,
)
def test_a_useless_record_costs_looks(config: Config, change: Callable[[Config], Config]) -> None:
    """A record that is missing, damaged or of another configuration hides nothing."""
    run, runs, now = add(config), make(config), time.time() + LATER
    note(runs, run, now)
    runs.save()
    later = make(change(config))
    later.load()
    assert later.moved(full=True) == []
    assert list(later.due([str(run)], now + 1, least=0)) == [str(run)]


def test_a_record_that_cannot_be_written(config: Config) -> None:
    """Without a place for the record everything else works."""
    (config.output / ".hesiod-watch").rmdir()
    run, runs = add(config), make(config)
    note(runs, run, time.time() + LATER)
    runs.save()
    assert runs.moved(full=True) == []
