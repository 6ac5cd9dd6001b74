"""raw.json of an attempt that was stopped, overtaken and wakes up: the newer listing stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path

import pytest
from disk_calls import Arm, at_disk_calls
from open_runs import pipeline_at

from hesiod_watch import actions, cli
from hesiod_watch.actions import Job
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.config import Config
from hesiod_watch.core.errors import HesiodError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.model import CellId
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.host import process
from hesiod_watch.remote.backup.manifests import (
    RawManifest,
    publish_raw,
    read_raw,
    withdraw_raw,
)
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import RAW_MANIFEST

RUN = "20261122_TEST_alpha"
CELL = CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
WORK = flags.backup(CELL.stem)
FIRST, NEXT = Owner("a" * 32, host="a", boot_id="a"), Owner("b" * 32, host="b", boot_id="b")


def judge(owner: Owner | None) -> tuple[Liveness, str]:
    """Judge of a host that takes the first owner for dead."""
    return (Liveness.DEAD, "gone") if owner == FIRST else (Liveness.ALIVE, "is there")


def listing(md5: str) -> RawManifest:
    return RawManifest(str(CELL), {"x": FileEntry("x", size=1, mtime_ns=1, md5=md5 * 32)})


@pytest.fixture
def at_disk_call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Arm]:
    with at_disk_calls(monkeypatch) as arm:
        yield arm


@pytest.mark.parametrize("former", [False, True], ids=["no raw.json", "raw.json of before"])
def test_an_older_listing_replaces_no_newer_one(
    tmp_path: Path, at_disk_call: Arm, former: bool
) -> None:
    """Wherever the first attempt stops while it publishes, the listing of the next one stays."""
    for number in range(100):
        pipeline, output = (tmp_path / str(number) / name for name in ("pipeline", "output"))
        for place in (pipeline, output):
            place.mkdir(parents=True)
        if former:
            publish_raw(output, listing("0"), lambda: None)

        def attempt(owner: Owner, md5: str, run: Path = pipeline, output: Path = output) -> None:
            fence = partial(flags.require_attempt, pipeline_at(run), WORK, owner)
            publish_raw(output, listing(md5), fence, new=not read_raw(output).cell)

        def begin(owner: Owner, pipeline: Path = pipeline, output: Path = output) -> None:
            flags.begin_attempt(pipeline_at(pipeline), WORK, owner, lock=nullcontext, judge=judge)
            withdraw_raw(output)

        acted: list[int] = []

        def act(acted: list[int] = acted) -> None:
            acted.append(1)
            begin(NEXT)
            attempt(NEXT, "b")

        begin(FIRST)
        at_disk_call(number, act)
        with suppress(TemporaryError):
            attempt(FIRST, "a")
        at_disk_call(1000, act)
        if not acted:
            break
        assert read_raw(output) == listing("b"), f"overtaken before the call {number}"
        assert os.listdir(output) == [RAW_MANIFEST]
    assert number > 3


def test_a_withdrawn_verification_writes_no_raw_json(tmp_path: Path, at_disk_call: Arm) -> None:
    """Wherever a verification is overtaken, raw.json shows the data of the later one."""
    config = Config(tmp_path / "landing", tmp_path / "output")
    for directory in (config.landing, config.output):
        directory.mkdir()
    SimulatedCell(
        config.landing, RUN, CELL.library, CELL.name, files_per_barcode=1, reads_per_file=2
    ).write()
    file = tmp_path / "config.yaml"
    file.write_text(f"landing: {config.landing}\noutput: {config.output}\n")
    assert cli.main(["--config", str(file), "poll"]) == 0

    def verify() -> None:
        owner = process.this_owner("verify", "test")
        actions.perform(Job("verify", config.landing / RUN, config, owner, CELL))

    output = config.output / RUN / CELL.library / CELL.name
    late = config.landing / RUN / CELL.library / CELL.name / "late.txt"
    pipeline = config.landing / RUN / "pipeline"
    overtaken = False
    for number in range(0, 2000, 2):
        (output / RAW_MANIFEST).unlink(missing_ok=True)
        late.unlink(missing_ok=True)
        acted: list[int] = []

        def act(acted: list[int] = acted) -> None:
            if not (pipeline / f"{CELL.stem}.verify.started").exists():
                return
            acted.append(1)
            (pipeline / f"{CELL.stem}.verify.started").unlink()
            late.write_text("later")
            (output / RAW_MANIFEST).unlink(missing_ok=True)
            verify()

        at_disk_call(number, act)
        with suppress(HesiodError):
            verify()
        if acted:
            overtaken = True
            assert "late.txt" in read_raw(output).files, f"overtaken before the call {number}"
        at_disk_call(2000, act)
        if overtaken and not acted:
            break
    assert overtaken
