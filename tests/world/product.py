"""The program as the world uses it: each poll and each command is a process of its own.

A process is forked, so it costs milliseconds. It may be killed or stopped at any change that it
makes on the disk, and the world continues without it.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import logging
import os
import pickle
import pkgutil
import signal
import threading
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hesiod_watch import actions
from hesiod_watch.cli import main
from hesiod_watch.config import Config
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.host import process
from hesiod_watch.report.page import compile_templates
from hesiod_watch.service import executors
from hesiod_watch.service.engine import LOOKS_IN_POLL, Engine
from hesiod_watch.service.poll import work_through
from tests.world.durability import DiskRecord
from tests.world.repeatable import find_modules

MUTATING = (
    *("unlink", "rename", "replace", "link", "symlink", "mkdir", "rmdir", "truncate", "ftruncate"),
    *("write", "fsync", "fdatasync", "utime", "chmod"),
)
"""Functions of `os` that count as a change of the disk."""
COMMANDS = ("decide", "perform", "show", "status_command", "strip", "take_up")
LATE = (
    *(f"hesiod_watch.cli.{each}" for each in COMMANDS),
    *("hesiod_watch.host.log", "encodings.utf_8_sig"),
)
"""Modules that the program loads when it needs them."""
CREATING = os.O_CREAT | os.O_TRUNC
CPU_TIME = 20.0
"""Seconds of CPU time after which a process is ended: it works without end."""


@dataclass(frozen=True)
class Answer:
    """What a process of the program has said."""

    code: int = 0
    out: str = ""
    err: str = ""
    problems: tuple[str, ...] = ()
    bug: str = ""  # traceback of an error that the program has not handled


@dataclass(frozen=True)
class Interruption:
    """What happens to a process at its nth change of the disk: a signal, or errors of the disk."""

    change: int
    signal: signal.Signals | None = None
    error: int = 0
    times: int = 1  # how many changes in a row fail


@dataclass(frozen=True)
class Host:
    """A host: its configuration, its locks, and the files by which the program knows it."""

    place: Path

    def __post_init__(self) -> None:
        self.locks.mkdir(parents=True)
        (self.place / "adapters" / "eth0" / "device").mkdir(parents=True)
        (self.place / "adapters" / "eth0" / "addr_assign_type").write_text("0\n")
        digest = hashlib.sha256(self.place.name.encode()).hexdigest()
        (self.place / "adapters" / "eth0" / "address").write_text(f"02:00:00:00:00:{digest[:2]}\n")
        (self.place / "machine-id").write_text(f"{digest[:32]}\n")
        (self.place / "boot-id").write_text(f"{uuid.UUID(digest[:32])}\n")

    @property
    def config(self) -> Path:
        return self.place / "hesiod-watch.yaml"

    @property
    def locks(self) -> Path:
        return self.place / "locks"

    def pose(self) -> None:
        """Have this process run on this host, as far as the program can tell."""
        process.__dict__["MACHINE_ID_FILES"] = (self.place / "machine-id",)
        process.__dict__["BOOT_ID_FILE"] = self.place / "boot-id"
        process.__dict__["ADAPTERS"] = self.place / "adapters"
        here = os.uname()
        posed = os.uname_result((here.sysname, self.place.name, *here[2:]))
        os.uname = lambda: posed


@dataclass
class Processes:
    """Processes of the program; those that were stopped can be continued."""

    # pid, and where it writes its answer
    stopped: list[tuple[int, int]] = field(default_factory=list)
    begun: int = 0
    disk: DiskRecord = field(default_factory=DiskRecord)

    def run(
        self, work: Callable[[], Answer], interruption: Interruption | None = None
    ) -> Answer | None:
        """Run work in a process of its own; None if it was killed or stopped."""
        self.begun += 1
        said = os.memfd_create("answer")
        with warnings.catch_warnings():
            # Python 3.12 warns where threads exist; the child uses nothing that they hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            _child(work, interruption, said, self.disk)
        return self._wait(pid, said)

    def _wait(self, pid: int, said: int) -> Answer | None:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            self.stopped.append((pid, said))
            return None
        with open(said, "rb") as answered:
            answered.seek(0)
            content = answered.read()
        if os.WIFSIGNALED(status):
            endless = os.WTERMSIG(status) == signal.SIGPROF
            return Answer(bug=f"it works without end: {CPU_TIME:.0f} s") if endless else None
        answer = pickle.loads(content)  # noqa: S301  our own process wrote it
        assert isinstance(answer, Answer)
        return answer

    def go_on(self) -> Answer | None:
        """Continue the process that was stopped first, and wait for its end."""
        if not self.stopped:
            return None
        pid, said = self.stopped.pop(0)
        os.kill(pid, signal.SIGCONT)
        return self._wait(pid, said)

    def close(self) -> None:
        """End the processes that are stopped."""
        for pid, said in self.stopped:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(said)
        self.stopped.clear()
        self.disk.close()


def _child(
    work: Callable[[], Answer], interruption: Interruption | None, said: int, disk: DiskRecord
) -> None:
    """Work, write down the answer, and end this process."""
    gc.disable()  # it would write into memory that is shared with the parent
    logging.disable(logging.CRITICAL)  # a bug is recorded in flags, too
    signal.setitimer(signal.ITIMER_PROF, CPU_TIME)
    try:
        with disk.recording(), _interrupting(interruption):
            answer = work()
    except BaseException:  # noqa: BLE001  whatever it is, the world reports it
        answer = Answer(bug=traceback.format_exc())
    with open(said, "wb") as answered:
        answered.write(pickle.dumps(answer))
    os._exit(0)


@contextmanager
def _interrupting(interruption: Interruption | None) -> Iterator[None]:
    """Send this process a signal before its nth change of the disk, or have the change fail."""
    if interruption is None:
        yield
        return
    me, count, lock = os.getpid(), [0], threading.Lock()

    def before() -> None:
        with lock:
            count[0] += 1
            late = count[0] - interruption.change
        if os.getpid() != me:
            return
        if interruption.signal and late == 0:
            os.kill(me, interruption.signal)
        if interruption.error and 0 <= late < interruption.times:
            raise OSError(interruption.error, os.strerror(interruption.error))

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            before()
            return call(*arguments, **named)

        return wrapper

    real_open = os.open

    def opening(path: Any, how: int, *arguments: Any, **named: Any) -> int:
        if how & CREATING:
            before()
        return real_open(path, how, *arguments, **named)

    real = {name: getattr(os, name) for name in MUTATING}
    for name, call in real.items():
        setattr(os, name, wrapped(call))
    os.open = opening  # type: ignore[assignment]  # with the same effect
    try:
        yield
    finally:
        os.open = real_open
        for name, call in real.items():
            setattr(os, name, call)


# What the processes do.


def poll(config: Config) -> Answer:
    """Look at every run, as `hesiod-watch poll` does, without the page of the site."""
    engine = Engine(config, repeat=False)
    stop = threading.Event()
    if problem := engine.landing_problem() or engine.output_problem():
        return Answer(75, problems=(problem,))
    looked: list[object] = []
    try:
        engine.load_settled_runs()
        engine.queue_runs(LOOKS_IN_POLL)
        if config.upstreams:
            engine.ask_upstreams()
        work_through(engine, looked.append, stop)
        engine.report_site(judged=True)
        work_through(engine, looked.append, stop)
    except TemporaryError as error:
        return Answer(75, problems=(str(error),))
    engine.settled_runs.save()
    engine.first_looks.save()
    return Answer(problems=tuple(map(str, engine.problems())))


def command(*arguments: str) -> Answer:
    """A command of the program, such as `status --json`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(arguments))
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 2
    return Answer(code, out.getvalue(), err.getvalue())


@cache
def load() -> None:
    """Load all code before the first fork, and what each process would find out anew."""
    for package in (actions, executors):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            __import__(module.name)
    for name in LATE:
        __import__(name)
    compile_templates()
    find_modules()
    gc.freeze()  # a process that is forked next copies less memory
