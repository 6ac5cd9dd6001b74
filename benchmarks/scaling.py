"""Speed of two and four processes compared with one, each process with its own CPU.

    python -m benchmarks.scaling [--size MB] [--copies N] [--rounds N] [--directory DIR]

The whole data path (see `datapath`) runs over eight outputs of unequal sizes, with 1, 2 and 4
processes on as many CPUs, in turns. The best result of each counts. Each source exists several
times as hard links, so that starting the processes, a fifth of a second each, does not decide.
`bgzip` and `pigz` process each source once.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

from benchmarks.datapath import SHARES, WHOLE, Result, each, find, make_sources, measure, ours

CPUS = (1, 2, 4)


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
    parser.add_argument(
        "--copies", type=int, default=16, help="number of names of each source (16)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; the best counts (3)")
    parser.add_argument(
        "--directory", type=Path, help="directory to write to; its speed is part of the result"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="scaling-") as scratch:
        compare(Path(scratch), arguments)


def compare(scratch: Path, arguments: argparse.Namespace) -> None:
    sources = [scratch / f"source{number}.fastq" for number in range(len(SHARES))]
    maker = get_context("fork").Process(
        target=make_sources, args=(sources, arguments.size * 1e6, 4000, [])
    )
    maker.start()
    maker.join()
    copies = [
        link(source, scratch / str(number))
        for number in range(arguments.copies)
        for source in sources
    ]
    once = sum(path.stat().st_size for path in sources)
    outputs = scratch / "outputs"
    all_cpus = sorted(os.sched_getaffinity(0))
    best: dict[tuple[str, int], Result] = {}
    for _ in range(arguments.rounds):
        for cpus in CPUS[: sum(number <= len(all_cpus) for number in CPUS)]:
            os.sched_setaffinity(0, all_cpus[-cpus:])
            ways: list[tuple[str, Callable[[], None] | None]] = [
                ("whole", ours(WHOLE, {"processes": cpus}, copies, outputs)),
                (
                    "bgzip",
                    each(("bgzip", f"-@{cpus}", "-c"), sources, outputs) if find("bgzip") else None,
                ),
                (
                    "pigz -1",
                    each(("pigz", f"-p{cpus}", "-1", "-c"), sources, outputs)
                    if find("pigz")
                    else None,
                ),
            ]
            for name, run in ways:
                if run is not None:
                    result = measure(name, run, outputs)
                    best[name, cpus] = min(
                        best.get((name, cpus), result), result, key=lambda one: one.wall
                    )
    print(
        f"{once * arguments.copies / 1e6:.0f} MB for us, {once / 1e6:.0f} MB for others,"
        f" in {scratch}\n"
    )
    print(f"{'':10} {'CPUs':>5} {'MB/s':>6} {'of one':>7} {'CPU s/GB':>9} {'peak MB':>8}")
    for (name, cpus), result in sorted(best.items(), key=lambda item: item[0][0] != "whole"):
        size = once * (arguments.copies if name == "whole" else 1)
        print(
            f"{name:10} {cpus:5} {size / result.wall / 1e6:6.0f}"
            f" {best[name, 1].wall / result.wall:6.2f}x"
            f" {result.cpu / size * 1e9:9.2f} {result.memory / 1e6:8.0f}"
        )


def link(source: Path, directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / source.name
    path.hardlink_to(source)
    return path


if __name__ == "__main__":
    main()
