"""Ingest of a growing cell: its reads are processed and counted while MinKNOW still writes it.

After the last file, little work remains, and the outputs are complete.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from open_runs import ANYWHERE
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Settings
from hesiod_watch.runs.cell_directories import DIRECTORIES

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NAME = f"{LIBRARY}/{CELL}"


def a_cell(
    site: Site, *, files: int = 8, reads: int = 40, gz: bool = False, seed: int = 1
) -> SimulatedCell:
    return SimulatedCell(
        site.landing,
        RUN,
        LIBRARY,
        CELL,
        barcodes=("barcode01", "barcode02"),
        files_per_barcode=files,
        reads_per_file=reads,
        gz=gz,
        seed=seed,
    )


def contents(site: Site) -> dict[str, str]:
    """Checksum of the inflated content of each output of the cell."""
    place = site.output / RUN / LIBRARY / CELL
    return {
        path.name: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        for path in place.glob("*.fastq.gz")
    }


def cell_status(site: Site) -> dict[str, object]:
    status: dict[str, object] = site.status()[RUN]["cells"][NAME]
    return status


def reads_so_far(site: Site) -> int:
    reads = cell_status(site)["reads"]
    return reads if isinstance(reads, int) else 0


def done(site: Site) -> bool:
    return f"{CELL}.done" in site.flags(RUN)


def run_steps(steps: Iterator[object], count: int) -> None:
    """Let the sequencer take `count` steps."""
    for _ in range(count):
        next(steps)


def happens_within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether the condition becomes true; polls often enough for an attempt of some 10 ms."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        threading.Event().wait(0.002)
    return True


def assert_like_a_batch(
    site: Site, tmp_path_factory: pytest.TempPathFactory, **options: int | bool
) -> None:
    """The outputs inflate to the same bytes as those of a poll over the whole cell.

    All counts agree.
    """
    batch = Site(tmp_path_factory.mktemp("batch"))
    batch.configure(processing="ingest: false")
    simulated = a_cell(batch, **options)  # type: ignore[arg-type]  # the keywords of a_cell
    simulated.write()
    batch.run("poll")
    assert contents(site) == contents(batch)
    qc, expected = (
        json.loads((s.output / RUN / NAME / "qc.json").read_text()) for s in (site, batch)
    )
    for key in ("total", "pass", "fail", "barcodes", "counts", "completeness", "mean_q", "state"):
        assert qc[key] == expected[key]
    assert sum(amount.reads for amount in simulated.expected.values()) == qc["total"]["reads"]
    site.run("verify", RUN)


@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gz"])
def test_a_running_cell_is_ingested_and_shown(
    site: Site, tmp_path_factory: pytest.TempPathFactory, gz: bool
) -> None:
    """The status and the page show the growing cell.

    At the end the result equals that of a batch.
    """
    site.configure(processing="ingest_interval: 0.3s", watch="sweep_interval: 0.5s")
    simulated = a_cell(site, gz=gz)
    steps = simulated.steps()
    with site.service():
        run_steps(steps, simulated.step_count // 2)
        site.eventually(lambda: reads_so_far(site) > 0, "the running cell has numbers")
        first = reads_so_far(site)
        page = (site.output / RUN / NAME / "report.html").read_text()
        assert "running" in page.lower()
        site.eventually((site.output / RUN / "report.html").exists, "the run has a page")
        explained = site.run("explain", RUN, CELL).stdout
        assert re.search(
            r"ingested so far: [1-9]\d* reads?, [1-9]\d* bases?$", explained, re.MULTILINE
        ), explained
        run_steps(steps, simulated.step_count // 4)
        site.eventually(lambda: reads_so_far(site) > first, "the numbers grow")
        assert cell_status(site)["stage"] == "incomplete"
        for _ in steps:
            pass
        site.eventually(lambda: done(site), "the cell is done")
        site.eventually(
            lambda: "running" not in (site.output / RUN / "report.html").read_text(),
            "the page is final",
        )
    assert_like_a_batch(site, tmp_path_factory, gz=gz)
    place = site.output / RUN / NAME
    hidden = {path.name for path in place.iterdir() if path.name.startswith(".")}
    assert hidden == {DIRECTORIES}
    manifest = json.loads((place / "manifest.json").read_text())
    assert len(manifest["sources"]) == len({entry["name"] for entry in manifest["sources"]})


def test_polls_ingest_too(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without a service, each poll ingests the files that arrived since the last poll."""
    site.configure(processing="ingest_interval: 0.1s")
    simulated = a_cell(site)
    steps = simulated.steps()
    reads = [0]
    for _ in range(3):
        run_steps(steps, simulated.step_count // 4)
        site.run("poll")
        reads.append(reads_so_far(site))
    assert reads == sorted(set(reads))
    for _ in steps:
        pass
    site.run("poll")
    assert_like_a_batch(site, tmp_path_factory)


def test_a_file_that_changes_after_its_ingest_is_read_again(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file that is rewritten after its ingest is noticed at the end; the new content counts."""
    site.configure(processing="ingest_interval: 0.1s")
    simulated = a_cell(site)
    steps = simulated.steps()
    run_steps(steps, simulated.step_count // 2)
    site.run("poll")
    assert reads_so_far(site) > 0
    ingested = sorted((simulated.path / "fastq_pass" / "barcode01").glob("*_0.fastq"))[0]
    text = ingested.read_text()
    ingested.write_text("@changed\nACGT\n+\nIIII\n")
    for _ in steps:
        pass
    site.run("poll")
    with gzip.open(next((site.output / RUN / NAME).glob("*barcode01_pass.fastq.gz"))) as file:
        assert file.readline() == b"@changed\n"
    notes = json.loads((site.output / RUN / NAME / "qc.json").read_text())["notes"]
    assert any(ingested.name in note for note in notes)
    site.run("verify", RUN)
    ingested.write_text(text)
    (site.landing / RUN / "pipeline" / f"{CELL}.done").unlink()
    site.run("poll")
    assert_like_a_batch(site, tmp_path_factory)


def test_kills_during_ingest_lose_nothing(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A cell whose ingest is killed many times while files arrive has the results of a batch."""
    site.configure(
        processing=("ingest_interval: 0.1s, attempts_per_day: 100, attempt_pause: 0s, workers: 1"),
        watch="sweep_interval: 0.3s",
    )
    simulated = a_cell(site, files=12, reads=120)
    flag = site.landing / RUN / "pipeline" / f"{CELL}.ingest.started"

    def killed() -> bool:
        try:
            os.kill(json.loads(flag.read_text())["pid"], signal.SIGKILL)
        except (OSError, ValueError):
            return False  # no attempt of ingest is running at the moment
        return True

    kills = 0
    with site.service():
        for number, _ in enumerate(simulated.steps()):
            if number % 10 == 9:
                kills += happens_within(
                    3, killed
                )  # a file that ingest can use does not come in every ten steps
        site.eventually(lambda: done(site), "the cell is done")
    assert kills >= 3
    assert_like_a_batch(site, tmp_path_factory, files=12, reads=120)


def test_ingest_can_be_switched_off(site: Site) -> None:
    """With `ingest: false`, no action works on a cell before it is complete."""
    site.configure(processing="ingest: false")
    simulated = a_cell(site)
    steps = simulated.steps()
    run_steps(steps, simulated.step_count // 2)
    site.run("poll")
    assert site.flags(RUN) == {"upstream", "output", "type.yaml", "messages"}
    assert not (site.output / RUN / LIBRARY).exists()


def test_a_damaged_file_fails_the_attempt_and_not_the_cell(site: Site) -> None:
    """A damaged file in a running cell fails only the attempt of ingest, which is then repeated.

    Only a complete cell can fail because of a damaged file.
    """
    site.configure(processing="ingest_interval: 0.1s")
    simulated = a_cell(site)
    steps = simulated.steps()
    run_steps(steps, simulated.step_count // 2)
    victim = sorted((simulated.path / "fastq_pass" / "barcode01").glob("*_0.fastq"))[0]
    good = victim.read_text()
    victim.write_text(good[: len(good) // 2])
    site.run("poll", check=1)
    assert f"{CELL}.ingest.failed" in site.flags(RUN)
    assert victim.name in (site.output / RUN / "pipeline.log").read_text()
    assert cell_status(site)["stage"] == "incomplete"
    victim.write_text(good)
    for _ in steps:
        pass
    site.run("poll")
    assert done(site)


def test_an_unknown_writer_keeps_its_files(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Ingest starts again in another directory if the last writer is unknown.

    The files of that writer stay unchanged, and go with the end of the cell.
    """
    site.configure(processing="ingest_interval: 0.1s")
    simulated = a_cell(site)
    steps = simulated.steps()
    run_steps(steps, simulated.step_count // 2)
    site.run("poll")
    place = site.output / RUN / NAME
    (journal,) = (path for path in (place / ".ingest").iterdir() if path.name.startswith("journal"))
    before = journal.read_bytes()
    # The state that a writer on another host leaves: its session is open, and this host cannot
    # check whether that writer still runs.
    elsewhere = {
        "token": "elsewhere",
        "host": "another",
        "machine_id": "other",
        "boot_id": "other",
        "pid": 1,
    }
    Ingest.open(place / ".ingest", ANYWHERE, Settings(), owner=elsewhere, check_all=False)
    after_open = journal.read_bytes()
    assert after_open != before
    for _ in steps:
        pass
    with journal.open("rb") as held:
        site.run("poll")
        assert held.read() == after_open
    assert done(site)
    assert not list(place.glob(".ingest*"))  # nothing reads them after `.done`
    assert_like_a_batch(site, tmp_path_factory)
