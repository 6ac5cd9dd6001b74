"""Log lines and the run's own log: each entry is one line, with any names."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from hesiod_watch.core.logfields import fields
from hesiod_watch.host.log import LineFormatter, configure
from hesiod_watch.host.runlog import RunLog

HOSTILE = "a\nb\x1b[31m\u202etxt\udcff\\"
DATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Restore the logging tree after the test."""
    root, ours = logging.getLogger(), logging.getLogger("hesiod_watch")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def record(message: str, **values: object) -> logging.LogRecord:
    made = logging.LogRecord("hesiod_watch.x", logging.WARNING, __file__, 1, message, (), None)
    made.__dict__.update(fields(**values))
    return made


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("20261122_1000_1A_PAD38578_c6ded78b", "20261122_1000_1A_PAD38578_c6ded78b"),
        (3, "3"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "x"', '"say \\"x\\""'),
        ("a=b", '"a=b"'),
        ("a\nb", '"a\\nb"'),
        ("\x1b[31m", '"\\x1b[31m"'),
        ("\u202e", '"\\u202e"'),
        (os.fsdecode(b"\xff"), '"\\xff"'),
        ("Ürün", "Ürün"),
    ],
)
def test_field_values(value: object, printed: str) -> None:
    """A field is one word: blanks, quotes and cursor controls are quoted and escaped."""
    line = LineFormatter().format(record("claimed", cell=value))
    assert DATED.match(line)
    assert line.endswith(f" WARNING claimed cell={printed}")


def test_fields_without_a_value() -> None:
    """A field that is None is omitted: an action on a whole run has no cell."""
    assert (
        LineFormatter()
        .format(record("started", cell=None, code=0))
        .endswith("WARNING started code=0")
    )


def test_traceback_is_a_field() -> None:
    """An exception is logged on the same single line."""
    try:
        raise ValueError("half\nway")
    except ValueError:
        made = record("action failed", run=HOSTILE)
        made.exc_info = sys.exc_info()
    line = LineFormatter().format(made)
    assert len(line.splitlines()) == 1
    assert "ValueError: half\\nway" in line


def test_fields_may_have_any_name() -> None:
    """Fields named like attributes of a log record cause no error."""
    logging.getLogger("hesiod_watch.test").warning(
        "claimed", extra=fields(name="x", message="y", args=1)
    )


@pytest.mark.parametrize(
    ("verbosity", "levels"),
    [(-1, "W"), (0, "IW"), (1, "DIW"), (2, "DIWd")],
    ids=["quiet", "plain", "why", "all"],
)
def test_verbosity(verbosity: int, levels: str, restored_logging: None) -> None:
    """More verbosity shows more, libraries last; configuring twice doubles nothing."""
    stream = io.StringIO()
    configure(2, io.StringIO())
    configure(verbosity, stream)
    logger, library = logging.getLogger("hesiod_watch.some"), logging.getLogger("watchdog")
    logger.debug("D")
    logger.info("I")
    logger.warning("W")
    library.debug("d")
    assert "".join(line.rsplit(" ", 1)[1] for line in stream.getvalue().splitlines()) == levels


@pytest.mark.parametrize("connected", [True, False], ids=["journal", "another stream"])
def test_journal(
    connected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restored_logging: None
) -> None:
    """Lines have a priority and no time exactly if the stream is the journal's own."""
    with (tmp_path / "journal").open("w") as journal, (tmp_path / "other").open("w") as other:
        status = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        configure(0, journal if connected else other)
        logging.getLogger("hesiod_watch.some").warning("claimed", extra=fields(run="r"))
    text = (tmp_path / ("journal" if connected else "other")).read_text()
    assert text == "<4>claimed run=r\n" if connected else DATED.match(text)


def test_run_log_lines(tmp_path: Path) -> None:
    """Every line of a run's log is dated; a text with newlines is still one line."""
    log = RunLog(tmp_path / "pipeline.log")
    log.line("first")
    log.line(f"a run called {HOSTILE}")
    lines = (tmp_path / "pipeline.log").read_text().split("\n")
    assert lines.pop() == ""
    assert len(lines) == 2
    assert all(DATED.match(line) for line in lines)
    assert lines[1].endswith("a run called a\\nb\\x1b[31m\\u202etxt\\xff\\\\")


@pytest.mark.parametrize(
    "word", ["plain", "two words", "it's", "$(reboot)", HOSTILE, "\x07'\\", "-n", ""]
)
def test_command_repeats(tmp_path: Path, word: str) -> None:
    """The command in the log, pasted into bash, gives exactly the same arguments."""
    log = RunLog(tmp_path / "pipeline.log")
    log.command(["printf", "%s", word])
    (line,) = (tmp_path / "pipeline.log").read_text().splitlines()
    command = line.partition(" $ ")[2]
    assert subprocess.run(
        ["bash", "-c", command], capture_output=True, check=True
    ).stdout == os.fsencode(word)


@pytest.mark.parametrize("obstacle", ["missing directory", "directory", "fifo", "link", "device"])
def test_run_log_never_raises(
    tmp_path: Path, obstacle: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An unwritable log causes one warning, and nothing is written outside it."""
    path, elsewhere = tmp_path / "pipeline.log", tmp_path / "elsewhere"
    elsewhere.touch()
    match obstacle:
        case "missing directory":
            path = tmp_path / "no" / "pipeline.log"
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "link":
            path.symlink_to(elsewhere)
        case "device":
            path = Path("/dev/full")
    log = RunLog(path)
    log.line("one")
    log.line("two")
    assert [each.getMessage() for each in caplog.records] == ["cannot write the run's log"]
    assert elsewhere.read_bytes() == b""


def _append_lines(path: Path, writer: int) -> None:
    log = RunLog(path)
    for number in range(200):
        log.line(f"{writer} {number} " + "x" * 300)


def test_run_log_many_writers(tmp_path: Path) -> None:
    """Concurrent processes neither mix nor lose lines."""
    path = tmp_path / "pipeline.log"
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        list(pool.map(_append_lines, [path] * 4, range(4)))
    lines = [DATED.sub("", line) for line in path.read_text().splitlines()]
    assert sorted(lines) == sorted(
        f"{writer} {number} " + "x" * 300 for writer in range(4) for number in range(200)
    )
