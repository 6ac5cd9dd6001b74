"""The world: one real tree, the program that works on it, and what sequencers have written.

The steps are functions of a world and a number, which they use for all of their choices. Every step
is possible at any time; one without an object does nothing. So a schedule stays a schedule when
some of its steps are removed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from hesiod_watch.cli.common import look_at
from hesiod_watch.config import parse
from hesiod_watch.core.times import time_of
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.rules.backup_schedule import run_digest
from tests.world import product
from tests.world.commands import Slowness, start_fast
from tests.world.product import Answer, Host, Interruption, Processes
from tests.world.repeatable import make_repeatable
from tests.world.rights import give_up_rights
from tests.world.sequencer import SequencedCell
from tests.world.tracker import Tracker

BIN = Path(__file__).parents[2] / "bin"
TIME = re.compile(r'(["\t])(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^"\t]*)(?=["\t])')
HERE, ELSEWHERE = 0, 1
"""Numbers of the two hosts."""


class World:
    """One facility in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.landing, self.output = root / "landing", root / "output"
        for name in ("landing", "output", "tmp", "outside", "hosts"):
            (root / name).mkdir()
        self.bin = root / "hosts" / "bin"
        self.bin.mkdir()
        (root / "outside" / "precious").write_text("not ours\n")
        self.hosts = [Host(root / "hosts" / name) for name in ("here", "elsewhere")]
        self.sequencer = root / "sequencer"
        self.tracker = Tracker(root / "tracker")
        self.backup: Path | None = None
        self.backup_is_whole = True
        self.away: list[Path] = []  # directories whose file system is not mounted
        self.renamed: dict[Path, Path] = {}  # runs on the sequencer, with their present places
        self.slowness: Slowness | None = None  # of the commands on the sequencer
        self.denied: dict[Path, int] = {}  # places without permission, with their modes
        self.more = ""  # lines of the configuration
        self.configure()
        self.cells: list[SequencedCell] = []
        self.old: list[SequencedCell] = []  # cells of old runs, which are left alone
        self.processes = Processes()
        self.rested = True  # no file has changed within the last minute
        self.decided: set[str] = set()  # names of cells about which a person has decided
        self.damaged: set[str] = set()  # data files that a fault has changed or removed
        self.seen: Counter[str] = Counter()
        self.problems: tuple[str, ...] = ()  # that the last poll has printed
        self.said: list[str] = []  # commands of offered steps, with what they printed

    def configure(self) -> None:
        """Write the configuration of both hosts."""
        for host in self.hosts:
            host.config.write_text(
                f"landing: {self.landing}\noutput: {self.output}\nlocks: {host.locks}\n"
                "processing: {executor: inline, nice: 0, workers: 2, processes: 1, grace: 0s,"
                f" quiet: 0s}}\n{self.more}"
            )

    def close(self) -> None:
        self.processes.close()
        if self.backup:
            for place in (self.backup, self.backup.with_name(f"{self.backup.name}.away")):
                shutil.rmtree(place, ignore_errors=True)

    # The program.

    def perform(
        self,
        work: Callable[[], Answer],
        interruption: Interruption | None = None,
        host: int = HERE,
    ) -> Answer | None:
        """Let the program work in a process of its own, with the waiting times of this moment."""
        minute = 0.0 if self.rested else 60.0

        def in_child() -> Answer:
            os.environ["PATH"] = f"{self.bin}:{os.environ['PATH']}"
            name = f"process {self.processes.begun}"
            make_repeatable(self.root / "tmp", name, minute, self._is_hindered)
            self.tracker.pose()
            start_fast(self.slowness)
            if host != HERE:
                self.hosts[host].pose()
            give_up_rights()
            return work()

        return self.processes.run(in_child, interruption)

    def _is_hindered(self) -> bool:
        """Whether another process was stopped when this one began, or a file system is away."""
        return bool(self.processes.stopped) or any(self.root.glob("*.away"))

    def poll(self, interruption: Interruption | None = None, host: int = HERE) -> Answer | None:
        path = self.hosts[host].config
        work = partial(product.poll, parse(path.read_text(), path))
        answer = self.perform(work, interruption, host)
        self.problems = answer.problems if answer else ()
        return answer

    def command(self, *arguments: str) -> Answer | None:
        config = str(self.hosts[HERE].config)
        return self.perform(partial(product.command, "--config", config, *arguments))

    def read(self, *commands: str) -> list[Any]:
        """Documents that commands print, which only read; all in one process."""
        start = ("--config", str(self.hosts[HERE].config))

        def work() -> Answer:
            said = [product.command(*start, *each.split()) for each in commands]
            return Answer(out=json.dumps([json.loads(each.out) for each in said]))

        answer = self.perform(work)
        assert answer
        assert not answer.bug, answer.bug
        documents: list[Any] = json.loads(answer.out)
        return documents

    def shell(self, text: str) -> Answer | None:
        """A command that the program has offered: its own, or one of the shell."""
        text = text.replace("…", "'the machine decides'")
        words = shlex.split(text)
        if words[0] == "hesiod-watch" and "&&" not in words:
            return self.command(*words[1:])
        program = f"{sys.executable} -m hesiod_watch --config {self.hosts[HERE].config}"
        text = re.sub(r"\bhesiod-watch (?=retry|verify|perform|abort|release)", f"{program} ", text)
        done = subprocess.run(
            ["bash", "-c", text],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
            timeout=120,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def checked(self, answer: Answer | None) -> None:
        """Check that the program has met no error that it does not handle."""
        if answer is None:
            return
        said = "\n".join((answer.bug, *answer.problems, answer.out, answer.err))
        if answer.bug or "a bug in hesiod-watch" in said:
            raise AssertionError(f"an error that the program does not handle:\n{said}")

    # What is here.

    def pipeline(self, cell: SequencedCell) -> Path:
        return self.landing / cell.run / "pipeline"

    def results(self, cell: SequencedCell) -> Path:
        """Directory of the results of a finished cell; run or library may have been renamed."""
        record = json.loads(self.flag(cell, "done").read_text())
        return (self.pipeline(cell) / "output").resolve() / str(record["cell"])

    def flag(self, cell: SequencedCell, name: str) -> Path:
        return self.pipeline(cell) / f"{cell.name}.{name}"

    def flags(self) -> dict[str, bytes]:
        """Every visible flag of every run, with its content."""
        return {
            str(path.relative_to(self.landing)): path.read_bytes()
            for path in self.landing.glob("*/pipeline/*")
            if not path.name.startswith(".") and path.is_file()
        }

    def some(self, number: int) -> SequencedCell | None:
        return self.cells[number % len(self.cells)] if self.cells else None

    def pass_time(self, by: timedelta) -> None:
        """Let time pass: everything that flags say, and their own times, become older."""
        self.rested = True
        covered = self._backed_up_runs()
        self.processes.disk.play()
        for host in self.hosts:
            for path in host.locks.glob("**/outage-*"):
                path.unlink()
        marks = self.sequencer.glob("cells_processed.txt")
        for path in (*self.landing.glob("*/pipeline/**/*"), *marks):
            if not path.is_file() or path.is_symlink():
                continue
            status = path.stat()
            text = path.read_text(errors="surrogateescape")

            def older(found: re.Match[str]) -> str:
                then = time_of(found[2])
                return f"{found[1]}{then - by:%FT%T}{found[2][19:]}" if then else found[0]

            if (aged := TIME.sub(older, text)) != text:
                path.write_text(aged, errors="surrogateescape")
            times = (status.st_atime - by.total_seconds(), status.st_mtime - by.total_seconds())
            os.utime(path, times)
            self.processes.disk.aged(status, path.stat())
        for flag, before in covered.items():
            status = flag.stat()
            flag.write_text(flag.read_text().replace(before, self._digest(flag.parent.parent)))
            os.utime(flag, (status.st_atime, status.st_mtime))

    def _backed_up_runs(self) -> dict[Path, str]:
        """Flags of runs whose own files are backed up as they are now, with the recorded digest.

        The digest contains times of flags. It changes when these become older, so it is made again:
        nobody would copy all these files again because time has passed.
        """
        if not self.backup:
            return {}
        flags = self.landing.glob("*/pipeline/backup.done")
        digests = {flag: self._digest(flag.parent.parent) for flag in flags}
        return {flag: digest for flag, digest in digests.items() if digest in flag.read_text()}

    def _digest(self, run: Path) -> str:
        path = self.hosts[HERE].config
        config = parse(path.read_text(), path)
        return run_digest(look_at(config, OpenDirectory(run, config.landing)))
