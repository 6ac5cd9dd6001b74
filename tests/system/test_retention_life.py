"""The whole life of a cell over a real ssh, from sequencer to stub: always two copies or more.

The backups are separate file systems, mounted for the test, because copies on one disk count once.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from facility import CELL, LIBRARY, OTHER, Facility, run_of
from mounts import in_memory, needs_mounts
from sshd_pair import Pair, needs_sshd
from surveyed_copies import Places, truth_of

from hesiod_watch.rules.deletion_marks import LIST, read_marks

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    needs_sshd,
    needs_mounts,
]

RUN = run_of()
CLEAN = Path(__file__).parents[2] / "bin" / "hesiod-clean-upstream"
PLACE = f"alpha/{LIBRARY}/{CELL}"


class FacilityWithBackups(Facility):
    """A facility with backups on separate file systems."""

    def __init__(self, root: Path, pair: Pair) -> None:
        self.backups: dict[str, Path] = {}
        super().__init__(root, pair)

    def configure_backups(self, *names: str, strip: str = "never") -> None:
        """Configure backups, and the only upstream, with deletion marks."""
        self.more = f"strip: {{after: {strip}}}\nbackups:\n"
        for name in names:
            self.backups[name] = self.root / name
            self.more += f"  {name}: {{location: {self.root / name}}}\n"
        self.reach(mark_deletable=True)

    def configure(self, watch: str = "", processing: str = "", more: str = "") -> None:
        super().configure(
            watch or "sweep_interval: 1s",
            processing or "workers: 2",
            more + getattr(self, "more", ""),
        )

    def places(self, cell: str = CELL) -> Places:
        """Every place that can have a copy, including the sequencer and its trash."""
        there, inside = self.there["hosta"], f"{LIBRARY}/{cell}"
        trash = next((there / ".hesiod-trash").glob(f"*/alpha/{inside}"), there / "none")
        raw = {
            "upstream": there / "alpha" / inside,
            "trash": trash,
            "landing": self.landing / RUN / inside,
        }
        raw |= {name: path / RUN / "raw" / inside for name, path in self.backups.items()}
        outputs = {"output": self.output / RUN / inside}
        outputs |= {name: path / RUN / "results" / inside for name, path in self.backups.items()}
        return Places(raw, outputs)

    def clean(self, *arguments: str, count: int = 1) -> subprocess.CompletedProcess[str]:
        command = [str(CLEAN), "--dir", str(self.there["hosta"]), "--yes", *arguments]
        return subprocess.run(
            command, input=f"{count}\n", capture_output=True, text=True, timeout=60
        )

    def marked(self, place: str = PLACE) -> str:
        """Kind of the cell's last mark in the list on the upstream; "" without one."""
        listed = self.there["hosta"] / LIST
        mark = read_marks(listed.read_bytes()).get(place) if listed.exists() else None
        return mark.word if mark else ""


@pytest.fixture
def facility(tmp_path: Path, servers: Pair) -> Iterator[FacilityWithBackups]:
    with in_memory(tmp_path / "first"), in_memory(tmp_path / "second"):
        yield FacilityWithBackups(tmp_path, servers)


def fewest(copies: dict[str, set[str]]) -> int:
    return min(len(places) for places in copies.values())


def test_from_the_sequencer_to_the_stub(facility: FacilityWithBackups) -> None:
    """A cell has two or more copies after each step of its life.

    The steps: landed, done, backed up, marked, cleaned, stripped. A stripped cell is not copied
    again.
    """
    facility.configure_backups("first", "second")
    for name in ("first", "second"):
        facility.run("backup-init", name)
    written = facility.cell()
    written.write()
    truth = truth_of(facility.there["hosta"] / PLACE)
    assert any(name.startswith("pod5/") for name in truth)
    facility.poll()
    assert f"{CELL}.backup.done" in facility.flags(RUN)
    copies = facility.places().holding(truth)
    assert fewest(copies) >= 3  # upstream, landing and the two backups; for FASTQ also the outputs
    if facility.marked() != "deletable":
        facility.poll()
    assert facility.marked() == "deletable"
    assert f"{CELL}.deletable.done" in facility.flags(RUN)

    done = facility.clean()
    assert (done.returncode, done.stderr) == (0, "")
    copies = facility.places().holding(truth, but=["trash"])
    assert all("upstream" not in places for places in copies.values())
    assert fewest(copies) >= 2
    shutil.rmtree(facility.there["hosta"] / ".hesiod-trash")

    shown = facility.run("strip", RUN)
    assert "would be removed" in shown.stdout
    assert fewest(facility.places().holding(truth)) >= 2
    facility.run("strip", RUN, "--yes")
    landing = facility.landing / RUN / LIBRARY / CELL
    assert [path for path in landing.rglob("*") if path.suffix in (".fastq", ".gz", ".pod5")] == []
    assert list(landing.glob("final_summary*"))
    copies = facility.places().holding(truth, but=["landing"])
    assert (
        fewest(
            {name: places for name, places in copies.items() if "pod5" in name or "fastq" in name}
        )
        >= 2
    )

    status = facility.status()[RUN]
    assert status["status"] == "stripped"
    assert status["cells"][f"{LIBRARY}/{CELL}"]["stage"] == "processed"
    facility.run("verify", RUN)
    before = truth_of(landing)
    facility.poll()
    assert truth_of(landing) == before


def test_a_new_cell_of_a_stripped_run_is_processed(facility: FacilityWithBackups) -> None:
    """A stripped cell still upstream is not copied again; a new cell of its run is processed."""
    facility.configure_backups("first", "second")
    for name in ("first", "second"):
        facility.run("backup-init", name)
    facility.cell().write()
    facility.poll()
    facility.run("strip", RUN, "--yes")
    assert "stripped" in facility.flags(RUN)
    landing = facility.landing / RUN / LIBRARY / CELL
    stub = truth_of(landing)
    facility.poll()
    assert truth_of(landing) == stub
    facility.cell(cell=OTHER).write()
    facility.poll()
    assert facility.processed(RUN, OTHER)
    assert truth_of(landing) == stub
    assert facility.status()[RUN]["status"] == "complete"
