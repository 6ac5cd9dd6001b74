"""The product's own parts in a process of an unprivileged account.

    python service_account.py CONFIG UID GID,GID…

Python itself may be in a directory that only root may enter. So the process first processes a cell
of its own as root, which loads all modules, and then gives up root's rights for good. After that it
reads commands, one JSON list per line, and answers each with one line. `ServiceAccount` starts it.
"""

from __future__ import annotations

import gzip
import importlib
import json
import os
import pkgutil
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import IO, Any

from hesiod_watch import actions, cli
from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.sources import find_outputs
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.config import Config, load
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.model import CellId
from hesiod_watch.fastq.sources import SourceFile
from hesiod_watch.host import process
from hesiod_watch.service.reconcile import Reconciler

HEAD = 1 << 16
RUN, CELL = "20261122_TEST_rehearsal", "20261122_2210_1A_PAW00001_0a1b2c3d"


class ServiceAccount:
    """A client of the process; a context manager."""

    def __init__(
        self,
        config: Path,
        uid: int,
        groups: tuple[int, ...],
        environ: Mapping[str, str],
        log: IO[str],
    ) -> None:
        command = [sys.executable, __file__, str(config), str(uid), ",".join(map(str, groups))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environ,
        )
        self._log = Path(log.name)

    def __enter__(self) -> ServiceAccount:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            self._process.kill()
        self._process.communicate(timeout=30)

    def ask(self, *command: object) -> Any:
        """Send a command; return its answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._log.read_text()  # it has ended, with a traceback
        return json.loads(line)


class _Account:
    """The commands: one method each."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pipelines: dict[str, int] = {}
        self._reconciler = Reconciler(config, on_end=lambda ended: None, repeat=False)

    def adopt(self, run: str) -> None:
        """Take a run up, if it is new, and open its `pipeline/` before anything is exchanged."""
        run_dir = self._config.landing / run
        if not (run_dir / "pipeline").exists():
            owner = process.this_owner("new-run", "inline")
            job = Job("new-run", run_dir, self._config, owner)
            importlib.import_module("hesiod_watch.actions.new_run").perform(job)
        self._pipelines[run] = os.open(run_dir / "pipeline", os.O_RDONLY | os.O_DIRECTORY)

    def looks(self, run: str, count: int, stem: str) -> dict[str, int]:
        """Look at a run again and again, as if each look were the first at the cell `stem`.

        The flags of the cell in the run's own `pipeline/` are counted by kind and removed.
        """
        made: Counter[str] = Counter()
        pipeline = self._pipelines[run]
        for _ in range(count):
            self.look(run)
            for name in os.listdir(pipeline):
                if name.startswith(stem):
                    made[name.removeprefix(f"{stem}.")] += 1
                    os.unlink(name, dir_fd=pipeline)
        return dict(made)

    def look(self, run: str) -> list[str]:
        """Look at a run once, and do what is planned; return the flags in its own `pipeline/`."""
        run_dir = self._config.landing / run
        self._reconciler.forget(run_dir)
        self._reconciler.look(run_dir)
        return sorted(os.listdir(self._pipelines[run]))

    def commands(self, run: str, count: int, commands: list[list[str]]) -> dict[str, int]:
        """Perform each command again and again, and remove the flags that it made.

        Counts the exit codes. `{}` in a command is the run's directory.
        """
        codes: Counter[str] = Counter()
        pipeline = self._pipelines[run]
        before = {*os.listdir(pipeline)}
        run_dir = str(self._config.landing / run)
        for _ in range(count):
            for command in commands:
                words = [word.format(run_dir) for word in command]
                with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                    code = cli.main(["--config", str(self._config.path), *words])
                codes[f"{command[0]} {code}"] += 1
                for name in {*os.listdir(pipeline)} - before:
                    if not (os.stat(name, dir_fd=pipeline).st_mode & stat.S_IFDIR):
                        os.unlink(name, dir_fd=pipeline)
        return dict(codes)

    def sources(self, run: str, cell: str, count: int, forbidden: str) -> dict[str, int]:
        """Find the sources of a cell and read the head of each, again and again.

        Counts the sources that were read, the errors, and the sources with the text `forbidden`.
        """
        found: Counter[str] = Counter()
        owner = process.this_owner("process", "inline")
        for _ in range(count):
            try:
                job = Job(
                    *("process", self._config.landing / run, self._config, owner),
                    CellId(*cell.split("/")),
                )
                for output in find_outputs(job)[0]:
                    for source in output.sources:
                        with SourceFile(source, job.cell_dir) as file:
                            found["read"] += 1
                            found["forbidden"] += forbidden in _text(file.head(HEAD))
            except HesiodError:
                found["errors"] += 1
        return dict(found)


def _text(head: bytes) -> str:
    return (gzip.decompress(head) if head.startswith(b"\x1f\x8b") else head).decode("ascii")


def rehearse() -> None:
    """Load what is loaded late: modules of actions and commands, and the templates of the pages."""
    for package in (actions, cli):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    importlib.import_module("difflib")  # suggests names
    with tempfile.TemporaryDirectory() as root:
        landing, output = Path(root, "landing"), Path(root, "output")
        output.mkdir()
        SimulatedCell(landing, RUN, "library", CELL, files_per_barcode=1, reads_per_file=4).write()
        config = Path(root, "hesiod-watch.yaml")
        work = "executor: inline, processes: 1"
        config.write_text(f"landing: {landing}\noutput: {output}\nprocessing: {{{work}}}\n")
        assert cli.main(["--config", str(config), "poll"]) == 0


def give_up_rights(uid: int, groups: list[int]) -> None:
    os.setgroups(groups)
    os.setresgid(groups[0], groups[0], groups[0])
    os.setresuid(uid, uid, uid)


def main(config: str, uid: str, groups: str) -> None:
    rehearse()
    values = load(Path(config), environ=os.environ, cwd=Path("/"))
    give_up_rights(int(uid), [int(group) for group in groups.split(",")])
    account = _Account(values)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        method: Callable[..., object] = getattr(account, name)
        sys.stdout.write(json.dumps(method(*arguments)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
