"""Time from the last file to `.done`, for cells of growing size: incremental against batch.

    python -m benchmarks.completion [--sizes 1 4 16] [--files-left 2] [--processes 4] [--place DIR]

For each size the same cell lands twice, with the real service running. Incremental: all but the
last files land and are ingested; then the last files land, then final_summary. Batch (`ingest:
false`): all files are there, then final_summary lands. The result is the time from the close of
final_summary to the flag `.done`, as seen by a program that checks every 2 ms.

Large cells are made of one gigabyte of FASTQ under many names (hard links), so that making them
does not take longer than the measurement. The service reads each name as a separate file. In both
ways the sources are in the page cache, and outputs are written to disk and fsynced.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hesiod_watch.cli.simulator import SimulatedCell

RUN, LIBRARY, CELL = "20261122_BENCH_cell", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
BARCODES = ("barcode01", "barcode02", "barcode03", "barcode04")


def make_data(place: Path) -> list[Path]:
    """Make about a gigabyte of plain FASTQ, in files of the size that MinKNOW writes."""
    cell = SimulatedCell(
        place,
        RUN,
        LIBRARY,
        CELL,
        barcodes=BARCODES,
        files_per_barcode=8,
        reads_per_file=4000,
        fail_fraction=0.15,
        mean_length=4000,
        pod5=False,
    )
    cell.write()
    return sorted(cell.path.glob("fastq_pass/*/*.fastq"))


def land(files: list[Path], cell: Path, bytes_wanted: float) -> list[Path]:
    """Link files into a cell until it has the wanted size.

    Returns the links in the order of landing, round robin over barcodes.
    """
    total, number, landed = 0, 0, []
    while total < bytes_wanted:
        source = files[number % len(files)]
        barcode = BARCODES[number % len(BARCODES)]
        directory = cell / "fastq_pass" / barcode
        directory.mkdir(parents=True, exist_ok=True)
        name = f"PAW00001_pass_{barcode}_0a1b2c3d_1b2c3d4e_{number // len(BARCODES)}.fastq"
        os.link(source, directory / name)
        landed.append(directory / name)
        total += source.stat().st_size
        number += 1
    return landed


def summary(files: int) -> str:
    return (
        "instrument=BENCH\nposition=1A\nflow_cell_id=PAW00001\nsample_id=sample_A\n"
        "protocol_group_id=bench\nprotocol=sequencing/x:FLO-PRO114M:SQK-LSK114:400\n"
        "protocol_run_id=0a1b2c3d-0000-4000-8000-000000000000\n"
        "acquisition_run_id=1b2c3d4e00000000000000000000000000000000\n"
        "started=2026-11-22T22:10:00+00:00\nacquisition_stopped=2026-11-22T23:10:00+00:00\n"
        "processing_stopped=2026-11-22T23:10:05+00:00\nbasecalling_enabled=1\n"
        "sequencing_summary_file=\nfast5_files_in_final_dest=0\nfast5_files_in_fallback=0\n"
        f"fastq_files_in_final_dest={files}\nfastq_files_in_fallback=0\n"
    )


@contextmanager
def service(place: Path, processing: str) -> Iterator[None]:
    for name in ("landing", "output", "tmp"):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir()
    config = place / "hesiod-watch.yaml"
    config.write_text(f"landing: landing\noutput: output\nprocessing: {{{processing}}}\n")
    with (place / "service.log").open("ab") as log:
        command = [sys.executable, "-m", "hesiod_watch", "--config", str(config), "watch"]
        environ = {**os.environ, "TMPDIR": str(place / "tmp")}
        running = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
    try:
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()


def wait_for(path: Path, pause: threading.Event) -> float:
    while not path.exists():
        if path.with_suffix(".failed").exists():
            raise RuntimeError(path.with_suffix(".failed").read_text())
        pause.wait(0.002)
    return time.monotonic()


def measure(
    files: list[Path], gigabytes: float, place: Path, arguments: argparse.Namespace, *, ingest: bool
) -> tuple[float, float]:
    """Seconds from final_summary to `.done`, and seconds that ingest took before."""
    pause = threading.Event()
    settings = (
        f"workers: 1, processes: {arguments.processes}, ingest: {str(ingest).lower()},"
        " ingest_interval: 1s, nice: 0"
    )
    with service(place, settings):
        staged = place / "staged" / CELL
        landed = land(files, staged, gigabytes * 1e9)
        late = [path.relative_to(staged) for path in landed[-arguments.files_left :]]
        run = place / "landing" / RUN / LIBRARY
        run.mkdir(parents=True)
        began = time.monotonic()
        if ingest:
            for path in late:
                (place / "late" / path).parent.mkdir(parents=True, exist_ok=True)
                (staged / path).rename(place / "late" / path)
        staged.rename(run / CELL)
        if ingest:
            state = place / "output" / RUN / LIBRARY / CELL / ".ingest.json"
            # The newest file of each barcode may still grow.
            wanted = len(landed) - len(late) - len(BARCODES)
            while ingested(state) < wanted:
                pause.wait(0.05)
            for path in late:
                (place / "late" / path).rename(run / CELL / path)
        ingesting = time.monotonic() - began
        path = run / CELL / "final_summary_PAW00001_0a1b2c3d_1b2c3d4e.txt"
        path.write_text(summary(len(landed)))
        closed = time.monotonic()
        done = wait_for(place / "landing" / RUN / "pipeline" / f"{CELL}.done", pause)
    return done - closed, ingesting


def ingested(state: Path) -> int:
    try:
        return int(json.loads(state.read_text())["results"]["files"])
    except (OSError, ValueError, KeyError):
        return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=float, nargs="+", default=[1, 4], metavar="GB", help="sizes of plain FASTQ"
    )
    parser.add_argument(
        "--files-left", type=int, default=2, metavar="N", help="files that land with final_summary"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument(
        "--place", type=Path, help="working directory; default: a temporary directory"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.place, prefix="completion-") as directory:
        place = Path(directory)
        print(f"making data in {place} …", file=sys.stderr)
        files = make_data(place / "data")
        print(
            f"{'GB':>5}  {'incremental s':>13}  {'batch s':>8}  {'ratio':>6} "
            f" {'ingest before s':>15}"
        )
        for gigabytes in arguments.sizes:
            incremental, ingesting = measure(files, gigabytes, place, arguments, ingest=True)
            batch, _ = measure(files, gigabytes, place, arguments, ingest=False)
            print(
                f"{gigabytes:5g}  {incremental:13.2f}  {batch:8.2f}  {batch / incremental:6.1f} "
                f" {ingesting:15.1f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
