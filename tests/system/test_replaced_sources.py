"""Sources that are repaired with the same size and time, and `retry`, which reads all again."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import pytest
from sites import Site
from unprivileged import UNPRIVILEGED, needs_unprivileged
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"


def a_cell(site: Site) -> SimulatedCell:
    return SimulatedCell(
        site.landing,
        RUN,
        LIBRARY,
        CELL,
        barcodes=("barcode01",),
        files_per_barcode=6,
        reads_per_file=5,
    )


def replace_by_copy(path: Path, data: bytes) -> None:
    """Replace a file like `rsync -a` from a copy with the same modification time."""
    before = path.stat()
    assert len(data) == before.st_size
    new = path.with_name("new")
    new.write_bytes(data)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(path)


def fail(site: Site) -> tuple[Path, bytes]:
    """Write a cell that fails because of its last file; return the file and its correct content."""
    cell = a_cell(site)
    cell.write()
    victim = sorted(cell.path.glob("fastq_pass/barcode01/*.fastq"))[-1]
    good = victim.read_bytes()
    victim.write_bytes(good[:-40])
    end_with_summaries(cell.path)
    site.run("poll", check=1)
    assert f"{CELL}.failed" in site.flags(RUN)
    return victim, good


def test_a_source_that_was_replaced_after_its_ingest(site: Site) -> None:
    """The results contain the good copy that replaced an ingested file of equal size and time."""
    site.configure(processing="ingest_interval: 0.1s")
    cell = a_cell(site)
    steps = cell.steps()
    for _ in range(cell.step_count // 2):
        next(steps)
    site.run("poll")
    ingested = sorted(cell.path.glob("fastq_pass/barcode01/*_0.fastq"))[0]
    assert site.status()[RUN]["cells"][f"{LIBRARY}/{CELL}"]["reads"] > 0
    header, bases, *rest = ingested.read_bytes().split(b"\n")
    repaired = b"ACGT" + bases[4:] if bases[:4] != b"ACGT" else b"TGCA" + bases[4:]
    replace_by_copy(ingested, b"\n".join([header, repaired, *rest]))
    for _ in steps:
        pass
    site.run("poll")
    assert f"{CELL}.done" in site.flags(RUN)
    [output] = (site.output / RUN / LIBRARY / CELL).glob("*barcode01_pass.fastq.gz")
    assert gzip.decompress(output.read_bytes()).split(b"\n")[1] == repaired
    site.run("verify", RUN)


def test_retry_reads_everything_again(site: Site) -> None:
    """`retry` discards everything ingested before, and the next poll finishes the cell."""
    victim, good = fail(site)
    place = site.output / RUN / LIBRARY / CELL
    assert (place / ".ingest").is_dir()
    victim.write_bytes(good)
    end_with_summaries(site.landing)
    site.run("retry", RUN, CELL, "--why", "file copied again")
    assert not [path for path in place.iterdir() if path.is_dir()]
    site.run("poll")
    assert f"{CELL}.done" in site.flags(RUN)
    site.run("verify", RUN)


@needs_unprivileged
def test_retry_that_may_not_delete_ingested_files(site: Site) -> None:
    """A `retry` that may not delete the ingested files says so and changes no flag."""
    fail(site)
    place = site.output / RUN / LIBRARY / CELL
    before = site.flags(RUN), sorted(place.rglob("*"))
    place.chmod(0o555)
    command = [*UNPRIVILEGED, *site.command("retry", RUN, CELL, "--why", "file copied again")]
    refused = subprocess.run(command, env=site.environ, capture_output=True, text=True, check=False)
    place.chmod(0o755)
    assert refused.returncode == 1
    assert "nothing was changed" in refused.stderr
    assert str(place) in refused.stderr
    assert (site.flags(RUN), sorted(place.rglob("*"))) == before
