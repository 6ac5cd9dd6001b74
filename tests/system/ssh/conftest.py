"""Fixtures for tests that reach a sequencer over ssh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_sequencer import SshSequencer, in_good_order
from sshd_pair import Pair


@pytest.fixture
def sequencer(
    servers: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SshSequencer]:
    """The first server without faults, with connections for this test only."""
    with in_good_order(servers, tmp_path, monkeypatch) as made:
        yield made
