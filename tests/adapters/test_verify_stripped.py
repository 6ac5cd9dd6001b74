"""`verify` after raw data were removed on purpose: only other absent files are missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from open_runs import opened, pipeline_at

from hesiod_watch import cli
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.core.model import CellId
from hesiod_watch.remote.backup.manifests import RawManifest, publish_raw, read_raw_data
from hesiod_watch.runs import flags

RUN = "20261122_TEST_alpha"
OLD = CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
NEW = CellId("sample_A", "20261122_2211_1B_PAW00002_1a2b3c4d")


class Stripped:
    """Two processed cells; the raw data of the first were removed before the second was added."""

    def __init__(self, root: Path) -> None:
        self.landing, self.output = root / "landing", root / "output"
        self.config = root / "hesiod-watch.yaml"
        self.config.write_text(
            f"landing: {self.landing}\noutput: {self.output}\nprocessing: {{executor: inline}}\n"
        )
        self.landing.mkdir()
        self.output.mkdir()
        for cell in (OLD, NEW):
            made = SimulatedCell(
                self.landing, RUN, cell.library, cell.name, barcodes=(), reads_per_file=4
            )
            made.write()
        assert self.call("poll") == 0
        for cell in (OLD, NEW):
            publish_raw(
                self.output / RUN / str(cell),
                read_raw_data(opened(self.run), cell, RawManifest("")),
                lambda: None,
            )

    @property
    def run(self) -> Path:
        return self.landing / RUN

    def call(self, *arguments: str) -> int:
        return cli.main(["--config", str(self.config), *arguments])

    def remove(self, cell: CellId) -> str:
        """Remove a cell's pod5 files; returns the name of the first."""
        names = sorted(
            path.relative_to(self.run / str(cell)) for path in (self.run / str(cell)).glob("pod5/*")
        )
        for name in names:
            (self.run / str(cell) / name).unlink()
        return str(names[0])


@pytest.fixture
def site(tmp_path: Path) -> Stripped:
    return Stripped(tmp_path)


@pytest.mark.parametrize("how", [[], ["--backup"]], ids=["here", "with backups"])
@pytest.mark.parametrize("whole", [True, False], ids=["run stripped", "one cell stripped"])
def test_a_cell_added_after_a_strip(
    site: Stripped, how: list[str], whole: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that `strip` removed are not missing; other absent files of a later cell are."""
    site.remove(OLD)
    flags.create(pipeline_at(site.run / "pipeline"), f"{flags.strip(OLD.stem)}.done", {"files": 2})
    if whole:
        flags.create(pipeline_at(site.run / "pipeline"), "stripped", {"action": "strip"})
    capsys.readouterr()
    assert site.call("verify", RUN, *how) == 0
    assert capsys.readouterr().out.count("every file agrees") == 2
    lost = site.remove(NEW)
    assert site.call("verify", RUN, *how) == 1
    shown = capsys.readouterr().out
    assert f"{NEW}: landing: {lost}: missing" in shown
    assert f"{OLD}: every file agrees" in shown


@pytest.mark.parametrize("how", [[], ["--backup"]], ids=["here", "with backups"])
def test_a_run_stripped_by_hand(site: Stripped, how: list[str]) -> None:
    """A person's own flag `stripped` counts for every cell of the run.

    This includes cells without a flag of a strip.
    """
    site.remove(NEW)
    (site.run / "pipeline" / "stripped").touch()
    assert site.call("verify", RUN, *how) == 0
