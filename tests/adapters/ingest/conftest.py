"""Fixtures for tests of growing outputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from growing import cell, directory_in_memory

from hesiod_watch.fastq import backlog, ingest
from hesiod_watch.fastq.model import Output


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, because these tests sync their files thousands of times."""
    with directory_in_memory(tmp_path) as directory:
        yield directory


@pytest.fixture
def outputs(tmp_path: Path) -> list[Output]:
    """The outputs of a small cell."""
    return cell(tmp_path / "sources")


@pytest.fixture
def many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start workers for little work, too."""
    monkeypatch.setattr(ingest, "BYTES_PER_WORKER", 1)
    monkeypatch.setattr(backlog, "SMALLEST_SHARE", 1)
