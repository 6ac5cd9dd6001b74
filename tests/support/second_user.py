"""A second user of this host, who is neither the service's user nor root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UID = 54321
"""A user id without a name."""
needs_second_user = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv"
)


def _runs_for_others() -> bool:
    """Whether another user can run the program: a checkout in /root is only for root."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return False
    user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    program = [sys.executable, "-m", "hesiod_watch", "config", "sample"]
    return subprocess.run([*user, *program], cwd="/", capture_output=True).returncode == 0


needs_program_for_others = pytest.mark.skipif(
    not _runs_for_others(),
    reason="needs root, setpriv, and a checkout that other users can read",
)


def make_pipeline(run: Path, upstream: str, output: Path) -> None:
    """Make a run with a `pipeline/` of its own as the second user, who may write in its parent."""
    run.parent.chmod(0o1777)
    script = (
        'mkdir -p "$1/lib" "$1/pipeline" && echo "$2" >"$1/pipeline/upstream" &&'
        ' ln -s "$3" "$1/pipeline/output"'
    )
    user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    subprocess.run(
        [*user, "sh", "-c", script, "sh", run.name, upstream, str(output)],
        cwd=run.parent,  # not by its path: tests run in a directory that only root may enter
        check=True,
    )
    assert (run / "pipeline").stat().st_uid == UID
