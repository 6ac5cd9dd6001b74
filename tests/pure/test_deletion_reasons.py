"""Reasons against a deletion, limits of age and size, and copies that do not count."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from deletion_evidence import (
    NOW,
    READS,
    SIGNAL,
    SIZES,
    SUMMARY,
    Spoil,
    a_copy,
    changed,
    evidence,
    md5,
    proven,
    refused,
    with_copy,
    with_found,
)

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.minknow_checksums import MinknowChecksums
from hesiod_watch.core.model import CellId
from hesiod_watch.rules import deletion_proof
from hesiod_watch.rules.deletion_proof import (
    DeletionRefused,
    ProofLimits,
    digest_of,
    prove,
)

SECOND = timedelta(seconds=1)
LIMIT_OF_AGE = {
    "an inventory of ten minutes ago": (
        changed(taken_at=NOW - timedelta(minutes=10)),
        "10 min old",
    ),
    "an inventory that is a moment younger": (
        changed(taken_at=NOW - timedelta(minutes=10) + SECOND),
        "",
    ),
    "an inventory of two seconds ahead": (changed(taken_at=NOW + 2 * SECOND), ""),
    "an inventory of three seconds ahead": (
        changed(taken_at=NOW + 3 * SECOND),
        "the clock was set back: the inventory was taken at 2026-11-22T12:00:03+00:00",
    ),
    "a copy read a day ago": (
        with_copy(SIGNAL, "landing", read_at=NOW - timedelta(hours=24)),
        "",
    ),
    "a copy read a day and a second ago": (
        with_copy(SIGNAL, "landing", read_at=NOW - timedelta(hours=24) - SECOND),
        "landing was not read within 24 h",
    ),
    "a copy read two seconds ahead": (
        with_copy(SIGNAL, "landing", read_at=NOW + 2 * SECOND),
        "",
    ),
    "a copy read three seconds ahead": (
        with_copy(SIGNAL, "landing", read_at=NOW + 3 * SECOND),
        "a copy was read in the future, at 2026-11-22T12:00:03+00:00: a clock is wrong",
    ),
}


@pytest.mark.parametrize("case", LIMIT_OF_AGE)
def test_limits_of_age(case: str) -> None:
    """Evidence counts up to its limit and not beyond it, in the past and in the future."""
    spoil, why = LIMIT_OF_AGE[case]
    if why:
        assert why in refused(spoil(evidence()))
    else:
        proven(spoil(evidence()))


REASONS: Mapping[str, tuple[Spoil, tuple[str, ...]]] = {
    "two copies on one device": (
        with_copy(SIGNAL, "backup one", device="device of landing"),
        (f"{SIGNAL}: only one other verified copy, on landing; 2 are on the same device",),
    ),
    "one copy, and two that do not count": (
        changed(
            copies={
                **evidence().copies,
                SIGNAL: (
                    a_copy("landing", SIGNAL, md5="x"),
                    a_copy("backup one", SIGNAL),
                    a_copy("backup two", SIGNAL, why="cannot be read"),
                ),
            }
        ),
        (
            f"{SIGNAL}: only one other verified copy, on backup one; landing differs;"
            " backup two cannot be read",
        ),
    ),
    "no copy": (
        changed(copies={**evidence().copies, SIGNAL: ()}),
        (f"{SIGNAL}: no other verified copy",),
    ),
    "a copy without a path": (
        with_copy(SIGNAL, "landing", path=""),
        (f"{SIGNAL}: only one other verified copy, on backup one; landing has no known location",),
    ),
    "a copy in the place itself": (
        with_copy(SIGNAL, "landing", place="upstream"),
        (f"{SIGNAL}: only one other verified copy, on backup one; upstream may be deleted itself",),
    ),
    "a file that cannot be read": (
        with_found(SIGNAL, FileEntry(SIGNAL, size=9_000_000, inode=1)),
        (
            f"{SIGNAL}: could not be read",
            f"{SIGNAL}: no other verified copy; landing differs; backup one differs",
        ),
    ),
    "not all is here": (
        changed(closed=""),
        ("nothing says that all of the cell is here: neither its counts nor a person",),
    ),
    "a kind that nothing counts": (
        changed(unverified={"bam": 2}),
        (deletion_proof.why_unverified({"bam": 2}),),
    ),
    "done by hand": (
        changed(done_manifest=""),
        (
            "its flag `done` names no manifest; it was made by hand, or by an earlier program",
            "its backup is of other results than its flag `done` names",
        ),
    ),
    "other results": (
        changed(manifest="x" * 32),
        ("manifest.json is not the one that its flag `done` names",),
    ),
    "no backup": (
        changed(backup_manifest=""),
        ("there is no backup of it that was read back",),
    ),
    "a backup of other results": (
        changed(backup_manifest="x" * 32),
        ("its backup is of other results than its flag `done` names",),
    ),
    "an earlier processing": (
        changed(epoch=2, current_epoch=3),
        ("its flag `done` is of attempt 2, and there is an attempt 3",),
    ),
    "flags and names": (
        changed(blockers=("it is flagged failed", "the run is aborted"), moved=("b", "a")),
        (
            "it is flagged failed",
            "the run is aborted",
            "b: came, went or changed while it was looked at",
            "a: came, went or changed while it was looked at",
        ),
    ),
    "no raw manifest": (
        changed(recorded={}),
        (
            "raw.json, which says what the cell consists of, is missing or empty",
            *(
                f"{name}: was not there when the cell was recorded as complete"
                for name in sorted(SIZES)
            ),
        ),
    ),
}


@pytest.mark.parametrize("case", REASONS)
def test_all_reasons_and_no_other(case: str) -> None:
    """A refusal has one sentence for each reason, and none that is not true."""
    spoil, reasons = REASONS[case]
    assert prove(spoil(evidence()), ProofLimits(), NOW) == DeletionRefused(reasons)


def test_unverified_files_say_what_to_do() -> None:
    """The reason names the files that nothing counts, and how a person accepts them."""
    words = deletion_proof.why_unverified({"bam": 2})
    assert words.startswith("2 BAM files not verified")
    assert "replaces the cell's flag `synced` by an empty one" in words


@pytest.mark.parametrize("dropped", ["upstream", "landing"])
def test_a_copy_in_landing_counts_only_for_the_upstream(
    dropped: deletion_proof.Dropped,
) -> None:
    """While landing itself is stripped, a copy there may be deleted, so it does not count."""
    found = evidence(
        dropped,
        copies={
            **evidence(dropped).copies,
            SIGNAL: (a_copy("landing", SIGNAL), a_copy("backup one", SIGNAL)),
        },
    )
    made = proven(found)
    if dropped == "upstream":
        assert SIGNAL in {each.name for each in made.files}
    else:
        (kept,) = [each for each in made.kept if each.name == SIGNAL]
        assert kept.why == (
            "only one other verified copy, on backup one; landing may be deleted itself"
        )


@pytest.mark.parametrize("dropped", ["upstream", "landing"])
@pytest.mark.parametrize("place", ["upstream", "trash"])
def test_a_copy_upstream_never_counts(dropped: deletion_proof.Dropped, place: str) -> None:
    """A person may empty the trash or delete on the sequencer at any time."""
    found = evidence(dropped)
    copies = (a_copy(place, SIGNAL), a_copy("backup one", SIGNAL))
    found = replace(found, copies={**found.copies, SIGNAL: copies})
    why = f"only one other verified copy, on backup one; {place} may be deleted itself"
    if dropped == "upstream":
        assert refused(found) == f"{SIGNAL}: {why}"
    else:
        assert [each.why for each in proven(found).kept if each.name == SIGNAL] == [why]


KEPT_IN_LANDING = {
    "of a million bytes": ("report.html", 1_000_000, "small"),
    "larger": ("report.html", 1_000_001, ""),
    "an empty data file": ("pod5/b.POD5", 0, ""),
    "a large summary": ("final_summary_b.txt", 9_000_000, "always kept"),
    "a large report": ("x/report_b.md", 9_000_000, "always kept"),
    "MinKNOW's checksums": ("output_hash_b.csv", 9_000_000, "always kept"),
    "a name that only contains it": ("my_report_b.md", 9_000_000, ""),
    "a directory of that name": ("report_x/b.md", 9_000_000, ""),
}


@pytest.mark.parametrize("case", KEPT_IN_LANDING)
def test_what_stays_in_landing(case: str) -> None:
    """Files that people look for, and small ones that are no data, stay with two copies."""
    name, size, why = KEPT_IN_LANDING[case]
    found = evidence("landing")
    entry = FileEntry(name, size=size, inode=1, md5=md5(name))
    found = replace(
        found,
        found={**found.found, name: entry},
        recorded={**found.recorded, name: entry},
        copies={
            **found.copies,
            name: (a_copy("backup one", name), a_copy("backup two", name)),
        },
    )
    made = proven(found)
    assert {each.name: each.why for each in made.kept}.get(name, "") == why
    assert {each.name: each.size for each in made.kept}.get(name, size) == size
    assert (name in {each.name for each in made.files}) is not bool(why)


def test_a_file_of_several_acquisitions_stays() -> None:
    """In a pooled directory only the files of the acquisition itself are deleted."""
    own = "fastq_pass/PAD38578_pass_c6ded78b_0123abcd_0.fastq.gz"
    shared = "fastq_pass/PAD38578_pass_c6ded78b_0.fastq.gz"
    entries = {name: FileEntry(name, size=1, inode=1, md5=md5(name)) for name in (own, shared)}
    found = evidence(
        "landing",
        cell=CellId("lib", "PAD38578_c6ded78b_0123abcd.pooled"),
        found=entries,
        recorded=entries,
        copies={name: (a_copy("backup one", name), a_copy("backup two", name)) for name in entries},
    )
    made = proven(found)
    assert [each.name for each in made.files] == [own]
    assert [(each.name, each.why) for each in made.kept] == [(shared, deletion_proof.SHARED)]
    only_shared = replace(found, found={shared: entries[shared]})
    assert refused(only_shared) == deletion_proof.NOTHING


def test_no_proof_without_a_file() -> None:
    """If no file has enough copies, the first one of them is the reason."""
    found = evidence("landing", copies={})
    assert refused(found) == (f"no file may be deleted: {READS}: no other verified copy")


@pytest.mark.parametrize("name", ["x.csv", SUMMARY], ids=["small", "always kept"])
def test_only_files_that_stay(name: str) -> None:
    """A cell that was stripped before has nothing to delete, and no other reason."""
    entry = FileEntry(name, size=1, inode=1, md5=md5(name))
    found = evidence("landing", found={name: entry}, recorded={name: entry})
    assert refused(found) == deletion_proof.NOTHING


def test_an_unknown_inode_is_no_common_file() -> None:
    """Two copies whose inodes are not known are two, if their paths and devices differ."""
    found = evidence()
    for place in ("landing", "backup one"):
        found = with_copy(SIGNAL, place, inode="")(found)
    assert len(proven(found).copies[SIGNAL]) == 2


def test_words_of_a_refusal() -> None:
    """A refusal shows three reasons, and the number of the others."""
    words = [str(DeletionRefused(tuple("abcde"[:count]))) for count in range(6)]
    assert words == [
        "",
        "a",
        "a; b",
        "a; b; c",
        "a; b; c; and 1 more reason",
        "a; b; c; and 2 more reasons",
    ]


def test_words_of_a_copy() -> None:
    """A copy is named by its place, with the reason if it does not count."""
    assert str(a_copy("backup one", READS)) == "backup one"
    assert str(a_copy("backup one", READS, why="is away")) == "backup one: is away"


@pytest.mark.parametrize("dropped", ["upstream", "landing"])
def test_the_proof_is_about_its_evidence(dropped: deletion_proof.Dropped) -> None:
    """A proof has the run, the cell, the place, the inventory and the time of its evidence."""
    found = evidence(dropped)
    made = proven(found)
    assert (made.run, made.cell, made.dropped) == (found.run, found.cell, found.dropped)
    assert (made.inventory_digest, made.made_at) == (digest_of(found.found), NOW)
    assert made.not_after == found.taken_at + timedelta(minutes=10)


def test_a_refusal_has_the_checksums() -> None:
    """A refusal has what MinKNOW's checksums say, for the flag of the attempt."""
    checksums = MinknowChecksums(("output_hash_x.csv",), agreeing=3)
    answer = prove(evidence(closed="", checksums=checksums), ProofLimits(), NOW)
    assert isinstance(answer, DeletionRefused)
    assert answer.checksums == checksums


def test_a_finding_that_is_a_flag_too_is_one_reason() -> None:
    """Damage that a flag of the cell already reports is not reported twice."""
    checksums = MinknowChecksums(("output_hash_x.csv",), 2, differing=("pod5/b.pod5",))
    found = evidence(checksums=checksums, blockers=(checksums.wrong,))
    assert refused(found) == checksums.wrong


def test_the_digest_is_that_of_md5sum() -> None:
    """The digest is that of `md5sum -z` over all files in the order of their bytes."""
    found = {
        name: FileEntry(name, size=1, inode=1, md5=md5(name)) for name in ("é", "a/b", "\udcff")
    }
    found |= {"a": FileEntry("a", "d"), "l": FileEntry("l", "l")}
    listing = b"".join(
        md5(name.decode("utf-8", "surrogateescape")).encode() + b"  ./" + name + b"\0"
        for name in (b"a/b", "é".encode(), b"\xff")
    )
    assert digest_of(found) == hashlib.md5(listing, usedforsecurity=False).hexdigest()
