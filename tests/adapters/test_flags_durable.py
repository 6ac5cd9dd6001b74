"""Flags survive a power loss: content is synced before its name appears, the name afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from name_changes import recorded_names
from open_runs import opened, taken_up

from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.model import LOCAL
from hesiod_watch.core.queued_messages import OutboxMessage
from hesiod_watch.host import process
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags import flag_files

STEM = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
ME = process.this_owner("process", "local")
MESSAGE = {"event": "run-new", "channels": {"rt": "comment"}, "text": "t", "time": "now"}
Act = Callable[[flags.Pipeline], object]


@pytest.fixture
def pipeline(tmp_path: Path) -> flags.Pipeline:
    return taken_up(tmp_path)


def begin(pipeline: flags.Pipeline) -> None:
    flags.begin_attempt(
        pipeline, flags.ingest(STEM), ME, lock=nullcontext, judge=process.judge_here
    )


def claim(pipeline: flags.Pipeline) -> None:
    flags.claim_cell(pipeline, STEM, ME, judge=process.judge_here)


def claim_and_work(pipeline: flags.Pipeline) -> None:
    claim(pipeline)
    flags.record_worker(pipeline, STEM, ME)


def fail(pipeline: flags.Pipeline) -> None:
    flags.create(pipeline, f"{STEM}.failed", ME)


def put(pipeline: flags.Pipeline) -> None:
    flags.put_message(pipeline, "run-new", MESSAGE)


def end(outcome: flags.AttemptOutcome) -> Act:
    return lambda pipeline: flags.end_attempt(pipeline, flags.ingest(STEM), ME, outcome)


def adopt_another(pipeline: flags.Pipeline) -> None:
    other = pipeline.run.path.with_name("other")
    assert flags.adopt(opened(other), LOCAL, other, "amplicon")


def remove_messages(pipeline: flags.Pipeline) -> None:
    (pipeline / "messages").rmdir()


def nothing(_: flags.Pipeline) -> None:
    pass


CASES: dict[str, tuple[Act, Act, set[str]]] = {
    "a flag": (nothing, fail, {f"{STEM}.failed"}),
    "a flag behind a fence": (
        nothing,
        lambda place: flags.create(place, f"{STEM}.done", ME, fence=lambda: None),
        {f"{STEM}.done"},
    ),
    "a claim": (nothing, claim, {f"{STEM}.started"}),
    "the record of a worker": (
        claim,
        lambda place: flags.record_worker(place, STEM, ME),
        {f"{STEM}.started.worker"},
    ),
    "a released claim": (
        claim,
        lambda place: flags.release_claim(place, STEM, ME),
        {f"{STEM}.started.yielded"},
    ),
    "a worker's death": (
        claim,
        lambda place: flags.record_death(place, STEM, ME, "was killed", -9),
        {f"{STEM}.started.died"},
    ),
    "a run": (nothing, adopt_another, {"pipeline", "upstream", "output", "messages", "type.yaml"}),
    "a type": (nothing, lambda place: flags.write_type(place, "amplicon"), {"type.yaml"}),
    "an attempt": (nothing, begin, {f"{STEM}.ingest.started"}),
    "an attempt that succeeds": (begin, end("done"), {f"{STEM}.ingest.done"}),
    "an attempt that fails": (begin, end("failed"), {f"{STEM}.ingest.failed"}),
    "the attic of a cell": (
        claim_and_work,
        lambda place: flags.archive_flags(place, STEM, why="checked"),
        {"attic", f"{STEM}.started", f"{STEM}.started.worker", f"{STEM}.failed"},
    ),
    "the attic of an attempt": (
        begin,
        lambda place: flags.archive_attempt(place, flags.ingest(STEM), why="checked"),
        {"attic", f"{STEM}.ingest.started"},
    ),
    "an outbox": (
        remove_messages,
        lambda place: flags.begin_outbox(place, ["run-new"]),
        {"past", "messages"},
    ),
    "a message": (nothing, put, {"run-new", "0001"}),
    "a delivery": (
        put,
        lambda place: flags.mark_delivered(place, OutboxMessage(1, "run-new"), "rt", {}),
        {"0001.rt.delivered"},
    ),
    "a ticket": (nothing, lambda place: flags.write_ticket(place, 7), {"rt_ticket"}),
    "an owner of results": (
        nothing,
        lambda place: flags.own_output(place, place.run.path.parents[1] / "output"),
        {"rundata"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_durable(case: str, pipeline: flags.Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each operation its names and their content survive a power loss."""
    prepare, act, made = CASES[case]
    with recorded_names(monkeypatch) as changes:
        prepare(pipeline)
        act(pipeline)
    assert {call.name for call in changes.calls} >= made
    assert changes.not_durable() == []


def test_removal_of_prepared_flags_is_durable(
    pipeline: flags.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prepared flag of an earlier worker does not return after a power loss.

    The flags of another cell, and those that end no claim, stay.
    """
    stale = [f".prepared.{number}.{STEM}.{end}" for number, end in ((1, "done"), (2, "failed"))]
    kept = [".prepared.3.other.done", f".prepared.4.{STEM}.synced", f".tmp.{STEM}.done"]
    for name in stale + kept:
        (pipeline / name).touch()
    with recorded_names(monkeypatch) as changes:
        flag_files.remove_prepared(pipeline.descriptor, STEM)
    left = {name for name in os.listdir(pipeline.descriptor) if name.startswith(".")}
    assert left == set(kept)
    assert [call.place for call in changes.calls] == [pipeline.path.stat().st_ino]


def test_an_earlier_owner_stays_recorded(pipeline: flags.Pipeline) -> None:
    """Who claimed a cell, who worked and who gave up is recorded with the reason."""
    claim_and_work(pipeline)
    flags.release_claim(pipeline, STEM, replace(ME, reason="began"), why="an earlier worker lives")
    flags.release_claim(pipeline, STEM, ME, why="again")
    given_up = flags.read_flags(pipeline).owner(f"{STEM}.started.yielded")
    assert given_up == replace(ME, reason="an earlier worker lives")


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("taken", [True, False], ids=["another flag", "no other flag"])
def test_put_back(
    links: bool, taken: bool, pipeline: flags.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag that was moved aside gets its name again, unless another process has made one."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    (pipeline / ".aside").write_text("ours")
    if taken:
        (pipeline / "flag").write_text("another's")
    with monkeypatch.context() as patch:
        if not links:
            patch.setattr(os, "link", refuse)
        flag_files.put_back(pipeline.descriptor, ".aside", "flag")
    assert (pipeline / "flag").read_text() == ("another's" if taken else "ours")


def test_put_back_refused(pipeline: flags.Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that is not about links is an error, and the flag stays aside."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (pipeline / ".aside").write_text("ours")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            flag_files.put_back(pipeline.descriptor, ".aside", "flag")
    assert (pipeline / ".aside").read_text() == "ours"
    assert not pipeline.has("flag")


def test_has(pipeline: flags.Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything of a name is there, also a link to nothing; an unreadable one is an error."""
    (pipeline / "link").symlink_to("nothing")
    assert [pipeline.has(name) for name in ("upstream", "link", "other")] == [True, True, False]

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        with pytest.raises(HesiodError) as raised:
            pipeline.has("upstream")
    assert str(raised.value) == f"cannot read {pipeline / 'upstream'}: {os.strerror(errno.EIO)}"


@pytest.mark.parametrize(
    ("flag", "text", "stripped"),
    [
        ("strip.started", "", True),
        ("strip.done", "", True),
        ("strip.failed", "", True),
        ("strip.failed", '{"files": 0}', False),
        ("backup.failed", "", False),
    ],
)
def test_stripped(flag: str, text: str, stripped: bool, pipeline: flags.Pipeline) -> None:
    """After any strip that may have removed a file, the files that remain are not all."""
    (pipeline / f"{STEM}.{flag}").write_text(text)
    found = flags.read_flags(pipeline)
    assert found.stripped(STEM) is stripped
    assert not found.stripped("other")


def test_texts_of_a_message(pipeline: flags.Pipeline) -> None:
    """Text and run of a message are read by its key; a missing one has neither."""
    flags.put_message(pipeline, "run-new", {**MESSAGE, "run": "r"})
    assert flags.read_text(pipeline, "run-new") == "t"
    assert flags.read_run(pipeline, "run-new") == "r"
    assert flags.read_text(pipeline, "run-old") == ""
