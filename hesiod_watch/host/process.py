"""Identity of this host and its processes, from /proc, the boot id and the machine id.

`this_owner` identifies this process in a claim. `look_up` gathers the evidence about the owner of
another claim. This module draws no conclusion; `liveness.judge` does. A value that cannot be read
counts as unknown, so a system without /proc never declares a process dead.
"""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime
from pathlib import Path

from hesiod_watch import __version__
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.times import iso, time_at, time_of
from hesiod_watch.rules.liveness import OwnerEvidence, judge
from hesiod_watch.rules.slurm_jobs import JOB_NAME

MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
STAT_FILE = Path("/proc/stat")
ADAPTERS = Path("/sys/class/net")
MOST_ADAPTERS = 8  # a claim is one line that fits into one disk block
LONGEST_REASON = 1000  # characters; a claim is one line that fits into one disk block


def iso_now() -> str:
    """Current time of this host's clock, in the format of flags and documents."""
    return iso(datetime.now(UTC))


def this_owner(
    action: str, executor: str, *, epoch: int = 1, reason: str = "", token: str | None = None
) -> Owner:
    """Owner record of this process. Call it in the process itself: a fork has another pid.

    Without `token` a random one is made. The submit time of a Slurm job is not in its environment;
    a caller that knows it adds it with `dataclasses.replace`.
    """
    return Owner(
        token=os.urandom(16).hex() if token is None else token,
        action=action,
        executor=executor,
        host=os.uname().nodename,
        machine_id=_machine_id(),
        boot_id=_first_line(BOOT_ID_FILE),
        mac_addresses=" ".join(_mac_addresses()),
        pid_namespace=_pid_namespace(),
        pid=os.getpid(),
        pid_start=process_start(os.getpid()) or 0,
        slurm_job=os.environ.get("SLURM_JOB_ID", ""),
        slurm_cluster=os.environ.get("SLURM_CLUSTER_NAME", ""),
        slurm_name=_own_job_name(),
        user=user_name(),
        version=__version__,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        epoch=epoch,
        reason=reason[:LONGEST_REASON],
    )


def _own_job_name() -> str:
    """Name of the Slurm job of this process if hesiod-watch chose it; "" otherwise."""
    name = os.environ.get("SLURM_JOB_NAME", "") if os.environ.get("SLURM_JOB_ID") else ""
    return name if JOB_NAME.fullmatch(name) else ""


def look_up(owner: Owner) -> OwnerEvidence:
    """Evidence of this host about `owner`'s process, now. It does not ask Slurm."""
    boot_id, namespace = _first_line(BOOT_ID_FILE), _pid_namespace()
    same_boot = boot_id == owner.boot_id if boot_id and owner.boot_id else None
    if same_boot:
        # A boot id is random and unique to one kernel, whatever host name a container uses.
        same_machine: bool | None = True
    else:
        same_machine = _same_machine(owner)
    same_namespace = namespace == owner.pid_namespace if namespace and owner.pid_namespace else None
    before_boot: bool | None = None
    if same_boot is False:
        then, booted = time_of(owner.time), time_at(_boot_time())
        before_boot = _is_before_boot(then, booted)
        # In a container (LXC, systemd-nspawn) another mount of /proc shows another boot id.
        older = bool(then and booted and then < booted)
        if same_machine and same_namespace and not older and _is_there(owner):
            same_boot = True
    running: bool | None = None
    start: int | None = None
    if same_boot and same_namespace and owner.pid > 0:
        start = process_start(owner.pid)
        running = True if start is not None else _is_running(owner.pid)
    return OwnerEvidence(same_machine, same_boot, before_boot, same_namespace, running, start)


def judge_here(owner: Owner | None) -> tuple[Liveness, str]:
    """`liveness.judge` with the evidence of this host."""
    return judge(owner, look_up(owner) if owner else None)


def this_user() -> str:
    """Name and number of the user of this process, such as "prom (uid 1000)"."""
    return f"{user_name()} (uid {os.geteuid()})"


def why_not_writable(directory: Path) -> str:
    """Reason why this process may not write in or make a directory; "" if it may."""
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
        return f"{place} cannot be examined: {error.strerror}"
    return f"{place} may not be written by the user {this_user()}"


def process_start(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot (field 22 of stat); None if not visible."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field is the program's name in parentheses, and it may contain blanks and
    # parentheses.
    fields = stat.rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def _is_running(pid: int) -> bool | None:
    """Whether a process exists although /proc does not show it.

    With `hidepid`, /proc hides the processes of other users.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # EPERM: it exists and belongs to another user
        return True
    return True


def _same_machine(owner: Owner) -> bool | None:
    """Compare host name, machine id *and*, if both are known, network adapters; None if unknown.

    Cloned images share a machine id, and host names are reused. Two machines in one network have no
    MAC address in common. One common address is enough: adapters are added and removed.
    """
    machine_id = _machine_id()
    if not machine_id or not owner.machine_id or not owner.host:
        return None
    if machine_id != owner.machine_id or os.uname().nodename != owner.host:
        return False
    here, there = set(_mac_addresses()), set(owner.mac_addresses.split())
    return not here or not there or bool(here & there)


def _is_there(owner: Owner) -> bool:
    """Whether a process of the same number and start is here."""
    return owner.pid > 0 and owner.pid_start > 0 and process_start(owner.pid) == owner.pid_start


def _is_before_boot(then: datetime | None, booted: datetime | None) -> bool | None:
    """Whether a record may be older than the boot of this host, by its clock; None if unknown.

    A time that cannot be read or is in the future shows no clone: a machine that runs beside this
    one records the present.
    """
    if booted is None:
        return None
    return then is None or then < booted or then > datetime.now(UTC)


def _boot_time() -> float:
    """Time of this host's boot in seconds since the epoch, by its clock now; 0.0 if unknown."""
    try:
        lines = STAT_FILE.read_text(encoding="ascii", errors="replace").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("btime "))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0.0


def _mac_addresses() -> list[str]:
    """Permanent addresses of the adapters of this host, without virtual and random ones."""
    try:
        adapters = sorted(ADAPTERS.iterdir())
    except OSError:
        return []
    addresses = {
        _first_line(adapter / "address")
        for adapter in adapters
        if _first_line(adapter / "addr_assign_type") == "0" and (adapter / "device").exists()
    }
    return sorted(addresses - {"", "00:00:00:00:00:00"})[:MOST_ADAPTERS]


def _pid_namespace() -> str:
    """Namespace such as "pid:[4026531836]"; "" if pids cannot be compared.

    They cannot be compared, for example, if /proc belongs to another namespace.
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
        # machine-id(5): it is "uninitialized" during the first boot
        if machine_id and machine_id != "uninitialized":
            return machine_id
    return ""


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
    except OSError:
        return ""


def user_name() -> str:
    """Name of the user of this process."""
    name = account(os.geteuid())
    return f"uid {name}" if name.isdecimal() else name


def account(uid: int) -> str:
    """Name of a user; the number if it has no account, as in a container."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
