"""Choose how a unit of reads is compressed; the only module that knows both FASTQ and BGZF.

The compiled coder where there is one, for all but the shortest reads: three tables for each cost
more than they save there. Else isal; with a new deflate block before and after each long line of
qualities, which want a table of their own. The level "small" is zlib's, with the same splits: it
alone finds what overlapping reads have in common.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.coder import CODER, DeflateCoder
from hesiod_watch.fastq.model import Level
from hesiod_watch.fastq.records import RecordUnit

CODED = {"default": 500, "fast": 800}
"""Mean length, in bases, of the reads of a unit that the coder takes."""
LONG = {"default": 1500, "fast": 2500, "small": 1500}
"""Bases from which a deflate block of its own pays for a line of qualities, without the coder."""


def compress(
    unit: RecordUnit, level: Level, *, plain: bool, coder: DeflateCoder | None = CODER
) -> bytes | memoryview:
    """The BGZF blocks of a unit. `plain`: its bases are nothing but A, C, G and T."""
    lengths = unit.lengths
    if coder is not None and level in CODED and lengths.sum() >= CODED[level] * unit.reads:
        stops = np.column_stack((unit.starts[:, 1], unit.ends[:, 1], unit.ends[:, 3]))
        return coder.pack(unit.data, stops, plain=plain)
    long = lengths >= LONG[level]
    qualities = zip(unit.starts[long, 3].tolist(), unit.ends[long, 3].tolist(), strict=True)
    return b"".join(bgzf.compress(unit.data, list(chain.from_iterable(qualities)), level))
