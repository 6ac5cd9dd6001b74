"""Run all benchmarks one after the other, each in its own process.

    python -m benchmarks [NAME…] [--quick]

Prints tables and asserts nothing. docs/benchmarks.md contains the numbers of one machine. Each
benchmark has its own options; see `python -m benchmarks.NAME --help`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Benchmark:
    question: str
    quick: tuple[str, ...] = ()
    """Options for a run of seconds instead of minutes, with less exact results."""


BENCHMARKS: dict[str, Benchmark] = {  # by module in this directory
    "events": Benchmark(
        "from the end of a cell to the hint", ("--summaries", "40", "--storm", "10000")
    ),
    "latency": Benchmark("from the end of a cell to its claim", ("--idle", "20", "--storm", "10")),
    "completion": Benchmark("from the last file of a cell to `.done`", ("--sizes", "0.2", "0.8")),
    "together": Benchmark("from the end of 24 small cells to `.done`", ("--rounds", "1")),
    "looks": Benchmark("how often a finished cell is looked at"),
    "cpu": Benchmark("how much CPU time a poll, a look and a small cell take", ("--rounds", "2")),
    "commands": Benchmark(
        "how much CPU time the commands take on a site of many runs",
        ("--runs", "20", "--rounds", "1"),
    ),
    "pages": Benchmark(
        "what the page of a very large cell costs", ("--reads", "3000000", "--rounds", "1")
    ),
    "summaries": Benchmark("what the copy of a sequencing summary costs", ("--megabytes", "50")),
    "settled": Benchmark("what many settled runs cost", ("--runs", "100", "500")),
    "memory": Benchmark("how much memory a cell of very many files takes", ("--files", "5000")),
    "upstreams": Benchmark(
        "what polls and proven copies cost", ("--runs", "50", "--files", "1000")
    ),
    "scaling": Benchmark(
        "what two and four processes gain over one", ("--size", "40", "--copies", "2")
    ),
    "bam": Benchmark("how much CPU time a cell of BAM takes", ("--reads", "2000")),
    "datapath": Benchmark("how fast reads are compressed and measured", ("--size", "40")),
    "lengths": Benchmark(
        "how the length of reads changes speed, size and reading", ("--size", "4", "--rounds", "1")
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Runs benchmarks and prints their tables.",
        epilog="\n".join(
            f"{name:12} {benchmark.question}" for name, benchmark in BENCHMARKS.items()
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run (all)")
    parser.add_argument("--quick", action="store_true", help="fewer samples, less data")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    failed = [name for name in arguments.names or BENCHMARKS if not run(name, arguments.quick)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run(name: str, quick: bool) -> bool:
    """Run one benchmark; whether it completed. A failure does not stop the others."""
    benchmark = BENCHMARKS[name]
    print(f"== {name}: {benchmark.question}\n", flush=True)
    started = time.monotonic()
    options = benchmark.quick if quick else ()
    code = subprocess.run(
        (sys.executable, "-m", f"benchmarks.{name}", *options), cwd=ROOT
    ).returncode
    print(f"\n== {name}: {time.monotonic() - started:.0f} s\n", flush=True)
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
