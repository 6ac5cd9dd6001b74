"""Make FASTQ files for tests, and write outputs from them."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

from output_writing import write_outputs

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.fastq.model import Output, Settings, Written
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.verify import verify

GOOD = b"@r1\nACGT\n+\nIIII\n"

# Translation tables from random bytes to bases and to qualities.
BASES = bytes(b"ACGT"[byte % 4] for byte in range(256))
QUALITIES = bytes(35 + byte % 38 for byte in range(256))


def record(
    name: str,
    length: int,
    rng: random.Random,
    fields: str = " ch=5 start_time=2024-05-01T10:00:00Z",
) -> bytes:
    """One record whose bases and qualities compress about as well as real ones."""
    bases, qualities = (
        rng.randbytes(length).translate(BASES),
        rng.randbytes(length).translate(QUALITIES),
    )
    return b"@%s%s\n%s\n+\n%s\n" % (name.encode(), fields.encode(), bases, qualities)


def reads(count: int, seed: int = 0, longest: int = 6000) -> bytes:
    rng = random.Random(seed)
    return b"".join(
        record(f"read{number}", rng.randint(1, longest), rng) for number in range(count)
    )


def put(directory: Path, name: str, text: bytes, level: int = 6) -> FileEntry:
    """Write `text` to a source file, gzipped if its name ends in .gz."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text, level, mtime=0) if name.endswith(".gz") else text)
    return look(path, name)


def write(sources: list[FileEntry], directory: Path, how: Settings | None = None) -> Written:
    """Write one output and read it back."""
    directory.mkdir(exist_ok=True)
    [written] = write_outputs(
        [Output("out.fastq.gz", "barcode01", "pass", tuple(sources))], directory, how or Settings()
    )
    verify(written.path, md5=written.md5, reads=written.reads, bases=written.bases)
    return written
