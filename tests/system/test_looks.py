"""The number of looks at a finished cell, counted by the benchmark in every process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
LOOKS = 2
LISTINGS = 10


def test_looks_at_a_finished_cell() -> None:
    """Two looks and ten listings lead to `.done`, whatever the number of result files."""
    command = [sys.executable, "-m", "benchmarks.looks", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=100, check=True)
    counts = json.loads(done.stdout)["until done"]
    assert counts["published"] > 0
    assert 0 < counts["looks"] <= LOOKS
    assert 0 < counts["listings"] <= LISTINGS
