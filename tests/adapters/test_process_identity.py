"""Process identity: facts of this machine about processes, tested with real ones."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from machine import needs_machine_id

from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.host import process

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

LONG_AGO = "2001-01-01T00:00:00+00:00"


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Process that waits for its standard input to end."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            child.kill()


def owner_of(pid: int) -> Owner:
    return replace(
        process.this_owner("test", "local"), pid=pid, pid_start=process.process_start(pid) or 0
    )


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_this_owner() -> None:
    """Our own record identifies this process well enough to be found alive."""
    owner = process.this_owner("process", "local", epoch=3, reason="because")
    assert (owner.pid, owner.epoch, owner.reason, owner.host) == (
        os.getpid(),
        3,
        "because",
        os.uname().nodename,
    )
    assert owner.boot_id
    assert owner.pid_start > 0
    assert process.judge_here(owner)[0] is Liveness.ALIVE


def test_tokens() -> None:
    """Each record has its own token unless one is given."""
    assert process.this_owner("a", "b").token != process.this_owner("a", "b").token
    assert process.this_owner("a", "b", token="mine").token == "mine"


def test_slurm_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a Slurm job the record names the job."""
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "crop")
    owner = process.this_owner("process", "slurm")
    assert (owner.slurm_job, owner.slurm_cluster) == ("42", "crop")


def test_name_of_a_slurm_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a Slurm job the record has the job's name if hesiod-watch chose it."""
    monkeypatch.setenv("SLURM_JOB_NAME", "hw-process-0123456789abcdef")
    assert process.this_owner("process", "slurm").slurm_name == ""
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    assert process.this_owner("process", "slurm").slurm_name == "hw-process-0123456789abcdef"
    monkeypatch.setenv("SLURM_JOB_NAME", "my,script")
    assert process.this_owner("process", "slurm").slurm_name == ""


def test_a_child_lives_and_dies() -> None:
    """A running process is alive; after its end was collected it is dead."""
    with sleeper() as child:
        owner = owner_of(child.pid)
        assert process.judge_here(owner)[0] is Liveness.ALIVE
        child.kill()
        child.wait()
        assert process.judge_here(owner)[0] is Liveness.DEAD


def test_stopped() -> None:
    """A stopped process is alive: it may be continued and write."""
    with sleeper() as child:
        owner = owner_of(child.pid)
        child.send_signal(signal.SIGSTOP)
        eventually(lambda: state_of(child.pid) == "T")
        assert process.judge_here(owner)[0] is Liveness.ALIVE


def test_zombie() -> None:
    """A process not yet waited for still has its pid and counts as alive until then."""
    with sleeper() as child:
        owner = owner_of(child.pid)
        child.kill()
        eventually(lambda: state_of(child.pid) == "Z")
        assert process.judge_here(owner)[0] is Liveness.ALIVE


def test_pid_used_again() -> None:
    """A process with the same pid and another start time is another process."""
    owner = process.this_owner("test", "local")
    assert process.judge_here(replace(owner, pid_start=owner.pid_start - 1))[0] is Liveness.DEAD


@needs_machine_id
def test_restarted() -> None:
    """Another boot id of this host, in a record made before its boot, is a proof of death."""
    owner = replace(process.this_owner("test", "local"), boot_id="another boot", time=LONG_AGO)
    assert process.judge_here(owner)[0] is Liveness.DEAD
    assert process.judge_here(replace(owner, mac_addresses=""))[0] is Liveness.DEAD


def test_a_clone_that_runs_beside_this_machine() -> None:
    """A machine of this name and machine id, seen after our boot, is no earlier boot of ours."""
    owner = replace(process.this_owner("test", "local"), boot_id="another boot", pid=2**22 - 1)
    assert process.judge_here(owner)[0] is Liveness.UNKNOWN


@pytest.mark.parametrize("time", [None, "", "9999-12-31T23:59:59+00:00"])
@needs_machine_id
def test_another_mount_of_proc(time: str | None) -> None:
    """A process that is there lives, although its /proc shows it another boot id of this boot.

    So it is in a container of systemd-nspawn or LXC, for a service with `ProtectKernelTunables`.
    """
    owner = replace(process.this_owner("test", "local"), boot_id="the boot id of the host")
    owner = owner if time is None else replace(owner, time=time)
    assert process.judge_here(owner)[0] is Liveness.ALIVE
    assert process.judge_here(replace(owner, machine_id="other"))[0] is Liveness.UNKNOWN


@pytest.mark.parametrize("time", ["", "yesterday", "9999-12-31T23:59:59+00:00"])
@needs_machine_id
def test_a_record_of_a_wrong_clock_after_a_restart(time: str) -> None:
    """A time that no clone would record now does not prevent that a dead owner is replaced."""
    owner = replace(
        process.this_owner("test", "local"), boot_id="another boot", time=time, pid=2**22 - 1
    )
    assert process.judge_here(owner)[0] is Liveness.DEAD


@needs_machine_id
def test_a_clone_that_started_before_this_machine() -> None:
    """A machine that shares no network adapter with us is another one, whatever its record says."""
    owner = replace(process.this_owner("test", "local"), boot_id="another boot", time=LONG_AGO)
    if not owner.mac_addresses:
        pytest.skip("this machine has no network adapter with a permanent address")
    clone = replace(owner, mac_addresses="02:00:00:00:00:99")
    assert process.judge_here(clone)[0] is Liveness.UNKNOWN
    with_one_more = replace(owner, mac_addresses=f"{clone.mac_addresses} {owner.mac_addresses}")
    assert process.judge_here(with_one_more)[0] is Liveness.DEAD


@pytest.mark.parametrize("field", ["host", "machine_id"])
@pytest.mark.parametrize("value", ["", "another"])
def test_another_machine(field: str, value: str) -> None:
    """With another boot id, host name and machine id must both match; clones share either."""
    owner = replace(
        process.this_owner("test", "local"), boot_id="another boot", pid=1, time=LONG_AGO
    )
    assert process.judge_here(replace(owner, **{field: value}))[0] is Liveness.UNKNOWN  # type: ignore[arg-type]  # str


def test_another_namespace() -> None:
    """Pids of another pid namespace have no meaning here."""
    owner = replace(process.this_owner("test", "local"), pid_namespace="pid:[1]", pid=2**22 - 1)
    assert process.judge_here(owner)[0] is Liveness.UNKNOWN


def test_name_with_parentheses(tmp_path: Path) -> None:
    """The start time is found after any name of the program."""
    program = tmp_path / "a) R 1 (b"
    program.symlink_to(sys.executable)
    code = (
        "import os; from hesiod_watch.host.process import process_start; "
        "print(process_start(os.getpid()))"
    )
    root = Path(process.__file__).parents[2]
    shown = subprocess.run(
        [program, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={"PYTHONPATH": str(root)},
    )
    assert abs(int(shown.stdout) - (process.process_start(os.getpid()) or 0)) < 10**7
    assert int(shown.stdout) > 10


def test_a_long_reason_is_cut() -> None:
    """A claim stays one line that fits into one block, however long its reason is."""
    assert len(process.this_owner("a", "b", reason="x" * 10**6).reason) == process.LONGEST_REASON


JUDGE = """
import dataclasses, json, os, sys
from hesiod_watch.host.process import judge_here
from hesiod_watch.runs.flags.flag_files import parse_owner
owner = parse_owner(sys.argv[1])
if sys.argv[2:]:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(*judge_here(owner), sep=": ")
"""


def judged(owner: Owner, *command: str, arguments: tuple[str, ...] = ()) -> str:
    """Verdict on `owner` by a process that is started with the prefix `command`."""
    if os.geteuid() or shutil.which(command[0]) is None:
        pytest.skip(f"needs root and {command[0]}")
    shown = subprocess.run(
        [*command, sys.executable, "-c", JUDGE, json.dumps(asdict(owner)), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(process.__file__).parents[2])},
    )
    if shown.returncode and command[0] in shown.stderr:
        pytest.skip(f"cannot do this here: {shown.stderr.strip()}")
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.mark.system
@pytest.mark.parametrize("proc", ["--mount-proc", "--kill-child"])
def test_from_inside_a_container(proc: str) -> None:
    """A container knows nothing about processes outside, whichever /proc it sees."""
    with sleeper() as child:
        owner = owner_of(child.pid)
        assert judged(owner, "unshare", "--pid", "--fork", proc).startswith("unknown")
        child.kill()
        child.wait()
        assert judged(owner, "unshare", "--pid", "--fork", proc).startswith("unknown")


@pytest.mark.system
def test_hidden_processes() -> None:
    """If /proc hides processes of others, these are not taken for dead; ended ones are."""
    hidden = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t proc -o hidepid=2 proc /proc && exec "$@"',
        "sh",
    )
    with sleeper() as child:
        owner = owner_of(child.pid)
        assert judged(owner, *hidden).startswith("alive")
        assert judged(owner, *hidden, arguments=("as nobody",)).startswith("unknown")
        child.kill()
        child.wait()
        assert judged(owner, *hidden, arguments=("as nobody",)).startswith("dead")
