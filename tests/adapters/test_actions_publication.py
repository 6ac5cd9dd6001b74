"""Files of a cell that become its results: what is moved, replaced, kept, synced and refused."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from facility_world import Killed, killed_at
from name_changes import NameChange, recorded_names
from open_runs import opened

from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.publication import (
    STAGING,
    SUPERSEDED,
    own_directory,
    publish_results,
    remove_leftovers,
    require_published,
    staging_directory,
    withdraw_others,
)
from hesiod_watch.actions.outputs.results import CellResults
from hesiod_watch.config import Config
from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.minknow_checksums import NO_CHECKSUMS
from hesiod_watch.core.model import LOCAL, CellId
from hesiod_watch.host import process
from hesiod_watch.host.files import md5
from hesiod_watch.remote.backup.manifests import MANIFEST, PARTIAL
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import INGEST_DIRECTORY, INGEST_FILE, RAW_MANIFEST

CELL = CellId("lib", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")
READS, REPORT = "x_pass.fastq.gz", "report.html"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job on a cell of an adopted run, with an empty directory of results."""
    run_dir, output = tmp_path / "landing" / "20190710_run", tmp_path / "output"
    (run_dir / CELL.library / CELL.name).mkdir(parents=True)
    (output / run_dir.name / CELL.library / CELL.name).mkdir(parents=True)
    assert flags.adopt(opened(run_dir), LOCAL, output / run_dir.name)
    owner = process.this_owner("process", "inline")
    return Job("process", run_dir, Config(run_dir.parent, output), owner, CELL)


def manifest(*names: str, md5: str) -> str:
    return json.dumps({"files": [{"name": name, "md5": md5} for name in names]}, indent=1) + "\n"


def made(place: Path, version: str) -> dict[str, Path]:
    """Results of one version in a directory, ready to be published."""
    texts = {
        MANIFEST: manifest(READS, md5=version),
        READS: f"reads {version}",
        REPORT: f"report {version}",
    }
    for name, text in texts.items():
        (place / name).write_text(text)
    return {name: place / name for name in texts}


def publish(cell: Path, version: str) -> dict[str, FileEntry]:
    owner = process.this_owner("process", "inline")
    with staging_directory(cell, owner, process.judge_here) as place:
        return publish_results(made(place, version), cell, lambda name: name == "left.fastq.gz")


def visible(cell: Path) -> dict[str, str]:
    """Text of each file beside the results, without directories."""
    return {path.name: path.read_text() for path in cell.iterdir() if path.is_file()}


def superseded(cell: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in cell.glob(f"{SUPERSEDED}/*/*")}


def results_of(version: str) -> dict[str, str]:
    return {
        MANIFEST: manifest(READS, md5=version),
        READS: f"reads {version}",
        REPORT: f"report {version}",
    }


def test_the_published_files_are_reported(tmp_path: Path) -> None:
    """Each published file is reported as it is in the results; the staging directory is gone."""
    cell = tmp_path / "run" / "lib" / "cell"
    found = publish(cell, "one")
    assert visible(cell) == results_of("one")
    assert {name: (entry.size, entry.inode) for name, entry in found.items()} == {
        name: ((cell / name).stat().st_size, (cell / name).stat().st_ino) for name in found
    }
    assert {entry.name for entry in found.values()} == {MANIFEST, READS, REPORT}
    assert sorted(path.name for path in cell.iterdir()) == sorted(found)


def test_a_publication_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest is moved last, and the directories up to the run's are synced after it.

    Former results are durable in `superseded/` before their names disappear from the cell.
    """
    cell = tmp_path / "run" / "lib" / "cell"
    publish(cell, "one")
    with recorded_names(monkeypatch) as changes:
        publish(cell, "two")
    here = [call.name for call in changes.calls if call.place == cell.stat().st_ino and call.name]
    (moment,) = (cell / SUPERSEDED).iterdir()
    assert here[-1] == MANIFEST
    last = max(number for number, call in enumerate(changes.calls) if call.name == MANIFEST)
    synced = [call.place for call in changes.calls[last:] if not call.name]
    assert {each.stat().st_ino for each in (cell, *cell.parents[:2])} <= set(synced)
    first = next(
        number
        for number, call in enumerate(changes.calls)
        if call == NameChange(cell.stat().st_ino) and not call.name
    )
    for place in (moment, moment.parent):
        assert NameChange(place.stat().st_ino) in changes.calls[:first]


def test_a_kill_loses_no_former_result(tmp_path: Path) -> None:
    """After a kill at any change, the next attempt publishes, and former results are superseded."""
    for number in itertools.count():
        cell = tmp_path / str(number) / "lib" / "cell"
        publish(cell, "one")
        killed = False
        try:
            with killed_at(number):
                publish(cell, "two")
        except Killed:
            killed = True
        publish(cell, "two")
        assert visible(cell) == results_of("two")
        former = superseded(cell)
        assert {name: former[name] for name in (MANIFEST, READS, REPORT)} == results_of("one")
        assert not list(cell.glob(f"{STAGING}*"))
        if not killed:
            assert number > 8
            return


def test_each_reprocessing_keeps_what_it_replaces(tmp_path: Path) -> None:
    """Results of other reads take the record of the raw data along, and each keeps its own place.

    Equal reads supersede nothing.
    """
    cell = tmp_path / "run" / "lib" / "cell"
    publish(cell, "one")
    for name in (RAW_MANIFEST, PARTIAL, "notes.txt"):
        (cell / name).write_text(name)
    publish(cell, "one")
    assert not (cell / SUPERSEDED).exists()
    assert set(visible(cell)) == {MANIFEST, READS, REPORT, RAW_MANIFEST, PARTIAL, "notes.txt"}
    publish(cell, "two")
    assert superseded(cell) == results_of("one") | {RAW_MANIFEST: RAW_MANIFEST, PARTIAL: PARTIAL}
    assert visible(cell) == results_of("two") | {"notes.txt": "notes.txt"}
    publish(cell, "three")
    moments = list((cell / SUPERSEDED).iterdir())
    assert sorted((path / READS).read_text() for path in moments) == ["reads one", "reads two"]


def test_files_of_an_overtaken_attempt_are_superseded(tmp_path: Path) -> None:
    """A result that this attempt does not replace is superseded; the state of an ingest goes."""
    cell = tmp_path / "run" / "lib" / "cell"
    cell.mkdir(parents=True)
    for name in ("left.fastq.gz", "notes.txt", INGEST_FILE):
        (cell / name).write_text(name)
    publish(cell, "one")
    assert visible(cell) == results_of("one") | {"notes.txt": "notes.txt"}
    assert superseded(cell) == {"left.fastq.gz": "left.fastq.gz"}


def test_a_former_manifest_moves_files_of_its_cell_only(tmp_path: Path) -> None:
    """Names in a former manifest that lead out of the cell, are directories or missing, stay."""
    cell = tmp_path / "run" / "lib" / "cell"
    publish(cell, "one")
    outside, inside = cell.parent / "other.fastq.gz", cell / "directory.fastq.gz"
    outside.write_text("of another cell")
    inside.mkdir()
    names = (READS, "../other.fastq.gz", "directory.fastq.gz", "gone.fastq.gz")
    (cell / MANIFEST).write_text(manifest(*names, md5="one"))
    publish(cell, "two")
    assert outside.read_text() == "of another cell"
    assert inside.is_dir()
    assert set(superseded(cell)) == {MANIFEST, READS, REPORT}


def test_a_staging_directory_withdraws_all_others(job: Job) -> None:
    """An attempt that begins withdraws what others staged; former results in it are kept.

    Links and files with such a name are left alone. An error in the attempt clears its own.
    """
    cell = job.cell_output
    other, link = cell / f"{STAGING}other", cell / f"{STAGING}link"
    (other / SUPERSEDED).mkdir(parents=True)
    (other / SUPERSEDED / READS).write_text("former")
    link.symlink_to(cell.parent)
    with suppress(ValueError), staging_directory(cell, job.owner, job.judge) as place:
        assert sorted(cell.glob(f"{STAGING}*")) == sorted([place, link])
        assert superseded(cell) == {READS: "former"}
        raise ValueError("a bug")
    assert list(cell.glob(f"{STAGING}*")) == [link]
    assert superseded(cell) == {READS: "former"}


def test_only_others_are_withdrawn(job: Job) -> None:
    """The owner of a cell withdraws the directories of others and keeps its own."""
    cell = job.cell_output
    with own_directory(cell, job.owner) as place:
        (place / READS).write_text("mine")
        (cell / f"{STAGING}other").mkdir()
        withdraw_others(cell, job.owner, job.judge)
        assert list(cell.glob(f"{STAGING}*")) == [place]
        assert (place / READS).read_text() == "mine"
    assert not place.exists()


@pytest.mark.parametrize("done", [False, True], ids=["not processed", "processed"])
def test_leftovers_go_when_the_cell_is_processed(job: Job, done: bool) -> None:
    """Staging and growing outputs of a cell are removed once it is processed, and only then."""
    cell = job.cell_output
    left = [cell / f"{STAGING}other", cell / INGEST_DIRECTORY, cell / f"{INGEST_DIRECTORY}.two"]
    for place in left:
        place.mkdir()
        (place / "x").write_text("x")
    (cell / READS).write_text("reads")
    if done:
        flags.create(job.pipeline, flags.done(CELL.stem), job.owner)
    remove_leftovers(job)
    assert [place.exists() for place in left] == [not done] * 3
    assert visible(cell) == {READS: "reads"}


def test_leftovers_that_cannot_be_reached_are_no_error(job: Job) -> None:
    """A cell that is done stays done if the leftovers cannot be removed now."""
    flags.create(job.pipeline, flags.done(CELL.stem), job.owner)
    job.config.output.rename(job.config.output.with_name("away"))
    remove_leftovers(job)


def same_content(path: Path) -> None:
    """Another file with the same content, as on a file system that keeps no inode numbers."""
    content = path.read_bytes()
    path.rename(path.with_name("old"))
    path.write_bytes(content)


def other_content(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.write_bytes(b"of another attempt")


def exchanged(path: Path) -> None:
    status = path.stat()
    path.rename(path.with_name("old"))
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


LATE_CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, ""),
    "same content": (same_content, ""),
    "other content": (other_content, "replaced by an attempt that was overtaken"),
    "same size and time": (exchanged, "replaced by an attempt"),
    "removed": (os.unlink, "removed while it was published"),
}


@pytest.mark.parametrize("change", LATE_CHANGES)
def test_a_published_file_must_be_ours(tmp_path: Path, change: str) -> None:
    """A file that was removed or replaced by other content is noticed before `.done`."""
    cell = tmp_path / "run" / "lib" / "cell"
    published = publish(cell, "one")
    results = CellResults(
        {name: cell / name for name in published},
        {name: md5((cell / name).read_bytes()) for name in published},
        headline={},
        cell=str(CELL),
        completeness=Completeness(Verdict.PROVEN, "all files are here"),
        checksums=NO_CHECKSUMS,
        no_reads="",
        qc_verdict="",
        hook_due=False,
    )
    act, why = LATE_CHANGES[change]
    act(cell / READS)
    if why:
        with pytest.raises(TemporaryError, match=why):
            require_published(results, published, cell)
    else:
        require_published(results, published, cell)
