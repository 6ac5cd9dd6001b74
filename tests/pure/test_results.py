"""Results in the records of flags: they survive JSON, and impossible values count as missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.minknow_checksums import ChecksumFinding
from hesiod_watch.core.ownership import Attempt, Flag, Liveness
from hesiod_watch.core.results import (
    AttemptEnd,
    BackupRecord,
    ChecksumsRecord,
    CopyRecord,
    DeliveryFailure,
    DeliveryRecord,
    DoneRecord,
    MarkRecord,
    RunBackupRecord,
    StripRecord,
    VerificationRecord,
    WorkRecord,
)

TIME = "2026-11-22T10:00:00Z"
FINDING = ChecksumFinding("1 file differs", "abc", TIME)
COPY = CopyRecord("second", "i", "d", "/b", "m", "r", 1, 2, TIME, raw=True)
RESULTS: list[WorkRecord] = [
    AttemptEnd("the disk is full", False, TIME, "lib/cell"),
    AttemptEnd("killed", False, TIME, died=True, failing_since=TIME),
    BackupRecord("m", (COPY,), FINDING),
    ChecksumsRecord(FINDING),
    BackupRecord("m"),
    RunBackupRecord("digest"),
    VerificationRecord((COPY,), False, ("output: x: missing",), FINDING),
    VerificationRecord(problems=("output: x: missing",)),
    MarkRecord(True, 0, 0, "i", "e", ("output",), TIME, FINDING),
    MarkRecord(),
    StripRecord(0),
    StripRecord(3, 4, "i", ("output",), ("kept: 1 file",), FINDING),
    DeliveryRecord({"rt": DeliveryFailure("away", 2, TIME, TIME, needs_person=True)}),
    DoneRecord(
        "lib/c", 2, "h", "1", TIME, "m", {"reads": 3}, "all", Completeness(Verdict.OVER, "")
    ),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_results_survive_json(result: WorkRecord) -> None:
    """A result is unchanged after writing it to a flag and reading it."""
    assert type(result).from_record(json.loads(json.dumps(result.record()))) == result


@pytest.mark.parametrize("kind", dict.fromkeys(map(type, RESULTS)))
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="null"),
        pytest.param(-1, id="negative"),
        pytest.param([3], id="list"),
        pytest.param({"a": {}}, id="object"),
    ],
)
def test_impossible_values(kind: type[WorkRecord], value: Any) -> None:
    """Values of another kind raise no error, and give a result that can be written again."""
    keys = ("manifest", "copies", "here", "problems", "marked", "files", "kept", "channels")
    found = kind.from_record(dict.fromkeys((*keys, "minknow_checksums", "results"), value))
    assert kind.from_record(json.loads(json.dumps(found.record()))) == found


def test_keys_that_are_always_there() -> None:
    """A finished result has all its keys, also the empty ones; an unfinished one only the known."""
    record = {"manifest": "m", "copies": [], "damaged_ends": False}
    assert BackupRecord("m").record() == record
    assert BackupRecord().record() == {"damaged_ends": False}
    assert MarkRecord().record() == {"marked": False}
    assert StripRecord().record() == {}
    assert StripRecord(0).record() == {"files": 0}


RECORD = {"cell": "l/c", "reason": "r"}


@pytest.mark.parametrize(
    "recorded",
    [
        pytest.param(Flag("c.done", 0.0, text=json.dumps(RECORD)), id="flag"),
        pytest.param(Attempt("failed", None, Liveness.DEAD, "", RECORD), id="attempt"),
    ],
)
def test_record_is_read_once(recorded: Flag | Attempt) -> None:
    """A record is read once for each kind of result, and the kinds do not mix."""
    done, ended = DoneRecord.of(recorded), AttemptEnd.of(recorded)
    assert (done.cell, ended.cell, ended.reason) == ("l/c", "l/c", "r")
    assert DoneRecord.of(recorded) is done
    assert AttemptEnd.of(recorded) is ended


def test_record_of_another_flag() -> None:
    """Another flag has its own result, and a missing one an empty result."""
    assert DoneRecord.of(Flag("c.done", 0.0, text='{"cell": "l/c"}')).cell == "l/c"
    assert DoneRecord.of(Flag("c.done", 0.0, text='{"cell": "l/d"}')).cell == "l/d"
    assert DoneRecord.of(None) == DoneRecord() == DoneRecord.of(Flag("c.done", 0.0))
