"""Outbox of a run: each message once, in one order, despite races, kills and manual repairs."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from call_counts import calls_of
from open_runs import opened, pipeline_at

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.model import LOCAL
from hesiod_watch.core.queued_messages import Outbox
from hesiod_watch.host import process
from hesiod_watch.runs import flags

CELL = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
CHANNELS = ("rt", "chat.1")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A `pipeline/` that is empty."""
    path = tmp_path / "pipeline"
    path.mkdir()
    return path


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    assert flags.adopt(opened(tmp_path / "run"), LOCAL, tmp_path)
    return tmp_path / "run" / "pipeline"


def record(text: str = "text", **channels: str) -> dict[str, Any]:
    return {
        "event": "run-new",
        "channels": channels,
        "time": "2026-11-22T10:00:00+00:00",
        "text": text,
    }


def look(pipeline: Path, *channels: str) -> Outbox:
    found = flags.read_outbox(
        pipeline_at(pipeline),
        flags.read_flags(pipeline_at(pipeline)),
        channels or CHANNELS,
        process.judge_here,
    )
    assert found is not None
    return found


def numbers(outbox: Outbox, channel: str) -> list[int]:
    return [message.number for message in outbox.waiting_for(channel)]


def test_a_new_outbox(pipeline: Path) -> None:
    """A new run has an empty outbox."""
    assert look(pipeline) == Outbox(channels=CHANNELS)
    assert flags.read_messages(pipeline_at(pipeline)) == ()


def test_put(pipeline: Path) -> None:
    """A message is written once, gets the next number, and is read back unchanged."""
    assert flags.put_message(
        pipeline_at(pipeline), "run-new", record("täxt\n\u202e\udcff", rt="comment")
    )
    assert flags.put_message(
        pipeline_at(pipeline),
        f"cell-done.{CELL}.1a2b",
        record("more", rt="reply", **{"chat.1": "comment"}),
    )
    assert not flags.put_message(pipeline_at(pipeline), "run-new", record("another", rt="reply"))
    first, second = look(pipeline).waiting
    assert (first.number, first.key, first.event, first.channels) == (
        1,
        "run-new",
        "run-new",
        {"rt": "comment"},
    )
    assert first.text == "täxt\n\u202e\udcff"
    assert (second.number, second.channels) == (2, {"rt": "reply", "chat.1": "comment"})
    assert re.fullmatch("[0-9a-f]{32}", first.token)
    assert first.token != second.token
    outbox = look(pipeline)
    assert outbox.reported == {"run-new", f"cell-done.{CELL}.1a2b"}
    assert (outbox.last, outbox.newest) == (2, f"cell-done.{CELL}.1a2b")
    assert (numbers(outbox, "rt"), numbers(outbox, "chat.1")) == ([1, 2], [2])
    assert not [name for name in os.listdir(pipeline / "messages") if name.startswith(".")]


def test_cost_of_delivered_messages(pipeline: Path) -> None:
    """A look at an outbox takes few calls for each delivered message, and reads none of them."""
    messages = pipeline / "messages"

    def deliver(numbers: range) -> None:
        for number in numbers:
            key = f"cell-done.{CELL}.{number:08x}"
            (messages / key).write_text("{}")
            (messages / f"{number:04}").symlink_to(key)
            for channel in CHANNELS:
                (messages / f"{number:04}.{channel}.delivered").touch()

    deliver(range(1, 11))
    few = calls_of(lambda: look(pipeline))
    deliver(range(11, 211))
    assert calls_of(lambda: look(pipeline)) - few < 200 * 24
    assert look(pipeline).last == 210


@pytest.mark.parametrize(
    "key", ["", ".", "../x", "past", "0001", "Run-new", "run-new/x", "run-new.\0", "a-"]
)
def test_bad_keys(key: str, pipeline: Path) -> None:
    """A key that could be mistaken for another file is refused before anything is written."""
    with pytest.raises(ValueError, match=re.escape(repr(key))):
        flags.put_message(pipeline_at(pipeline), key, record())
    assert os.listdir(pipeline / "messages") == []


@pytest.mark.parametrize("character", ["x", "\U0001f9ec", "\0", '"'])
def test_long_text(character: str, pipeline: Path) -> None:
    """A text too long to be read back is cut, with a note; its encoded length counts."""
    assert flags.put_message(
        pipeline_at(pipeline), "run-new", record(character * 50_000, rt="comment")
    )
    (message,) = look(pipeline).waiting
    assert message.text.startswith(character * 1000)
    assert message.text.endswith("(cut here)")
    assert message.problem == ""


def test_delivered_in_order(pipeline: Path) -> None:
    """Delivered messages are marked by number for each channel; only missing ones wait."""
    for number in range(3):
        flags.put_message(
            pipeline_at(pipeline),
            f"cell-done.{number}",
            record(rt="reply", **{"chat.1": "comment"}),
        )
    first, second, _ = look(pipeline).waiting
    flags.mark_delivered(pipeline_at(pipeline), first, "rt", {"ticket": 7})
    flags.mark_delivered(pipeline_at(pipeline), second, "rt", {"ticket": 7})
    flags.mark_delivered(pipeline_at(pipeline), second, "rt", {"ticket": 8})
    outbox = look(pipeline)
    assert outbox.delivered == {"rt": 2}
    assert (numbers(outbox, "rt"), numbers(outbox, "chat.1")) == ([3], [1, 2, 3])
    assert json.loads((pipeline / "messages" / "0002.rt.delivered").read_text())["ticket"] == 7
    assert look(pipeline, "rt").waiting == outbox.waiting[2:]


def test_delivered_messages_are_not_read(pipeline: Path) -> None:
    """A pass opens no message that is delivered or has no channel."""
    for number in range(2):
        flags.put_message(pipeline_at(pipeline), f"cell-done.{number}", record(rt="reply"))
    flags.mark_delivered(pipeline_at(pipeline), look(pipeline).waiting[1], "rt", {})
    for path in (pipeline / "messages").glob("cell-done.*"):
        path.write_text("not to be read")
    outbox = look(pipeline, "rt")
    assert (outbox.waiting, outbox.last) == ((), 2)
    nowhere = flags.read_outbox(
        pipeline_at(pipeline), flags.read_flags(pipeline_at(pipeline)), (), process.judge_here
    )
    assert nowhere
    assert nowhere.waiting == ()


# Races and kills.


def put_all(pipeline: Path, keys: Iterable[str], barrier: Any) -> list[str]:
    barrier.wait()
    return [
        key for key in keys if flags.put_message(pipeline_at(pipeline), key, record(rt="comment"))
    ]


def test_race_of_threads(pipeline: Path) -> None:
    """Threads that report the same events at once report each once, in the order common to all."""
    keys = [f"cell-done.{number:02d}" for number in range(20)]
    barrier = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        won = [
            future.result()
            for future in [pool.submit(put_all, pipeline, keys, barrier) for _ in range(8)]
        ]
    assert sorted(key for each in won for key in each) == keys
    assert [message.key for message in look(pipeline).waiting_for("rt")] == keys


@pytest.mark.slow
def test_race_of_processes(pipeline: Path) -> None:
    """The same with processes, some of which have seen fewer events."""
    context = get_context("fork")
    keys = [f"cell-done.{number:02d}" for number in range(30)]
    barrier = context.Barrier(6)
    started = [
        context.Process(
            target=put_all, args=(pipeline, keys[: 30 - 3 * each], barrier), daemon=True
        )
        for each in range(6)
    ]
    for child in started:
        child.start()
    for child in started:
        child.join(60)
        assert child.exitcode == 0
    messages = look(pipeline).waiting_for("rt")
    assert [message.key for message in messages] == keys
    assert len({message.token for message in messages}) == 30


@pytest.mark.parametrize("call", ["link", "symlink"])
def test_killed_between_two_steps(
    call: str, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between two steps leaves nothing, or a message that the next process numbers."""
    flags.put_message(pipeline_at(pipeline), "run-new", record(rt="comment"))

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(os, call, kill)
        with pytest.raises(Killed):
            flags.put_message(pipeline_at(pipeline), "cell-ready.x", record(rt="comment"))
    outbox = look(pipeline)
    assert [message.key for message in outbox.waiting] == ["run-new"]
    assert outbox.unnumbered == (() if call == "link" else ("cell-ready.x",))
    for key in outbox.unnumbered:
        assert flags.number(pipeline_at(pipeline), key) == 2
    flags.put_message(pipeline_at(pipeline), "cell-ready.x", record(rt="comment"))
    flags.put_message(pipeline_at(pipeline), "cell-done.x", record(rt="comment"))
    assert [message.key for message in look(pipeline).waiting] == [
        "run-new",
        "cell-ready.x",
        "cell-done.x",
    ]


def test_a_number_with_a_lost_response(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A successful link counts, whatever error the file system reports, and there is only one."""
    real = os.symlink

    def lose(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        raise FileExistsError

    monkeypatch.setattr(os, "symlink", lose)
    assert flags.put_message(pipeline_at(pipeline), "run-new", record(rt="comment"))
    assert [
        (message.number, message.key) for message in flags.read_messages(pipeline_at(pipeline))
    ] == [(1, "run-new")]


def test_two_numbers_for_one(pipeline: Path) -> None:
    """Two numbers for one message are harmless: the lower one counts, also when it is delivered."""
    flags.put_message(pipeline_at(pipeline), "run-new", record(rt="comment"))
    (pipeline / "messages" / "0002").symlink_to("run-new")
    flags.put_message(pipeline_at(pipeline), "cell-ready.x", record(rt="comment"))
    assert numbers(look(pipeline), "rt") == [1, 3]
    flags.mark_delivered(pipeline_at(pipeline), look(pipeline).waiting[0], "rt", {})
    assert numbers(look(pipeline), "rt") == [3]


def test_a_full_disk(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed write is an error with the path, and leaves no file."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(TemporaryError, match="messages/run-new: No space left"):
            flags.put_message(pipeline_at(pipeline), "run-new", record())
    assert os.listdir(pipeline / "messages") == []


# Past events, and changes by people.


def test_begin(bare: Path) -> None:
    """A run without an outbox gets one, with the past events, whole and once."""
    assert (
        flags.read_outbox(
            pipeline_at(bare),
            flags.read_flags(pipeline_at(bare)),
            CHANNELS,
            process.judge_here,
        )
        is None
    )
    barrier = threading.Barrier(8)

    def begin(number: int) -> bool:
        barrier.wait()
        return flags.begin_outbox(pipeline_at(bare), [f"cell-done.{number}"])

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(begin, range(8)))
    assert sum(won) == 1
    assert look(bare).reported == {f"cell-done.{won.index(True)}"}
    assert sorted(os.listdir(bare)) == ["messages"]
    flags.put_message(pipeline_at(bare), "run-new", record())
    assert not flags.begin_outbox(pipeline_at(bare), [])
    assert look(bare).last == 1


def test_repaired_by_hand(pipeline: Path) -> None:
    """A person may skip, edit or remove a message; a person's own files are not changed."""
    messages = pipeline / "messages"
    for number in range(3):
        flags.put_message(pipeline_at(pipeline), f"cell-done.{number}", record(rt="reply"))
    (messages / "0001.rt.delivered").touch()
    (messages / "cell-done.1").write_text(
        (messages / "cell-done.1").read_text().replace('"text"', '"text" ')
    )
    (messages / "cell-done.2").unlink()
    for name in ("notes", "cell-done.1~", "cell-done.0.bak", "README.txt", "run-old"):
        (messages / name).write_text("mine")
    outbox = look(pipeline)
    assert [message.key for message in outbox.waiting] == ["cell-done.1"]
    assert outbox.unnumbered == ()
    assert "cell-done.2" not in outbox.reported
    assert flags.put_message(pipeline_at(pipeline), "cell-done.2", record("again", rt="reply"))
    assert [(message.number, message.text) for message in look(pipeline).waiting] == [
        (2, "text"),
        (3, "again"),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a message"),
        (b"{", "not a message"),
        (b"[" * 100_000, "larger than"),
        (b'{"token": "x", "channels": {}}', "not a message"),
        (b'{"token": "0123456789abcdef0123456789abcdef", "channels": []}', "not a message"),
        (b"\xff\xfe", "not a message"),
    ],
)
def test_damaged(content: bytes, problem: str, pipeline: Path) -> None:
    """An unreadable message stops its channels, which report it; it is never skipped silently."""
    flags.put_message(pipeline_at(pipeline), "run-new", record(rt="comment"))
    (pipeline / "messages" / "run-new").write_bytes(content)
    (message,) = look(pipeline).waiting_for("rt")
    assert problem in message.problem
    assert str(pipeline / "messages" / "run-new") in message.problem


@pytest.mark.parametrize("name", ["0001", "run-new", "past", "0001.rt.delivered"])
@pytest.mark.parametrize(
    "make",
    [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")],
    ids=["FIFO", "directory", "link"],
)
def test_special_files(name: str, make: Any, pipeline: Path) -> None:
    """A special file is neither opened nor followed, and blocks no process."""
    make(pipeline / "messages" / name)
    outbox = look(pipeline)
    assert outbox.waiting == ()
    assert outbox.delivered == ({"rt": 1} if "delivered" in name else {})
    flags.put_message(pipeline_at(pipeline), "cell-ready.x", record(rt="comment"))
    assert [message.key for message in flags.read_messages(pipeline_at(pipeline))] == [
        "cell-ready.x"
    ]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["FIFO", "directory"])
def test_message_whose_name_is_in_use(make: Any, pipeline: Path) -> None:
    """A message that cannot be written because of a special file is an error, without a number."""
    make(pipeline / "messages" / "run-new")
    with pytest.raises(PermanentError, match=r"messages/run-new: not a regular file"):
        flags.put_message(pipeline_at(pipeline), "run-new", record())
    assert not [name for name in os.listdir(pipeline / "messages") if name.isdigit()]


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, lambda path: path.write_text("x"), lambda path: path.symlink_to("/")],
    ids=["FIFO", "file", "link"],
)
def test_no_directory(make: Any, bare: Path) -> None:
    """Another file in place of the outbox is reported, and no message is written."""
    make(bare / "messages")
    outbox = look(bare)
    assert outbox.problem.startswith(f"{bare}/messages: cannot be read: ")
    with pytest.raises(PermanentError):
        flags.put_message(pipeline_at(bare), "run-new", record())


# The ticket's number.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4711\n", 4711),
        ("#12", 12),
        (" 7 ", 7),
        ("", None),
        ("0", None),
        ("1 2", None),
        ("x", None),
        ("9" * 19, None),
    ],
)
def test_ticket(text: str, expected: int | None, bare: Path) -> None:
    """The ticket file contains a number as a person would write it; anything else is reported."""
    assert flags.read_ticket(pipeline_at(bare)) == (None, "")
    (bare / "rt_ticket").write_text(text)
    number, problem = flags.read_ticket(pipeline_at(bare))
    assert number == expected
    assert bool(problem) is (expected is None)


def test_the_first_ticket_number_counts(bare: Path) -> None:
    """The first ticket number counts, until a person removes it."""
    flags.write_ticket(pipeline_at(bare), 5)
    flags.write_ticket(pipeline_at(bare), 6)
    assert flags.read_ticket(pipeline_at(bare)) == (5, "")
