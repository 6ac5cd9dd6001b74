"""Errors about flags say what was attempted and on which file; records say who and why."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from open_runs import opened, taken_up

from hesiod_watch.core.errors import FlagExists, HesiodError, TemporaryError
from hesiod_watch.core.model import LOCAL, CellId
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.results import AttemptEnd
from hesiod_watch.host import process
from hesiod_watch.runs import flags

STEM = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
INGEST = flags.ingest(STEM)
ME = process.this_owner("process", "local", reason="complete")
DEAD = replace(ME, token="dead", pid_start=1)
"""A process that ended: its number is used again, by this one."""
MESSAGE = {"event": "run-new", "channels": {"rt": "comment"}, "text": "é\n", "time": "now"}
Act = Callable[[flags.Pipeline], object]


@pytest.fixture
def pipeline(tmp_path: Path) -> flags.Pipeline:
    return taken_up(tmp_path)


def begin(pipeline: flags.Pipeline, owner: Owner = ME) -> None:
    flags.begin_attempt(pipeline, INGEST, owner, lock=nullcontext, judge=process.judge_here)


def claim(pipeline: flags.Pipeline) -> None:
    flags.claim_cell(pipeline, STEM, ME, judge=process.judge_here)


def claim_beside_a_prepared_flag(pipeline: flags.Pipeline) -> None:
    claim(pipeline)
    (pipeline / f".prepared.1.{STEM}.done").touch()


def fail(pipeline: flags.Pipeline) -> None:
    (pipeline / f"{STEM}.failed").touch()


def nothing(_: flags.Pipeline) -> None:
    pass


def adopt_another(pipeline: flags.Pipeline) -> None:
    flags.adopt(opened(pipeline.run.path.with_name("other")), LOCAL, Path("/output"))


def remove_messages(pipeline: flags.Pipeline) -> None:
    (pipeline / "messages").rmdir()


def own_output(pipeline: flags.Pipeline) -> None:
    flags.own_output(pipeline, pipeline.run.path.parents[1] / "output")


REFUSED: dict[str, tuple[Act, str, Act, str]] = {
    "a flag": (
        nothing,
        "link",
        lambda place: flags.create(place, f"{STEM}.failed", ME),
        f"cannot create {{pipeline}}/{STEM}.failed: ",
    ),
    "a run": (nothing, "mkdir", adopt_another, "cannot take up {landing}/other: "),
    "a type": (
        nothing,
        "link",
        lambda place: flags.write_type(place, "amplicon"),
        "cannot write {pipeline}/type.yaml: ",
    ),
    "a worker": (
        claim_beside_a_prepared_flag,
        "listdir",
        lambda place: flags.record_worker(place, STEM, ME),
        "cannot change {pipeline}: ",
    ),
    "the begin of an attempt": (
        nothing,
        "listdir",
        begin,
        f"cannot begin {{pipeline}}/{INGEST}.started: ",
    ),
    "the end of an attempt": (
        begin,
        "rename",
        lambda place: flags.end_attempt(place, INGEST, ME, "done"),
        f"cannot end {{pipeline}}/{INGEST}.started as done: ",
    ),
    "the attic": (
        fail,
        "mkdir",
        lambda place: flags.archive_flags(place, STEM, why="checked"),
        "cannot move flags of {pipeline} to the attic: ",
    ),
    "an outbox": (
        remove_messages,
        "mkdir",
        lambda place: flags.begin_outbox(place, ()),
        "cannot make {pipeline}/messages: ",
    ),
    "the number of a message": (
        nothing,
        "symlink",
        lambda place: flags.put_message(place, "run-new", MESSAGE),
        "cannot give a number to {pipeline}/messages/run-new: ",
    ),
    "an owner of results": (
        nothing,
        "link",
        own_output,
        "cannot write {output}/run/.owner.json: ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_the_file_system(
    case: str, pipeline: flags.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each error names the attempted step, the file and the reason of the file system."""
    prepare, call, act, expected = REFUSED[case]
    prepare(pipeline)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    area = pipeline.run.path.parents[1]
    places = {"pipeline": pipeline.path, "landing": area / "landing", "output": area / "output"}
    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        with pytest.raises(HesiodError) as raised:
            act(pipeline)
    assert str(raised.value) == expected.format(**places) + os.strerror(errno.EROFS)


@pytest.mark.parametrize("call", ["messages", "run"])
def test_a_file_in_place_of_the_outbox(call: str, pipeline: flags.Pipeline) -> None:
    """A file in place of the outbox is an error for who reads it, and no text for who shows it."""
    remove_messages(pipeline)
    (pipeline / "messages").touch()
    with pytest.raises(HesiodError, match=re.escape(f"cannot read {pipeline / 'messages'}: ")):
        flags.read_messages(pipeline)
    assert (flags.read_text(pipeline, "run-new"), flags.read_run(pipeline, "run-new")) == ("", "")


@pytest.mark.parametrize(
    ("code", "how"), [(None, {}), (-9, {"signal": 9}), (0, {"code": 0}), (2, {"code": 2})]
)
def test_record_of_a_death(code: int | None, how: object, pipeline: flags.Pipeline) -> None:
    """The record of a worker's death names the claim, the reason, the host and the exit."""
    claim(pipeline)
    reason = flags.record_death(pipeline, STEM, ME, "was killed", code)
    assert reason == "attempt 1 was killed"
    record = json.loads((pipeline / f"{STEM}.started.died").read_text())
    time = record.pop("time")
    assert time[:4].isdigit()
    assert record == {"token": ME.token, "reason": reason, "host": ME.host, **how}  # type: ignore[dict-item]
    found = flags.read_flags(pipeline).cell(STEM, process.judge_here).claims[-1]
    assert (found.liveness, found.evidence) == (Liveness.DEAD, reason)
    assert found.death
    assert (found.death.reason, found.death.time) == (reason, time)


@pytest.mark.parametrize("case", ["no claim", "another claim", "done", "given up", "a later claim"])
def test_no_record_of_an_explained_death(case: str, pipeline: flags.Pipeline) -> None:
    """A death that another flag explains, or that concerns no claim of ours, is not recorded."""
    if case != "no claim":
        flags.create(pipeline, f"{STEM}.started", DEAD if case == "another claim" else ME)
    if case == "done":
        (pipeline / f"{STEM}.done").touch()
    elif case == "given up":
        flags.release_claim(pipeline, STEM, ME)
    elif case == "a later claim":
        flags.create(pipeline, f"{STEM}.started.2", replace(DEAD, epoch=2))
    assert flags.record_death(pipeline, STEM, ME, "was killed", -9) == ""
    assert not (pipeline / f"{STEM}.started.died").exists()


def test_end_of_a_dead_attempt(pipeline: flags.Pipeline) -> None:
    """The starter of a dead child ends its attempt with the reason; what it took over stays."""
    begin(pipeline, DEAD)

    def end(pid: int) -> bool:
        return flags.end_dead_attempt(
            pipeline, INGEST, pid, "it was killed", lock=nullcontext, judge=process.judge_here
        )

    assert not end(DEAD.pid + 1)
    assert end(DEAD.pid)
    assert not end(DEAD.pid)
    last = flags.read_flags(pipeline).attempt(INGEST, process.judge_here)
    assert last
    assert (last.outcome, last.owner) == ("failed", replace(DEAD, reason="it was killed"))
    end_record = AttemptEnd.of(last)
    assert (end_record.died, end_record.needs_person) == (True, False)
    assert end_record.ended
    assert not [name for name in os.listdir(pipeline.path) if ".over." in name]


@pytest.mark.parametrize("other", ["another owner", "nothing"])
def test_an_attempt_that_is_not_ours(other: str, pipeline: flags.Pipeline) -> None:
    """A worker whose attempt is missing, or is another's, is stopped with the reason."""
    if other == "another owner":
        begin(pipeline, replace(ME, token="other"))
    sentence = f"{pipeline / INGEST}: another attempt has begun, or a person removed this one"
    with pytest.raises(TemporaryError, match=re.escape(sentence)):
        flags.require_attempt(pipeline, INGEST, ME)


def test_our_own_attempt(pipeline: flags.Pipeline) -> None:
    """A worker whose attempt is under way may continue."""
    begin(pipeline)
    flags.require_attempt(pipeline, INGEST, ME)


def test_locks_of_attempts(tmp_path: Path) -> None:
    """The lock of a cell is in the directory of the locks, and one process at a time has it."""
    cell, locks = CellId("lib", STEM), tmp_path / "locks"
    locks.mkdir(mode=0o700)

    def lock(cell: CellId | None, run: str = "run") -> AbstractContextManager[None]:
        return flags.attempt_lock(tmp_path / "landing", tmp_path / run, cell, locks)()

    made = []
    for each in (lock(cell), lock(cell), lock(None), lock(cell, "run 2")):
        with ExitStack() as stack:
            stack.enter_context(each)
            made.append(frozenset(path.name for path in locks.rglob("alone-*")))
    assert made[0] == made[1]
    assert len(made[0]) == 1
    assert len(made[-1]) == 3


def test_flags_in_the_way_are_shown(pipeline: flags.Pipeline) -> None:
    """A directory in place of a flag blocks the cell under its name, and its line says so."""
    (pipeline / f"{STEM}.done").mkdir()
    (pipeline / f"{STEM}.failed").symlink_to("x")
    os.utime(pipeline / f"{STEM}.done", (1e9, 1e9))
    listing = flags.read_flags(pipeline)
    cell = listing.cell(STEM, process.judge_here)
    assert cell.done
    assert cell.failed
    assert (cell.done.name, cell.done.regular, cell.done.mtime) == (f"{STEM}.done", False, 1e9)
    assert (cell.failed.name, cell.failed.regular) == (f"{STEM}.failed", False)
    lines = {line.name: line for line in listing.all(process.judge_here)}
    assert lines[f"{STEM}.done"].meaning == (
        "fully processed, never touched again; not a regular file"
    )
    assert lines[f"{STEM}.done"].mtime == 1e9
    assert lines["output"].meaning == "link to the output directory"
    assert lines["messages"].meaning == "messages about the run; see hesiod-watch messages"


def test_a_readable_flag_has_its_name(pipeline: flags.Pipeline) -> None:
    """A flag that is read has its name, time and text."""
    (pipeline / f"{STEM}.aborted").write_text("wrong sample")
    os.utime(pipeline / f"{STEM}.aborted", (1e9, 1e9))
    found = flags.read_flags(pipeline).cell(STEM, process.judge_here).aborted
    assert found
    assert (found.name, found.mtime, found.regular, found.text) == (
        f"{STEM}.aborted",
        1e9,
        True,
        "wrong sample",
    )


def test_who_ends_an_attempt_names_itself(pipeline: flags.Pipeline) -> None:
    """A circle of such flags is not proof of anything: the attempt waits for a person."""
    begin(pipeline, replace(DEAD, token="0" * 32))
    (pipeline / f"{INGEST}.over.{'0' * 12}").write_text(json.dumps({"token": "0" * 32, "pid": 1}))
    right = flags.read_flags(pipeline).take_over(INGEST, lambda _: (Liveness.DEAD, "gone"))
    assert right.liveness is Liveness.UNKNOWN
    assert right.evidence == f"{INGEST}.over.{'0' * 12}: names itself"
    with pytest.raises(FlagExists, match=f"another process ends it: {re.escape(right.evidence)}"):
        flags.begin_attempt(
            pipeline, INGEST, ME, lock=nullcontext, judge=lambda _: (Liveness.DEAD, "gone")
        )


def test_the_text_of_a_type(pipeline: flags.Pipeline) -> None:
    """The file with a run's type tells a person what it is; a recorded type is not replaced."""
    assert flags.write_type(pipeline, "amplicon")
    assert not flags.write_type(pipeline, "other")
    assert (pipeline / "type.yaml").read_text() == (
        "# Type of this run, one of those in the configuration. You may change it.\n"
        "type: amplicon\n"
    )
    assert flags.read_type(pipeline) == ("amplicon", "")


def test_messages_are_legible_on_disk(pipeline: flags.Pipeline) -> None:
    """A person reads and edits messages with an editor: one field in a line, no escapes."""
    flags.put_message(pipeline, "run-new", MESSAGE)
    lines = (pipeline / "messages" / "run-new").read_text().splitlines()
    assert ' "text": "é\\n",' in lines
    (message,) = flags.read_messages(pipeline)
    assert (message.number, message.key, message.text) == (1, "run-new", "é\n")


def test_an_unreadable_message_has_its_number(
    pipeline: flags.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that cannot be read keeps its number and key, and says why it waits."""
    flags.put_message(pipeline, "run-new", MESSAGE)
    real = os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path) == "run-new":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        (message,) = flags.read_messages(pipeline)
    assert (message.number, message.key) == (1, "run-new")
    path = pipeline / "messages" / "run-new"
    assert message.problem == f"{path}: cannot be read: {os.strerror(errno.EIO)}"


def test_the_outbox_has_the_ticket(pipeline: flags.Pipeline) -> None:
    """The number of the run's ticket is read with its messages; capital letters are no key."""
    flags.write_ticket(pipeline, 17)
    (pipeline / "messages" / "Notes").write_text('{"key": "Notes"}')
    (pipeline / "messages" / "{").touch()
    found = flags.read_outbox(pipeline, flags.read_flags(pipeline), ("rt",), process.judge_here)
    assert found
    assert (found.ticket, found.unnumbered, found.last) == (17, (), 0)


def test_the_attic_is_named_after_the_time(pipeline: flags.Pipeline) -> None:
    """A directory of the attic is named after the time in UTC; the program's `synced` stays."""
    flags.create(pipeline, f"{STEM}.synced", {"cell": f"lib/{STEM}", "version": "1"})
    fail(pipeline)
    place = flags.archive_flags(pipeline, STEM, why="checked")
    assert place
    assert re.fullmatch(r"20[0-9]{6}T[0-9]{6}Z", place.name)
    assert sorted(os.listdir(place)) == [f"{STEM}.failed", "why"]
    assert (pipeline / f"{STEM}.synced").exists()


@pytest.mark.parametrize("recount", [False, True])
def test_attic_of_a_processed_cell(recount: bool, pipeline: flags.Pipeline) -> None:
    """On request `done` is archived too, and with a recount also a person's `synced`."""
    for name in ("done", "synced"):
        (pipeline / f"{STEM}.{name}").touch()
    assert flags.archive_flags(pipeline, STEM, why="", recount=recount) is None
    place = flags.archive_flags(pipeline, STEM, why="", recount=recount, done=True)
    assert place
    assert (place / f"{STEM}.done").exists()
    assert (place / f"{STEM}.synced").exists() is recount
    assert (place / f"{STEM}.failed").exists()


def test_the_run_is_blocked_while_its_flags_move(pipeline: flags.Pipeline) -> None:
    """The flag `failed` of the run, and no cell's, blocks other processes meanwhile."""
    (pipeline / "sync.failed").touch()
    place = flags.archive_flags(pipeline, None, why="checked")
    assert place
    assert sorted(os.listdir(place)) == ["failed", "sync.failed", "why"]
