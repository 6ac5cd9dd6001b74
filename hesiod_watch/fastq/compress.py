"""Choose how to compress a unit of reads; the only module that knows both FASTQ and BGZF.

The compiled coder, where available, compresses all but the shortest reads: there, three tables per
read cost more than they save. Otherwise isal does it, with a new deflate block before and after
each long line of qualities, because qualities need their own table. The level "small" uses zlib
with the same splits: only zlib finds the common parts of overlapping reads.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.coder import CODER, FastqCoder
from hesiod_watch.fastq.model import Level
from hesiod_watch.fastq.records import RecordUnit

CODED = {"default": 500, "fast": 800}
"""Mean read length of a unit, in bases, from which the coder is used."""
LONG = {"default": 1500, "fast": 2500, "small": 1500}
"""Bases from which a separate deflate block pays for a line of qualities, without the coder."""


def compress(
    unit: RecordUnit, level: Level, *, plain: bool, coder: FastqCoder | None = CODER
) -> bytes | memoryview:
    """Compress a unit to BGZF blocks. `plain`: all its bases are A, C, G or T."""
    lengths = unit.lengths
    if coder is not None and level in CODED and lengths.sum() >= CODED[level] * unit.reads:
        stops = np.column_stack((unit.starts[:, 1], unit.ends[:, 1], unit.ends[:, 3]))
        return coder.pack(unit.data, stops, plain=plain)
    long = lengths >= LONG[level]
    qualities = zip(unit.starts[long, 3].tolist(), unit.ends[long, 3].tolist(), strict=True)
    return b"".join(bgzf.compress(unit.data, list(chain.from_iterable(qualities)), level))
