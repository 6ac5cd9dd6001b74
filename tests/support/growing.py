"""A small growing cell: its sources, its expected outputs, and checks of the result."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from open_runs import ANYWHERE

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Settings, Written
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.tasks import TaskLimits

LIMITS = TaskLimits(files=2)
SETTINGS = Settings(level="small")
"""The level that uses zlib, because the tests compare bytes.

With the other levels equal input gives equal bytes only nearly always (see `fastq.bgzf`).
"""

# Translation tables from random bytes to bases and to qualities.
_BASES = bytes(b"ACGT"[byte % 4] for byte in range(256))
_QUALITIES = bytes(35 + byte % 38 for byte in range(256))


@contextmanager
def directory_in_memory(otherwise: Path) -> Iterator[Path]:
    """A directory in memory if possible: thousands of crashes and fsyncs need no real disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield otherwise
        return
    directory = Path(tempfile.mkdtemp(prefix="hesiod-watch-", dir=memory))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def reads(count: int, seed: int = 0, longest: int = 400) -> bytes:
    """Text of some reads whose bases and qualities compress about as well as real ones."""
    rng = random.Random(seed)
    records = []
    for number in range(count):
        length = rng.randint(1, longest)
        bases, qualities = (
            rng.randbytes(length).translate(_BASES),
            rng.randbytes(length).translate(_QUALITIES),
        )
        fields = b"ch=%d start_time=2024-05-01T%02d:00:00Z" % (
            rng.randint(1, 500),
            rng.randrange(24),
        )
        records.append(b"@r%d-%d %s\n%s\n+\n%s\n" % (seed, number, fields, bases, qualities))
    return b"".join(records)


def put(directory: Path, name: str, text: bytes) -> FileEntry:
    """Write `text` to a source file, gzipped if its name ends in .gz."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_bytes(gzip.compress(text, 1, mtime=0) if name.endswith(".gz") and text else text)
    return look(path, name)


def cell(directory: Path) -> list[Output]:
    """Four outputs: of plain sources, of gzipped ones (the first empty), of both, and of none."""
    plain = [put(directory, f"a{number}.fastq", reads(3, number)) for number in range(4)]
    gzipped = [
        put(directory, f"b{number}.fastq.gz", reads(2 * (number != 0), 10 + number))
        for number in range(3)
    ]
    mixed = [
        put(directory, f"c{number}.fastq{'.gz' * number}", reads(2, 20 + number))
        for number in range(2)
    ]
    return [
        Output("a.fastq.gz", "barcode01", "pass", tuple(plain)),
        Output("b.fastq.gz", "barcode02", "pass", tuple(gzipped)),
        Output("c.fastq.gz", None, "fail", tuple(mixed)),
        Output("d.fastq.gz", None, "skip", ()),
    ]


def bam_cell(directory: Path) -> list[Output]:
    """As `cell`, with three outputs of BAM. Sources of one bring read groups that others lack."""
    from bam_files import header, put_bam, read_group, records  # late: it loads pysam

    def sources(letter: str, counts: Sequence[int]) -> tuple[FileEntry, ...]:
        return tuple(
            put_bam(
                directory,
                f"{letter}{number}.bam",
                header(read_group(f"group{number}" if letter == "b" else "group"))
                + records(count, number, group="group"),
            )
            for number, count in enumerate(counts)
        )

    return [
        Output("a.bam", "barcode01", "pass", sources("a", (3, 3, 3, 3))),
        Output("b.bam", "barcode02", "pass", sources("b", (2, 0, 2))),
        Output("c.bam", None, "fail", sources("c", (2, 2))),
        Output("d.fastq.gz", None, "skip", ()),
    ]


CELLS: dict[str, Callable[[Path], list[Output]]] = {"FASTQ": cell, "BAM": bam_cell}
"""Cells of the same shape, by their format."""


def some(output: Output, *numbers: int) -> Output:
    """The output with only the sources of these numbers."""
    return Output(
        output.name,
        output.barcode,
        output.part,
        tuple(output.sources[number] for number in numbers),
    )


def with_sources(output: Output, sources: Sequence[FileEntry]) -> Output:
    """The output with these sources instead of its own."""
    return Output(output.name, output.barcode, output.part, tuple(sources))


def opened(
    directory: Path,
    settings: Settings = SETTINGS,
    *,
    check_all: bool = True,
    limits: TaskLimits = LIMITS,
) -> Ingest:
    """Open a session in a directory."""
    return Ingest.open(
        directory, ANYWHERE, settings, owner={"who": "me"}, check_all=check_all, limits=limits
    )


def in_one_go(
    directory: Path, outputs: Sequence[Output], settings: Settings = SETTINGS
) -> list[Written]:
    """Write all outputs in one undisturbed session."""
    with opened(directory, settings) as one:
        return one.finish(outputs)


def grow(
    directory: Path,
    outputs: Sequence[Output],
    promise: Callable[[str, int], None] = lambda what, number: None,
    settings: Settings = SETTINGS,
) -> None:
    """Take the sources as a real cell delivers them.

    One file comes late, more files follow, and `finish` is called twice. `promise` is called with
    the number of pieces that must not be lost from then on ("pieces"), the number of these that
    `finish` keeps ("kept"), and when everything is written ("finished").
    """
    a, b, c, _ = outputs
    with Ingest.open(
        directory, ANYWHERE, settings, owner={"round": 1}, check_all=False, limits=LIMITS
    ) as ingest:
        ingest.take([some(a, 0, 2), some(b, 0)])
        promise("pieces", 3)
        promise("kept", 2)  # `a` will be cut back to its first source
        ingest.take([some(a, 0, 2, 3), some(b, 0, 1), c])
        promise("pieces", 7)
        promise("kept", 5)
    promise("pieces", 5)
    with Ingest.open(
        directory, ANYWHERE, settings, owner={"round": 2}, check_all=True, limits=LIMITS
    ) as ingest:
        ingest.finish(outputs)
        promise("pieces", 9)
        promise("kept", 9)
        promise("finished", 1)
        ingest.finish(outputs)


def written(directory: Path, outputs: Sequence[Output]) -> dict[str, bytes]:
    return {output.name: (directory / output.name).read_bytes() for output in outputs}


def expected(directory: Path, outputs: Sequence[Output]) -> dict[str, bytes]:
    """Bytes of one undisturbed run; also checks that they inflate to the sources' text."""
    with Ingest.open(directory, ANYWHERE, SETTINGS, owner={}, check_all=False) as ingest:
        ingest.finish(outputs)
    found = written(directory, outputs)
    for output in outputs:
        texts = [source.path.read_bytes() for source in output.sources]
        texts = [gzip.decompress(text) if text.startswith(b"\x1f\x8b") else text for text in texts]
        if output.name.endswith(".bam"):
            texts[1:] = [text[_header_bytes(text) :] for text in texts[1:]]
        assert gzip.decompress(found[output.name]) == b"".join(texts)
    return found


def _header_bytes(bam: bytes) -> int:
    """Size of the header of inflated BAM without references."""
    return 12 + int.from_bytes(bam[4:8], "little")
