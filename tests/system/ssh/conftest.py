"""Fixtures for tests that reach a sequencer over ssh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_sequencer import There, in_good_order
from sshd_pair import Pair


@pytest.fixture
def there(servers: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[There]:
    """The first server without faults, with connections for this test only."""
    with in_good_order(servers, tmp_path, monkeypatch) as made:
        yield made
