"""Simulated BAM files, as MinKNOW writes them: the reads of one FASTQ file, with dorado's tags.

htslib writes them, so they do not depend on how this program reads BAM.
"""

from __future__ import annotations

import random
from array import array
from datetime import timedelta
from pathlib import Path
from typing import Literal

from hesiod_watch.cli.simulator.eras import MODEL, Acquisition
from hesiod_watch.cli.simulator.reads import ReadBatch

BamForm = Literal["unaligned", "aligned"]

MODIFIED_MODEL = f"{MODEL}_5mCG_5hmCG@v3"
REFERENCES = (("chr1", 5_000_000), ("chr2", 3_000_000))
_ALIGNED = 0.9  # share of the reads
_DUPLEX_EVERY = 20
_COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")


def write_bam(
    path: Path,
    batch: ReadBatch,
    acquisition: Acquisition,
    barcode: str | None,
    form: BamForm,
    generator: random.Random,
) -> None:
    """Write the reads of `batch` to `path`; aligned ones sorted, with an index beside it."""
    import pysam  # late: the command line must start without it

    aligned = form == "aligned"
    group = f"{acquisition.id}_{MODEL}" + (f"_{barcode}" if barcode else "")
    header = pysam.AlignmentHeader.from_dict(
        {
            "HD": {"VN": "1.6", "SO": "coordinate" if aligned else "unknown"},
            "SQ": [{"SN": name, "LN": length} for name, length in REFERENCES] * aligned,
            "PG": [{"ID": "basecaller", "PN": "dorado", "VN": "1.1.0", "CL": "dorado basecaller"}],
            "RG": [
                {
                    "ID": group,
                    "PU": acquisition.cell.flow_cell_id,
                    "DT": acquisition.started.isoformat(),
                    "PL": "ONT",
                    "DS": f"basecall_model={MODEL} modbase_models={MODIFIED_MODEL}",
                    "LB": acquisition.library,
                    "SM": barcode or acquisition.library,
                }
            ],
        }
    )
    lines = batch.fastq.split(b"\n")
    made: list[tuple[tuple[int, int], pysam.AlignedSegment]] = []
    for number, read in enumerate(batch.reads):
        bases, qualities = lines[4 * number + 1], lines[4 * number + 3]
        record = pysam.AlignedSegment(header)
        record.query_name = read.id
        record.flag = 4
        place = (len(REFERENCES), 0)
        if aligned and generator.random() < _ALIGNED:
            reference = generator.randrange(len(REFERENCES))
            place = (reference, generator.randrange(REFERENCES[reference][1] - read.length))
            record.flag = generator.choice((0, 16))
            record.reference_id, record.reference_start = place
            record.mapping_quality = 60
            record.cigartuples = [(0, read.length)]
            if record.flag:
                bases, qualities = bases.translate(_COMPLEMENT)[::-1], qualities[::-1]
        record.query_sequence = bases.decode("ascii")
        record.query_qualities = array("B", bytes(byte - 33 for byte in qualities))
        start = acquisition.started + timedelta(seconds=read.start)
        record.set_tags(
            [
                ("qs", read.mean_q, "f"),
                ("ch", read.channel),
                ("mx", read.mux),
                ("st", start.isoformat(timespec="milliseconds")),
                ("rn", read.number),
                ("dx", int(number % _DUPLEX_EVERY == _DUPLEX_EVERY - 1)),
                ("RG", group),
                ("MM", "C+h?;C+m?;"),
                ("ML", array("B")),
            ]
        )
        made.append((place, record))
    if aligned:
        made.sort(key=lambda item: item[0])
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for _, record in made:
            file.write(record)
    if aligned:
        pysam.index(str(path))
