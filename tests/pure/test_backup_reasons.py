"""Backups and verifications: reasons, order of the readings, sentences, and places of copies."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.model import Action, Cell, Policy, Snapshot
from hesiod_watch.core.ownership import Attempt, Liveness, Owner
from hesiod_watch.rules import backup_schedule
from hesiod_watch.rules.backup_schedule import (
    CopyLocation,
    copy_locations,
    finished_at,
    keeps_failing,
    run_digest,
)
from hesiod_watch.rules.stages import digest_of_report

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Policy(backups=frozenset({"one", "two"}), verify_every=30 * 86400.0)
ALONE = Policy(verify_every=30 * 86400.0)
FOUND = {"at": "2026-11-22T10:00:00Z", "said": "1 file differs", "set": "x"}


def copies(*names: str, raw: bool = False) -> list[dict[str, object]]:
    return [
        {
            "backup": name,
            "identity": "id",
            "device": "device",
            "location": f"/{name}",
            "manifest_md5": "m",
            "raw_digest": "",
            "files": 3,
            "bytes": 5,
            "verified_at": "2026-11-22T10:00:00Z",
            "raw": raw,
        }
        for name in names
    ]


def ended(outcome: str, ago: timedelta = DAY, epoch: int = 1, **record: Any) -> Attempt:
    time = (NOW - ago).isoformat()
    owner = Owner("t", time=time, epoch=epoch)
    return attempt(outcome, owner=owner, **{"ended": time, "manifest": "m", **record})


WHOLE = ended("done", copies=copies("one", "two"))


def processed(name: str = "a", age: timedelta = DAY, manifest: str = "m", **facts: Any) -> Cell:
    text = json.dumps({"manifest_md5": manifest}) if manifest else ""
    return cell(name, done=flag(text, (NOW - age).timestamp()), **facts)


def run_of(*cells: Cell, **facts: Any) -> Snapshot:
    snapshot = run(*cells, **facts)
    return replace(snapshot, report_digest=digest_of_report(snapshot))


def planned(snapshot: Snapshot, policy: Policy = POLICY) -> list[Action]:
    return [
        action
        for rule in (backup_schedule.want_backup, backup_schedule.want_verify)
        for action in rule(snapshot, policy, NOW)
    ]


LONG_AGO = ended("done", 40 * DAY, copies=copies("one", "two"))
REASONS: dict[str, tuple[Cell, Policy, tuple[str, int, str] | None]] = {
    "new": (processed(), POLICY, ("backup", 1, "processed, and not copied to a backup")),
    "no manifest": (processed(manifest=""), POLICY, None),
    "no backups": (processed(), ALONE, None),
    "killed": (
        processed(backup=replace(ended("", manifest=""), evidence="pid 7", liveness=Liveness.DEAD)),
        POLICY,
        ("backup", 2, "its backup was begun and not finished: pid 7"),
    ),
    "under way": (processed(backup=replace(ended(""), liveness=Liveness.ALIVE)), POLICY, None),
    "processed again": (
        processed(backup=ended("done", manifest="x")),
        POLICY,
        ("backup", 1, "processed again since its last backup"),
    ),
    "processed again, and failed": (
        processed(backup=ended("failed", manifest="x", reason="no space")),
        POLICY,
        ("backup", 2, "its last backup failed: no space"),
    ),
    "failed": (
        processed(backup=ended("failed", epoch=4, reason="no space")),
        POLICY,
        ("backup", 5, "its last backup failed: no space"),
    ),
    "on no backup": (
        processed(backup=ended("done")),
        POLICY,
        ("backup", 1, "no verified copy on one, two"),
    ),
    "on one backup": (
        processed(backup=ended("done", copies=copies("one"))),
        POLICY,
        ("backup", 1, "no verified copy on two"),
    ),
    "on both": (processed(backup=WHOLE), POLICY, None),
    "without checksums of raw data": (
        processed(backup=ended("done", copies=copies("one", "two", raw=True)), raw_missing=True),
        POLICY,
        ("backup", 1, "the checksums of its raw data are missing"),
    ),
    "raw data read after the backup": (
        processed(backup=WHOLE, verification=ended("done", DAY / 2, raw_made=True, here=True)),
        POLICY,
        ("backup", 1, "the checksums of its raw data are not on every backup"),
    ),
    "raw data read with the backup": (
        processed(backup=WHOLE, verification=ended("done", DAY, raw_made=True, here=True)),
        POLICY,
        None,
    ),
    "read after the backup": (
        processed(backup=WHOLE, verification=ended("done", DAY / 2, here=True)),
        POLICY,
        None,
    ),
    "not read for long": (
        processed(backup=LONG_AGO),
        POLICY,
        ("verify", 1, "its copies have not been read for a long time"),
    ),
    "not read for long, without backups": (processed(age=40 * DAY), ALONE, None),
    "damaged long ago": (
        processed(
            backup=LONG_AGO,
            verification=ended("failed", 31 * DAY, epoch=2, problems=["one: rot"], here=True),
        ),
        POLICY,
        ("verify", 3, "its last verification failed"),
    ),
    "raw data not read": (
        processed(raw_missing=True),
        ALONE,
        ("verify", 1, "its raw data are not read in full yet"),
    ),
    "raw data not read, a minute after a failure": (
        processed(raw_missing=True, verification=ended("failed", timedelta(minutes=1))),
        ALONE,
        ("verify", 2, "its raw data are not read in full yet"),
    ),
    "raw data not read, just after a failure": (
        processed(raw_missing=True, verification=ended("failed", timedelta(seconds=59))),
        ALONE,
        None,
    ),
    "raw data not read, and a backup failed": (
        processed(raw_missing=True, backup=ended("failed", timedelta(seconds=1), manifest="m")),
        POLICY,
        ("verify", 1, "its raw data are not read in full yet"),
    ),
    "raw data not read, no manifest": (
        processed(raw_missing=True, manifest=""),
        POLICY,
        ("verify", 1, "its raw data are not read in full yet"),
    ),
    "raw data cut off": (
        processed(backup=ended("done", copies=copies("one", "two"), damaged_ends=True)),
        POLICY,
        ("verify", 1, "its raw data are not read in full yet"),
    ),
    "raw data cut off, and read": (
        processed(
            backup=ended("done", copies=copies("one", "two"), damaged_ends=True),
            verification=ended("done", here=True),
        ),
        POLICY,
        None,
    ),
    "raw data cut off, and being backed up": (
        processed(backup=replace(ended("", damaged_ends=True), liveness=Liveness.ALIVE)),
        POLICY,
        None,
    ),
}


@pytest.mark.parametrize("case", REASONS)
def test_reason(case: str) -> None:
    """A backup or a verification is planned with its attempt and the reason, or not at all."""
    only, policy, expected = REASONS[case]
    snapshot = run_of(only)
    found = [each for each in planned(snapshot, policy) if each.cell]
    assert [(each.name, each.epoch, each.reason) for each in found] == (
        [expected] if expected else []
    )
    assert all((each.run, each.cell) == (snapshot.run, only.id) for each in found)


@pytest.mark.parametrize("case", REASONS)
def test_each_cell_is_judged_by_itself(case: str) -> None:
    """What one cell waits for keeps no other cell from its backup or its verification."""
    only, policy, _ = REASONS[case]
    others = (processed("b"), processed("c", backup=LONG_AGO))

    def works(*cells: Cell) -> set[tuple[str, str]]:
        found = planned(run_of(*cells), policy)
        return {(each.name, str(each.cell)) for each in found if each.cell}

    assert works(only, *others) == set().union(*map(works, (only, *others)))


@pytest.mark.parametrize(
    "waiting",
    [cell("b", synced=True), cell("b", claims=(claim(),))],
    ids=["ready", "being processed"],
)
def test_processing_comes_before_the_reading_of_raw_data(waiting: Cell) -> None:
    """While a cell of the run waits for its processing, no raw data are read."""
    assert planned(run_of(processed(raw_missing=True), waiting), ALONE) == []


def test_the_run_is_backed_up_after_its_cells() -> None:
    """The run's own files follow when no cell waits for its backup and one has it."""
    both = (processed(backup=WHOLE), processed("b", backup=WHOLE))
    (action,) = planned(run_of(*both))
    assert (action.cell, action.epoch, action.reason) == (None, 1, "its own files have changed")
    assert [each.cell for each in planned(run_of(both[0], processed("b")))] == [processed("b").id]
    retried = ended("failed", timedelta(seconds=1))
    assert planned(run_of(both[0], processed("b", backup=retried))) == []
    assert planned(run_of(processed(manifest=""))) == []


def test_the_digest_of_a_run() -> None:
    """The digest changes with a settled cell and with its backup, and not with other cells."""
    snapshots = [
        run_of(processed()),
        run_of(processed(), cell("b")),
        run_of(processed(backup=ended("failed"))),
        run_of(processed(backup=WHOLE)),
        run_of(processed(age=2 * DAY)),
        run_of(cell("a", failed=flag())),
        run_of(cell("a", aborted=flag())),
        run_of(cell("a", aborted=flag("", 2.0))),
        run_of(processed("b")),
    ]
    assert len({run_digest(each) for each in snapshots[:3]}) == 1
    assert len({run_digest(each) for each in snapshots[2:]}) == len(snapshots[2:])


FOUND_IN_A_BACKUP = ended("done", copies=copies("one", "two"), minknow_checksums=FOUND)
ROTTEN = ended("failed", problems=["a: rot", "b: rot"])
WAITING: dict[str, tuple[Snapshot, list[str]]] = {
    "backed up": (run_of(processed(backup=WHOLE)), []),
    "failed": (
        run_of(processed(backup=ended("failed", reason="no space"))),
        ["lib/a: not backed up: no space"],
    ),
    "no manifest": (
        run_of(processed(manifest="", backup=ended("failed"))),
        [
            "lib/a: its flag done names no manifest (made by hand, or by an earlier program), so a"
            " backup could not be verified; processing the cell again makes one"
        ],
    ),
    "in doubt": (
        run_of(processed(backup=attempt(liveness=Liveness.UNKNOWN, evidence="pid 7"))),
        ["lib/a: a backup was begun, and it is unknown whether its owner lives (pid 7)"],
    ),
    "a finding": (
        run_of(
            processed(backup=ended("done", copies=copies("one", "two"), minknow_checksums=FOUND))
        ),
        ["lib/a: 1 file differs"],
    ),
    "damaged": (
        run_of(processed(backup=WHOLE, verification=ROTTEN)),
        ["lib/a: damaged: a: rot", "lib/a: damaged: b: rot"],
    ),
    "the run's own files": (
        run_of(processed(backup=WHOLE), backup=ended("failed", reason="no space")),
        ["the run's own files are not backed up: no space"],
    ),
    "not processed": (run_of(cell(backup=ended("failed", reason="no space"))), []),
}


@pytest.mark.parametrize("case", WAITING)
def test_what_is_waited_for(case: str) -> None:
    """Each missing or damaged copy is one sentence, and a whole one is none."""
    snapshot, expected = WAITING[case]
    assert list(backup_schedule.waiting(snapshot, POLICY)) == expected


def test_without_backups_nothing_is_missing() -> None:
    """A flag without a manifest is no problem where no backup is configured."""
    assert list(backup_schedule.waiting(run_of(processed(manifest="")), ALONE)) == []


SOON = timedelta(seconds=20)
LOOKS: dict[str, tuple[Snapshot, Policy, list[timedelta]]] = {
    "failed": (
        run_of(processed(backup=ended("failed", SOON))),
        POLICY,
        [timedelta(seconds=40)],
    ),
    "failed, and due": (run_of(processed(backup=ended("failed"))), POLICY, []),
    "done": (run_of(processed(backup=WHOLE)), POLICY, []),
    "no manifest": (run_of(processed(manifest="", backup=ended("failed", SOON))), POLICY, []),
    "failed, without backups": (run_of(processed(backup=ended("failed", SOON))), ALONE, []),
    "failed, in a stopped run": (
        run_of(processed(backup=ended("failed", SOON)), flags=frozenset({"failed"})),
        POLICY,
        [],
    ),
    "raw data": (
        run_of(processed(raw_missing=True, verification=ended("failed", SOON))),
        ALONE,
        [timedelta(seconds=40)],
    ),
    "raw data, in an aborted run": (
        run_of(
            processed(raw_missing=True, verification=ended("failed", SOON)),
            flags=frozenset({"aborted"}),
        ),
        ALONE,
        [],
    ),
    "raw data, and due": (run_of(processed(raw_missing=True)), ALONE, []),
    "two cells": (
        run_of(
            processed(backup=ended("failed", SOON)),
            processed("b", backup=ended("failed", SOON, epoch=2)),
        ),
        POLICY,
        [timedelta(seconds=40), timedelta(seconds=100)],
    ),
}


@pytest.mark.parametrize("case", LOOKS)
def test_when_to_look_again(case: str) -> None:
    """The program looks again when a retry becomes due, if it is to be made at all."""
    snapshot, policy, expected = LOOKS[case]
    found = list(backup_schedule.look_again(snapshot, policy, NOW))
    assert found == [NOW + wait for wait in expected]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (ended("failed"), True),
        (ended("failed", needs_person=True), True),
        (ended("failed", needs_person=False), False),
        (ended("failed", needs_person=False, epoch=2), False),
        (ended("failed", needs_person=False, epoch=3), True),
        (ended("done", epoch=9), False),
        (ended("", epoch=9), False),
        (attempt("failed", needs_person=False), False),
    ],
    ids=["unknown", "a person", "once", "twice", "three times", "done", "begun", "no owner"],
)
def test_a_person_is_needed(last: Attempt, expected: bool) -> None:
    """A person is needed at the third failure in a row, or where a retry alone does not help."""
    assert keeps_failing(last) is expected


AHEAD = (NOW + DAY).timestamp()


def record_of(time: str) -> str:
    return json.dumps({"time": time})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (cell(done=flag("", (NOW - DAY).timestamp())), NOW - DAY),
        (cell(done=flag("", NOW.timestamp())), NOW),
        (
            cell(done=flag(record_of("2026-11-20T12:00:00Z"), AHEAD)),
            NOW - 3 * DAY,
        ),
        (
            cell(
                done=flag(record_of("2026-11-24T12:00:00Z"), AHEAD),
                backup=ended("done", 2 * DAY),
            ),
            NOW - 2 * DAY,
        ),
        (cell(done=flag("", AHEAD)), None),
        (cell(), None),
    ],
    ids=["file", "now", "record", "backup", "future", "not finished"],
)
def test_when_a_cell_was_finished(found: Cell, expected: datetime | None) -> None:
    """The first recorded time that is not in the future counts."""
    assert finished_at(found, NOW) == expected


def test_places_of_copies() -> None:
    """A processed cell has its results, its raw data and its backups, with the damage there."""
    verified = (NOW - DAY).isoformat()
    found = processed(
        backup=ended("done", copies=[*copies("one", raw=True), *copies("two")]),
        verification=ended("done", here=True, problems=["landing: rot", "one: rot"]),
    )
    snapshot = run_of(found)
    at = "2026-11-22T10:00:00Z"
    output = CopyLocation("output", "/output/run/lib/a", "results", verified)
    landing = CopyLocation("landing", "/landing/run/lib/a", "raw data", verified, "landing: rot")
    assert copy_locations(snapshot, found) == (
        output,
        landing,
        CopyLocation("one", "/one/run", "results and raw data", at, "one: rot"),
        CopyLocation("two", "/two/run", "results", at),
    )
    again = ended("done", here=True, copies=[{**copies("two")[0], "verified_at": verified}])
    read = {
        each.where: each.verified_at
        for each in copy_locations(snapshot, replace(found, verification=again))
    }
    assert read == {"output": verified, "landing": verified, "one": at, "two": verified}
    local = replace(found, backup=None)
    assert copy_locations(snapshot, local) == (output, landing)
    assert copy_locations(replace(snapshot, output=None), local) == (landing,)
    gone = [
        (snapshot, replace(local, present=False)),
        (snapshot, replace(local, strip=attempt("done"))),
        (replace(snapshot, flags=frozenset({"stripped"})), local),
    ]
    assert [copy_locations(*each) for each in gone] == [(output,)] * 3
    assert copy_locations(snapshot, replace(local, strip=attempt("failed"))) == (output, landing)
    unread = replace(local, verification=ended("failed", here=False))
    assert {each.verified_at for each in copy_locations(snapshot, unread)} == {""}
    assert copy_locations(snapshot, cell(backup=WHOLE)) == ()
