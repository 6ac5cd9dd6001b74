"""Completion in the shells that people use, each in a terminal of its own."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sites import DEADLINE, Site

pytestmark = pytest.mark.system

SCRIPTS = Path(__file__).parents[2] / "contrib" / "completion"
RUN, LIBRARY, CELL = "20261122_PROM_lake", "lib1", "20261122_1000_1A_PAD38578_c6ded78b"
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f". {SCRIPTS}/hesiod-watch.bash"),
    "zsh": (
        ["zsh", "-f", "-i"],
        f"fpath=({SCRIPTS} $fpath); autoload -Uz compinit && compinit -u -D",
    ),
    "fish": (["fish", "--no-config", "-i"], f"source {SCRIPTS}/hesiod-watch.fish"),
}
_CONTROL = re.compile(r"\x1b(?:\[[0-9;?>=]*[A-Za-z]|\][^\x07]*\x07|[()=>].?)|[\x00-\x09\x0b-\x1f]")


class Terminal:
    """A shell in a pseudo-terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.screen = ""

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def wait_for(self, text: str) -> None:
        """Read until the text is on the screen, which is empty after that."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.screen:
            assert time.monotonic() < deadline, f"waited in vain for {text!r}: {self.screen}"
            if select.select([self._descriptor], [], [], 1)[0]:
                data = os.read(self._descriptor, 65536).decode(errors="replace")
                self.screen = _CONTROL.sub("", self.screen + data)
        self.screen = ""


@contextmanager
def terminal(shell: str, site: Site) -> Iterator[Terminal]:
    arguments, load = START[shell]
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(site.root),
        "HESIOD_WATCH_CONFIG": str(site.config),
        "TERM": "dumb" if shell == "bash" else "xterm",
        "LANG": "C.UTF-8",
    }
    pid, descriptor = pty.fork()
    if not pid:
        os.chdir(site.root)
        os.execvpe(arguments[0], arguments, environ)  # noqa: S606 -- a shell is what is tested
    try:
        screen = Terminal(descriptor)
        # The quotes keep the typed line from being taken for its own answer.
        screen.type(f"{load}; echo rea''dy\r")
        screen.wait_for("ready")
        yield screen
    finally:
        os.close(descriptor)  # hangs up
        os.waitpid(pid, 0)


@pytest.mark.parametrize("shell", list(START))
def test_completion_in_a_terminal(shell: str, site: Site) -> None:
    """Commands, options, runs and cells are completed by the tab key, and nothing else is run."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (site.landing / RUN / LIBRARY / CELL).mkdir(parents=True)
    (site.landing / "$(touch here)" / LIBRARY / CELL).mkdir(parents=True)
    with terminal(shell, site) as screen:
        for typed, completed in (
            ("hesiod-watch exp", "hesiod-watch explain"),
            ("hesiod-watch status --att", "hesiod-watch status --attention"),
            ("hesiod-watch explain 2", f"hesiod-watch explain {RUN}"),
            (f"hesiod-watch explain {RUN} l", f"hesiod-watch explain {RUN} {LIBRARY}/{CELL}"),
            ("hesiod-watch perform pro", "hesiod-watch perform process"),
            ("hesiod-watch --config hesiod-wa", "hesiod-watch --config hesiod-watch.yaml"),
        ):
            # After the tab key: to the beginning of the line, to have it printed.
            screen.type(f"{typed}\t\x01echo \\[ \x05 \\]\r")
            screen.wait_for(f"[ {completed} ]")
    assert not (site.root / "here").exists()
