"""The demonstration: a simulated sequencer, the real service, and a cell that is mended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system


def test_demo_mends_a_cell_that_is_short_of_a_file(tmp_path: Path) -> None:
    """The demonstration explains a cell without one of its files, mends it, and reports it."""
    command = [
        sys.executable,
        "-m",
        "hesiod_watch",
        "demo",
        "--speed",
        "20",
        str(tmp_path / "demo"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True)
    before, explained, after = done.stdout.partition("$ hesiod-watch explain ")
    assert explained
    assert "A flow cell of which a file is lost on its way" in before
    assert "is incomplete: overdue: 1 of 4 FASTQ files missing" in after
    assert after.index("overdue: ") < after.index("The first step: ") < after.index("processed: ")
    reports = [line.strip() for line in after.splitlines() if line.endswith("/report.html")]
    assert len(reports) == 4
    assert all(Path(report).is_file() for report in reports)
    pages = tmp_path.glob("demo/demo-1/output/*/*/*/manifest.json")
    assert len(list(pages)) == 4, "every cell is processed"
    assert list(tmp_path.glob("demo/demo-1/output/*_with_BAM/*/*/*_pass.bam.bai"))
