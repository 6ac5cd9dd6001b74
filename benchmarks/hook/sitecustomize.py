"""Audit hook for `benchmarks.looks`: Python loads this module when it is in PYTHONPATH.

Appends one line to the file $LOOKS_LOG for each look at a run, for each listing of `pipeline/`, for
each flag that a process links to its name, and for each file that a process moves into the results.
"""

import os
import sys
from pathlib import Path
from typing import Any

LOG = os.environ["LOOKS_LOG"]
OBSERVE = str(Path("hesiod_watch", "runs", "observe.py"))


def seen(event: str, arguments: tuple[Any, ...]) -> None:
    line = ""
    if event in ("os.scandir", "os.listdir"):
        listed = arguments[0]
        path = (
            Path(f"/proc/self/fd/{listed}").readlink()
            if isinstance(listed, int)
            else Path(os.fsdecode(listed or "."))
        )
        if path.name == "pipeline":
            line = "listing"
        elif path.parent.name == "landing" and observes(sys._getframe(1)):
            line = f"look {path.name}"
    elif event == "os.link":
        line = f"flag {os.fsdecode(arguments[1])}"
    elif event == "os.rename":
        old, new = (os.fsdecode(path) for path in arguments[:2])
        if ".staging." in old and not Path(new).name.startswith("."):
            line = "published"
    if line:
        # One write in append mode: lines of several processes do not mix.
        log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(log, f"{os.getpid()} {line}\n".encode())
        os.close(log)


def observes(frame: Any) -> bool:
    """Whether a frame is within a call of `observe`, which lists the run once."""
    while frame:
        if frame.f_code.co_name == "observe" and frame.f_code.co_filename.endswith(OBSERVE):
            return True
        frame = frame.f_back
    return False


sys.addaudithook(seen)
