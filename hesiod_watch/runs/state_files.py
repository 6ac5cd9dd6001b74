"""State files of the processes that watch, in `.hesiod-watch/` of the output area.

They are beside the area's marker and are written only where the marker is, so never below a mount
point whose file system is missing. Content that is not understood is ignored.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hesiod_watch.core.records import loads
from hesiod_watch.core.watch_state import POLL, SERVICE, WatchState
from hesiod_watch.host.files import OpenDirectory, chunks, regular, replace_whole
from hesiod_watch.runs.flags.names import SITE

MARKER_DIRECTORY = SITE
MARKER = "output"
PAGE = "index.html"
METRICS = "metrics.prom"
LARGEST = 1 << 26
"""Most bytes of a state file that are read."""
_RUNS = b'\n "runs": ['
"""Beginning of the runs, the last part of the file; no text in JSON contains a line break."""


def state_directory(output: Path) -> Path:
    return output / MARKER_DIRECTORY


def write_state_files(output: Path, files: Mapping[str, bytes]) -> bool:
    """Replace these files, each whole or not at all; False: the output area has no marker.

    They need not survive a power loss. Raises OSError.
    """
    try:
        with OpenDirectory(state_directory(output), output) as place:
            marker = os.stat(MARKER, dir_fd=place.descriptor, follow_symlinks=False)
            if not stat.S_ISREG(marker.st_mode):
                return False
            for name, content in files.items():
                replace_whole(place.descriptor, name, content, durable=False)
    except FileNotFoundError:
        return False
    return True


def state_text(state: WatchState) -> bytes:
    """Content of a state file: the runs last, each on one line, so that most readers skip them."""
    head = json.dumps(replace(state, runs=()).record(), indent=1).removesuffix("]\n}")
    runs = ",".join(f"\n  {json.dumps(run.record())}" for run in state.runs)
    return f"{head}{runs}\n ]\n}}".encode("utf-8", "backslashreplace")


def read_states(output: Path, *, leave_out: str = "", runs: bool = False) -> tuple[WatchState, ...]:
    """Read the state files of all processes of all hosts, in the order of their names.

    `leave_out` is the name of a file that is not read. The runs are left out too unless `runs`:
    there may be thousands. Raises OSError if the directory exists and cannot be read.
    """
    found = []
    try:
        with OpenDirectory(state_directory(output), output) as place:
            for name in sorted(os.listdir(place.descriptor)):
                ours = name.endswith((f"-{SERVICE}.json", f"-{POLL}.json"))
                if ours and name != leave_out:
                    state = _read(name, place.descriptor, runs=runs)
                    if state is not None and state.file == name:
                        found.append(state)
    except FileNotFoundError:
        return ()
    return tuple(found)


def _read(name: str, place: int, *, runs: bool) -> WatchState | None:
    try:
        with regular(name, place) as descriptor:
            content = bytearray()
            for chunk in chunks(descriptor, LARGEST):
                start = max(0, len(content) - len(_RUNS))
                content += chunk
                if not runs and (end := content.find(_RUNS, start)) >= 0:
                    content[end:] = _RUNS + b"]}"
                    break
        return WatchState.from_record(loads(bytes(content)))
    except (OSError, ValueError, OverflowError):
        return None
