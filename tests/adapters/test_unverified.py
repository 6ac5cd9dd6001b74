"""Files whose number nothing states are "not verified" in all that people read of their cell."""

from __future__ import annotations

from pathlib import Path

import pytest
from minknow_cells import without_a_number
from younger_files import end_with_summaries

from hesiod_watch import cli
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.core.model import CellId

RUN = "20261122_TEST_alpha"
CELL = CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
WORDS = "1 BAM file not verified: MinKNOW states no number that can be compared"


class Landed:
    """Site with one cell that has ended."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.landing, self.output, self.capsys = root / "landing", root / "output", capsys
        self.config = root / "hesiod-watch.yaml"
        self.config.write_text(
            f"landing: {self.landing}\noutput: {self.output}\nprocessing: {{executor: inline}}\n"
        )
        self.landing.mkdir()
        self.output.mkdir()
        made = SimulatedCell(
            self.landing, RUN, CELL.library, CELL.name, barcodes=(), reads_per_file=4
        )
        made.write()
        without_a_number(made.path)
        end_with_summaries(made.path)

    def said(self, *arguments: str) -> str:
        self.capsys.readouterr()
        assert cli.main(["--config", str(self.config), *arguments]) == 0
        return self.capsys.readouterr().out

    @property
    def pages(self) -> list[str]:
        """The pages of the run and of the cell."""
        places = (self.output / RUN, self.output / RUN / str(CELL))
        return [(place / "report.html").read_text().replace("&#39;", "'") for place in places]


def test_a_processed_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands, messages and both pages say it; neither page is green."""
    site = Landed(tmp_path, capsys)
    site.said("poll")
    for command in ("status", "explain"):
        assert WORDS in site.said(command, RUN)
    assert WORDS in site.said("messages", RUN, "--text")
    for page in site.pages:
        assert WORDS in page
        assert 'class="state warn"' in page
    assert "Complete, but some files are not verified" in site.pages[0]
    assert '<span class="chip warn">' in site.pages[0]


def test_a_cell_that_is_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell that waits for its processing is not called complete either."""
    site = Landed(tmp_path, capsys)
    site.said("perform", "new-run", RUN)
    site.said("perform", "synced", RUN, str(CELL))
    for command in ("status", "explain"):
        said = site.said(command, RUN)
        assert f"all files announced are here; {WORDS}" in said
        assert "here and complete" not in said
