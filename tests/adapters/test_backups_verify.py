"""Flags that a verification of a cell's copies writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from open_runs import opened

from hesiod_watch.actions import Job
from hesiod_watch.actions.verify import verify_and_record
from hesiod_watch.config import Config
from hesiod_watch.core.errors import FlagExists
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.model import LOCAL, CellId
from hesiod_watch.core.ownership import Attempt
from hesiod_watch.host import process
from hesiod_watch.remote.backup.manifests import RawManifest, publish_raw
from hesiod_watch.rules.copies import damage_in
from hesiod_watch.runs import flags

RUN, CELL = "20261122_TEST_alpha", CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A processed cell: only a manifest in the output, only its directory in the landing area."""
    landing, output = tmp_path / "landing", tmp_path / "output"
    cell, results = (place / RUN / CELL.library / CELL.name for place in (landing, output))
    cell.mkdir(parents=True)
    results.mkdir(parents=True)
    flags.adopt(opened(landing / RUN), LOCAL, output / RUN)
    manifest = json.dumps({"files": [], "sources": []}).encode()
    (results / "manifest.json").write_bytes(manifest)
    md5 = hashlib.md5(manifest, usedforsecurity=False).hexdigest()
    job = Job(
        "verify",
        landing / RUN,
        Config(landing, output),
        process.this_owner("verify", "inline"),
        CELL,
    )
    flags.create(job.pipeline, flags.done(CELL.stem), {"manifest_md5": md5})
    return job


def lose(job: Job, names: list[str]) -> None:
    """Write a raw.json that lists missing files."""
    files = {name: FileEntry(name, size=1, mtime_ns=1, md5="0" * 32) for name in names}
    publish_raw(job.output / CELL.library / CELL.name, RawManifest(str(CELL), files), lambda: None)


def last(job: Job) -> Attempt:
    found = flags.read_flags(job.pipeline).attempt(flags.verify(CELL.stem), process.judge_here)
    assert found is not None
    return found


def test_no_problem_is_recorded_as_verified(job: Job) -> None:
    """A cell without a problem is recorded as verified."""
    assert verify_and_record(job).problems == []
    assert (last(job).outcome, damage_in(last(job))) == ("done", ())


def test_much_damage_stays_readable(job: Job) -> None:
    """With much damage, the flag stays readable, lists the first problems and counts others."""
    lose(job, [f"pod5/{'ü' * 120}{number}.pod5" for number in range(3000)])
    assert len(verify_and_record(job).problems) == 3000
    damage = damage_in(last(job))
    assert damage[0].startswith("landing: pod5/ü")
    assert damage[-1] == f"and {3000 - len(damage) + 1} more"


def test_damage_ends_after_repair(job: Job) -> None:
    """A later verification without a problem ends the report of damage."""
    lose(job, ["x"])
    verify_and_record(job)
    assert damage_in(last(job)) == ("landing: x: missing",)
    lose(job, [])
    verify_and_record(job)
    assert (last(job).outcome, damage_in(last(job))) == ("done", ())


def test_killed_verification_keeps_earlier_findings(job: Job) -> None:
    """Earlier findings stay valid during a new verification, also if that is killed."""
    lose(job, ["x"])
    verify_and_record(job)
    work = flags.verify(CELL.stem)
    record = {"problems": list(damage_in(last(job)))}
    flags.begin_attempt(
        job.pipeline,
        work,
        process.this_owner("verify", "inline"),
        lock=pytest.fail,
        record=record,
        judge=process.judge_here,
    )
    assert (last(job).outcome, damage_in(last(job))) == ("", ("landing: x: missing",))
    with pytest.raises(FlagExists):
        verify_and_record(job)


@pytest.mark.parametrize("text", ["", "{", '{"files": 3}', '{"files": [{"name": "a"}]}'])
def test_damaged_manifest(job: Job, text: str) -> None:
    """A damaged manifest is recorded as damage, not only raised as an error."""
    (job.output / CELL.library / CELL.name / "manifest.json").write_text(text)
    assert verify_and_record(job).problems
    assert last(job).outcome == "failed"
    assert any("manifest.json" in problem for problem in damage_in(last(job)))
