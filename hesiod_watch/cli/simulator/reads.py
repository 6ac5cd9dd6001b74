"""Simulated reads: log-normal lengths, a genome's GC, drifting qualities, a bad start.

Bases and qualities are slices of a few pools, so a read costs little more than its copy. The pools
are made once per process and are equal in every process. The caller's random generator chooses the
slices, so equal seeds give equal reads.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from typing import NamedTuple

BAD_START = 40
"""Bases at the start of a read with low quality: the adapter."""
SKIPPED = 60
"""Bases at the start of a longer read that dorado leaves out of its mean Q."""

_BASES = 1 << 20
_QUALITIES = 1 << 16  # more than deflate's window, so that a pool used again does not compress
_LENGTH_SPREAD = 0.8  # sigma of the logarithm of lengths: N50 is about twice the median
_LONGEST = 400_000
_GC = 0.41


class SimulatedRead(NamedTuple):
    """One read without its bases and qualities."""

    id: str
    number: int
    channel: int
    mux: int
    start: float  # seconds since the start of the acquisition
    length: int
    mean_q: float  # as dorado's: from the mean error, without the first 60 bases of longer reads


class ReadBatch(NamedTuple):
    """The reads of one file, as FASTQ and as a list."""

    fastq: bytes
    reads: list[SimulatedRead]


@cache
def _bases() -> bytes:
    at_or_gc = [
        letter
        for letter, share in zip(b"ACGT", (1 - _GC, _GC, _GC, 1 - _GC), strict=True)
        for _ in range(round(share * 128))
    ]
    table = bytes(at_or_gc[:256]).ljust(256, b"A")
    return random.Random("bases").randbytes(_BASES).translate(table)


class _Qualities(NamedTuple):
    text: bytes
    errors: array[float]  # sum of error probabilities before each position

    def error(self, start: int, end: int) -> float:
        """Sum of the error probabilities of [start, end) of the endlessly repeated pool."""
        return self._before(end) - self._before(start)

    def _before(self, position: int) -> float:
        repeats, rest = divmod(position, _QUALITIES)
        return repeats * self.errors[_QUALITIES] + self.errors[rest]


@cache
def _table(centre: int) -> bytes:
    """Table from uniform bytes to quality characters: normal around `centre`, Q1 to Q50."""
    spread = 2 + centre / 5
    weights = [math.exp(-(((quality - centre) / spread) ** 2) / 2) for quality in range(1, 51)]
    shares = [share / sum(weights) for share in accumulate(weights)]
    return bytes(
        33 + 1 + next(q for q, share in enumerate(shares) if share >= (byte + 0.5) / 256)
        for byte in range(256)
    )


@cache
def _qualities(centre: int) -> _Qualities:
    """Pool of qualities around `centre` that drift in stretches, as those of a basecaller."""
    generator = random.Random(f"qualities {centre}")
    stretches = []
    size = 0
    while size < _QUALITIES:
        drifted = min(45, max(3, round(generator.gauss(centre, 2))))
        stretches.append(generator.randbytes(generator.randint(20, 120)).translate(_table(drifted)))
        size += len(stretches[-1])
    text = b"".join(stretches)[:_QUALITIES]
    error = [10 ** (-(character - 33) / 10) for character in range(256)]
    return _Qualities(text, array("d", accumulate(map(error.__getitem__, text), initial=0.0)))


def _slice(pool: bytes, start: int, length: int) -> bytes:
    end = start + length
    return pool[start:end] if end <= len(pool) else (pool * (end // len(pool) + 1))[start:end]


def make_batch(
    generator: random.Random,
    count: int,
    *,
    passing: bool,
    mean_length: float,
    first_number: int,
    hours: tuple[float, float],
    channels: int,
    header: Callable[[SimulatedRead], str],
) -> ReadBatch:
    """Make `count` reads that start within `hours` (from, to) of the acquisition, in that order.

    `passing` chooses the side of the usual pass line (Q10), with a few exceptions. `header` returns
    the text after the `@` of a read.
    """
    bases, bad = _bases(), _qualities(7)
    # Mean of the normal distribution whose exponential has the mean `mean_length`.
    middle = math.log(mean_length) - _LENGTH_SPREAD**2 / 2
    starts = sorted(generator.uniform(hours[0] * 3600, hours[1] * 3600) for _ in range(count))
    parts: list[bytes] = []
    reads = []
    for number, start in enumerate(starts, first_number):
        length = min(_LONGEST, max(1, int(generator.lognormvariate(middle, _LENGTH_SPREAD))))
        pool = _qualities(
            int(generator.triangular(15, 34, 27) if passing else generator.triangular(6, 11, 10))
        )
        head = min(BAD_START, length)
        at = generator.randrange(_QUALITIES - BAD_START)
        sequence = _slice(bases, generator.randrange(_BASES), length)
        quality = bad.text[at : at + head] + _slice(pool.text, at, length - head)
        if length > SKIPPED:
            error = pool.error(at + SKIPPED - head, at + length - head) / (length - SKIPPED)
        else:
            error = (bad.error(at, at + head) + pool.error(at, at + length - head)) / length
        digits = f"{generator.getrandbits(128):032x}"
        read = SimulatedRead(
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}",
            number,
            generator.randint(1, channels),
            generator.randint(1, 4),
            start,
            length,
            -10 * math.log10(error),
        )
        parts += (b"@", header(read).encode(), b"\n", sequence, b"\n+\n", quality, b"\n")
        reads.append(read)
    return ReadBatch(b"".join(parts), reads)
