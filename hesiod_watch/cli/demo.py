"""`hesiod-watch demo`: a simulated sequencer and the real service, until all is reported.

The sequencer and the service are separate processes: the same commands that a facility runs. The
lines on the terminal are read from the disk as `status` reads them.

One run has BAM files and no FASTQ. The last cell arrives short of a file. The demonstration shows
its `explain`, follows the first step, and the service finishes the cell.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.config import Config
from hesiod_watch.core.errors import PermanentError, UsageError
from hesiod_watch.core.model import Cell, Policy, Snapshot, Stage
from hesiod_watch.core.text import number_of
from hesiod_watch.host.child import own_command
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.rules.overdue import overdue
from hesiod_watch.rules.stages import digest_of_report, stage_of, status_of, why_stage
from hesiod_watch.runs.observe import observe

CONFIGURATION = """\
# Made by `hesiod-watch demo`; `hesiod-watch config sample` prints every key with its meaning.
landing: landing
output: output
watch:
  sweep_interval: 1s
processing:
  workers: 2
  ingest_interval: 2s
  grace: 3s
reports:
  title: hesiod-watch demo
"""
BAM_RUN = "20261122_TEST_with_BAM"
BAM_CELL = "20261122_2205_1F_PAW00006_0a1b2c3c"
STUCK_RUN = "20261122_TEST_short_of_a_file"
STUCK_CELL = "20261122_2210_1G_PAW00007_0a1b2c3d"
STUCK_GRACE = 3.0
"""`processing.grace` of the configuration, in seconds."""
LOOK_EVERY = 0.2
"""Seconds between two reads of the disk."""
PATIENCE = 300.0
"""Seconds without any change after which the demonstration gives up."""


def demonstrate(directory: str, speed: float) -> int:
    """Run the demonstration in a directory that is new, empty, or from an earlier one."""
    if speed <= 0:
        raise UsageError("--speed must be more than 0")
    place = _prepare(Path(directory))
    print(f"landing area: {place / 'landing'}\nresults:      {place / 'output'}\n")
    log = place / "service.log"
    with _running("watch", "--config", str(place / "hesiod-watch.yaml"), place=place, log=log):
        simulate = own_command("simulate", "--speed", str(speed), str(place / "landing"))
        sequencer = subprocess.Popen(simulate, stdout=subprocess.DEVNULL)
        try:
            SimulatedCell(
                *(place / "landing", BAM_RUN, "sample_B", BAM_CELL),
                barcodes=("barcode01", "unclassified"),
                reads_per_file=100,
                fastq=False,
                bam="aligned",
            ).write()
            reports = _show(place, sequencer)
            reports += _show_stuck_cell(place, sequencer)
        finally:
            if sequencer.poll() is None:
                sequencer.send_signal(signal.SIGINT)
                sequencer.wait()
    print("\nEvery cell is processed, checked and reported. Open:")
    for report in reports:
        print(f"  {report}")
    arguments = ("--config", str(place / "hesiod-watch.yaml"), "status")
    started_as = Path(sys.argv[0])
    command = (
        (str(started_as), *arguments)
        if started_as.name == "hesiod-watch"
        else own_command(*arguments)
    )
    print(f"\nLook again with:\n  {shlex.join(command)}")
    return 0


def _prepare(directory: Path) -> Path:
    """Make a new subdirectory for this demonstration; earlier ones are kept for their readers."""
    parent = directory.absolute()
    if parent.exists() and any(not entry.name.startswith("demo-") for entry in parent.iterdir()):
        raise UsageError(
            f"{parent} contains files that are not from an earlier demo; give another directory"
        )
    number = 1
    while (parent / f"demo-{number}").exists():
        number += 1
    place = parent / f"demo-{number}"
    for name in ("landing", "output"):
        (place / name).mkdir(parents=True)
    (place / "hesiod-watch.yaml").write_text(CONFIGURATION)
    return place


@contextmanager
def _running(*arguments: str, place: Path, log: Path) -> Iterator[None]:
    """The service, started before the block and ended by SIGTERM after it."""
    command, *rest = arguments
    with log.open("ab") as output:
        service = subprocess.Popen(
            own_command(*rest, command), stdout=output, stderr=output, cwd=place
        )
    try:
        yield
    finally:
        service.terminate()
        service.wait()


def _show_stuck_cell(place: Path, sequencer: subprocess.Popen[bytes]) -> list[Path]:
    """Land a cell without one of its files, show its `explain`, and mend it as `explain` says."""
    print(f"\nA flow cell of which a file is lost on its way: {STUCK_RUN}\n")
    simulated = SimulatedCell(
        *(place / "sequencer", STUCK_RUN, "sample_C", STUCK_CELL),
        barcodes=(),
        reads_per_file=50,
        pod5=False,
    )
    simulated.write()
    cell = Path(simulated.run, simulated.library, simulated.cell)
    lost = min((place / "sequencer" / cell / "fastq_pass").iterdir())
    kept = lost.rename(place / "sequencer" / lost.name)
    shutil.move(place / "sequencer" / STUCK_RUN, place / "landing")
    _show(place, sequencer, STUCK_RUN, until=_overdue)
    explain = ("explain", STUCK_RUN, STUCK_CELL)
    print(f"\n$ hesiod-watch {shlex.join(explain)}", flush=True)
    subprocess.run(own_command("--config", str(place / "hesiod-watch.yaml"), *explain), check=True)
    print(
        "\nThe first step: copy the cell again from the sequencer; its final_summary comes last.\n"
    )
    landed = place / "landing" / cell
    kept.rename(landed / "fastq_pass" / lost.name)
    for summary in landed.glob("final_summary*.txt"):
        copy = shutil.copy(summary, place / "sequencer")
        Path(copy).replace(summary)
    return _show(place, sequencer, STUCK_RUN)


def _overdue(snapshot: Snapshot) -> bool:
    policy = Policy(grace=STUCK_GRACE)
    return any(overdue(cell, policy, datetime.now(UTC)) for cell in snapshot.cells)


def _finished(snapshot: Snapshot) -> bool:
    done = bool(snapshot.cells) and all(
        stage_of(cell) is Stage.PROCESSED for cell in snapshot.cells
    )
    return done and snapshot.report_digest == digest_of_report(snapshot)


def _show(
    place: Path,
    sequencer: subprocess.Popen[bytes],
    only: str = "",
    until: Callable[[Snapshot], bool] = _finished,
) -> list[Path]:
    """Print every change until the sequencer has ended and every cell has its report.

    With `only`, of this run; `until` may state another end of a run. Returns the paths of the run
    pages. Raises PermanentError if the sequencer fails or if nothing changes for too long.
    """
    config = Config(place / "landing", place / "output")
    started = time.monotonic()
    changed = started
    seen: dict[str, str] = {}
    while True:
        snapshots = [
            observe(OpenDirectory(run, config.landing), config.output, judge=config.judge)
            for run in sorted(config.landing.iterdir())
            if run.is_dir() and only in ("", run.name)
        ]
        for subject, state in _states(snapshots):
            if seen.get(subject) != state:
                seen[subject] = state
                changed = time.monotonic()
                print(f"{changed - started:6.1f} s  {subject}: {state}", flush=True)
        if (
            sequencer.poll() is not None
            and snapshots
            and all(until(snapshot) for snapshot in snapshots)
        ):
            return [snapshot.output / "report.html" for snapshot in snapshots if snapshot.output]
        if sequencer.poll() not in (None, 0):
            raise PermanentError(f"the simulated sequencer ended with code {sequencer.returncode}")
        if time.monotonic() - changed > PATIENCE:
            raise PermanentError(
                f"nothing has changed for {PATIENCE:.0f} s; the service's log is"
                f" {place}/service.log"
            )
        time.sleep(LOOK_EVERY)


def _states(snapshots: list[Snapshot]) -> Iterator[tuple[str, str]]:
    """Name and state of each cell and run; a cell's state has the numbers so far."""
    for snapshot in snapshots:
        for cell in snapshot.cells:
            yield f"  {cell.id}", _cell_state(cell)
        if snapshot.has_pipeline:
            yield snapshot.run, str(status_of(snapshot)[0])


def _cell_state(cell: Cell) -> str:
    stage = stage_of(cell)
    if stage is Stage.INCOMPLETE and not cell.results.get("reads"):
        return f"{stage}: {why_stage(cell)}"
    if stage in (Stage.INCOMPLETE, Stage.PROCESSED):
        reads, bases, n50 = (cell.results.get(key) for key in ("reads", "bases", "n50"))
        numbers = "no numbers"
        if isinstance(reads, int):
            numbers = f"{number_of(reads, 'read', form=',')}, {bases:,} bases, N50 {n50:,}"
        return f"processed: {numbers}" if stage is Stage.PROCESSED else f"running: so far {numbers}"
    if stage is Stage.PROCESSING and cell.progress:
        return f"processing: {cell.progress.phase}"
    return str(stage)
