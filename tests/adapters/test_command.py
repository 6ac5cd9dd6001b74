"""Commands for upstreams: end in time, leave nothing behind, quoted for each shell."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sites import eventually

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.host import command as running
from hesiod_watch.host.command import run
from hesiod_watch.remote import ssh

SECONDS = 60.0


def shell(script: str, *arguments: str) -> tuple[str, ...]:
    return ("sh", "-c", script, "sh", *arguments)


def test_end_is_reported() -> None:
    """Exit code, output and errors of a command are returned separately."""
    ended = run(shell("echo out; echo err >&2; exit 7"), quiet=SECONDS)
    assert (ended.code, ended.output, ended.errors, ended.why) == (7, b"out\n", "err\n", "")


@pytest.mark.parametrize("number", [9, 15])
def test_signal_is_reported(number: int) -> None:
    """The exit code of a command that a signal ended is the negative signal number."""
    assert run(shell(f"kill -{number} $$"), quiet=SECONDS).code == -number


def test_input_is_given() -> None:
    """Standard input has the given bytes, of any size, and then ends."""
    data = bytes(range(256)) * 10_000
    assert run(("cat",), quiet=SECONDS, given=data).output == data
    assert run(("cat",), quiet=SECONDS).output == b""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_no_room_for_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full temporary directory is a temporary error, and no descriptor stays open."""
    monkeypatch.setattr(tempfile, "tempdir", "/proc/self/fd")  # where nothing can be made
    before = descriptors()
    for _ in range(20):
        with pytest.raises(TemporaryError, match="cat cannot be started"):
            run(("cat",), quiet=SECONDS, given=b"x")
    assert descriptors() == before


def test_many_descriptors_are_open() -> None:
    """A process with more open files than select() supports can run commands."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    descriptors_in_use = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        assert run(("cat",), quiet=SECONDS, given=b"x").output == b"x"
    finally:
        for descriptor in descriptors_in_use:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_arguments_are_words() -> None:
    """No shell reads the arguments, and they arrive unchanged."""
    words = ["", " ", "-n", "$(id)", "`id`", "new\nline", "ü", "*", "None", "False", "a=b"]
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    assert json.loads(run((sys.executable, "-c", code, *words), quiet=SECONDS).output) == words


@pytest.mark.parametrize(
    ("command", "code"),
    [(("no-such-program-here",), 127), (("/dev/null",), 127), (("echo", "\udcff"), 126)],
    ids=["missing", "not a program", "argument not UTF-8"],
)
def test_commands_that_cannot_be_run(command: tuple[str, ...], code: int) -> None:
    """A missing program, or an argument that cannot be passed, gives an exit code and a reason."""
    ended = run(command, quiet=SECONDS)
    assert ended.code == code
    assert command[0] in ended.errors


def test_output_in_pieces() -> None:
    """Output is passed on as it arrives, before the command ends."""
    came = threading.Event()
    pieces = []

    def on_output(data: bytes) -> None:
        pieces.append(data)
        came.set()

    ended = run(
        shell("printf 50%%\\\\r; read -r line || exit 3"), quiet=SECONDS, on_output=on_output
    )
    assert came.is_set()
    assert b"".join(pieces) == b"50%\r"
    assert (ended.output, ended.code) == (b"", 3)


def test_works_in_an_open_directory(tmp_path: Path) -> None:
    """A command works in the open directory, even if another one has its name now."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    descriptor = os.open(tmp_path / "a", os.O_RDONLY)
    try:
        (tmp_path / "a").rename(tmp_path / "was-a")
        (tmp_path / "a").symlink_to("b")
        assert run(("touch", "here"), quiet=SECONDS, directory=descriptor).code == 0
    finally:
        os.close(descriptor)
    assert (tmp_path / "was-a" / "here").exists()


def ended_process(pid: int) -> bool:
    return not alive(pid)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


FAMILY = "trap '' TERM HUP; sleep 1000 & echo $! $$ >\"$1\"; while :; do sleep 1000; done"


@pytest.mark.parametrize("how", ["quiet", "stop"])
def test_ended_with_its_children(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent or stopped command ends with all its children, even if they ignore signals."""
    monkeypatch.setattr(running, "TERM_GRACE", 0.3)
    pids = tmp_path / "pids"
    stop = pids.exists if how == "stop" else lambda: False
    ended = run(shell(FAMILY, str(pids)), quiet=1.0 if how == "quiet" else SECONDS, stop=stop)
    assert ended.code == -9
    assert ended.why == ("stopped" if how == "stop" else "nothing came for 1 s")
    for pid in map(int, pids.read_text().split()):
        eventually(partial(ended_process, pid), f"{pid} has ended")


def test_terminated_before_it_is_killed() -> None:
    """A stopped command may clean up first."""
    began = threading.Event()
    ended = run(
        shell("trap 'echo saved; exit 20' TERM; echo began; while :; do sleep 0.05; done"),
        quiet=SECONDS,
        stop=began.is_set,
        on_output=lambda data: began.set(),
    )
    assert (ended.code, ended.why) == (20, "stopped")


def test_output_is_not_silence() -> None:
    """A command that keeps writing may run longer than the maximum silence."""
    assert run(shell("for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.4; done"), quiet=3).why == ""


def test_unlimited_output_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that writes without end is ended."""
    monkeypatch.setattr(running, "LARGEST", 1 << 20)
    assert run(("yes",), quiet=SECONDS).why == "it wrote more than can be true"


def test_background_processes_are_not_waited_for() -> None:
    """A background process that keeps the output open is not waited for."""
    began = time.monotonic()
    ended = run(shell("setsid sleep 30 & echo $!"), quiet=SECONDS)
    subprocess.run(["kill", ended.output.strip()], check=True)
    assert time.monotonic() - began < 25
    assert ended.code == 0


WORKER = """
import sys, threading
from hesiod_watch.host.command import run
work = threading.Thread(target=run, args=(sys.argv[1:],), kwargs={"quiet": 1000.0})
work.start()
work.join()
"""


@pytest.mark.skipif(
    not running._end_with_us(), reason="setpriv of this host cannot ask for the death signal"
)
def test_ends_with_its_worker(tmp_path: Path) -> None:
    """A command ends at once when its worker is killed, even if it reads and writes nothing."""
    pids = tmp_path / "pids"
    command = shell('echo $$ $PPID >"$1.new"; mv "$1.new" "$1"; exec sleep 1000', str(pids))
    worker = subprocess.Popen([sys.executable, "-c", WORKER, *command])
    eventually(pids.exists, "the command runs")
    pid, parent = map(int, pids.read_text().split())
    assert parent == worker.pid
    worker.kill()
    worker.wait()
    eventually(lambda: not alive(pid), "the command has ended")


# Commands that another program splits into words.

WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    ["", " ", "'", '"', "''", "a b", "it's", '"x y"', "$(id)", "-o", "a\\ b", "% %%"]
)


@given(st.lists(WORD, max_size=5))
def test_words_for_a_remote_shell(words: list[str]) -> None:
    """Words that are quoted for a remote shell arrive unchanged."""
    upstream = UpstreamSettings("x", "host:/data")
    *_, separator, host, command = ssh.remote(upstream, ("printf", "%s\\0", *words), None)
    assert (separator, host) == ("--", "host")
    assert shlex.split(command)[2:] == words
    printed = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
    assert printed == "".join(f"{word}\0" for word in words or [""]).encode()


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
def test_words_for_rsync(tmp_path: Path) -> None:
    """rsync splits the value of --rsh into the original words, also with blanks and quotes."""
    words_file = str(tmp_path / "words")
    (tmp_path / "ssh").write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"open({words_file!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
    )
    (tmp_path / "ssh").chmod(0o755)
    words = ("-i", "/a b/it's", "-o", 'User="x y"', "", " ", "''", '"', "a'b\"c d", "$(id)", "\\ ")
    upstream = UpstreamSettings("x", "host:/data", ssh_options=words)
    control = tmp_path / "with 100% blank"
    subprocess.run(
        ["rsync", f"--rsh={ssh.rsh(upstream, control)}", "host:/data/", str(tmp_path / "copy")],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
    )
    got = json.loads((tmp_path / "words").read_text())
    assert tuple(got[: len(ssh.options(upstream, control))]) == ssh.options(upstream, control)
    assert got[len(ssh.options(upstream, control))] == "host"


def test_options_come_before_the_host() -> None:
    """ssh never takes a configured host for an option, and it cannot ask a question."""
    command = ssh.remote(
        UpstreamSettings("x", "u@[::1]:/data", ssh_options=("-v",)), ("true",), None
    )
    assert command[:3] == ("ssh", "-o", "BatchMode=yes")
    assert command[-3:] == ("--", "u@::1", "true")


@pytest.mark.parametrize(("timeout", "longest"), [(1.0, 4), (4.0, 4), (60.0, 60)])
def test_frozen_host_is_noticed_in_time(timeout: float, longest: float) -> None:
    """Keep-alives of ssh detect a frozen host within the upstream's timeout (or four seconds)."""
    words = ssh.options(UpstreamSettings("x", "h:/d", timeout=timeout), None)
    values = dict(word.split("=", 1) for word in words if "=" in word)
    assert (int(values["ServerAliveCountMax"]) + 1) * int(values["ServerAliveInterval"]) <= longest


# The socket of the shared connection.


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for sockets; their names must be short."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)


def test_place_is_private(short: Path) -> None:
    """The socket is in a directory for this user only; other options use another connection."""
    one = ssh.control_path(UpstreamSettings("x", "host:/data"))
    assert one is not None
    assert one.parent.parent == short
    assert one.parent.stat().st_mode & 0o777 == 0o700
    assert ssh.control_path(UpstreamSettings("y", "host:/other")) == one
    assert ssh.control_path(UpstreamSettings("x", "host:/data", ssh_options=("-4",))) != one
    assert ssh.control_path(UpstreamSettings("x", "other:/data")) != one


@pytest.mark.parametrize("obstacle", ["file", "link", "open to all", "too long"])
def test_place_that_cannot_be_used(
    obstacle: str, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that is not private, or too long a path, is skipped."""
    directory = short / f"hesiod-watch-ssh-{os.getuid()}"
    match obstacle:
        case "file":
            directory.touch()
        case "link":
            (short / "elsewhere").mkdir(mode=0o700)
            directory.symlink_to("elsewhere")
        case "open to all":
            directory.mkdir()
            directory.chmod(0o777)
        case "too long":
            (short / ("x" * 80)).mkdir()
            monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / ("x" * 80)))
    path = ssh.control_path(UpstreamSettings("x", "host:/data"))
    assert path is None or short not in path.parents


def test_dead_socket_is_removed(short: Path) -> None:
    """The socket of a dead connection is removed, so that another can be opened."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short / "s"))
        server.listen(1)
        assert ssh.answers(short / "s")
    assert not ssh.answers(short / "s")
    assert not (short / "s").exists()


FOREIGN = {"PATH": os.environ["PATH"], "MARK": "0123"}


def test_foreign_program() -> None:
    """A foreign program has the given environment, and its errors are part of its output."""
    ended = run(shell("echo out; echo err >&2; env"), quiet=SECONDS, foreign=FOREIGN)
    lines = ended.output.decode().splitlines()
    assert lines[:2] == ["out", "err"]
    assert "MARK=0123" in lines
    assert not any(line.startswith("LC_ALL=") for line in lines)
    assert ended.errors == ""


def test_each_process_of_a_foreign_program_is_asked_to_end(tmp_path: Path) -> None:
    """When a foreign program is ended, its processes get SIGTERM, too."""
    asked = tmp_path / "asked"
    loop = "while :; do sleep 0.05; done"
    script = f'(trap "touch {asked}; exit" TERM; echo ready; {loop}) & {loop}'
    seen = bytearray()
    ended = run(
        shell(script),
        quiet=SECONDS,
        foreign=FOREIGN,
        on_output=seen.extend,
        stop=lambda: b"ready" in seen,
    )
    assert ended.why == "stopped"
    assert asked.exists()


def test_processes_are_ended_by_their_mark() -> None:
    """Processes with the variable end, also those that ignore SIGTERM; others continue."""
    script = 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
    marked, other = (
        subprocess.Popen(
            shell(script), env={**FOREIGN, "MARK": mark}, stdout=subprocess.PIPE, text=True
        )
        for mark in ("one", "one more")
    )
    with marked, other:
        try:
            for each in (marked, other):
                assert each.stdout
                assert each.stdout.readline() == "ready\n"
            assert running.end_marked("MARK", "one") >= 1
            assert marked.wait(SECONDS) == -9
            assert other.poll() is None
        finally:
            marked.kill()
            other.kill()
