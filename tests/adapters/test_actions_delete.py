"""Deletion of proven files: what is counted, checked between and synced; what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import deletion_evidence
import pytest
from deletion_evidence import NOW, a_copy, evidence, md5

from hesiod_watch.actions import Job
from hesiod_watch.actions.copies.delete import FILES_PER_CHECK, DeletedFiles, delete_files
from hesiod_watch.actions.strip import NAMED, kept_words
from hesiod_watch.config import Config
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.host import process
from hesiod_watch.rules.deletion_proof import DeletionProof, KeptFile

RUN, CELL = "20190710_PROM_alpha", deletion_evidence.CELL
NAMES = ["top.pod5", "fastq_pass/a.fastq", "fastq_pass/b.fastq", "pod5/deep/c.pod5"]


@dataclass
class ProvenCell:
    """A cell in a landing area, and a job that may delete from it."""

    job: Job
    place: Path

    def prove(self, names: list[str] = NAMES) -> DeletionProof:
        """Make the files, and a proof that names them."""
        found = {}
        for number, name in enumerate(names):
            path = self.place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(number + 1))
            found[name] = replace(FileEntry.of_status(name, path.lstat()), md5=md5(name))
        return deletion_evidence.proven(
            evidence(
                "landing",
                run=RUN,
                found=found,
                recorded={
                    name: FileEntry(name, size=entry.size, md5=entry.md5)
                    for name, entry in found.items()
                },
                copies={
                    name: (a_copy("backup one", name), a_copy("backup two", name)) for name in found
                },
            )
        )

    def delete(self, proof: object, still: Callable[[], None] = lambda: None) -> DeletedFiles:
        gone = DeletedFiles()
        delete_files(proof, self.job, gone, still=still, clock=lambda: NOW)  # type: ignore[arg-type]  # a wrong one is tried, too
        return gone

    def files(self) -> set[str]:
        return {
            str(path.relative_to(self.place)) for path in self.place.rglob("*") if path.is_file()
        }


@pytest.fixture
def cell(tmp_path: Path) -> ProvenCell:
    run_dir = tmp_path / "landing" / RUN
    place = run_dir / CELL.library / CELL.name
    place.mkdir(parents=True)
    owner = process.this_owner("strip", "inline")
    return ProvenCell(Job("strip", run_dir, Config(run_dir.parent, tmp_path), owner, CELL), place)


def test_proven_files_are_deleted_and_counted(cell: ProvenCell) -> None:
    """Exactly the named files go; those that are absent already are not counted."""
    proof = cell.prove()
    (cell.place / "pod5" / "other.pod5").write_bytes(b"x")
    (cell.place / "fastq_pass/b.fastq").unlink()
    gone = cell.delete(proof)
    assert (gone.files, gone.bytes) == (3, 1 + 2 + 4)
    assert cell.files() == {"pod5/other.pod5"}
    assert cell.delete(proof) == DeletedFiles()


class Recorder:
    """Deleted files and synced directories in their order, by inode of the directory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, int]] = []
        for name, directory in (("unlink", "dir_fd"), ("fsync", "")):
            monkeypatch.setattr(os, name, self.wrapped(name, directory))

    def wrapped(self, name: str, directory: str) -> Callable[..., None]:
        real: Callable[..., None] = getattr(os, name)

        def call(*arguments: int, **options: int) -> None:
            real(*arguments, **options)
            place = options[directory] if directory else arguments[0]
            self.calls.append((name, os.fstat(place).st_ino))

        return call


@pytest.mark.parametrize("stopped", [False, True], ids=["to its end", "stopped"])
def test_deletions_are_durable(
    cell: ProvenCell, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each directory is synced after the last deletion in it, also if the work is stopped."""
    names = [*NAMES, *(f"{FILES_PER_CHECK}/{number}.pod5" for number in range(FILES_PER_CHECK))]
    proof = cell.prove(names)
    places = {(cell.place / name).parent for name in names}
    recorder = Recorder(monkeypatch)

    def still() -> None:
        if stopped and len(cell.files()) < len(names):
            raise TemporaryError("stopped by a person")

    if stopped:
        with pytest.raises(TemporaryError, match="by a person"):
            cell.delete(proof, still)
        assert len(cell.files()) == len(NAMES)
    else:
        cell.delete(proof, still)
        assert cell.files() == set()
    for place in places:
        inode = place.stat().st_ino
        last = [call for call, where in recorder.calls if where == inode][-1]
        assert last == "fsync", place


def test_flags_are_looked_at_between_deletions(cell: ProvenCell) -> None:
    """The flags are read before the first deletion, and again after each batch of files."""
    names = [f"pod5/{number:03}.pod5" for number in range(2 * FILES_PER_CHECK + 1)]
    proof = cell.prove(names)
    deleted: list[int] = []
    cell.delete(proof, lambda: deleted.append(len(names) - len(cell.files())))
    assert deleted == [0, FILES_PER_CHECK, 2 * FILES_PER_CHECK]


def test_a_refused_deletion_may_be_repeated(
    cell: ProvenCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the file system refuses a deletion, the error names the cell; the rest stays."""
    proof = cell.prove()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(TemporaryError, match=f"{RUN} {CELL}: Operation not permitted"):
            cell.delete(proof)
    assert cell.files() == set(NAMES)
    assert cell.delete(proof).files == len(NAMES)


def test_only_a_proof_about_this_cell_deletes(cell: ProvenCell) -> None:
    """A proof of another run, cell or place, or something else, deletes nothing."""
    proof = cell.prove()
    wrong: list[object] = [None, proof.files]
    wrong += [
        deletion_evidence.proven(evidence("landing", run="20190710_PROM_beta")),
        deletion_evidence.proven(evidence("landing", run=RUN, cell=replace(CELL, library="other"))),
        deletion_evidence.proven(evidence("upstream", run=RUN)),
    ]
    for each in wrong:
        with pytest.raises(PermanentError, match="there is no proof"):
            cell.delete(each)
    assert cell.files() == set(NAMES)


KEPT: dict[str, tuple[list[KeptFile], list[str]]] = {
    "none": ([], []),
    "one": ([KeptFile("a", 1, "small")], ["kept: 1 file, 1 byte: small: a"]),
    "largest reason first": (
        [KeptFile("a", 5, "small"), KeptFile("b", 9, "one copy"), KeptFile("c", 3, "small")],
        ["kept: 1 file, 9 bytes: one copy: b", "kept: 2 files, 8 bytes: small: a, c"],
    ),
    "all names of a few files": (
        [KeptFile(f"f{number}", 1, "small") for number in range(NAMED)],
        ["kept: 5 files, 5 bytes: small: f0, f1, f2, f3, f4"],
    ),
    "some names of many": (
        [KeptFile(f"f{number}", 1, "small") for number in range(NAMED + 1)],
        ["kept: 6 files, 6 bytes: small: f0, f1, f2, f3, f4, …"],
    ),
    "a long name": (
        [KeptFile("n" * 101, 1, "small")],
        [f"kept: 1 file, 1 byte: small: {'n' * 100}"],
    ),
    "many reasons": (
        [KeptFile("a", 100 - number, f"why {number}") for number in range(2 * NAMED + 1)],
        [f"kept: 1 file, {100 - number} bytes: why {number}: a" for number in range(2 * NAMED)],
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_kept_files_are_named(case: str) -> None:
    """A flag has one sentence for each reason to keep files, with some names, and stays short."""
    kept, expected = KEPT[case]
    assert kept_words(tuple(kept)) == expected
