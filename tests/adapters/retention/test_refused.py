"""Refused deletions: bad copies, unmet preconditions, and changes after the proof.

Backups are mounted for the test, which needs root: copies on one device count once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from facility_world import CELL, DATA, RUN, World, data_of, flip, said, some, why_kept
from mounts import needs_mounts
from open_runs import pipeline_at
from surveyed_copies import truth_of

from hesiod_watch.actions import mark_deletable, strip
from hesiod_watch.actions.copies import delete
from hesiod_watch.actions.copies.delete import DeletedFiles
from hesiod_watch.actions.copies.evidence import gather_evidence
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.rules.deletion_marks import LIST
from hesiod_watch.rules.deletion_proof import DeletionProof, DeletionRefused, ProofLimits, prove
from hesiod_watch.runs import flags

pytestmark = needs_mounts


# Bad copies and unmet preconditions. Each is applied to a place and a kind of file; the proof must
# detect it by itself.


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _unlink(path: Path) -> None:
    path.unlink()


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


FAULTS: dict[str, Callable[[Path], None]] = {
    "flipped": flip,
    "truncated": _truncate,
    "missing": _unlink,
    "a link": _link,
    "a FIFO": _fifo,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_copy_keeps_the_file(world: World, fault: str) -> None:
    """If one of two copies is bad, only that file stays in landing; the reason names the place."""
    name = some(world, ".pod5")
    FAULTS[fault](world.place("backup2") / name)
    world.perform("strip")
    assert data_of(world, "landing") == {name}
    assert any(
        "only one other verified copy, on backup backup1" in each for each in why_kept(world)
    )


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", ["landing", "backup1"])
def test_a_mark_needs_two_other_copies(world: World, place: str, fault: str) -> None:
    """A mark needs two sound copies outside the upstream; with a bad one, no mark is made."""
    name = some(world, ".pod5")
    FAULTS[fault](world.place(place) / name)
    assert world.try_to(lambda: world.perform("deletable")) == ""
    FAULTS[fault](world.place("backup2") / name)
    why = world.try_to(lambda: world.perform("deletable"))
    assert f"{name}: only one other verified copy" in why
    assert world.marked() == "revoked"


@pytest.mark.parametrize("where", ["output", "backup1", "backup2"])
@pytest.mark.parametrize("fault", ["flipped", "truncated", "missing"])
def test_a_bad_output(world: World, where: str, fault: str) -> None:
    """An output that differs from the manifest is no copy of its FASTQ, here or on a backup."""
    output = next(world.results(where).glob("*pass*.fastq.gz"))
    reads = {name for name in data_of(world, "landing") if name.startswith("fastq_pass/")}
    FAULTS[fault](output)
    world.perform("strip")
    # Our output proves all others; without one of those there are still two.
    assert data_of(world, "landing") == (reads if where == "output" else set())


@pytest.mark.parametrize("fault", FAULTS)
def test_landing_that_has_changed(world: World, fault: str) -> None:
    """A changed file in landing prevents every deletion; a missing file does not."""
    name = some(world, ".pod5")
    FAULTS[fault](world.place("landing") / name)
    why = world.try_to(lambda: world.perform("strip"))
    if fault in ("flipped", "truncated"):
        assert f"{name}: is not what it was" in why
        assert data_of(world, "landing") == data_of(world, "upstream")
    elif fault == "a link":
        assert "elsewhere: was not there when" in why
    else:
        assert why == ""


def test_something_new_in_landing(world: World) -> None:
    """A file that is newer than the cell's record prevents every deletion."""
    (world.place("landing") / "pod5" / "new\nname.pod5").write_bytes(b"x")
    why = world.try_to(lambda: world.perform("strip"))
    assert "was not there when the cell was recorded" in why
    assert "\n" not in why
    assert data_of(world, "landing") > data_of(world, "upstream")


def test_an_unmounted_backup(world: World) -> None:
    """Copies on an unmounted backup do not count, and the backup is reported as missing."""
    world.unmount("backup2")
    world.perform("strip")
    assert data_of(world, "landing") == {name for name in world.truth if name.endswith(DATA[1:])}
    assert any("is it mounted?" in each for each in why_kept(world))


def test_two_places_on_one_device(tmp_path: Path) -> None:
    """Two backups on one file system count once, whatever their names."""
    world = World(tmp_path)
    try:
        world.mount("backup1")
        world.root.joinpath("backup2").rmdir()
        (world.root / "backup1" / "inner").mkdir()
        (world.root / "backup2").symlink_to("backup1/inner")
        world.begin()
        world.perform("strip")
        assert {name for name in world.truth if name.endswith(DATA[1:])} <= data_of(
            world, "landing"
        )
        assert any("2 are on the same device" in each for each in why_kept(world))
    finally:
        world.close()


BLOCKERS: dict[str, tuple[Callable[[World], object], str]] = {
    "done taken away": (
        lambda world: (world.pipeline / f"{CELL.stem}.done").unlink(),
        "not processed",
    ),
    "failed": (lambda world: (world.pipeline / f"{CELL.stem}.failed").touch(), "flagged failed"),
    "aborted": (lambda world: (world.pipeline / f"{CELL.stem}.aborted").touch(), "flagged aborted"),
    "run failed": (lambda world: (world.pipeline / "failed").touch(), "the run is flagged failed"),
    "run stripped by a person": (
        lambda world: (world.pipeline / "stripped").touch(),
        "flagged stripped",
    ),
    "backup withdrawn": (
        lambda world: (world.pipeline / f"{CELL.stem}.backup.done").unlink(),
        "no backup of it",
    ),
    "another manifest": (
        lambda world: flip(world.results("output") / "manifest.json", 30),
        "manifest.json",
    ),
    "no raw manifest": (lambda world: (world.results("output") / "raw.json").unlink(), "raw.json"),
    "damaged raw manifest": (
        lambda world: (world.results("output") / "raw.json").write_text("{"),
        "raw.json",
    ),
    "a later attempt": (
        lambda world: flags.create(
            pipeline_at(world.pipeline), flags.started(CELL.stem, 2), world.owner("process", 2)
        ),
        "attempt 2",
    ),
    "a damaged copy": (
        lambda world: (world.pipeline / f"{CELL.stem}.verify.failed").write_text(
            '{"problems": ["backup1: rot"]}'
        ),
        "rot",
    ),
}


@pytest.mark.parametrize("action", ["strip", "deletable"])
@pytest.mark.parametrize("case", BLOCKERS)
def test_blockers_prevent_every_deletion(world: World, case: str, action: str) -> None:
    """Blockers in flags and manifests prevent every deletion; the flag records the reason."""
    spoil, why = BLOCKERS[case]
    spoil(world)
    assert why in world.try_to(lambda: world.perform(action))
    assert why in str(said(world, f"{action}.failed")["reason"])
    assert data_of(world, "landing") == data_of(world, "upstream")
    assert world.marked() == ""


def test_refused_marks_name_the_upstream(world: World) -> None:
    """If the configuration forbids marks, none is made, and an existing one is revoked."""
    world.perform("deletable")
    upstreams = tuple(replace(each, mark_deletable=False) for each in world.config.upstreams)
    job = replace(world.job("deletable"), config=replace(world.config, upstreams=upstreams))
    with pytest.raises(PermanentError, match="no mark_deletable"):
        mark_deletable.perform(job)
    assert world.marked() == "revoked"
    assert RUN in (world.root / "sequencer" / LIST).read_text()


# Changes between the proof and the deletion.


def proof_of(world: World) -> DeletionProof:
    answer = strip.find_strippable(world.job("strip"))
    assert isinstance(answer, DeletionProof), answer
    return answer


def test_an_expired_proof(world: World) -> None:
    """An expired proof (after eleven minutes) deletes nothing more.

    The other files need a new proof.
    """
    proof = proof_of(world)
    times = iter([0, 1, 2, *[660] * 50])
    deleted = DeletedFiles()
    with pytest.raises(TemporaryError, match="expired"):
        delete.delete_files(
            proof,
            world.job("strip"),
            deleted,
            clock=lambda: proof.made_at + timedelta(seconds=next(times)),
        )
    assert deleted.files == 3
    assert len(data_of(world, "landing")) == len(proof.files) - 3
    world.perform("strip")
    assert data_of(world, "landing") == set()


def test_a_proof_of_something_else(world: World) -> None:
    """A proof deletes only files of its own cell and place; any other value deletes nothing."""
    proof = proof_of(world)
    elsewhere = replace(world.job("strip"), run_dir=world.run_dir.with_name("20261122_PROM_beta"))
    for job in (elsewhere, replace(world.job("strip"), cell=replace(CELL, library="other"))):
        with pytest.raises(PermanentError):
            delete.delete_files(proof, job, DeletedFiles())
    with pytest.raises(PermanentError):
        delete.delete_files({"files": proof.files}, world.job("strip"), DeletedFiles())  # type: ignore[arg-type]  # tried on purpose
    upstream = prove(
        replace(gather_evidence(world.job("strip")), dropped="upstream"),
        ProofLimits(),
        datetime.now(UTC),
    )
    assert isinstance(upstream, DeletionProof | DeletionRefused)
    if isinstance(upstream, DeletionProof):
        with pytest.raises(PermanentError):
            delete.delete_files(upstream, world.job("strip"), DeletedFiles())
    assert data_of(world, "landing") == data_of(world, "upstream")


def _rewrite(path: Path) -> None:
    """Write the same bytes with the same time to a new file."""
    status = path.stat()
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


EXCHANGED: dict[str, Callable[[Path], None]] = {**FAULTS, "written anew": _rewrite}


@pytest.mark.parametrize("fault", sorted(EXCHANGED))
def test_a_file_exchanged_after_the_proof(world: World, fault: str) -> None:
    """A file is kept if its inode or its times in nanoseconds differ from the proven ones."""
    proof = proof_of(world)
    last = world.place("landing") / proof.files[-1].name
    EXCHANGED[fault](last)
    if fault == "missing":
        delete.delete_files(proof, world.job("strip"), DeletedFiles())
        return
    with pytest.raises(TemporaryError, match="is not the file any more"):
        delete.delete_files(proof, world.job("strip"), DeletedFiles())
    assert os.path.lexists(last)


def test_a_directory_exchanged_for_a_link(world: World, tmp_path: Path) -> None:
    """A directory replaced by a link is not followed: the files behind the link stay."""
    proof = proof_of(world)
    place = world.place("landing") / "pod5"
    aim = tmp_path / "aim"
    place.rename(aim)
    place.symlink_to(aim)
    before = truth_of(aim)
    with pytest.raises(TemporaryError):
        delete.delete_files(proof, world.job("strip"), DeletedFiles())
    assert truth_of(aim) == before


def test_a_flag_set_during_the_deletion(world: World) -> None:
    """A person who aborts the cell stops the deletion between two files."""
    proof = proof_of(world)

    def still() -> None:
        (world.pipeline / f"{CELL.stem}.aborted").touch()
        strip._require_no_blocker(world.job("strip"))

    with pytest.raises(TemporaryError, match="aborted"):
        delete.delete_files(proof, world.job("strip"), DeletedFiles(), still=still)
    assert data_of(world, "landing") == data_of(world, "upstream")


def test_wrong_clocks(world: World) -> None:
    """A clock one day behind or ahead of the evidence gives no proof."""
    evidence = gather_evidence(world.job("strip"))
    for ahead in (timedelta(days=-1), timedelta(days=1), timedelta(minutes=11)):
        assert isinstance(
            prove(evidence, ProofLimits(), datetime.now(UTC) + ahead), DeletionRefused
        )
