"""Choose how to compress a unit of reads; the only module that knows both FASTQ and BGZF.

The compiled coder, where available, compresses long reads. It writes three tables per read, which
every later reader of a file of short reads pays for (docs/benchmarks.md). So isal compresses short
reads, and all reads without the coder, with a new deflate block before and after each long line of
qualities, because qualities need their own table. The level "small" uses zlib with the same splits:
only zlib finds the common parts of overlapping reads.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.coder import CODER, FastqCoder
from hesiod_watch.fastq.model import Level
from hesiod_watch.fastq.records import RecordUnit

CODED_LEVELS = ("default", "fast")
CODED_BASES = 1500
"""Mean read length of a unit, in bases, from which the coder is used."""
LONG = {"default": 1500, "fast": 2500, "small": 1500}
"""Bases from which a separate deflate block pays for a line of qualities, without the coder."""
LONG_AMONG_SHORT = {"default": 3000, "fast": 3000, "small": 1500}
"""The same, in units of short reads."""


def compress(
    unit: RecordUnit, level: Level, *, plain: bool, coder: FastqCoder | None = CODER
) -> bytes | memoryview:
    """Compress a unit to BGZF blocks. `plain`: all its bases are A, C, G or T."""
    lengths = unit.lengths
    short = lengths.sum() < CODED_BASES * unit.reads
    if coder is not None and level in CODED_LEVELS and not short:
        stops = np.column_stack((unit.starts[:, 1], unit.ends[:, 1], unit.ends[:, 3]))
        return coder.pack(unit.data, stops, plain=plain)
    long = lengths >= (LONG_AMONG_SHORT if short else LONG)[level]
    qualities = zip(unit.starts[long, 3].tolist(), unit.ends[long, 3].tolist(), strict=True)
    return b"".join(bgzf.compress(unit.data, list(chain.from_iterable(qualities)), level))
