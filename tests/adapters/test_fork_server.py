"""Fork server: workers that it forks, and kills of it, of a worker and of the asking process."""

from __future__ import annotations

import fcntl
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sites import eventually

import hesiod_watch
from hesiod_watch.host.child import own_command
from hesiod_watch.host.fork_server import ForkServer

MODULE = "cli.fork_server"
VERSION = ("--version",)


class Starter:
    """A fork server of this test, and the ends of its workers."""

    def __init__(self, root: Path) -> None:
        self.mark = str(root / "site.yaml")
        self.log = root / "pipeline.log"
        self.long = ("simulate", "--speed", "0.0001", str(root / "landing"))
        self.server = ForkServer(MODULE, ("--config", self.mark))
        self.ended: queue.Queue[tuple[int, int]] = queue.Queue()

    def start(self, *arguments: str, inherit: tuple[int, ...] = ()) -> int:
        return self.server.start(
            arguments,
            log=self.log,
            inherit=inherit,
            on_exit=lambda pid, code: self.ended.put((pid, code)),
        )

    def start_long(self, inherit: tuple[int, ...] = ()) -> int:
        """Start a worker that runs until a signal ends it."""
        return self.start(*self.long, inherit=inherit)

    def end(self) -> tuple[int, int]:
        return self.ended.get(timeout=60)

    def servers(self) -> list[int]:
        """Fork servers of this test that live."""
        return [
            pid
            for pid, words in processes().items()
            if {f"hesiod_watch.{MODULE}", self.mark} <= set(words)
        ]

    def the_server(self) -> int:
        (pid,) = self.servers()
        return pid

    def kill(self, *pids: int) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(map(is_alive, pids)), "they are killed")


def processes() -> dict[int, list[str]]:
    """Command lines of all processes that live."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                found[int(entry.name)] = words_of(int(entry.name))
    return found


def words_of(pid: int) -> list[str]:
    text = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
    return [os.fsdecode(word) for word in text.split(b"\0")]


def fields_of(pid: int) -> list[str]:
    """Fields of a process in /proc, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def is_alive(pid: int) -> bool:
    try:
        return fields_of(pid)[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    made = Starter(tmp_path)
    yield made
    made.server.close()
    eventually(lambda: not made.servers(), "the fork server ends with its socket")


def test_a_worker_is_a_process_of_its_own(starter: Starter) -> None:
    """A worker has its own pid, session and command line, and is a child of the asking process."""
    pid = starter.start_long()
    _, parent, group, session = fields_of(pid)[:4]
    assert (int(parent), int(group), int(session)) == (os.getpid(), pid, pid)
    assert words_of(pid) == list(own_command(*starter.long))
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    for descriptor in (1, 2):
        assert Path(f"/proc/{pid}/fd/{descriptor}").readlink() == starter.log
        assert Path(f"/proc/{starter.the_server()}/fd/{descriptor}").readlink() != starter.log
    os.kill(pid, signal.SIGTERM)
    assert starter.end() == (pid, -signal.SIGTERM)


def test_workers_are_forks_of_one_server(starter: Starter) -> None:
    """Workers share a fork server, which has one thread and keeps no worker as a zombie."""
    pids = {starter.start(*VERSION) for _ in range(5)}
    server = starter.the_server()
    assert {starter.end() for _ in pids} == {(pid, 0) for pid in pids}
    assert starter.the_server() == server
    assert len(list(Path(f"/proc/{server}/task").iterdir())) == 1
    assert starter.log.read_text() == f"hesiod-watch {hesiod_watch.__version__}\n" * 5
    assert not any(pid in processes() for pid in pids)


def test_long_and_odd_arguments(starter: Starter) -> None:
    """Any name reaches the worker unchanged, also one that is too long for its command line."""
    odd = os.fsdecode(b"caf\xe9 '\n$(x)")
    assert starter.start("--config", f"/nonexistent/{odd}/{'x' * 40_000}", "status") > 0
    assert starter.end()[1] == 2
    assert "xxx" in starter.log.read_text()
    assert starter.start(*VERSION) > 0
    assert starter.end()[1] == 0


def test_signal_of_a_worker_is_reported(starter: Starter) -> None:
    """The end of a worker by a signal is reported as such, and the fork server lives on."""
    pid = starter.start_long()
    server = starter.the_server()
    os.kill(pid, signal.SIGKILL)
    assert starter.end() == (pid, -signal.SIGKILL)
    assert starter.servers() == [server]


def test_worker_survives_its_server(starter: Starter) -> None:
    """A worker whose fork server is killed continues, and its exit code is still reported."""
    pid = starter.start_long()
    starter.kill(starter.the_server())
    assert is_alive(pid)
    other = starter.start(*VERSION)
    assert starter.end() == (other, 0)
    os.kill(pid, signal.SIGTERM)
    assert starter.end() == (pid, -signal.SIGTERM)


def test_worker_and_server_are_killed(starter: Starter) -> None:
    """The end of a worker that is killed with its fork server is reported with its signal."""
    pid = starter.start_long()
    starter.kill(starter.the_server(), pid)
    assert starter.end() == (pid, -signal.SIGKILL)
    assert starter.start(*VERSION) > 0
    assert starter.end()[1] == 0


def in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_server_is_killed_during_a_start(starter: Starter) -> None:
    """A start that the fork server does not answer is done by another one, and only once."""
    starter.start(*VERSION)
    starter.end()
    server = starter.the_server()
    os.kill(server, signal.SIGSTOP)
    starting = in_thread(lambda: starter.start(*VERSION))
    assert starting.is_alive()
    starter.kill(server)
    starting.join(60)
    assert starter.end()[1] == 0
    assert starter.log.read_text() == f"hesiod-watch {hesiod_watch.__version__}\n" * 2
    assert starter.ended.empty()


ASKS_AND_DIES = """
import os, signal, sys
from pathlib import Path
from hesiod_watch.host.fork_server import ForkServer
server = ForkServer(sys.argv[1], ("--config", sys.argv[2]))
log = Path(sys.argv[3])
print(server.start(sys.argv[4:], log=log, inherit=(), on_exit=print), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_worker_survives_the_asking_process(starter: Starter) -> None:
    """When the asking process is killed, the fork server ends and the worker continues."""
    arguments = (MODULE, starter.mark, str(starter.log), *starter.long)
    command = (sys.executable, "-c", ASKS_AND_DIES, *arguments)
    pid = int(subprocess.run(command, capture_output=True, check=False, timeout=60).stdout)
    eventually(lambda: not starter.servers(), "the fork server ends")
    assert is_alive(pid)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not is_alive(pid), "the worker ends")


ASKS_AND_LEAVES = """
import json, os, signal, socket, subprocess, sys
from hesiod_watch.host.child import own_module
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
command = (*own_module(sys.argv[1]), "--config", sys.argv[2], str(theirs.fileno()), " ")
subprocess.Popen(command, pass_fds=(theirs.fileno(),), cwd="/", start_new_session=True)
channel, other = socket.socketpair()
log = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT)
socket.send_fds(ours, [json.dumps(["--version"]).encode()], [other.fileno(), log])
other.close()
print(channel.recv(32).decode(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_worker_that_nothing_waits_for_does_nothing(starter: Starter) -> None:
    """A worker whose asking process is killed before it answers ends without having begun."""
    arguments = (MODULE, starter.mark, str(starter.log))
    command = (sys.executable, "-c", ASKS_AND_LEAVES, *arguments)
    pid = int(subprocess.run(command, capture_output=True, check=False, timeout=60).stdout)
    eventually(lambda: not is_alive(pid) and not starter.servers(), "both have ended")
    assert starter.log.read_text() == ""


def test_worker_alone_holds_its_descriptors(starter: Starter, tmp_path: Path) -> None:
    """A lock is held until the worker ends; neither the fork server nor a later fork has it."""
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    pid = starter.start_long(inherit=(lock,))
    os.close(lock)
    other = os.open(tmp_path / "lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    starter.start(*VERSION)
    starter.end()
    os.kill(pid, signal.SIGKILL)
    starter.end()
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    assert starter.servers()


def test_upgrade_starts_another_server(
    starter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade of the program on disk, the next worker comes from a new fork server."""
    code = tmp_path / "__init__.py"
    code.touch()
    monkeypatch.setattr(hesiod_watch, "__file__", str(code))
    servers = []
    for _ in range(3):
        starter.start(*VERSION)
        starter.end()
        eventually(lambda: len(starter.servers()) == 1, "the old fork server has ended")
        servers += starter.servers()
        if len(servers) == 2:
            (tmp_path / "new").touch()
            (tmp_path / "new").replace(code)
    assert servers[0] == servers[1] != servers[2]


def test_templates_are_compiled_before_the_first_fork() -> None:
    """The fork server has compiled every template of the pages, so that no worker does."""
    code = (
        "from hesiod_watch.cli.fork_server import load_work; load_work();"
        " from jinja2 import Environment; compiled = []; compile = Environment.compile;"
        " Environment.compile = lambda *given: compiled.append(1) or compile(*given);"
        " from hesiod_watch.report.page import compile_templates; compile_templates();"
        " print(len(compiled))"
    )
    command = (sys.executable, "-c", code)
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert done.stdout == b"0\n"


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("", "said\n"),
        (
            "import threading; main = threading.main_thread();"
            " threading.Thread(target=lambda: (main.join(), print('thread'))).start()",
            "said\nthread\ntaken apart\n",
        ),
    ],
    ids=["alone", "with a thread"],
)
def test_worker_ends_without_clearing_its_memory(before: str, said: str) -> None:
    """The end of a worker keeps its output and exit code, and waits for its threads if it has any.

    Without threads the interpreter is not taken apart: no function runs that is registered for it.
    """
    code = (
        "import atexit; from hesiod_watch.cli import leave;"
        f" atexit.register(print, 'taken apart')\n{before}\nprint('said')\nleave(3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, said, "")
