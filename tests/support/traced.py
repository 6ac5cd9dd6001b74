"""Commands under strace: list the system calls that change a disk, and kill at one of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest


def _can_trace() -> bool:
    command = ("strace", "-o", os.devnull, "true")
    return (
        shutil.which("strace") is not None
        and subprocess.run(command, capture_output=True).returncode == 0
    )


needs_strace = pytest.mark.skipif(
    not _can_trace(), reason="strace is not installed, or tracing is not allowed here"
)

CHANGING = (
    "chmod,chown,copy_file_range,fallocate,fchmod,fchmodat,fchown,fchownat,fdatasync,"
    "fremovexattr,fsetxattr,fsync,ftruncate,lchown,link,linkat,mkdir,mkdirat,mknod,mknodat,msync,"
    "pwrite64,pwritev,pwritev2,removexattr,rename,renameat,renameat2,rmdir,setxattr,symlink,"
    "symlinkat,sync,sync_file_range,syncfs,"
    "truncate,unlink,unlinkat,utimensat"
)
"""System calls that change a disk.

`openat` and `write` are left out, because they have many other uses. The files that they change
have temporary names.
"""


def changing_calls(
    command: Sequence[str | Path], environ: Mapping[str, str] = os.environ
) -> set[str]:
    """Calls of CHANGING that a command and its child processes make. It must succeed."""
    with tempfile.NamedTemporaryFile("r") as log:
        calls = ",".join(
            f"?{call}" for call in CHANGING.split(",")
        )  # some machines lack some calls
        strace = ("strace", "-f", "-qq", "-o", log.name, "-e", f"trace={calls}")
        subprocess.run(
            [*strace, *command], capture_output=True, env=environ, timeout=120, check=True
        )
        return set(re.findall(r"^\d+ +(\w+)\(", log.read(), re.MULTILINE))


def killing_at(call: str, number: int, *, children: bool = False) -> list[str]:
    """Prefix of a command that makes the kernel kill it at its `number`th system call `call`.

    With `children`, calls are counted for each child process separately, and the first process that
    reaches `number` is killed.
    """
    command = ["strace", "-qq", *(["-f"] if children else []), "-o", os.devnull]
    return [*command, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
