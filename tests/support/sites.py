"""A separate site for a test: landing area, output, configuration and the real commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DEADLINE = 60.0
"""Seconds that a test waits at most; an idle machine needs less than one."""


def eventually(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Wait until a condition is true; fail with its description `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.005
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for: {what}"
        threading.Event().wait(pause)  # between two checks
        pause = min(pause * 1.5, 0.2)


class Site:
    """One installation of hesiod-watch in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.landing = root / "landing"
        self.output = root / "output"
        self.config = root / "hesiod-watch.yaml"
        self.log = root / "service.log"
        self.environ = {**os.environ, "TMPDIR": str(root / "tmp"), "COLUMNS": "200"}
        for directory in (self.landing, self.output, root / "tmp"):
            directory.mkdir()
        self.configure()

    def configure(
        self, watch: str = "sweep_interval: 1s", processing: str = "workers: 2", more: str = ""
    ) -> None:
        self.config.write_text(
            f"landing: {self.landing}\noutput: {self.output}\n"
            f"watch: {{{watch}}}\nprocessing: {{{processing}}}\n{more}"
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "hesiod_watch", "--config", str(self.config), *arguments]

    def run(
        self, *arguments: str, check: int | None = 0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `check` is the exit code it must have (None: any)."""
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            env=self.environ,
            timeout=120,
            check=False,
            **options,
        )
        assert check is None or done.returncode == check, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def status(self) -> dict[str, Any]:
        """Output of `status --json`, by the name of the run."""
        return {run["run"]: run for run in json.loads(self.run("status", "--json").stdout)["runs"]}

    def stages(self) -> dict[str, str]:
        """Stage of every cell, by `run/library/cell`."""
        return {
            f"{name}/{cell}": entry["stage"]
            for name, run in self.status().items()
            for cell, entry in run["cells"].items()
        }

    def start_service(self) -> subprocess.Popen[bytes]:
        log = self.log.open("ab")
        with log:
            return subprocess.Popen(self.command("watch"), stdout=log, stderr=log, env=self.environ)

    @contextmanager
    def service(self) -> Iterator[subprocess.Popen[bytes]]:
        """A ready service inside the block; SIGTERM after the block must end it cleanly."""
        before = self.logged("INFO ready")
        service = self.start_service()
        try:
            eventually(
                lambda: self.logged("INFO ready") > before or service.poll() is not None,
                "the service is ready",
            )
            assert service.poll() is None, self.log.read_text()
            yield service
        finally:
            if service.poll() is None:
                service.send_signal(signal.SIGTERM)
                assert service.wait(30) == 0, self.log.read_text()

    def logged(self, sentence: str) -> int:
        """Number of occurrences of a sentence in the service's log."""
        return self.log.read_text().count(sentence) if self.log.exists() else 0

    def flags(self, run: str) -> set[str]:
        """Names of the flags of a run."""
        pipeline = self.landing / run / "pipeline"
        return (
            {name for name in os.listdir(pipeline) if not name.startswith(".")}
            if pipeline.is_dir()
            else set()
        )

    def eventually(
        self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE
    ) -> None:
        try:
            eventually(condition, what, seconds)
        except AssertionError as error:
            logs = [self.log, *sorted(self.output.glob("*/pipeline.log"))]
            texts = "\n".join(
                f"== {log}\n{log.read_text()[-3000:]}" for log in logs if log.exists()
            )
            raise AssertionError(f"{error}\n{texts}") from None
