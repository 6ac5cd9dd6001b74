"""Fixtures for tests of bin/hesiod-clean-upstream."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells_to_clean import SHELLS, Sequencer, shell_called


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    return shell_called(request.param)


@pytest.fixture
def sequencer(tmp_path: Path, shell: list[str]) -> Sequencer:
    return Sequencer(tmp_path, shell)


@pytest.fixture
def cell(sequencer: Sequencer) -> Path:
    """A marked and unchanged cell."""
    path = sequencer.cell()
    sequencer.mark(path)
    return path
