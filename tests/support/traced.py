"""Commands under strace: by which calls they change what a disk keeps, and being killed at one of
them.
"""

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
    "chmod,chown,copy_file_range,fallocate,fchmod,fchmodat,fchown,fchownat,fdatasync,fremovexattr,fsetxattr,"
    "fsync,ftruncate,lchown,link,linkat,mkdir,mkdirat,mknod,mknodat,msync,pwrite64,pwritev,pwritev2,"
    "removexattr,rename,renameat,renameat2,rmdir,setxattr,symlink,symlinkat,sync,sync_file_range,syncfs,"
    "truncate,unlink,unlinkat,utimensat"
)
"""Not `openat` and `write`, which are made for much else, too: what they change has a temporary
name for itself.
"""


def changing_calls(
    command: Sequence[str | Path], environ: Mapping[str, str] = os.environ
) -> set[str]:
    """Which of them the command makes, with all that it starts. It must succeed."""
    with tempfile.NamedTemporaryFile("r") as log:
        calls = ",".join(f"?{call}" for call in CHANGING.split(","))  # not every machine has all
        strace = ("strace", "-f", "-qq", "-o", log.name, "-e", f"trace={calls}")
        subprocess.run(
            [*strace, *command], capture_output=True, env=environ, timeout=120, check=True
        )
        return set(re.findall(r"^\d+ +(\w+)\(", log.read(), re.MULTILINE))


def killing_at(call: str, number: int, *, children: bool = False) -> list[str]:
    """What goes before a command to have the kernel kill it when it makes a call for the `number`th
    time.

    With `children` each process that it started counts by itself, and the first to come to its
    `number`th is killed.
    """
    command = ["strace", "-qq", *(["-f"] if children else []), "-o", os.devnull]
    return [*command, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
