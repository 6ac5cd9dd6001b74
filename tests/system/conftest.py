"""Fixtures for tests that start the real thing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sites import Site
from sshd_pair import Pair, sshd_pair


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A new, empty site."""
    return Site(tmp_path)


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """Two ssh servers for the tests of a file."""
    with sshd_pair() as pair:
        yield pair
