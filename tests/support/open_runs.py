"""Runs, cells and their `pipeline/`, opened as the program opens them."""

from __future__ import annotations

from pathlib import Path

from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs.flags import Pipeline

ANYWHERE = OpenDirectory(Path("/"))
"""Contains every source of a test that has no cell; no path to it may have a link."""


def opened(path: Path) -> OpenDirectory:
    """Directory of a run or a cell."""
    return OpenDirectory(path)


def pipeline_at(path: Path) -> Pipeline:
    """Directory `pipeline/` of a run."""
    assert path.name == "pipeline"
    return Pipeline(opened(path.parent))
