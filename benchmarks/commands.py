"""CPU time of the commands that people and monitoring call, on a site of many runs.

    python -m benchmarks.commands [--runs 500] [--rounds 3]

One real run with four processed cells is copied under other names. Each command runs in its own
process; the least of the rounds counts. `wall` depends on what else the machine does. The modules
are compiled first, as pip does it: PYTHONDONTWRITEBYTECODE would have each process compile them.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hesiod_watch.cli.simulator import SimulatedCell

PACKAGE = Path(__file__).parents[1] / "hesiod_watch"
FIRST = "20261122_BENCH_run000"
COMMANDS = (
    ("poll",),
    ("check",),
    ("status",),
    ("status", "--attention"),
    ("explain", FIRST),
    ("--version",),
)


def make_site(place: Path, runs: int) -> list[str]:
    """Make a site with so many finished runs; returns the command line without a command."""
    landing, output = place / "landing", place / "output"
    landing.mkdir()
    output.mkdir()
    config = place / "hesiod-watch.yaml"
    config.write_text("landing: landing\noutput: output\n")
    command = [sys.executable, "-m", "hesiod_watch", "--config", str(config), "-q"]
    for number in range(4):
        cell = f"20261122_221{number}_1A_PAW0000{number}_0a1b2c3{number}"
        SimulatedCell(landing, FIRST, "sample_A", cell, reads_per_file=5).write()
    subprocess.run([*command, "poll"], check=True)
    for number in range(1, runs):
        run = f"{FIRST[:-3]}{number:03}"
        for area in (landing, output):
            shutil.copytree(area / FIRST, area / run, symlinks=True)
        for link in (landing / run / "pipeline/output", output / run / "rundata"):
            target = str(link.readlink()).replace(FIRST, run)
            link.unlink()
            link.symlink_to(target)
    return command


def measure(command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of one command, with its children."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, capture_output=True, env={**os.environ, "COLUMNS": "200"})
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500, help="number of runs")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each command")
    arguments = parser.parse_args(argv)
    compileall.compile_dir(PACKAGE, quiet=2)
    with tempfile.TemporaryDirectory(prefix="commands-") as directory:
        command = make_site(Path(directory), arguments.runs)
        print(f"{'command':24}  {'CPU s':>6}  {'wall s':>6}")
        for words in COMMANDS:
            cpu, wall = min(measure([*command, *words]) for _ in range(arguments.rounds))
            print(f"{' '.join(words):24}  {cpu:6.2f}  {wall:6.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
