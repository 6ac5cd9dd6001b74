"""Links and special files in copied cells: not followed, not opened, not written through."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from deep_trees import nest, remove
from mounted_upstream import READS, Place, meddling
from upstream_cells import CELL, SUMMARY, make_cell, tree

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.host.command import CommandResult, run
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs import cell_files

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_links_of_the_source(place: Place) -> None:
    """A link within the run is copied; after a link that leads out the cell is not verified.

    The link that leads out is reported.
    """
    make_cell(place.there)
    (place.source / "inside").symlink_to(READS)
    assert place.copy().verified
    (place.landed / SUMMARY).unlink()
    (place.source / "fastq_pass" / "outside.fastq").symlink_to("/etc/passwd")
    copied = place.copy(settled=0)
    assert (copied.outcome, copied.verified) == ("failed", False)
    assert "fastq_pass/outside.fastq is a link" in copied.why
    assert (place.landed / "inside").read_bytes() == (place.source / READS).read_bytes()
    assert not os.path.lexists(place.landed / "fastq_pass" / "outside.fastq")
    assert not (place.landed / SUMMARY).exists()


def test_specials_are_no_data(place: Place) -> None:
    """FIFOs and sockets are neither copied nor opened, so nothing waits for them."""
    make_cell(place.there)
    os.mkfifo(place.source / "fifo")
    assert place.copy().verified
    assert not os.path.lexists(place.landed / "fifo")
    assert "not copied, because they hold no data: 1 special file\n" in place.log.read_text()


@pytest.mark.parametrize("where", ["upstream", "landing"])
def test_too_deep_directories(where: str, place: Place) -> None:
    """Directories that are too deep, on either side, are refused; the sentence names them."""
    make_cell(place.there)
    if where == "landing":
        assert place.copy().verified
    top = place.source if where == "upstream" else place.landed
    nest(top, 1100)
    try:
        copied = place.copy()
        assert (copied.outcome, copied.verified) == ("failed", False)
        assert re.search(r"the directories `d/d/.*are too deep.*move `d` out", copied.why)
    finally:
        remove(top)


@pytest.mark.parametrize("linked", ["run", "library", "cell", "directory", "file"])
def test_nothing_is_written_through_links(linked: str, place: Place, tmp_path: Path) -> None:
    """A link in the landing area is refused, and its target stays unchanged."""
    make_cell(place.there)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"precious")
    link, target = {
        "run": (place.run, elsewhere),
        "library": (place.run / CELL.library, elsewhere),
        "cell": (place.landed, elsewhere),
        "directory": (place.landed / "fastq_pass", elsewhere),
        "file": (place.landed / READS, elsewhere / "precious"),
    }[linked]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    copied = place.copy()
    assert copied.outcome == "failed"
    assert "link" in copied.why
    assert tree(elsewhere) == {"precious": b"precious"}


@pytest.mark.parametrize("linked", ["library", "cell", "directory"])
def test_links_made_while_we_copy(linked: str, place: Place, tmp_path: Path) -> None:
    """A link that appears between the listing and rsync's start is not followed either."""
    make_cell(place.there)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = {
        "library": place.run / CELL.library,
        "cell": place.landed,
        "directory": place.landed / "fastq_pass",
    }[linked]

    def plant() -> None:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(elsewhere)

    def before_rsync(command: Sequence[str], **options: object) -> CommandResult:
        if "rsync" in command and not os.path.lexists(link):
            plant()
        return run(command, **options)  # type: ignore[arg-type]  # passed on as they are

    place.copy(runner=before_rsync)
    assert tree(elsewhere) == {}


def test_run_replaced_while_we_copy(place: Place, tmp_path: Path) -> None:
    """If a link replaces the run's open directory, rsync continues in the open directory."""
    make_cell(place.there)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def swap() -> None:
        place.run.rename(tmp_path / "moved")
        place.run.symlink_to(elsewhere)

    place.copy(runner=meddling("find", swap))
    assert tree(elsewhere) == {}
    assert tree(tmp_path / "moved") == tree(place.there)


def test_no_link_is_read_through(tmp_path: Path) -> None:
    """The checksum of a link's target is never used for a file, and a FIFO is not opened."""
    cell = make_cell(tmp_path / "run")
    (cell / "linked").symlink_to(READS)
    (cell / "linked_directory").symlink_to("fastq_pass")
    os.mkfifo(cell / "fifo")
    with OpenDirectory(tmp_path / "run", tmp_path) as directory:
        names = [
            READS,
            "linked",
            f"linked_directory/{Path(READS).name}",
            "fifo",
            "gone",
            "fastq_pass",
        ]
        assert set(cell_files.checksums(directory, CELL, names, lambda: False)) == {READS}


@pytest.mark.parametrize("obstacle", ["file", "fifo", "dangling"])
def test_what_is_in_the_way(obstacle: str, place: Place) -> None:
    """An obstacle in the place of the run's directory is reported with its name."""
    make_cell(place.there)
    match obstacle:
        case "file":
            place.run.touch()
        case "fifo":
            os.mkfifo(place.run)
        case "dangling":
            place.run.symlink_to("nowhere")
    with (
        pytest.raises(PermanentError, match="20190710_EGS1_My_Exp"),
        OpenDirectory(place.run, place.landing, make=True).opened(),
    ):
        pass
    assert place.copy().outcome == "failed"
