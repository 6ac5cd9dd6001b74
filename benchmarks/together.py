"""Time and CPU until 24 small cells are done that end within one second.

    python -m benchmarks.together [--before CHECKOUT] [--rounds 3] [--cells 24] [--runs 2]

The real service is running, and its sweep is over. All files of all cells are there but
final_summary, which then lands in one cell after another without a pause. The result is the time
from the first final_summary to the last `.done`, and to the page of each run that shows it; and the
CPU time that the service with all its workers uses from the first final_summary to the end of the
last worker. CPU time hardly depends on what else runs on the host.

`--before` measures another version too, in turn with this one. That checkout needs no installation,
but the compiled coder (hesiod_watch/fastq/_coder*) that this one has.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmarks.cpu import write_cell

ROOT = Path(__file__).parents[1]
LIBRARY = "sample_A"
TICK = os.sysconf("SC_CLK_TCK")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, help="checkout of the version to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--runs", type=int, default=2)
    arguments = parser.parse_args(argv)
    versions = [arguments.before.resolve()] if arguments.before else []
    versions.append(ROOT)
    found: dict[Path, list[tuple[float, float, float]]] = {version: [] for version in versions}
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- a new directory
    for _ in range(arguments.rounds):
        for version in versions:
            with tempfile.TemporaryDirectory(dir=memory, prefix="together-") as directory:
                found[version].append(measure(version, Path(directory), arguments))
    print(f"{'version':10} {'all done':>10} {'all pages':>10} {'CPU':>8} {'CPU per cell':>13}")
    for version, rounds in found.items():
        done, pages, cpu = (
            statistics.median(each[number] for each in rounds) for number in (0, 1, 2)
        )
        name = "now" if version == ROOT else "before"
        per_cell = cpu / arguments.cells * 1e3
        print(f"{name:10} {done:8.2f} s {pages:8.2f} s {cpu:6.2f} s {per_cell:10.0f} ms")
    return 0


def measure(version: Path, root: Path, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """Seconds until all cells are done, until all pages show them, and of CPU time."""
    (root / "landing").mkdir(parents=True)
    (root / "output").mkdir()
    config = root / "hesiod-watch.yaml"
    config.write_text(f"landing: {root}/landing\noutput: {root}/output\n")
    cells = [
        write_cell(root, f"20261122_BENCH_run{number % arguments.runs}", number, reads=200)
        for number in range(arguments.cells)
    ]
    runs = sorted({cell.parents[1].name for cell in cells})
    summaries = []
    for cell in cells:
        (summary,) = cell.glob("final_summary*")
        summaries.append((summary, summary.read_text()))
        summary.unlink()
    environ = {**os.environ, "PYTHONPATH": str(version)}
    command = [sys.executable, "-m", "hesiod_watch", "--config", str(config), "watch"]
    log = root / "service.log"
    with log.open("wb") as output:
        service = subprocess.Popen(command, env=environ, cwd=version, stdout=output, stderr=output)
    try:
        wait_for(lambda: "INFO ready" in log.read_text())
        wait_for(lambda: all((root / "landing" / run / "pipeline/output").exists() for run in runs))
        # The first ingest of every cell, and the pages of their runs, are over.
        wait_for(lambda: log.read_text().count("action=ingest code=0") >= len(cells))
        wait_for(lambda: is_quiet(log))
        cpu, began = cpu_of(service.pid), time.monotonic()
        for summary, text in summaries:
            summary.write_text(text)
        flags = [
            root / "landing" / cell.parents[1].name / "pipeline" / f"{cell.name}.done"
            for cell in cells
        ]
        wait_for(lambda: all(flag.exists() for flag in flags))
        done = time.monotonic() - began
        names = {run: [cell.name for cell in cells if cell.parents[1].name == run] for run in runs}
        wait_for(lambda: all(shows(root / "output" / run, names[run]) for run in runs))
        pages = time.monotonic() - began
        wait_for(lambda: is_quiet(log))
        return done, pages, cpu_of(service.pid) - cpu
    finally:
        service.terminate()
        service.wait(60)
        # Workers outlive the service, and would still write in the directory that is removed.
        wait_for(lambda: not processes_of(config))


def processes_of(config: Path) -> list[str]:
    """Processes of this program that have this configuration: each worker names it."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if os.fsencode(config) in place.read_bytes().split(b"\0"):
                found.append(place.parent.name)
    return found


def shows(output: Path, cells: list[str]) -> bool:
    """Whether the page of a run was made after the results of all its cells."""
    with suppress(OSError):
        page = (output / "report.html").stat().st_mtime_ns
        return all(
            (output / LIBRARY / cell / "manifest.json").stat().st_mtime_ns <= page for cell in cells
        )
    return False


def is_quiet(log: Path) -> bool:
    """Whether every worker that was started has ended."""
    text = log.read_text()
    return text.count(" INFO started ") == text.count(" INFO ended ")


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, of its children that have ended, and of its fork server."""
    total = 0
    servers: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        servers += [int(child) for child in children.read_text().split()]
    for each in (pid, *servers):
        with suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / TICK


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the service is too slow")
        time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(main())
