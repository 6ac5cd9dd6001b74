"""Speed and size of the data path by the mean length of reads, and what readers of its outputs pay.

    python -m benchmarks.lengths [--lengths BASES…] [--size MB] [--reads PATH…]

For each length plain FASTQ is made or cut (see `datapath`). Everything is measured in CPU time, the
parts of a row in turn; the fastest of `--rounds` counts. "whole" is the whole path as in
`datapath`, without the start of a process; "gz" is the same for a gzipped source that is kept. Both
coders compress the same units, so that the table shows where one should replace the other. Readers:
`bgzip -dc` (htslib) and `gzip -dc`.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np

from benchmarks.datapath import kinds_of_reads
from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.append import FastqAppender
from hesiod_watch.fastq.coder import CODER
from hesiod_watch.fastq.compress import compress
from hesiod_watch.fastq.md5 import EMPTY
from hesiod_watch.fastq.records import RecordReader, RecordUnit
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.tasks import OutputPart
from hesiod_watch.host.files import OpenDirectory

LENGTHS = (600.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0)
CODERS = ("coder", "isal")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", type=float, nargs="+", default=LENGTHS, metavar="BASES")
    parser.add_argument("--size", type=float, default=24, metavar="MB", help="of each length (24)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reads", type=Path, nargs="+", default=[], metavar="PATH")
    parser.add_argument("--directory", type=Path)
    arguments = parser.parse_args()
    print("MB of plain FASTQ per second of CPU time; size in per cent of gzip -6\n")
    print(
        f"{'mean':>6} | {'whole':>6} {'append':>6} {'size':>6} {'gz':>6}"
        f" | compress {'coder':>6} {'isal':>6}"
        f" | size {'coder':>6} {'isal':>6} {'bgzip':>6}"
        f" | htslib reads {'bgzip':>6} {'coder':>6} {'isal':>6}"
        f" | gzip reads {'bgzip':>6} {'coder':>6} {'isal':>6} | bgzip, bgzip -l1 compress"
    )
    for length in arguments.lengths:
        with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="lengths-") as scratch:
            print(row(Path(scratch), length, arguments), flush=True)


def row(scratch: Path, length: float, arguments: argparse.Namespace) -> str:
    """Measure reads of one mean length; return the row of the table."""
    plain = scratch / "plain.fastq"
    kinds = kinds_of_reads(arguments.reads, length)
    with plain.open("wb") as file:  # reads of one kind after those of another, as in cells
        for number, reads in enumerate(kinds, 1):
            while file.tell() < arguments.size * 1e6 * number / len(kinds):
                file.write(reads.record())
    text = plain.read_bytes()
    gzipped = plain.with_suffix(".fastq.gz")
    run(("gzip", "-6", "-c"), plain, gzipped)
    gzip_6 = gzipped.stat().st_size
    outputs = {name: scratch / f"{name}.gz" for name in (*CODERS, "bgzip", "bgzip -l1")}
    best: dict[str, float] = {}

    def note(name: str, seconds: float) -> None:
        best[name] = min(best.get(name, seconds), seconds)

    size = 0
    for _ in range(arguments.rounds):
        append, proof, size = whole(plain, scratch / "whole")
        note("append", append)
        note("whole", append + proof)
        note("gz", sum(whole(gzipped, scratch / "whole")[:2]))
        for name in CODERS:
            note(name, pack(text, name, outputs[name]))
        for name in ("bgzip", "bgzip -l1"):
            note(name, run((*name.split(), "-c"), plain, outputs[name]))
        for name in (*CODERS, "bgzip"):
            note(f"htslib {name}", run(("bgzip", "-dc"), outputs[name], None))
            note(f"gzip {name}", run(("gzip", "-dc"), outputs[name], None))

    def speed(name: str) -> str:
        return f"{len(text) / best[name] / 1e6:6.0f}"

    def share(name: str) -> str:
        return f"{best['htslib bgzip'] / best[f'htslib {name}']:6.0%}"

    def part(bytes_: int) -> str:
        return f"{bytes_ / gzip_6:6.1%}"

    sizes = {name: part(path.stat().st_size) for name, path in outputs.items()}
    return (
        f"{length:6.0f} | {speed('whole')} {speed('append')} {part(size)} {speed('gz')}"
        f" |          {speed('coder')} {speed('isal')}"
        f" |      {sizes['coder']} {sizes['isal']} {sizes['bgzip']}"
        f" |              {speed('htslib bgzip')} {share('coder')} {share('isal')}"
        f" |            {speed('gzip bgzip')} {speed('gzip coder')} {speed('gzip isal')}"
        f" | {speed('bgzip')} {speed('bgzip -l1')}"
    )


def whole(source: Path, directory: Path) -> tuple[float, float, int]:
    """CPU seconds of appending and of the proof, and the size of the output."""
    directory.mkdir()
    part = OutputPart("out", source.suffix == ".gz", 0, EMPTY, ())
    appender = FastqAppender(part, directory / "out", "default")
    started = time.process_time()
    appender.append(look(source, source.name), OpenDirectory(source.parent))
    appended = time.process_time()
    appender.sync()
    appender.confirm()
    proven = time.process_time()
    appender.close()
    size = (directory / "out").stat().st_size
    shutil.rmtree(directory)
    return appended - started, proven - appended, size


def pack(text: bytes, name: str, output: Path) -> float:
    """CPU seconds of compressing all units in one of the two ways."""
    seconds = 0.0
    readinto: Callable[[memoryview], int] = BytesIO(text).readinto
    with output.open("wb") as file:
        for unit in RecordReader(readinto, output):
            started = time.process_time()
            packed = by_coder(unit) if name == "coder" else by_isal(unit)
            seconds += time.process_time() - started
            file.write(packed)
        file.write(bgzf.END_OF_FILE)
    return seconds


def by_coder(unit: RecordUnit) -> bytes | memoryview:
    if CODER is None:
        raise SystemExit("the coder was not compiled")
    stops = np.column_stack((unit.starts[:, 1], unit.ends[:, 1], unit.ends[:, 3]))
    return CODER.pack(unit.data, stops, plain=unit.scan is not None and unit.scan.plain)


def by_isal(unit: RecordUnit) -> bytes | memoryview:
    return compress(unit, "default", plain=False, coder=None)


def run(command: tuple[str, ...], source: Path, output: Path | None) -> float:
    """CPU seconds of a program that reads `source`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with source.open("rb") as stdin, (output or Path("/dev/null")).open("wb") as stdout:
        subprocess.run(command, stdin=stdin, stdout=stdout, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
