"""Small cells of the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hesiod_watch.cli.simulator import SimulatedCell

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"


def simulated(landing: Path, **options: Any) -> SimulatedCell:
    """A small cell with two barcodes; not written yet."""
    settings: dict[str, Any] = {
        "barcodes": ("barcode01", "barcode02"),
        "files_per_barcode": 2,
        "reads_per_file": 20,
        "mean_length": 300,
        "era": "2026",
    }
    return SimulatedCell(landing, RUN, LIBRARY, CELL, **(settings | options))
