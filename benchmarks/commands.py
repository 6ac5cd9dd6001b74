"""CPU time of the commands that people and monitoring call, on a site of many runs.

    python -m benchmarks.commands [--runs 500] [--rounds 3] [--only status] [--before CHECKOUT]

One real run with four processed cells is copied under other names. Each command runs in its own
process; the median of the rounds counts. `wall` depends on what else the machine does. The modules
are compiled first, as pip does it: PYTHONDONTWRITEBYTECODE would have each process compile them.

`--before` measures another version too, in turn with this one; ratios compare numbers of the same
round. That checkout needs no installation.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs.cell_directories import DIRECTORIES, directories_text

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hesiod_watch"
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
        for record in (output / run).rglob(DIRECTORIES):  # the copies have times of their own
            place = record.parent.relative_to(output / run)
            opened = OpenDirectory(landing / run, landing).open(*place.parts)
            record.write_text(directories_text(opened))
    return command


def measure(version: Path, command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of one command of this version, with its children."""
    environ = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(version)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, capture_output=True, env=environ, cwd=version)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def compare(versions: list[Path], command: list[str], name: str, rounds: int) -> None:
    """Measure the versions in turn, and print the medians."""
    found: dict[Path, list[tuple[float, float]]] = {version: [] for version in versions}
    for _ in range(rounds):
        for version in versions:
            found[version].append(measure(version, command))
    for version in versions:
        cpu, wall = (statistics.median(each[which] for each in found[version]) for which in (0, 1))
        pairs = zip(found[version], found[versions[0]], strict=True)
        ratio = statistics.median(here[0] / before[0] for here, before in pairs)
        word = "now" if version == ROOT else "before"
        print(f"{name:20} {word:8} {cpu:6.3f} {ratio:6.2f} {wall:6.2f}", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500, help="number of runs")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each command")
    parser.add_argument("--only", choices=[words[0] for words in COMMANDS], help="this command")
    parser.add_argument("--before", type=Path, help="checkout of the version to compare with")
    arguments = parser.parse_args(argv)
    versions = [arguments.before.resolve()] if arguments.before else []
    versions.append(ROOT)
    for version in versions:
        compileall.compile_dir(version / PACKAGE.name, quiet=2)
    with tempfile.TemporaryDirectory(prefix="commands-") as directory:
        command = make_site(Path(directory), arguments.runs)
        print(f"{'command':20} {'version':8} {'CPU s':>6} {'ratio':>6} {'wall s':>6}")
        for words in COMMANDS:
            if arguments.only in (None, words[0]):
                compare(versions, [*command, *words], " ".join(words), arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
