"""BAM files for tests, written by htslib, and read by samtools as an independent judge."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pysam
import pytest

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.fastq.sources import look

needs_samtools = pytest.mark.skipif(not shutil.which("samtools"), reason="needs samtools")

MODEL = "dna_r10.4.1_e8.2_400bps_sup@v5.0.0"
MODIFIED = f"{MODEL}_5mCG_5hmCG@v3"
RUN = "b3a5e3a1f0c9d8e7b6a5f4c3d2e1f0a9b8c7d6e5"
GROUP = f"{RUN}_{MODEL}"
REFERENCES = (("chr1", 60_000), ("chr2", 40_000))


def read_group(name: str = GROUP, *, model: str = MODEL, modified: str = MODIFIED) -> str:
    """A line for a read group, as dorado writes it."""
    models = f"basecall_model={model}" + (f" modbase_models={modified}" if modified else "")
    return f"@RG\tID:{name}\tPU:PAW12345\tPM:P2S\tDT:2026-05-01T10:00:00Z\tPL:ONT\tDS:{models}"


def header(
    *groups: str,
    references: Sequence[tuple[str, int]] = (),
    order: str = "unknown",
    program: str = "dorado basecaller sup",
) -> str:
    """The text of a header; without `groups` it has one read group."""
    lines = [f"@HD\tVN:1.6\tSO:{order}"]
    lines += [f"@SQ\tSN:{name}\tLN:{length}" for name, length in references]
    lines += [f"@PG\tID:basecaller\tPN:dorado\tVN:1.1.0\tCL:{program}"]
    return "".join(f"{line}\n" for line in (*lines, *(groups or (read_group(),))))


def records(
    count: int,
    seed: int = 0,
    *,
    group: str = GROUP,
    references: Sequence[tuple[str, int]] = (),
    longest: int = 400,
    modified: bool = True,
) -> str:
    """Text of some reads; aligned ones, in the order of their places, if there are references."""
    rng = random.Random(seed)
    lines: list[tuple[tuple[int, int], str]] = []
    for number in range(count):
        length = rng.randint(1, longest)
        bases = "".join(rng.choices("ACGT", k=length))
        qualities = "".join(chr(33 + rng.randint(2, 40)) for _ in range(length))
        flag, name, place, cigar = 4, "*", 0, "*"
        order = (len(references), 0)
        if references and rng.random() < 0.9:
            which = rng.randrange(len(references))
            place = rng.randint(1, references[which][1] - longest)
            flag, name, cigar = rng.choice((0, 16)), references[which][0], f"{length}M"
            order = (which, place)
        tags = [
            f"qs:f:{rng.uniform(5, 30):.4f}",
            f"ch:i:{rng.randint(1, 500)}",
            f"st:Z:2026-05-01T{rng.randrange(24):02d}:00:00.123+00:00",
            f"RG:Z:{group}",
            f"dx:i:{1 if number % 5 == 4 else 0}",
            "mv:B:c,5,1,0,1",
            "pi:Z:parent",
        ]
        if modified:
            tags += ["MM:Z:C+h?,0;C+m?,0;", "ML:B:C,10,200"]
        fields = (
            *(f"read{seed}-{number}", flag, name, place, 60 if place else 0, cigar),
            *("*", 0, 0, bases, qualities, *tags),
        )
        lines.append((order, "\t".join(map(str, fields))))
    if references:
        lines.sort(key=lambda line: line[0])
    return "".join(f"{line}\n" for _, line in lines)


def bam(path: Path, text: str) -> bytes:
    """Write SAM text as BAM to `path`; returns its bytes."""
    sam = path.with_name(f"{path.name}.sam")
    sam.write_text(text)
    pysam.view("-b", "--no-PG", "-o", str(path), str(sam), catch_stdout=False)
    sam.unlink()
    return path.read_bytes()


def put_bam(directory: Path, name: str, text: str) -> FileEntry:
    """Write a source of BAM."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    bam(path, text)
    return look(path, name)


def samtools(*arguments: object) -> str:
    """Output of Debian's samtools, which must succeed."""
    done = subprocess.run(
        ("samtools", *map(str, arguments)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def reads_in(*paths: Path) -> list[str]:
    """Every record of some BAM files as samtools prints it, sorted; equal ones as often as there.

    Reads the files only; so it judges what a program wrote, and not what it says.
    """
    return sorted(line for path in paths for line in samtools("view", path).splitlines())
