"""Cost of history: many settled runs beside 24 active cells.

    python -m benchmarks.settled [--runs 500 5000 20000]

The settled runs are clones of one that this version processed: four libraries of one cell each,
with directories of their own, and only the files that a look reads, as hard links. The 24 active
cells are in 6 runs and have 24 barcodes. For each number of runs:

- the CPU time of `poll` beyond that of a poll of the active cells alone (medians of five, in turn);
- the CPU time of `watch` from its start to "ready", then, when it has looked at every run, its
  memory (resident), the number of its watches, and the CPU time until then;
- the same for a second start, which finds the record of the first one;
- the CPU time and the memory of `status --json`.

All of it is in memory, if /dev/shm can be used. The modules are compiled first (see `commands`).
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.commands import PACKAGE
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs.cell_directories import DIRECTORIES, directories_text
from hesiod_watch.runs.settled_runs import RECORD
from hesiod_watch.runs.state_files import MARKER_DIRECTORY

RUN = "20250101_BENCH_settled"
CELLS = 4
ACTIVE_RUNS, ACTIVE_CELLS, BARCODES = 6, 4, 24
COMMAND = [sys.executable, "-m", "hesiod_watch"]
TICKS = os.sysconf("SC_CLK_TCK")
PAUSE = 5.0
"""Seconds after which a run that was just made can be settled."""
LONGEST = 900.0
"""Seconds that a service may take to look at every run."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[500, 5000, 20000])
    counts = parser.parse_args(argv).runs
    compileall.compile_dir(PACKAGE, quiet=2)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- a new directory
    with tempfile.TemporaryDirectory(dir=memory, prefix="settled-") as directory:
        root = Path(directory)
        config, active = site(root / "site"), site(root / "active")
        template(root / "site", config)
        write_active(root / "site")
        write_active(root / "active")
        made = 1
        for count in sorted(counts):
            for number in range(made, count):
                clone(root / "site", f"{RUN}_{number:05}")
            made = max(made, count)
            time.sleep(PAUSE)
            measure(count, config, active)
    return 0


def site(root: Path) -> Path:
    """Make a site without runs; return its configuration."""
    (root / "landing").mkdir(parents=True)
    (root / "output").mkdir()
    (root / "locks").mkdir()
    config = root / "hesiod-watch.yaml"
    config.write_text(
        f"landing: {root}/landing\noutput: {root}/output\nlocks: {root}/locks\n"
        "processing: {executor: inline, processes: 1, ingest: false}\n"
    )
    return config


def template(root: Path, config: Path) -> None:
    """Process the run that is cloned."""
    for number in range(CELLS):
        SimulatedCell(
            *(root / "landing", RUN, f"sample_{number}", cell_name(number)),
            barcodes=("barcode01", "barcode02"),
            reads_per_file=4,
            fail_fraction=0,
        ).write()
    run(config, "poll")


def cell_name(number: int) -> str:
    return f"20250101_2210_1A_PAW{number:05}_{number:08x}"


def clone(root: Path, name: str) -> None:
    """Clone the settled run: own directories, links and records, and hard links to other files."""
    landing, output = root / "landing", root / "output"
    for place in (landing, output):
        shutil.copytree(
            *(place / RUN, place / name), symlinks=True, copy_function=os.link, ignore=unread
        )
    for link, target in (
        (landing / name / "pipeline" / "output", output / name),
        (output / name / "rundata", landing / name),
    ):
        link.unlink()
        link.symlink_to(os.path.relpath(target, link.parent))
    owner = output / name / ".owner.json"
    record = owner.read_text().replace(RUN, name)
    owner.unlink()
    owner.write_text(record)
    for number in range(CELLS):
        place = Path(f"sample_{number}", cell_name(number))
        written = output / name / place / DIRECTORIES
        written.unlink()
        opened = OpenDirectory(landing / name, landing).open(*place.parts)
        written.write_text(directories_text(opened))


def unread(directory: str, names: list[str]) -> set[str]:
    """Files that no look reads: data, and results other than records and the page."""
    if "/pipeline" in directory:
        return set()
    return {
        name
        for name in names
        if Path(directory, name).is_file()
        and name not in (DIRECTORIES, ".owner.json", "report.html", "raw.json")
    }


def write_active(root: Path) -> None:
    """Make the runs that are being written: their cells have data and no final_summary."""
    for number in range(ACTIVE_RUNS * ACTIVE_CELLS):
        run_number, cell = divmod(number, ACTIVE_CELLS)
        place = root / "landing" / f"20260101_BENCH_active{run_number}" / f"sample_{cell}"
        for barcode in range(BARCODES):
            for kind in ("fastq_pass", "fastq_fail"):
                (place / cell_name(number) / kind / f"barcode{barcode:02}").mkdir(parents=True)


def measure(count: int, config: Path, active: Path) -> None:
    print(f"{count} settled runs, {ACTIVE_RUNS * ACTIVE_CELLS} active cells", flush=True)
    (config.parent / "output" / MARKER_DIRECTORY / RECORD).unlink(missing_ok=True)
    for word in ("without a record", "with one"):
        figures = watch(config)
        print(f"  watch, {word}: {figures}", flush=True)
    run(config, "poll")
    polls = [(run(config, "poll")[0], run(active, "poll")[0]) for _ in range(5)]
    beyond = statistics.median(here - bare for here, bare in polls)
    print(f"  poll beyond one of the active cells: {beyond * 1e3:.0f} ms", flush=True)
    cpu, memory = run(config, "status", "--json")
    print(f"  status --json: {cpu:.2f} s, {memory / 1024:.0f} MB", flush=True)


def run(config: Path, *command: str) -> tuple[float, int]:
    """CPU seconds of a command, and its largest resident memory in KiB."""
    process = subprocess.Popen(
        [*COMMAND, "--config", str(config), *command], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (command, process.returncode)
    return used.ru_utime + used.ru_stime, used.ru_maxrss


def watch(config: Path) -> str:
    """Run a service until it has looked at every run; return its figures."""
    log = config.with_suffix(".log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "--config", str(config), "watch"], stdout=output, stderr=output
        )
    try:
        while "ready" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.01)
        ready = cpu_of(process.pid)
        ended = time.monotonic() + LONGEST
        quiet = used = 0.0
        while quiet < 3.0 and time.monotonic() < ended:  # 3 s without work: nothing waits
            time.sleep(0.5)
            now = cpu_of(process.pid)
            quiet, used = (quiet + 0.5 if now - used < 0.03 else 0.0), now
        status = Path(f"/proc/{process.pid}/status").read_text()
        memory = int(status.split("VmRSS:")[1].split()[0]) / 1024
        watches = sum(
            link.read_text().count("inotify wd:")
            for link in Path(f"/proc/{process.pid}/fdinfo").iterdir()
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    return f"ready {ready:.2f} s, all {used:.2f} s CPU, {memory:.1f} MB, {watches} watches"


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    sys.exit(main())
