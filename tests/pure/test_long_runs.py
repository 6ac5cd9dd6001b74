"""The page of the largest cells: 96 barcodes, three days, hundreds of millions of reads."""

from __future__ import annotations

import json
import time

from long_run import LongRun
from qc_documents import qc_document

from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.report.cell import render_cell


def test_page_of_a_large_cell() -> None:
    """It has all charts, is below a megabyte, and takes no more CPU time with more reads."""
    numbers = qc_groups(LongRun(sampled=4000).outputs())
    assert numbers["total"]["reads"] > 290_000_000
    document = json.loads(json.dumps(qc_document(**numbers)))
    started = time.process_time()
    page = render_cell(document)
    assert time.process_time() - started < 3  # a tenth of it where nothing else runs
    assert len(page.encode()) < 1_000_000
    assert page.count("<figure") == 9
    for words in ("Length against quality", "Quality over time", "N50 over time"):
        assert f"<h3>{words}</h3>" in page
    assert page.count("barcode96") >= 2
