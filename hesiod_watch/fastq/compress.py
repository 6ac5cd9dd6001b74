"""Choose how a unit of reads is compressed; the only module that knows both FASTQ and BGZF.

Long reads of plain bases: the bases are packed by `basepack`, headers and qualities go to isal. Long reads with other
letters among their bases, and all of the level "small": a new deflate block before and after each line of qualities.
Short reads: as they come, because tables of their own cost more than they save.
"""

from __future__ import annotations

from itertools import chain

from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.model import Level
from hesiod_watch.fastq.records import Unit

LONG = {"default": 1500, "fast": 2500, "small": 1500}
"""Bases from which a deflate block of its own pays for a line."""


def compress(unit: Unit, level: Level, *, plain: bool) -> bytes:
    """The BGZF blocks of a unit. `plain`: its bases are nothing but A, C, G and T."""
    long = unit.lengths >= LONG[level]
    bases = list(zip(unit.starts[long, 1].tolist(), unit.ends[long, 1].tolist(), strict=True))
    if plain and bases and level != "small":
        return b"".join(bgzf.compress_packing(unit.data, bases, level))
    qualities = zip(unit.starts[long, 3].tolist(), unit.ends[long, 3].tolist(), strict=True)
    return b"".join(bgzf.compress(unit.data, list(chain.from_iterable(qualities)), level))
