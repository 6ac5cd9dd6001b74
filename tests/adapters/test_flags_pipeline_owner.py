"""Owner of a `pipeline/`: a run is left alone if an account made it that is not trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from open_runs import opened
from second_user import UID, make_pipeline, needs_second_user

from hesiod_watch.config import Config
from hesiod_watch.core.model import LOCAL, Status
from hesiod_watch.host import process
from hesiod_watch.rules.stages import status_of
from hesiod_watch.runs import flags
from hesiod_watch.runs.areas import landing_owners
from hesiod_watch.runs.observe import observe

pytestmark = needs_second_user


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config(tmp_path / "landing", tmp_path / "output")
    config.landing.mkdir()
    config.output.mkdir()
    return config


def adopted(config: Config) -> Path:
    """Directory `pipeline/` of a run that this user has taken up."""
    run = config.landing / "run"
    run.mkdir()
    (config.output / "run").mkdir()
    (config.output / "run" / "rundata").symlink_to(run)
    assert flags.adopt(opened(run), LOCAL, config.output / "run")
    return run / "pipeline"


def foreign(config: Config, owners: tuple[int, ...] = ()) -> str:
    found = observe(
        opened(config.landing / "run"),
        config.output,
        owners={*landing_owners(config), *owners},
        judge=process.judge_here,
    )
    return found.problem if found.pipeline_foreign else ""


def test_a_foreign_pipeline_is_left_alone(config: Config) -> None:
    """A run with the `pipeline/` of another user is unknown, until that user is trusted."""
    make_pipeline(config.landing / "run", LOCAL, config.output / "run")
    found = observe(
        opened(config.landing / "run"),
        config.output,
        owners=landing_owners(config),
        judge=process.judge_here,
    )
    status, why = status_of(found)
    assert status is Status.UNKNOWN
    assert f"pipeline/ was made by the user with uid {UID}, who is not in landing_owners" in why
    assert (found.adopted, found.upstream, found.cells) == (False, None, ())
    assert foreign(config, (UID,)) == ""


@pytest.mark.parametrize("name", ["upstream", "output", "rt_ticket", "messages"])
def test_a_foreign_fact_counts(config: Config, name: str) -> None:
    """A file of another user that decides where data or messages are sent counts."""
    pipeline = adopted(config)
    (pipeline / "rt_ticket").write_text("42\n")
    assert foreign(config) == ""
    os.chown(pipeline / name, UID, UID, follow_symlinks=False)
    assert foreign(config).startswith(f"pipeline/{name} was made by the user")


def test_flags_of_operators_do_not_count(config: Config) -> None:
    """Flags that another user touches are flags as before."""
    pipeline = adopted(config)
    for name in ("aborted", "type.yaml", "20261101_1200_P2_PAD00001_0123abcd.synced"):
        (pipeline / name).touch()
        os.chown(pipeline / name, UID, UID)
    assert foreign(config) == ""


@pytest.mark.parametrize("place", ["landing", "output", "output/run"])
def test_owners_of_the_areas_are_trusted(config: Config, place: str) -> None:
    """The owner of an area, or of the run's own results, may make `pipeline/`."""
    pipeline = adopted(config)
    for name in (".", "upstream", "output", "messages"):
        os.chown(pipeline / name, UID, UID, follow_symlinks=False)
    assert foreign(config)
    os.chown(config.landing.parent / place, UID, UID)
    assert foreign(config) == ""


def test_results_of_another_run_prove_nothing(config: Config) -> None:
    """A link to a directory of results that belongs to another run makes no owner trusted."""
    adopted(config)
    os.chown(config.output / "run", UID, UID)
    make_pipeline(config.landing / "evil", LOCAL, config.output / "run")
    found = observe(
        opened(config.landing / "evil"),
        config.output,
        owners=landing_owners(config),
        judge=process.judge_here,
    )
    assert found.pipeline_foreign


def test_a_file_system_that_keeps_no_owners(config: Config) -> None:
    """Where every file belongs to one account, every `pipeline/` is used."""
    pipeline = adopted(config)
    for path in (config.landing, *config.landing.rglob("*")):
        os.chown(path, UID, UID, follow_symlinks=False)
    assert pipeline.stat().st_uid == UID
    assert foreign(config) == ""


@pytest.mark.parametrize(
    ("kind", "reason"), [("link", "is a symlink"), ("file", "Not a directory")]
)
def test_a_pipeline_that_cannot_be_opened(config: Config, kind: str, reason: str) -> None:
    """Something else in place of `pipeline/` is reported as what it is."""
    place = config.landing / "run"
    (place / "elsewhere").mkdir(parents=True)
    (place / "pipeline").symlink_to("elsewhere") if kind == "link" else (place / "pipeline").touch()
    found = observe(
        opened(place), config.output, owners=landing_owners(config), judge=process.judge_here
    )
    assert (reason in found.problem, found.pipeline_foreign) == (True, False)
