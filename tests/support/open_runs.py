"""Runs, cells and their `pipeline/`, opened as the program opens them."""

from __future__ import annotations

from pathlib import Path

from hesiod_watch.core.model import LOCAL
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs.flags import Pipeline, adopt

ANYWHERE = OpenDirectory(Path("/"))
"""Contains every source of a test that has no cell; no path to it may have a link."""


def opened(path: Path) -> OpenDirectory:
    """Directory of a run or a cell."""
    return OpenDirectory(path)


def pipeline_at(path: Path) -> Pipeline:
    """Directory `pipeline/` of a run."""
    assert path.name == "pipeline"
    return Pipeline(opened(path.parent))


def taken_up(root: Path) -> Pipeline:
    """Make a run that is taken up, with its output directory, and another run beside it."""
    (root / "landing" / "run").mkdir(parents=True)
    (root / "landing" / "other").mkdir()
    (root / "output" / "run").mkdir(parents=True)
    assert adopt(opened(root / "landing" / "run"), LOCAL, root / "output" / "run")
    return pipeline_at(root / "landing" / "run" / "pipeline")
