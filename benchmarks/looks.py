"""How often one finished cell is looked at, and how often `pipeline/` is listed for it.

    python -m benchmarks.looks [--barcodes 4] [--json]

A complete simulated cell is in an adopted run. One real `poll`, with the workers that it starts,
processes it and makes the page of the run. An audit hook in each of these processes counts, so
strace is not needed. A *look* is a call of `observe`; it contains one listing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hesiod_watch.cli.simulator import SimulatedCell

RUN, LIBRARY, CELL = "20261122_BENCH_cell", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
HOOK = Path(__file__).parent / "hook"


def process_cell(place: Path, barcodes: int) -> list[str]:
    """Lines of the audit hook, without process ids, for one cell from its end to its page."""
    (place / "landing").mkdir()
    (place / "output").mkdir()
    config = place / "hesiod-watch.yaml"
    config.write_text("landing: landing\noutput: output\n")
    command = [sys.executable, "-m", "hesiod_watch", "--config", str(config), "-q"]
    SimulatedCell(
        *(place / "landing", RUN, LIBRARY, CELL),
        barcodes=tuple(f"barcode{number:02}" for number in range(1, barcodes + 1)),
        files_per_barcode=2,
        reads_per_file=4,
    ).write()
    subprocess.run([*command, "perform", "new-run", RUN], check=True)
    log = place / "looks.log"
    environ = {**os.environ, "PYTHONPATH": str(HOOK), "LOOKS_LOG": str(log)}
    subprocess.run([*command, "poll"], env=environ, check=True)
    return [line.partition(" ")[2] for line in log.read_text().splitlines()]


def count(lines: Iterable[str]) -> dict[str, dict[str, int]]:
    """Looks, listings and published files up to `.done`, and after it."""
    counts = {
        part: {"looks": 0, "listings": 0, "published": 0} for part in ("until done", "after done")
    }
    current = counts["until done"]
    words = {"look": "looks", "listing": "listings", "published": "published"}
    for line in lines:
        if (kind := line.split(" ")[0]) in words:
            current[words[kind]] += 1
        elif line == f"flag {CELL}.done":
            current = counts["after done"]
    return counts


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--barcodes", type=int, default=4, help="barcodes of the cell")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="looks-") as directory:
        counts = count(process_cell(Path(directory), arguments.barcodes))
    if arguments.json:
        print(json.dumps(counts))
        return 0
    print(f"{'':12}  {'looks':>6}  {'listings':>9}  {'files published':>16}")
    for part, numbers in counts.items():
        looks, listings, published = numbers.values()
        print(f"{part:12}  {looks:6}  {listings:9}  {published:16}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
