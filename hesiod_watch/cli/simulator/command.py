"""`hesiod-watch simulate`: runs on several instruments, each begun during the one before."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hesiod_watch.cli.simulator.cell import BATCH_HOURS, SimulatedCell
from hesiod_watch.cli.simulator.eras import ERAS
from hesiod_watch.core.errors import PermanentError, UsageError

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `simulate`; `run` takes the parsed options."""
    add = parser.add_argument
    add(
        "directory",
        metavar="DIR",
        type=Path,
        help="landing area to write into; made if it does not exist",
    )
    add("--runs", type=_count, default=2, metavar="N", help="runs (default %(default)s)")
    add(
        "--cells",
        type=_count,
        default=1,
        metavar="N",
        help="cells of each run (default %(default)s)",
    )
    add(
        "--barcodes",
        type=_count,
        default=4,
        metavar="N",
        help="barcodes of each cell, 0 for none (default %(default)s)",
    )
    add(
        "--files",
        type=_count,
        default=6,
        metavar="N",
        help="batches of each barcode (default %(default)s)",
    )
    add(
        "--reads",
        type=_count,
        default=400,
        metavar="N",
        help="reads of each batch (default %(default)s)",
    )
    add(
        "--mean-length",
        type=float,
        default=2000.0,
        metavar="BASES",
        help="mean length of the reads (default %(default)s)",
    )
    add(
        "--interval",
        type=float,
        default=0.3,
        metavar="SECONDS",
        help="time between two files of a cell (default %(default)s)",
    )
    add(
        "--speed",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="how many times faster (default %(default)s)",
    )
    add(
        "--era",
        choices=tuple(ERAS),
        default="2024",
        help="years of MinKNOW whose files are imitated (default %(default)s)",
    )
    add("--gz", action="store_true", help="compress the FASTQ files")
    add(
        "--bam",
        choices=("unaligned", "aligned"),
        default=None,
        metavar="FORM",
        help="write each read as BAM, too: unaligned or aligned",
    )
    add("--duplex", action="store_true", help="write duplex reads, too, one for ten passed ones")
    add("--no-fastq", action="store_true", help="with --bam: write no FASTQ")
    add(
        "--pooled",
        action="store_true",
        help="all cells of a run in the directory of one library, as with MinKNOW's data pooling",
    )
    add("--output-hash", action="store_true", help="write MinKNOW's checksums of the data files")
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the random reads (default %(default)s)",
    )
    add("--date", default=None, metavar="YYYYMMDD", help="date of the runs (default: today)")


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError(f"{count} is less than 0")
    return count


def run(args: argparse.Namespace) -> int:
    """Write the simulated runs and print a line per file; returns 0, or 130 if interrupted.

    Raises UsageError for options that cannot be simulated, PermanentError if DIR cannot be written.
    """
    if args.speed <= 0 or args.interval < 0:
        raise UsageError("--speed must be more than 0 and --interval not less than 0")
    if args.no_fastq and not args.bam:
        raise UsageError("--no-fastq needs --bam: a cell must have reads in some format")
    cells = list(_cells(args))
    for cell in cells:
        if (cell.path.parent if cell.pooled else cell.path).exists():
            raise UsageError(f"{cell.path} exists; give another directory, --date or --seed")
    try:
        args.directory.mkdir(parents=True, exist_ok=True)
        _write(cells, args.interval / args.speed)
    except KeyboardInterrupt:
        print("simulate: interrupted; unfinished cells stay as they are", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        raise PermanentError(
            f"{error.filename or args.directory} cannot be written: {error.strerror}"
        ) from error
    return 0


def _cells(args: argparse.Namespace) -> Iterator[SimulatedCell]:
    # The reads of the last batch start about now.
    began = datetime.now(UTC) - timedelta(hours=BATCH_HOURS * args.files)
    date, clock = (args.date, "1200") if args.date else (f"{began:%Y%m%d}", f"{began:%H%M}")
    generator = random.Random(args.seed)
    barcodes = [f"barcode{number:02d}" for number in range(1, args.barcodes)] + [
        "unclassified"
    ] * bool(args.barcodes)
    for number in range(args.runs):
        name = NAMES[number % len(NAMES)] + (
            str(number // len(NAMES) + 1) if number >= len(NAMES) else ""
        )
        for cell in range(args.cells):
            serial = number * args.cells + cell
            position = f"{serial // 8 % 3 + 1}{'ABCDEFGH'[serial % 8]}"
            yield SimulatedCell(
                args.directory,
                f"{date}_DEMO_{name}",
                f"sample_{chr(ord('A') + (0 if args.pooled else cell % 26))}",
                f"{date}_{clock}_{position}_PAW{serial + 1:05d}_{generator.getrandbits(32):08x}",
                barcodes=barcodes,
                files_per_barcode=args.files,
                reads_per_file=args.reads,
                mean_length=args.mean_length,
                era=args.era,
                gz=args.gz,
                fastq=not args.no_fastq,
                bam=args.bam,
                duplex=args.duplex,
                seed=args.seed,
                pooled=args.pooled,
                output_hash=args.output_hash,
            )


def _write(cells: list[SimulatedCell], interval: float) -> None:
    """Write one file of every running cell, pause, repeat.

    A cell begins when half of the one before is written.
    """
    running: list[tuple[SimulatedCell, Generator[Path, None, None]]] = []
    written = dict.fromkeys(map(id, cells), 0)
    waiting = list(cells)
    try:
        while waiting or running:
            begun = time.monotonic()
            if waiting and (
                not running or written[id(running[-1][0])] * 2 >= running[-1][0].step_count
            ):
                cell = waiting.pop(0)
                print(f"{cell.run}: {cell.library}/{cell.name} begins", flush=True)
                running.append((cell, cell.steps()))
            for cell, steps in list(running):
                path = next(steps, None)
                if path is None:
                    running.remove((cell, steps))
                    print(f"{cell.run}: {cell.library}/{cell.name} has ended", flush=True)
                    continue
                written[id(cell)] += 1
                print(f"{cell.run}: {path.relative_to(cell.landing / cell.run)}", flush=True)
            time.sleep(max(0.0, interval - (time.monotonic() - begun)))
    finally:
        for _, steps in running:
            steps.close()  # removes its temporary files
