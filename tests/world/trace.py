"""The trace of a schedule: what is on the disk after each step, without what is never the same.

Two lives of one schedule have the same trace. Times, process numbers and places differ in each life
and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.world.world import World

VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "TIME"),
    (re.compile(r"\b2\d{7}T?\d{6}(\.\d+)?Z?(\.\d+)?"), "TIME"),  # in names of files
    (re.compile(r"\b[12]\d{9}\.\d+|\b[12]\d{18}\b"), "TIME"),
    (re.compile(r'"(pid|pid_start|inode)": \d+'), r'"\1": N'),
    (re.compile(r"\b[0-9a-f]{12,}\b"), "DIGEST"),  # of times; or a random name
)


def picture(world: World) -> Iterator[str]:
    """One line for each file, with the text of those that are flags."""
    for top in filter(None, (world.root, world.backup)):
        for path in sorted(top.rglob("*")):
            text = ""
            if path.is_symlink():
                text = str(path.readlink())
            elif path.parent.name == "pipeline" and path.is_file():
                text = path.read_text(errors="backslashreplace")
            yield _constant(f"{path}: {text}", world)


def _constant(text: str, world: World) -> str:
    for place, name in ((world.root, "WORLD"), (world.backup, "BACKUP")):
        text = text.replace(str(place), name) if isinstance(place, Path) else text
    for varying, constant in VARYING:
        text = varying.sub(constant, text)
    return text
