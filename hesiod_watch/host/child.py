"""Child processes: start a worker, and get a call when it ends.

A worker runs in its own session. So it outlives the service that started it (a restart of the
service interrupts no work), and it gets no terminal signal by accident. No shell is used.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from hesiod_watch.host.files import open_or_create


def own_command(*arguments: str) -> tuple[str, ...]:
    """Command line that runs this program, independent of PATH."""
    return (sys.executable, "-m", "hesiod_watch", *arguments)


def own_module(name: str) -> tuple[str, ...]:
    """Command line that runs one module of this program."""
    return (sys.executable, "-m", f"hesiod_watch.{name}")


def start_worker(
    command: Sequence[str],
    *,
    log: Path | None,
    inherit: Sequence[int],
    on_exit: Callable[[int, int], None],
) -> subprocess.Popen[bytes]:
    """Start a process in its own session; `on_exit` gets its pid and exit code, in another thread.

    Its output is appended to `log`, or discarded if `log` cannot be opened. `inherit` are
    descriptors that it keeps open. Raises OSError when the program cannot be started.
    """
    output = _open_log(log)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=tuple(inherit),
            cwd="/",
            # Otherwise numpy starts one thread for each CPU, without any use here: 0.2 seconds on
            # 4 CPUs.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    finally:
        if output != subprocess.DEVNULL:
            os.close(output)

    def wait() -> None:
        on_exit(process.pid, process.wait())

    threading.Thread(target=wait, name=f"wait-{process.pid}", daemon=True).start()
    return process


def _open_log(log: Path | None) -> int:
    if log is None:
        return subprocess.DEVNULL
    try:
        return open_or_create(log, os.O_WRONLY | os.O_APPEND)
    except OSError:
        # The work matters more than its log. The worker's own lines say what failed.
        return subprocess.DEVNULL
