"""Deletion proof: the required evidence, and everything that must prevent a proof."""

from __future__ import annotations

import copy as copying
import dataclasses
import pickle
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from deletion_evidence import (
    CELL,
    NOW,
    READS,
    SIGNAL,
    SIZES,
    SUMMARY,
    Spoil,
    changed,
    evidence,
    md5,
    proven,
    refused,
    with_copy,
    with_found,
)
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.minknow_checksums import MinknowChecksums
from hesiod_watch.core.model import CellId
from hesiod_watch.rules import deletion_proof
from hesiod_watch.rules.deletion_proof import (
    CopyEvidence,
    DeletionProof,
    DeletionRefused,
    ProofLimits,
    digest_of,
    prove,
)


def test_a_proof_names_every_file() -> None:
    """Complete evidence gives a proof with name, size, MD5 and remaining copies of each file."""
    made = proven(evidence())
    assert {(each.name, each.size, each.md5) for each in made.files} == {
        (n, s, md5(n)) for n, s in SIZES.items()
    }
    assert {name: {copy.place for copy in copies} for name, copies in made.copies.items()} == {
        READS: {"landing", "output", "backup one"},
        SIGNAL: {"landing", "backup one"},
        SUMMARY: {"landing", "backup one"},
    }
    assert (made.bytes, made.kept, made.places) == (
        14_000_300,
        (),
        ("backup one", "landing", "output"),
    )
    assert made.about("20190710_PROM_alpha", CELL, "upstream")


def test_landing_retains_small_files() -> None:
    """In landing, the summary and small files stay; data files of any size are deleted."""
    made = proven(evidence("landing"))
    assert [each.name for each in made.files] == [READS, SIGNAL]
    assert [(each.name, each.why) for each in made.kept] == [(SUMMARY, "always kept")]


def test_one_backup_keeps_pod5() -> None:
    """With one backup, reads may be deleted from landing, because the outputs contain them, too.

    Signal files are kept, with the reason.
    """
    found = evidence("landing")
    copies = {
        name: tuple(copy for copy in copies_of_file if copy.place != "backup two")
        for name, copies_of_file in found.copies.items()
    }
    made = proven(replace(found, copies=copies))
    assert [each.name for each in made.files] == [READS]
    (kept,) = [each for each in made.kept if each.name == SIGNAL]
    assert kept.why == "only one other verified copy, on backup one"


# No other way to make one.


def test_only_this_module_makes_proofs() -> None:
    """A proof cannot be constructed, changed, copied with changes, or sent to another process."""
    made = proven(evidence())
    values = {each.name: getattr(made, each.name) for each in dataclasses.fields(made)}
    for shown in (None, True, object()):
        with pytest.raises(TypeError, match=r"^only deletion_proof\.prove makes a Deletion"):
            DeletionProof(**values, shown=shown)
    with pytest.raises(TypeError):
        DeletionProof(**values)
    with pytest.raises((TypeError, ValueError)):
        replace(made, not_after=NOW + timedelta(days=1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.not_after = NOW + timedelta(days=1)  # type: ignore[misc]  # that is what is tried
    with pytest.raises(TypeError, match=r"^a DeletionProof does not leave the process"):
        pickle.dumps(made)
    with pytest.raises(TypeError, match=r"^a DeletionProof does not leave the process"):
        copying.copy(made)


def test_it_is_about_one_cell_and_place() -> None:
    """A proof for one cell and place is not valid for another."""
    made = proven(evidence())
    assert not made.about("20190710_PROM_alpha", CELL, "landing")
    assert not made.about("20190710_PROM_beta", CELL, "upstream")
    assert not made.about("20190710_PROM_alpha", CellId("other", CELL.name), "upstream")


@pytest.mark.parametrize(
    ("seconds", "holds"),
    [(0, True), (594, True), (595, True), (596, False), (660, False), (-1, False), (86400, False)],
    ids=["at once", "594 s", "595 s", "596 s", "660 s", "before it was made", "a day later"],
)
def test_a_proof_expires(seconds: float, holds: bool) -> None:
    """A proof is valid until ten minutes after the inventory.

    It is not valid before it was made, because clocks may be set back.
    """
    assert proven(evidence()).holds(NOW + timedelta(seconds=seconds)) is holds


def test_limits_can_only_be_lowered() -> None:
    """No configuration extends evidence beyond a day or a proof beyond ten minutes."""
    wide = ProofLimits(timedelta(days=9), timedelta(days=9))
    assert proven(evidence(), limits=wide).not_after == NOW + timedelta(minutes=10) - timedelta(
        seconds=5
    )
    old = with_copy(SIGNAL, "landing", read_at=NOW - timedelta(hours=25))(evidence())
    assert "was not read within 24 h" in refused(old, limits=wide)
    short = ProofLimits(timedelta(minutes=10), timedelta(minutes=1))
    assert "was not read within" in refused(evidence(), limits=short)
    assert proven(
        evidence(), limits=replace(ProofLimits(), lasts=timedelta(minutes=1))
    ).not_after < NOW + timedelta(minutes=1)


# Everything that must keep it from being given.

REFUSED: Mapping[str, tuple[Spoil, str]] = {
    "the same device twice": (
        with_copy(SIGNAL, "backup one", device="device of landing"),
        "are on the same device",
    ),
    "one copy is a link to the other": (
        with_copy(SIGNAL, "backup one", path=f"/landing/{SIGNAL}"),
        "same device",
    ),
    "one copy is a hard link of the other": (
        with_copy(SIGNAL, "backup one", inode=f"landing:{SIGNAL}"),
        "same device",
    ),
    "a copy is older than a day": (
        with_copy(SIGNAL, "backup one", read_at=NOW - timedelta(hours=24, seconds=1)),
        "was not read within 24 h",
    ),
    "a copy that was never read": (with_copy(SIGNAL, "landing", read_at=None), "was not read"),
    "a clock a day ahead": (
        with_copy(SIGNAL, "landing", read_at=NOW + timedelta(days=1)),
        "a clock is wrong",
    ),
    "a byte is flipped in a copy": (
        with_copy(SIGNAL, "backup one", md5="0" * 32),
        "backup one differs",
    ),
    "a copy is truncated": (with_copy(SIGNAL, "backup one", md5=md5("")), "differs"),
    "a backup that is unmounted": (
        with_copy(SIGNAL, "backup one", md5="", why="cannot be read: is it mounted?"),
        "is it mounted?",
    ),
    "a copy of nowhere": (with_copy(SIGNAL, "backup one", device=""), "has no known location"),
    "a copy upstream": (with_copy(SIGNAL, "backup one", place="upstream"), "may be deleted itself"),
    "a copy in the trash": (
        with_copy(SIGNAL, "backup one", place="trash"),
        "may be deleted itself",
    ),
    "no copies at all": (changed(copies={}), "no other verified copy"),
    "an inventory that is not closed": (
        changed(closed=""),
        "nothing says that all of the cell is here",
    ),
    "a file more than recorded": (
        with_found("new", FileEntry("new", size=1, inode=1, md5=md5("new"))),
        "new: was not there when",
    ),
    "a file with other bytes": (
        with_found(SIGNAL, FileEntry(SIGNAL, size=9_000_000, inode=1, md5=md5("x"))),
        "is not what it was when",
    ),
    "a file of another size": (
        with_found(SIGNAL, FileEntry(SIGNAL, size=1, inode=1, md5=md5(SIGNAL))),
        "is not what it was when",
    ),
    "a file fewer": (with_found(SIGNAL, None), "is not there any more"),
    "a file that cannot be read": (
        with_found(SIGNAL, FileEntry(SIGNAL, size=9_000_000, inode=1)),
        "could not be read",
    ),
    "a link in it": (with_found("link", FileEntry("link", "l")), "link: a link"),
    "a FIFO in it": (with_found("fifo", FileEntry("fifo", "o")), "fifo: no regular file"),
    "it changed meanwhile": (
        changed(moved=(SIGNAL,)),
        "came, went or changed while it was looked at",
    ),
    "an inventory of eleven minutes ago": (
        changed(taken_at=NOW - timedelta(minutes=11)),
        "11 min old",
    ),
    "an inventory of tomorrow": (
        changed(taken_at=NOW + timedelta(days=1)),
        "the clock was set back",
    ),
    "a flag in the way": (changed(blockers=("it is flagged failed",)), "flagged failed"),
    "done by hand": (changed(done_manifest=""), "names no manifest"),
    "other results than done": (
        changed(manifest="x" * 32),
        "not the one that its flag `done` names",
    ),
    "no results any more": (changed(manifest=""), "not the one that its flag `done` names"),
    "no backup": (changed(backup_manifest=""), "no backup of it that was read back"),
    "a backup of earlier results": (
        changed(backup_manifest="x" * 32),
        "its backup is of other results",
    ),
    "a later attempt": (changed(current_epoch=2), "there is an attempt 2"),
    "no raw manifest": (changed(recorded={}), "raw.json"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_upstream(case: str) -> None:
    """Any missing or unexpected evidence prevents a proof for upstream, with the reason."""
    spoil, why = REFUSED[case]
    assert why in refused(spoil(evidence()))


KEPT = [
    case
    for case in REFUSED
    if "copy" in case or "device" in case or case.startswith(("a byte", "a backup that"))
]
"""Cases in which the copies of one file are insufficient."""
KEPT.remove("a copy upstream")  # for landing it counts like a second one
PASSED_OVER = {"a file fewer", "a link in it", "a FIFO in it"}
"""Cases allowed in landing: files may have been stripped before, and links are kept."""


@pytest.mark.parametrize("case", sorted(set(REFUSED) - {"a copy upstream"}))
def test_refused_or_retained_in_landing(case: str) -> None:
    """In landing, a reason about one file keeps that file; a reason about the cell keeps all."""
    spoilt = REFUSED[case][0](evidence("upstream"))
    # The copies are unchanged, under the names that count for landing.
    names = {"landing": "backup one", "backup one": "backup two"}
    copies = {
        name: tuple(
            replace(copy, place=names.get(copy.place, copy.place)) for copy in copies_of_file
        )
        for name, copies_of_file in spoilt.copies.items()
    }
    answer = prove(replace(spoilt, dropped="landing", copies=copies), ProofLimits(), NOW)
    if case in KEPT and case != "a clock a day ahead":
        assert isinstance(answer, DeletionProof)
        assert [each.name for each in answer.files] == [READS]
    elif case in PASSED_OVER:
        assert isinstance(answer, DeletionProof)
    else:
        assert isinstance(answer, DeletionRefused)


def test_reasons_name_the_file() -> None:
    """A reason about a file begins with its name, safe to show."""
    name = "evil\n\x1b[2J.pod5"
    found = evidence()
    spoilt = replace(
        found, found={**found.found, name: FileEntry(name, size=1, inode=1, md5=md5(name))}
    )
    (reason,) = [
        each for each in refused(spoilt).split("; ") if "evil" in each and "was not there" in each
    ]
    assert "\n" not in reason
    assert "\x1b" not in reason


@pytest.mark.parametrize("dropped", ["upstream", "landing"])
@pytest.mark.parametrize(
    "checksums",
    [
        MinknowChecksums(("output_hash_x.csv",), 2, differing=("pod5/b.pod5",)),
        MinknowChecksums(("output_hash_x.csv",), 3, absent=("pod5/b.pod5",)),
    ],
    ids=["differing", "absent"],
)
def test_minknow_s_checksums_keep_all_of_a_cell(
    dropped: deletion_proof.Dropped, checksums: MinknowChecksums
) -> None:
    """One file that differs or is missing prevents a proof, even if every copy is proven."""
    found = replace(evidence(dropped), checksums=checksums)
    assert "MinKNOW's checksums (output_hash_x.csv): 1 file" in refused(found)
    assert "pod5/b.pod5" in refused(found)
    proven(
        replace(
            found, checksums=MinknowChecksums(("output_hash_x.csv",), agreeing=3, not_compared=1)
        )
    )


def test_nothing_to_delete() -> None:
    """If only small files are left in landing, that is the only reason."""
    found = evidence("landing")
    left = {SUMMARY: found.found[SUMMARY]}
    assert prove(replace(found, found=left), ProofLimits(), NOW) == DeletionRefused(
        (deletion_proof.NOTHING,)
    )


def test_the_digest_is_of_names_and_bytes() -> None:
    """Two inventories have the same digest only if names and bytes are equal."""
    one = {
        "a": FileEntry("a", size=1, inode=1, md5=md5("1")),
        "b": FileEntry("b", size=1, inode=1, md5=md5("2")),
        "d": FileEntry("d", "d"),
    }
    assert digest_of(one) == digest_of({name: replace(each, inode=9) for name, each in one.items()})
    assert digest_of(one) != digest_of({"a": one["b"], "b": one["a"]})
    assert digest_of(one) != digest_of({"a": one["a"], "c": one["b"]})
    assert digest_of(one) != digest_of({"a": one["a"]})


DEVICES = st.sampled_from(["one", "two", "three"])
PLACES = st.sampled_from(["landing", "output", "backup one", "backup two", "upstream", "trash"])


@st.composite
def copies(draw: st.DrawFn) -> CopyEvidence:
    place, device = draw(PLACES), draw(DEVICES)
    md5s, ages = st.sampled_from([md5(SIGNAL), md5("x"), ""]), st.integers(-100, 200_000)
    age, path, inode = (
        draw(ages),
        draw(st.sampled_from("abcd")),
        draw(st.sampled_from(["", "1", "2", "3"])),
    )
    return CopyEvidence(
        place,
        device,
        path,
        inode,
        draw(md5s),
        NOW - timedelta(seconds=age),
        draw(st.sampled_from(["", "", "x"])),
    )


@given(st.lists(copies(), max_size=6), st.sampled_from(["upstream", "landing"]))
def test_two_devices_or_no_proof(
    copies_of_file: list[CopyEvidence], dropped: deletion_proof.Dropped
) -> None:
    """A file is deleted only if two correct, fresh, countable copies are on two devices."""
    entry = FileEntry(SIGNAL, size=SIZES[SIGNAL], inode=1, md5=md5(SIGNAL))
    found = evidence(
        dropped,
        found={SIGNAL: entry},
        recorded={SIGNAL: FileEntry(SIGNAL, size=entry.size, md5=entry.md5)},
        copies={SIGNAL: tuple(copies_of_file)},
    )
    answer = prove(found, ProofLimits(), NOW)
    right = [
        copy
        for copy in copies_of_file
        if copy.md5 == entry.md5
        and not copy.why
        and copy.place not in ("upstream", "trash", dropped)
        and copy.read_at
        and timedelta(seconds=-2) <= NOW - copy.read_at <= timedelta(hours=24)
    ]
    if isinstance(answer, DeletionProof):
        assert len({copy.device for copy in right}) >= 2
        assert len({copy.path for copy in right}) >= 2
    elif (
        all(copy in right for copy in copies_of_file)
        and len({copy.device for copy in copies_of_file}) == len(copies_of_file) >= 2
    ):
        assert len({copy.path for copy in copies_of_file}) < len(copies_of_file) or len(
            {copy.inode for copy in copies_of_file}
        ) < len(copies_of_file)
