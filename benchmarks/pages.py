"""CPU time and size of the page of a cell of 96 barcodes, three days and 300 million reads.

    python -m benchmarks.pages [--reads N] [--barcodes N] [--rounds N]

The statistics of the cell are made up, as many and as different as those of real reads; no read is
made. Measured are user and system time of this process for the steps from these statistics to the
page: adding them up to the numbers of `qc.json` (for the cell, its parts and each barcode), writing
`qc.json`, and making the page from it. Each is the smallest of the rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "tests" / "support"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reads", type=int, default=300_000_000)
    parser.add_argument("--barcodes", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    sys.path.insert(0, str(SUPPORT))
    import long_run
    import qc_documents

    from hesiod_watch.fastq.qc import qc_groups
    from hesiod_watch.report.cell import render_cell

    outputs = long_run.LongRun(arguments.barcodes, arguments.reads).outputs()
    reads = sum(statistics.reads for _, _, statistics in outputs)
    print(f"{reads / 1e6:,.0f} million reads, {len(outputs)} outputs, {long_run.HOURS} hours\n")
    document = qc_documents.qc_document(**qc_groups(outputs))
    page, text = render_cell(document), json.dumps(document, indent=1)
    steps: dict[str, tuple[Callable[[], object], int]] = {
        "statistics to numbers": (lambda: qc_groups(outputs), 0),
        "numbers to qc.json": (lambda: json.dumps(document, indent=1), len(text.encode())),
        "numbers to the page": (lambda: render_cell(document), len(page.encode())),
    }
    print(f"{'':24} {'CPU s':>7} {'MB':>7}")
    for name, (step, size) in steps.items():
        seconds = min(_cpu(step) for _ in range(arguments.rounds))
        print(f"{name:24} {seconds:7.2f} {f'{size / 1e6:.2f}' if size else '':>7}", flush=True)
    return 0


def _cpu(step: Callable[[], object]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started


if __name__ == "__main__":
    raise SystemExit(main())
