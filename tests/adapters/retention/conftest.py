"""Fixtures for tests of deletion marks and strips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from facility_world import World, kept_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A cell that is processed and backed up to two places."""
    with kept_world(tmp_path) as made:
        yield made
