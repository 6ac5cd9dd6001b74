"""OS processes: starting a worker, and hearing of its end.

A worker is a session of its own, so that it outlives the service that started it (a restart of the
service interrupts nothing) and no terminal signal reaches it by accident. There is no shell
anywhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path


def own_command(*arguments: str) -> tuple[str, ...]:
    """The command line that runs this very program, whatever PATH says."""
    return (sys.executable, "-m", "hesiod_watch", *arguments)


def start_worker(
    command: Sequence[str],
    *,
    log: Path | None,
    inherit: Sequence[int],
    on_exit: Callable[[int], None],
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own; `on_exit` is called with its exit code from another
    thread.

    What it prints goes to the end of `log` (or nowhere, where that cannot be opened). `inherit` are
    descriptors it keeps open. Raises OSError when the program cannot be started.
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
            # numpy starts a thread for every CPU, which nothing we do has work for: a fifth of a
            # second on 4 CPUs.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    finally:
        if output != subprocess.DEVNULL:
            os.close(output)

    def wait() -> None:
        on_exit(process.wait())

    threading.Thread(target=wait, name=f"wait-{process.pid}", daemon=True).start()
    return process


def _open_log(log: Path | None) -> int:
    if log is None:
        return subprocess.DEVNULL
    try:
        return os.open(
            log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o664
        )
    except OSError:
        return (
            subprocess.DEVNULL
        )  # work matters more than its log; the worker's own lines say what went wrong
