"""Fixtures for tests that watch a landing area."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from watched_landing import CELL, Watched


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """An empty landing area, watched by events."""
    landing = tmp_path / "landing"
    landing.mkdir()
    with Watched(landing) as watched:
        yield watched


@pytest.fixture
def cell(watched: Watched) -> Path:
    """A cell in a run, already noticed and quiet."""
    cell = watched.path / "run" / "lib" / CELL
    (cell / "fastq_pass").mkdir(parents=True)
    assert watched.hints.has(watched.path / "run")
    watched.settle()
    watched.hints.clear()
    return cell
