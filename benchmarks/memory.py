"""Peak memory for a cell with very many files: ingest worker, process worker and service.

    python -m benchmarks.memory [--files 100000] [--reads 4] [--directory DIR]

The files are small, so that their number is measured and not their size. The numbers are the
kernel's peak values (VmHWM of the service, ru_maxrss of workers).
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

RUN, LIBRARY, CELL = "20261122_BENCH_many", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
BARCODES = 24
READ = (
    "@{id} runid=1b2c3d4e ch={channel} start_time=2026-11-22T22:10:00Z\n{bases}\n+\n{qualities}\n"
)


def make(cell: Path, files: int, reads: int) -> None:
    """Make `files` FASTQ files of `reads` short reads each, over 24 barcodes."""
    bases, qualities = "ACGTTGCA" * 50, "5:?D<A9G" * 50
    for number in range(files):
        barcode = f"barcode{number % BARCODES + 1:02}"
        directory = cell / "fastq_pass" / barcode
        if number < BARCODES:
            directory.mkdir(parents=True)
        text = "".join(
            READ.format(
                id=f"{number:08x}-{read:04x}",
                channel=number % 3000,
                bases=bases,
                qualities=qualities,
            )
            for read in range(reads)
        )
        name = f"PAW00001_pass_{barcode}_0a1b2c3d_1b2c3d4e_{number // BARCODES}.fastq"
        (directory / name).write_text(text)


def summary(files: int) -> str:
    return (
        "instrument=BENCH\nflow_cell_id=PAW00001\n"
        "acquisition_run_id=1b2c3d4e00000000000000000000000000000000\n"
        f"fastq_files_in_final_dest={files}\nfastq_files_in_fallback=0\n"
    )


def peak(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and peak MB of the largest process that `run` starts.

    `run` is called in a child process, which then reports the peak of its children.
    """
    read, write = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        run()
        os.write(write, str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as response:
        kilobytes = int(response.read() or 0)
    os.waitpid(child, 0)
    return time.monotonic() - began, kilobytes / 1000


def high_water(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else 0.0


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.2)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--reads", type=int, default=4, help="reads in each file")
    parser.add_argument(
        "--directory", type=Path, help="working directory; default: a temporary directory"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="memory-") as directory:
        place = Path(directory)
        for name in ("landing", "output", "tmp"):
            (place / name).mkdir()
        config = place / "hesiod-watch.yaml"
        config.write_text(
            "landing: landing\noutput: output\nwatch: {sweep_interval: 1s}\n"
            "processing: {workers: 1}\n"
        )
        command = [sys.executable, "-m", "hesiod_watch", "--config", str(config)]
        environ = {**os.environ, "TMPDIR": str(place / "tmp")}
        cell = place / "landing" / RUN / LIBRARY / CELL
        print(f"making {arguments.files:,} files in {place} …", file=sys.stderr)
        make(cell, arguments.files, arguments.reads)

        def perform(*words: str) -> None:
            subprocess.run(
                [*command, "perform", *words], env=environ, check=True, stderr=subprocess.DEVNULL
            )

        perform("new-run", RUN)
        rows = [("ingest, all files in one attempt", *peak(lambda: perform("ingest", RUN, CELL)))]
        service = subprocess.Popen(
            [*command, "-q", "watch"], env=environ, stderr=subprocess.DEVNULL
        )
        began = time.monotonic()
        (cell / "final_summary_PAW00001_0a1b2c3d_1b2c3d4e.txt").write_text(summary(arguments.files))
        wait_until((place / "landing" / RUN / "pipeline" / f"{CELL}.done").exists)
        # The worker cleans up after `.done`; the cell must stay until it has ended.
        wait_until((place / "landing" / RUN / "pipeline" / f"{CELL}.ingest.done").exists)
        rows.append(
            (
                "the service, from its start to .done",
                time.monotonic() - began,
                high_water(service.pid),
            )
        )
        service.terminate()
        service.wait()
        (place / "landing" / RUN / "pipeline" / f"{CELL}.done").unlink()
        rows.append(("process, the whole cell again", *peak(lambda: perform("process", RUN, CELL))))
        print(f"{arguments.files:,} files, {arguments.files * arguments.reads:,} reads")
        print(f"{'':38}  {'seconds':>8}  {'peak MB':>8}")
        for name, seconds, megabytes in rows:
            print(f"{name:38}  {seconds:8.1f}  {megabytes:8.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
