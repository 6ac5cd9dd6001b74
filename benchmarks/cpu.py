"""CPU time of a poll over settled runs, of a look at a run, and of one small cell.

    python -m benchmarks.cpu [--before CHECKOUT] [--rounds 9]

Each number is user and system time of a process that has loaded the program: the start of Python is
not part of it. It hardly depends on what else runs on the host. `--before` measures another version
too, in turn with this one; ratios compare numbers of the same round. That checkout needs no
installation, but the compiled coder (hesiod_watch/fastq/_coder*) that this one has.

The poll is over 50 runs of one processed cell. The run that is looked at has 24 cells: 12 are
processed, 12 are being written. Each of the 1,000 claims has a dead owner and a worker; the 3,000
messages are delivered. The small cell has 4 files of 200 reads. Its time is that from its
discovery to `.done` and the pages, with everything in one process. All of it is in memory, if
/dev/shm can be used.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = "sample_A"
MEASURES = {
    "poll": "a poll over {runs} settled runs",
    "look": "a look at a run with 24 cells",
    "claims": "a look at a cell with 1,000 claims",
    "messages": "a look at a run with 3,000 messages",
    "cell": "one small cell, to `.done`",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, help="checkout of the version to compare with")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=50, help="settled runs of the poll")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.measure:
        what, directory = arguments.measure
        print(json.dumps(MEASURED[what](Path(directory))))
        return 0
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- a new directory
    with tempfile.TemporaryDirectory(dir=memory, prefix="cpu-") as directory:
        compare(Path(directory), arguments)
    return 0


def compare(directory: Path, arguments: argparse.Namespace) -> None:
    versions = [arguments.before.resolve(), ROOT] if arguments.before else [ROOT]
    prepare(directory, arguments.runs)
    head = "  before      now    ratio" if arguments.before else "     now"
    print(f"{'CPU milliseconds, median':34}{head}")
    for what, title in MEASURES.items():
        if what not in arguments.only:
            continue
        rounds = []
        for number in range(arguments.rounds):
            # In turn: what a version leaves in caches helps both equally often.
            order = versions[::-1] if number % 2 else versions
            rounds.append({version: run(version, what, directory) for version in order})
        line = f"{title.format(runs=arguments.runs):34}"
        for version in versions:
            line += f"{statistics.median(each[version] for each in rounds) * 1e3:8.1f} "
        if arguments.before:
            ratio = statistics.median(each[ROOT] / each[versions[0]] for each in rounds)
            line += f"{ratio:8.3f}"
        print(line, flush=True)


def run(version: Path, what: str, directory: Path) -> float:
    """Measure in a process of that version."""
    environ = {**os.environ, "PYTHONPATH": str(version), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--measure", what, str(directory)]
    done = subprocess.run(command, env=environ, cwd=version, stdout=subprocess.PIPE, check=True)
    seconds: float = json.loads(done.stdout)
    return seconds


def prepare(directory: Path, runs: int) -> None:
    """Make the sites of the poll and of the look, with results of this version."""
    from hesiod_watch import cli

    config = site(directory / "poll")
    for number in range(runs):
        write_cell(directory / "poll", f"20261122_BENCH_run{number}", number)
    assert cli.main(["--config", str(config), "poll"]) == 0
    config = site(directory / "look")
    for number in range(12):
        write_cell(directory / "look", "20261122_BENCH_cells", number)
    assert cli.main(["--config", str(config), "poll"]) == 0
    for number in range(12, 24):
        cell = write_cell(directory / "look", "20261122_BENCH_cells", number)
        next(cell.glob("final_summary*")).unlink()


def site(root: Path) -> Path:
    """Make a site without runs; return its configuration."""
    (root / "landing").mkdir(parents=True)
    (root / "output").mkdir()
    config = root / "hesiod-watch.yaml"
    config.write_text(
        f"landing: {root}/landing\noutput: {root}/output\ntake_up: {{since: always}}\n"
        "processing: {executor: inline, processes: 1, ingest: false}\n"
    )
    return config


def write_cell(root: Path, run: str, number: int, reads: int = 4) -> Path:
    from hesiod_watch.cli.simulator import SimulatedCell

    name = f"20261122_2210_1A_PAW{number:05}_{number:08x}"
    return SimulatedCell(
        *(root / "landing", run, LIBRARY, name),
        barcodes=("barcode01", "barcode02"),
        reads_per_file=reads,
        fail_fraction=0,
    ).write()


def cpu_of(action: Callable[[], object]) -> float:
    """User and system time of this process, in seconds, for one call."""
    began = time.process_time()
    action()
    return time.process_time() - began


def measure_poll(directory: Path) -> float:
    from hesiod_watch import cli

    command = ["--config", str(directory / "poll" / "hesiod-watch.yaml"), "poll"]

    def poll() -> None:
        assert cli.main(command) == 0

    poll()
    return statistics.median(cpu_of(poll) for _ in range(15))


def looker(config: Path) -> Callable[[Path], object]:
    from hesiod_watch.config import load
    from hesiod_watch.service.reconcile import Reconciler

    values = load(config, environ={}, cwd=config.parent)
    reconciler = Reconciler(
        values, on_end=lambda ended: None, clock=lambda: datetime.now(UTC), repeat=False
    )
    return reconciler.look


def measure_look(directory: Path) -> float:
    look = looker(directory / "look" / "hesiod-watch.yaml")
    run_dir = directory / "look" / "landing" / "20261122_BENCH_cells"
    look(run_dir)
    return statistics.median(cpu_of(lambda: look(run_dir)) for _ in range(100))


def measure_cell(directory: Path) -> float:
    with tempfile.TemporaryDirectory(dir=directory) as place:
        root = Path(place)
        look = looker(site(root))
        times = []
        for number in range(11):
            run = f"20261122_BENCH_run{number}"
            cell = write_cell(root, run, number, reads=200)
            times.append(cpu_of(lambda: look(root / "landing" / run)))  # noqa: B023 -- called at once
            assert (root / "landing" / run / "pipeline" / f"{cell.name}.done").exists()
        return statistics.median(times[1:])  # the first loads the modules


def observer(directory: Path) -> tuple[Path, str, Callable[[], object]]:
    """Return `pipeline/` of a new run, the name of its cell, and a function that observes it."""
    from hesiod_watch.host import process
    from hesiod_watch.host.files import OpenDirectory
    from hesiod_watch.runs.observe import observe

    (directory / "landing").mkdir()
    cell = write_cell(directory, "20261122_BENCH_run", 1)
    run = directory / "landing" / "20261122_BENCH_run"
    (run / "pipeline").mkdir()
    (run / "pipeline" / "upstream").write_text("LOCAL")

    def look() -> object:
        place = OpenDirectory(run, directory / "landing")
        return observe(place, directory / "output", judge=process.judge_here, channels=("rt",))

    return run / "pipeline", cell.name, look


def measure_claims(directory: Path) -> float:
    from hesiod_watch.host import process

    with tempfile.TemporaryDirectory(dir=directory) as place:
        pipeline, stem, look = observer(Path(place))
        dead = asdict(process.this_owner("process", "local"))
        for epoch in range(1, 1001):
            record = json.dumps({**dead, "pid": 2**22 + epoch, "token": f"{epoch:032x}"})
            name = f"{stem}.started" if epoch == 1 else f"{stem}.started.{epoch}"
            for flag in (name, f"{name}.worker"):
                (pipeline / flag).write_text(record)
        look()
        return statistics.median(cpu_of(look) for _ in range(25))


def measure_messages(directory: Path) -> float:
    with tempfile.TemporaryDirectory(dir=directory) as place:
        pipeline, stem, look = observer(Path(place))
        (pipeline / f"{stem}.done").touch()
        messages = pipeline / "messages"
        messages.mkdir()
        for number in range(1, 3001):
            key = f"cell-done.20261122_2210_1A_PAW00001_{number:08x}.1a2b3c4d"
            (messages / key).write_text("{}")
            (messages / f"{number:04}").symlink_to(key)
            (messages / f"{number:04}.rt.delivered").touch()
        look()
        return statistics.median(cpu_of(look) for _ in range(25))


MEASURED = {
    "poll": measure_poll,
    "look": measure_look,
    "claims": measure_claims,
    "messages": measure_messages,
    "cell": measure_cell,
}

if __name__ == "__main__":
    sys.exit(main())
