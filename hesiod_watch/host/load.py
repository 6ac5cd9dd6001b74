"""Load of this host and its free memory, from /proc and the limits of this process's cgroup."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hesiod_watch.rules.worker_counts import HostLoad

MEMORY_FILE = Path("/proc/meminfo")
CGROUP_FILE = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def host_load() -> HostLoad:
    """Load of this host now."""
    return HostLoad(len(os.sched_getaffinity(0)), os.getloadavg()[0], free_memory())


def free_memory(
    memory_file: Path = MEMORY_FILE, cgroup_file: Path = CGROUP_FILE, cgroups: Path = CGROUPS
) -> int:
    """Bytes that new processes may use without a limit being reached; 0 if that is unknown."""
    try:
        free = _number_after("MemAvailable:", memory_file) << 10
        with suppress(OSError, ValueError):  # no cgroups of version 2
            for place in _cgroups_of(cgroup_file, cgroups):
                limit = (place / "memory.max").read_text()
                if limit.strip() != "max":
                    used = int((place / "memory.current").read_text())
                    used -= _number_after("inactive_file", place / "memory.stat")  # a cache
                    free = min(free, int(limit) - used)
    except (OSError, ValueError):
        return 0
    return max(0, free)


def _cgroups_of(cgroup_file: Path, cgroups: Path) -> list[Path]:
    """Cgroup of this process and those around it that have a limit."""
    (line,) = [each for each in cgroup_file.read_text().splitlines() if each.startswith("0::/")]
    place = cgroups / line.removeprefix("0::/")
    around = [place, *place.parents]
    return [each for each in around if (each / "memory.max").exists()]


def _number_after(word: str, file: Path) -> int:
    """Number that follows a line's first word. Raises OSError, ValueError."""
    for line in file.read_text().splitlines():
        first, _, rest = line.partition(" ")
        if first == word:
            return int(rest.split()[0])
    raise ValueError(f"{file}: no {word}")
