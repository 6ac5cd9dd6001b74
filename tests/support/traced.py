"""What strace tells of a command: by which calls it, and what it starts, change what a disk keeps."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

CHANGING = (
    "chmod,chown,copy_file_range,fallocate,fchmod,fchmodat,fchown,fchownat,fdatasync,fremovexattr,fsetxattr,"
    "fsync,ftruncate,lchown,link,linkat,mkdir,mkdirat,mknod,mknodat,msync,pwrite64,pwritev,pwritev2,"
    "removexattr,rename,renameat,renameat2,rmdir,setxattr,symlink,symlinkat,sync,sync_file_range,syncfs,"
    "truncate,unlink,unlinkat,utimensat"
)
"""Not `openat` and `write`, which are made for much else, too: what they change has a temporary name for itself."""


def changing_calls(command: Sequence[str | Path], environ: Mapping[str, str] = os.environ) -> set[str]:
    """Which of them the command makes, with all that it starts. It must succeed."""
    with tempfile.NamedTemporaryFile("r") as log:
        calls = ",".join(f"?{call}" for call in CHANGING.split(","))  # not every machine has all
        strace = ("strace", "-f", "-qq", "-o", log.name, "-e", f"trace={calls}")
        subprocess.run([*strace, *command], capture_output=True, env=environ, timeout=120, check=True)
        return set(re.findall(r"^\d+ +(\w+)\(", log.read(), re.MULTILINE))
