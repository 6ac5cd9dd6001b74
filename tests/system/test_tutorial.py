"""The tutorial, followed command by command as docs/tutorial.md prints it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sites import DEADLINE

pytestmark = pytest.mark.system

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
MARK = "== the command ended =="


class Terminal:
    """A shell in which a reader types the commands of a page."""

    def __init__(self, home: Path) -> None:
        self.home = home
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "HOME": str(home), "PATH": programs, "COLUMNS": "200"},
            cwd=home,
            start_new_session=True,
        )

    def type(self, command: str) -> list[str]:
        """Lines that a command prints; the reader's home is /home/you."""
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f"{command}\necho '{MARK}'\n")
        self._shell.stdin.flush()
        printed: list[str] = []
        for line in iter(self._shell.stdout.readline, ""):
            if line.rstrip() == MARK:
                return printed
            printed.append(as_shown(line.replace(str(self.home), "/home/you")))
        raise AssertionError(f"the shell ended after {command!r}: {printed}")

    def close(self) -> None:
        """End the shell and what was started in it."""
        with self._shell:
            os.killpg(self._shell.pid, signal.SIGTERM)
            self._shell.communicate(timeout=DEADLINE)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    try:
        yield terminal
    finally:
        terminal.close()


def as_shown(line: str) -> str:
    """A line without the number of its blanks."""
    return " ".join(line.split())


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of the page, with the lines that the page shows below it."""
    shown: list[tuple[str, list[str]]] = []
    for line in re.findall(r"^ {4}(.+)$", TUTORIAL.read_text("utf-8"), re.M):
        if line.startswith("$ "):
            shown.append((line[2:], []))
        else:
            shown[-1][1].append(as_shown(line))
    return iter(shown)


def missing(shown: list[str], printed: list[str]) -> str:
    """The first line that was not printed after those above it; "" if all were."""
    rest = iter(printed)
    return next((line for line in shown if line not in rest), "")


@pytest.mark.timeout(400)
def test_the_tutorial(terminal: Terminal, tmp_path: Path) -> None:
    """Each command prints what the page shows, and nothing of it stays."""
    count = 0
    for command, shown in commands():
        count += 1
        deadline = time.monotonic() + DEADLINE
        printed = terminal.type(command)
        # The page says to wait until the service has done its work.
        while command.startswith("hesiod-watch status") and missing(shown, printed):
            assert time.monotonic() < deadline, (command, printed)
            printed = terminal.type(command)
        assert not missing(shown, printed), (command, printed)
        assert shown or not printed or command.endswith("&"), (command, printed)
    assert count > 15
    assert not list(tmp_path.glob("first-run*"))
