"""Result of comparing a cell with MinKNOW's checksums, as sentences and as records."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from snapshots import attempt, cell, flag

from hesiod_watch.core.minknow_checksums import ChecksumFinding, MinknowChecksums
from hesiod_watch.rules.checksum_findings import finding_in, other_damage

FILE = ("output_hash_x.csv",)
BAD = MinknowChecksums(
    FILE, 3, differing=("pod5/a.pod5",), absent=("b.fastq", "c.bam"), repacked=("b.fastq",)
)
AT = "2026-11-22T10:00:0{}Z"


def test_the_sentence() -> None:
    """The sentence names the file of checksums and each file that differs or is missing."""
    assert BAD.wrong == (
        "MinKNOW's checksums (output_hash_x.csv): 1 file differs: pod5/a.pod5; "
        "2 files are missing: b.fastq (b.fastq.gz is there instead), c.bam"
    )
    assert BAD.sentence == f"{BAD.wrong}; 3 files agree"
    assert MinknowChecksums(
        FILE, 1, not_compared=2, rows_skipped=1, problem="cut off"
    ).sentence == (
        "MinKNOW's checksums (output_hash_x.csv): 1 file agrees; 2 files not compared yet; "
        "1 row skipped that name no file of this cell or no SHA-256; cut off"
    )
    assert MinknowChecksums().sentence == MinknowChecksums().wrong == ""


def test_many_files_and_hostile_names() -> None:
    """A flag has room for the sentence, whatever the number and the names of the files."""
    names = tuple(f"pod5/\x1b[2J{number:05}\n{'ä' * 4000}" for number in range(10_000))
    checksums = MinknowChecksums(("output_hash_\u202e.csv",), differing=names, absent=names)
    assert "10000 files differ" in checksums.wrong
    assert " and 9995 more" in checksums.wrong
    assert checksums.wrong.isprintable()
    assert len(json.dumps(checksums.finding(AT).record())) < 16_000


def test_records() -> None:
    """A record gives back its value; a record of 0.1.0, without absent files, is read as well."""
    assert MinknowChecksums.from_record(json.loads(json.dumps(BAD.record()))) == BAD
    old = {"files": ["output_hash_x.csv"], "agreeing": 1, "differing": ["a"]}
    assert MinknowChecksums.from_record(old) == MinknowChecksums(FILE, 1, ("a",))
    assert MinknowChecksums().record() == {}


@pytest.mark.parametrize(
    "record",
    [None, 3, [], {"files": 3}, {"files": [1], "agreeing": "x", "absent": {"a": 1}, "problem": []}],
    ids=["null", "number", "list", "number of files", "wrong types"],
)
def test_records_of_another_kind(record: object) -> None:
    """Another kind of record gives an empty result and raises no error."""
    assert not MinknowChecksums.from_record(record)


def found(checksums: MinknowChecksums, at: str) -> dict[str, object]:
    """The finding at a time, as a flag records it."""
    return checksums.finding(at).record()


def test_the_newest_finding_counts() -> None:
    """A later reading withdraws an earlier finding, whatever the order of the flags."""
    bad, other, good = (
        partial(found, each)
        for each in (BAD, MinknowChecksums(FILE, absent=("c.bam",)), MinknowChecksums(FILE))
    )
    assert finding_in(bad(AT.format(1)), good(AT.format(2))) == ChecksumFinding()
    assert finding_in(good(AT.format(2)), bad(AT.format(1))) == ChecksumFinding()
    assert finding_in({}, bad(AT.format(2)), good(AT.format(1))).said == BAD.wrong
    assert finding_in(bad(AT.format(1))).names == finding_in(bad(AT.format(2))).names
    assert finding_in(bad(AT.format(1))).names != finding_in(other(AT.format(1))).names
    assert finding_in({"minknow_checksums": "x"}) == ChecksumFinding()


def test_doubt_withdraws_nothing() -> None:
    """An earlier finding stays valid if not every file was compared."""
    for doubt in (
        MinknowChecksums(FILE, 1, not_compared=1),
        MinknowChecksums(FILE, problem="unreadable"),
    ):
        assert found(doubt, AT.format(2)) == {}
    assert found(MinknowChecksums(), AT.format(2)) == {}


@pytest.mark.parametrize(
    ("problems", "damage"),
    [
        pytest.param([], (), id="nothing"),
        pytest.param([f"landing: {BAD.wrong}"], (), id="the finding"),
        pytest.param(["landing: rot"], ("landing: rot",), id="other damage"),
        pytest.param([f"landing: {BAD.wrong}", "one: rot"], ("one: rot",), id="both"),
        pytest.param([f"one: {BAD.wrong}"], (f"one: {BAD.wrong}",), id="in another place"),
    ],
)
def test_a_finding_is_reported_once(problems: list[str], damage: tuple[str, ...]) -> None:
    """What the finding says is no other damage, so a person reads it once."""
    record: dict[str, Any] = {"problems": problems, **found(BAD, AT.format(1))}
    verified = cell(done=flag("{}"), verification=attempt("failed", **record))
    assert other_damage(verified) == damage
