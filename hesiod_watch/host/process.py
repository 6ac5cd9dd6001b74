"""What this machine knows about itself and its processes: /proc, the boot id, the machine id.

Says who *we* are in a claim (`this_owner`) and gathers the evidence about the owner of another
(`look_up`). Draws no conclusion: that is `liveness.judge`. What cannot be read is "cannot tell"; a
system without /proc therefore never declares anybody dead.
"""

from __future__ import annotations

import os
import pwd
import secrets
from datetime import UTC, datetime
from pathlib import Path

from hesiod_watch import __version__
from hesiod_watch.core.model import Liveness, Owner
from hesiod_watch.core.times import iso
from hesiod_watch.rules.liveness import OwnerEvidence, judge

MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
LONGEST_REASON = 1000  # characters; a claim is one line that fits into one block


def iso_now() -> str:
    """This moment as flags and documents spell it, by this host's clock."""
    return iso(datetime.now(UTC))


def this_owner(
    action: str, executor: str, *, epoch: int = 1, reason: str = "", token: str | None = None
) -> Owner:
    """The record of this very process. Make it in the process that is meant: a fork has another
    pid.

    Without `token` a random one is drawn. The submit time of a Slurm job is not in its environment;
    who knows it puts it in with `dataclasses.replace`.
    """
    return Owner(
        token=secrets.token_hex(16) if token is None else token,
        action=action,
        executor=executor,
        host=os.uname().nodename,
        machine_id=_machine_id(),
        boot_id=_first_line(BOOT_ID_FILE),
        pid_namespace=_pid_namespace(),
        pid=os.getpid(),
        pid_start=process_start(os.getpid()) or 0,
        slurm_job=os.environ.get("SLURM_JOB_ID", ""),
        slurm_cluster=os.environ.get("SLURM_CLUSTER_NAME", ""),
        user=_user(),
        version=__version__,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        epoch=epoch,
        reason=reason[:LONGEST_REASON],
    )


def look_up(owner: Owner) -> OwnerEvidence:
    """What this machine knows about `owner`'s process, now. Knows nothing of Slurm."""
    boot_id, namespace = _first_line(BOOT_ID_FILE), _pid_namespace()
    same_boot = boot_id == owner.boot_id if boot_id and owner.boot_id else None
    if same_boot:
        same_machine: bool | None = (
            True  # a boot id is random and of one kernel, whatever a container calls its host
        )
    else:
        same_machine = _same_machine(owner)
    same_namespace = namespace == owner.pid_namespace if namespace and owner.pid_namespace else None
    running: bool | None = None
    start: int | None = None
    if same_boot and same_namespace and owner.pid > 0:
        start = process_start(owner.pid)
        running = True if start is not None else _answers(owner.pid)
    return OwnerEvidence(same_machine, same_boot, same_namespace, running, start)


def judge_here(owner: Owner | None) -> tuple[Liveness, str]:
    """`liveness.judge` with what this machine knows."""
    return judge(owner, look_up(owner) if owner else None)


def this_user() -> str:
    """Name and number of the user whose rights this process has, e.g. "prom (uid 1000)"."""
    return f"{_user()} (uid {os.geteuid()})"


def why_not_writable(directory: Path) -> str:
    """Why this process may not write in a directory, or may not make it; "" where it may."""
    place = directory
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is not a directory"
    effective = os.access in os.supports_effective_ids
    if os.access(place, os.W_OK | os.X_OK, effective_ids=effective):
        return ""
    try:
        if os.statvfs(place).f_flag & os.ST_RDONLY:
            return f"{place} is on a read-only file system"
    except OSError as error:
        return f"{place} cannot be looked at: {error.strerror}"
    return f"{place} may not be written by the user {this_user()}"


def process_start(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot (field 22 of its stat); None: not there, or
    not to be seen.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field is the program's name in parentheses, and the name may hold blanks and
    # parentheses.
    fields = stat.rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def _answers(pid: int) -> bool | None:
    """Whether a process is there that /proc does not show: with `hidepid` that hides what belongs
    to other users.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # EPERM: somebody else's process, so there is one
        return True
    return True


def _same_machine(owner: Owner) -> bool | None:
    """By host name *and* machine id: images are cloned with their machine id, and host names are
    given again.
    """
    machine_id = _machine_id()
    if not machine_id or not owner.machine_id or not owner.host:
        return None
    return machine_id == owner.machine_id and os.uname().nodename == owner.host


def _pid_namespace() -> str:
    """E.g. "pid:[4026531836]"; "" where pids cannot be compared, also when /proc is that of another
    namespace.
    """
    try:
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return ""
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _machine_id() -> str:
    for path in MACHINE_ID_FILES:
        machine_id = _first_line(path)
        if (
            machine_id and machine_id != "uninitialized"
        ):  # machine-id(5): the word during the first boot
            return machine_id
    return ""


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
    except OSError:
        return ""


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's made-up uid
        return f"uid {os.geteuid()}"
