"""Speed and output size of the data path, compared with the programs that it replaces.

    python -m benchmarks.datapath [--size MB] [--cpus N] [--length BASES] [--reads PATH…]

Makes plausible FASTQ, or cuts the real reads of `--reads` to other lengths, and writes it in every
way the data path offers. The same files are processed by `bgzip`, `pigz` and the chain
`cat | pigz -9`, `md5sum`, `NanoStat`, where installed. All programs run on the same CPUs, one after
the other. So the ratios are valid on a busy machine, too; the megabytes per second are not. MB are
10^6 bytes of plain FASTQ. CPU time and peak memory are measured by the kernel, for a process and
all its children.

"append" is reading, checking, statistics, compressing, MD5 and writing, in one process. "whole" is
everything done for a cell: also making the output durable, reading it back from the disk, inflating
and comparing it.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Only the process that makes the reads imports numpy. Memory that a process used before exec counts
# for the peak memory of the new program, so this process must stay small.

SHARES = [1.5, 1.3, 1.2, 1.1, 0.9, 0.8, 0.7, 0.5]  # eight outputs: four barcodes, pass and fail
SEED = 2026
POOL = 4_000_000  # number of bases and qualities from which reads are cut
RUN = "4cbe20b5e27e673b10b44d873c8dd49f7bbe2daf"
MODEL = "dna_r10.4.1_e8.2_400bps_hac@v4.3.0"
LENGTH_LIMIT = 500_000

# Programs of the measured processes. Arguments: settings as JSON, directory for outputs, sources.
# Each source becomes an output; with WHOLE, sources of one name in several directories become one.
APPEND = """
import json, sys
from pathlib import Path
from hesiod_watch.fastq.append import FastqAppender
from hesiod_watch.fastq.md5 import EMPTY
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.tasks import OutputPart
from hesiod_watch.host.files import OpenDirectory
settings, directory, *paths = sys.argv[1:]
settings = json.loads(settings)
for path in map(Path, paths):
    members = path.suffix == ".gz" and not settings.get("recompress")
    level = settings.get("level", "default")
    part = OutputPart(path.name, members, 0, EMPTY, ())
    appender = FastqAppender(part, Path(directory) / path.name, level)
    appender.append(look(path, path.name), OpenDirectory(path.parent))
    appender.close()
"""
WITHOUT_SHA256 = (
    """
from hesiod_watch.fastq.sources import SourceFile
SourceFile.readinto_hashed = SourceFile.readinto
"""
    + APPEND
)
WHOLE = """
import json, sys
from pathlib import Path
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Settings
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.tasks import OutputPart
from hesiod_watch.host.files import OpenDirectory
settings, directory, *paths = sys.argv[1:]
sources = {}
for path in map(Path, paths):
    sources.setdefault(path.stem, []).append(look(path, f"{path.parent.name}/{path.name}"))
outputs = [Output(name + ".out", None, "pass", tuple(some)) for name, some in sources.items()]
how = Settings(**json.loads(settings))
cell = OpenDirectory(Path("/"))
with Ingest.open(Path(directory), cell, how, owner={}, check_all=False) as ingest:
    ingest.finish(outputs)
"""


@dataclass(frozen=True)
class Result:
    name: str
    wall: float  # seconds
    cpu: float  # seconds
    memory: int  # peak bytes of the largest process
    size: int  # bytes of output


class Reads:
    """Reads with errors from one random genome.

    Their qualities vary as real ones do: slowly, quickly and at random.
    """

    def __init__(self, length: float) -> None:
        import numpy

        self._numpy = numpy
        self._rng = numpy.random.default_rng(SEED)
        self._length = length
        self._letters = numpy.frombuffer(b"ACGT", numpy.uint8)
        self._genome = self._rng.choice(self._letters, POOL, p=[0.29, 0.21, 0.21, 0.29])
        self._qualities = 24 + 5.5 * self._wave(16) + 4 * self._wave(300) + 2 * self._wave(1)
        self._made = 0

    def _wave(self, width: int) -> NDArray[np.float64]:
        """Moving average of noise over `width`, of standard deviation 1."""
        total = self._numpy.cumsum(self._rng.standard_normal(POOL + width))
        average: NDArray[np.float64] = (total[width:] - total[:-width]) / width**0.5
        return average

    def record(self) -> bytes:
        rng, numpy = self._rng, self._numpy
        length = random_length(rng, self._length, LENGTH_LIMIT)
        place = int(rng.integers(0, POOL - length))
        bases = self._genome[place : place + length].copy()
        wrong = rng.integers(0, length, length // 30)
        bases[wrong] = self._letters[rng.integers(0, 4, len(wrong))]
        place = int(rng.integers(0, POOL - length))
        qualities = numpy.clip(self._qualities[place : place + length] + rng.normal(0, 3), 1, 50)
        symbols = (qualities + 33.5).astype(numpy.uint8)
        name, second = uuid.UUID(bytes=rng.bytes(16)), self._made // 3
        self._made += 1
        header = (
            f"@{name} runid={RUN} ch={rng.integers(1, 3001)} "
            f"start_time=2024-05-01T{second // 3600 % 24:02}"
            f":{second // 60 % 60:02}:{second % 60:02}"
            f".{rng.integers(0, 10**6):06}+01:00 flow_cell_id=PAW12345 "
            "protocol_group_id=benchmark sample_id=sample barcode=barcode01 "
            f"barcode_alias=barcode01 parent_read_id={name} basecall_model_version_id={MODEL}\n"
        )
        return b"".join((header.encode(), bases.tobytes(), b"\n+\n", symbols.tobytes(), b"\n"))


class RealReads:
    """Parts of random lengths of the real reads in a FASTQ file, with their headers.

    All reads are one text for this. Parts overlap, but seldom within the 32 KiB that a compressor
    sees.
    """

    def __init__(self, path: Path, length: float) -> None:
        import numpy

        self._rng = numpy.random.default_rng(SEED)
        self._length = length
        opening = gzip.open if path.suffix == ".gz" else open
        with opening(path, "rb") as file:
            lines = file.read().split(b"\n")
        self._headers = [line.partition(line[37:38]) for line in lines[0::4] if len(line) > 38]
        self._bases, self._qualities = b"".join(lines[1::4]), b"".join(lines[3::4])

    @property
    def bases(self) -> int:
        return len(self._bases)

    def record(self) -> bytes:
        length = random_length(self._rng, self._length, self.bases // 2)
        start = int(self._rng.integers(0, self.bases - length))
        part = slice(start, start + length)
        _, blank, fields = self._headers[int(self._rng.integers(0, len(self._headers)))]
        name = str(uuid.UUID(bytes=self._rng.bytes(16))).encode()
        return b"@%s%s%s\n%s\n+\n%s\n" % (
            *(name, blank, fields),
            *(self._bases[part], self._qualities[part]),
        )


def random_length(rng: np.random.Generator, mean: float, limit: int) -> int:
    return int(min(max(rng.lognormal(math.log(mean) - 0.5, 1.0), 80), limit))


def kinds_of_reads(paths: list[Path], length: float) -> Sequence[Reads | RealReads]:
    """Reads of each FASTQ file at or below `paths` that contains many; made ones without paths."""
    if not paths:
        return [Reads(length)]
    files = [
        file
        for path in paths
        for file in (sorted(path.rglob("*.fastq*")) if path.is_dir() else [path])
    ]
    found = [RealReads(file, length) for file in files if file.stat().st_size]
    if not (many := [reads for reads in found if reads.bases > 100_000]):
        raise SystemExit("no FASTQ file of more than 100,000 bases there")
    return many


def make_sources(paths: list[Path], size: float, length: float, real: list[Path]) -> None:
    """Make plain FASTQ files of unequal sizes, `size` bytes in total.

    Each is made from one of the files of `real` reads, if there are some.
    """
    kinds = itertools.cycle(kinds_of_reads(real, length))
    for path, share in zip(paths, SHARES, strict=True):
        reads = next(kinds)
        with path.open("wb") as file:
            while file.tell() < share * size / len(SHARES):
                file.write(reads.record())


def measure(name: str, run: Callable[[], None], outputs: Path) -> Result:
    """Run `run` in a child process, and return the kernel's counts.

    `run` starts programs that write into `outputs`.
    """
    shutil.rmtree(outputs, ignore_errors=True)
    outputs.mkdir()
    memory_file = outputs.parent / "memory"
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            run()
            memory_file.write_text(
                str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
            )
        except Exception as error:  # noqa: BLE001  printed; then this process ends
            print(f"{name}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    wall = time.monotonic() - started
    if status:
        raise SystemExit(f"{name} failed")
    size = sum(path.stat().st_size for path in outputs.iterdir())
    return Result(name, wall, usage.ru_utime + usage.ru_stime, int(memory_file.read_text()), size)


def ours(
    program: str, settings: dict[str, object], sources: list[Path], outputs: Path
) -> Callable[[], None]:
    """Run a Python program of this project, with all sources at once."""
    command = (
        sys.executable,
        "-c",
        program,
        json.dumps(settings),
        str(outputs),
        *map(str, sources),
    )

    def run() -> None:
        subprocess.run(command, check=True)

    return run


def each(command: tuple[str, ...], sources: list[Path], outputs: Path) -> Callable[[], None]:
    """Run the command once per source, from its standard input to an output file."""

    def run() -> None:
        for path in sources:
            with path.open("rb") as source, (outputs / path.name).open("wb") as output:
                subprocess.run(command, stdin=source, stdout=output, check=True)

    return run


def chain(cpus: int, nanostat: str, sources: list[Path], outputs: Path) -> Callable[[], None]:
    """Run the steps that a careful laboratory's script performs for each output."""

    def run() -> None:
        for path in sources:
            output = outputs / path.name
            with (
                output.open("wb") as file,
                subprocess.Popen(("cat", str(path)), stdout=subprocess.PIPE) as cat,
            ):
                subprocess.run(
                    ("pigz", f"-p{cpus}", "-9", "-b512"), stdin=cat.stdout, stdout=file, check=True
                )
            subprocess.run(("md5sum", str(output)), stdout=subprocess.DEVNULL, check=True)
            subprocess.run((nanostat, "--fastq", str(path)), stdout=subprocess.DEVNULL, check=True)

    return run


def find(program: str) -> str | None:
    """Path of a program on PATH or beside this interpreter."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size",
        type=float,
        default=400,
        metavar="MB",
        help="size of the plain FASTQ to make (400)",
    )
    parser.add_argument("--cpus", type=int, default=1, help="CPUs to run on (1)")
    parser.add_argument(
        "--length", type=float, default=4000, metavar="BASES", help="mean length of reads (4000)"
    )
    parser.add_argument(
        "--reads",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="files or directories with real reads to cut (made ones)",
    )
    parser.add_argument(
        "--directory", type=Path, help="directory to write to; its speed is part of the result"
    )
    parser.add_argument("--ours-only", action="store_true", help="omit the other programs")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-arguments.cpus :])
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="datapath-") as scratch:
        compare(Path(scratch), arguments)


def compare(scratch: Path, arguments: argparse.Namespace) -> None:
    cpus: int = arguments.cpus
    sources = [scratch / f"source{number}.fastq" for number in range(len(SHARES))]
    maker = get_context("fork").Process(
        target=make_sources,
        args=(sources, arguments.size * 1e6, arguments.length, arguments.reads),
    )
    maker.start()
    maker.join()
    plain = sum(path.stat().st_size for path in sources)
    gzipped = [path.with_suffix(".fastq.gz") for path in sources]
    for path, target in zip(sources, gzipped, strict=True):
        with path.open("rb") as source, gzip.open(target, "wb", 6) as file:
            shutil.copyfileobj(source, file, 1 << 20)
    gzip_6 = sum(path.stat().st_size for path in gzipped)
    print(
        f"{plain / 1e6:.0f} MB of FASTQ, mean length {arguments.length:.0f},"
        f" gzip -6 ratio {plain / gzip_6:.3f}"
    )
    print(f"{cpus} CPU(s), Python {sys.version.split()[0]}, in {scratch}\n")

    outputs = scratch / "outputs"
    many: dict[str, object] = {"processes": cpus}
    ways = [
        ("append, default", ours(APPEND, {}, sources, outputs)),
        ("append, default, no SHA-256", ours(WITHOUT_SHA256, {}, sources, outputs)),
        ("append, fast", ours(APPEND, {"level": "fast"}, sources, outputs)),
        ("append, gz kept", ours(APPEND, {}, gzipped, outputs)),
        ("append, gz kept, no SHA-256", ours(WITHOUT_SHA256, {}, gzipped, outputs)),
        ("append, gz to BGZF", ours(APPEND, {"recompress": True}, gzipped, outputs)),
        ("whole, gz kept", ours(WHOLE, many, gzipped, outputs)),
        ("whole, default, one process", ours(WHOLE, {}, sources, outputs)),
        ("whole, default", ours(WHOLE, many, sources, outputs)),
    ]
    nanostat, pigz = find("NanoStat"), find("pigz")
    peers = [
        (f"bgzip -@{cpus}", find("bgzip"), each(("bgzip", f"-@{cpus}", "-c"), sources, outputs)),
        (f"pigz -p{cpus} -1", pigz, each(("pigz", f"-p{cpus}", "-1", "-c"), sources, outputs)),
        (f"pigz -p{cpus}", pigz, each(("pigz", f"-p{cpus}", "-c"), sources, outputs)),
        (f"pigz -p{cpus} -9", pigz, each(("pigz", f"-p{cpus}", "-9", "-c"), sources, outputs)),
        (
            f"cat|pigz -p{cpus} -9; md5sum; NanoStat",
            nanostat and pigz,
            chain(cpus, str(nanostat), sources, outputs),
        ),
    ]
    print(f"{'':36} {'MB/s':>7} {'MB/CPU-s':>9} {'ratio':>6} {'of gzip -6':>10} {'peak MB':>8}")
    best = [report(measure(name, run, outputs), plain, gzip_6) for name, run in ways][-1]
    for name, program, run in peers if not arguments.ours_only else []:
        if not program:
            print(f"{name:36} not installed")
            continue
        peer = report(measure(name, run, outputs), plain, gzip_6)
        print(
            f"{'':36} {peer.wall / best.wall:6.1f}x {peer.cpu / best.cpu:8.1f}x"
            " the time of: whole, default"
        )


def report(result: Result, plain: int, gzip_6: int) -> Result:
    print(
        f"{result.name:36} {plain / result.wall / 1e6:7.0f} {plain / result.cpu / 1e6:9.0f} "
        f"{plain / result.size:6.3f} {100 * result.size / gzip_6:9.1f}% {result.memory / 1e6:8.0f}",
        flush=True,
    )
    return result


if __name__ == "__main__":
    main()
