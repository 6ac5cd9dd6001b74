"""Fixtures for tests that start the real thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from sites import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A new, empty site."""
    return Site(tmp_path)
