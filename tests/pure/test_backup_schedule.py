"""When processed cells are backed up and their copies verified again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from snapshots import attempt, cell, flag, run

from hesiod_watch.core.circumstances import NOTHING_KNOWN
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.model import Cell, CellId, Policy, Snapshot
from hesiod_watch.core.ownership import Attempt, Liveness, Owner
from hesiod_watch.core.results import BackupRecord, CopyRecord
from hesiod_watch.rules import backup_schedule
from hesiod_watch.rules.attention import attention
from hesiod_watch.rules.copies import digest, known_copies, raw_wanted
from hesiod_watch.rules.stages import digest_of_report

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ID = CellId("lib", "20261122_1000_1A_PAD38578_c6ded78b")
MANIFEST = "0123456789abcdef0123456789abcdef"
POLICY = Policy(backups=frozenset({"second"}), verify_every=30 * 86400.0)
DAY = timedelta(days=1)


def copy(backup: str = "second", manifest: str = MANIFEST, at: datetime = NOW) -> CopyRecord:
    return CopyRecord(
        backup,
        "1" * 32,
        "boot/1",
        f"/mnt/{backup}",
        manifest,
        "d",
        3,
        300,
        at.isoformat(),
        raw=True,
    )


def ended(outcome: str, ago: timedelta = timedelta(0), epoch: int = 1, **record: Any) -> Attempt:
    """An attempt to back up or verify that ended some time ago."""
    time = (NOW - ago).isoformat()
    owner = Owner("t", time=time, epoch=epoch)
    return attempt(outcome, owner=owner, **{"ended": time, "manifest": MANIFEST, **record})


def begun(liveness: Liveness, ago: timedelta = timedelta(0), **record: Any) -> Attempt:
    """An attempt without an end that began some time ago."""
    owner = Owner("t", time=(NOW - ago).isoformat())
    return attempt(liveness=liveness, owner=owner, **record)


def backed_up(ago: timedelta = timedelta(0)) -> Attempt:
    """A backup that was done some time ago."""
    return ended("done", ago, copies=[copy(at=NOW - ago).record()])


def processed(name: str = ID.name, manifest: str = MANIFEST, **attempts: Any) -> Cell:
    """A cell that was processed a day ago."""
    text = f'{{"manifest_md5": "{manifest}"}}' if manifest else ""
    return cell(name, done=flag(text, (NOW - DAY).timestamp()), **attempts)


def run_of(*cells: Cell, **facts: Any) -> Snapshot:
    """A run with these cells whose page is up to date."""
    snapshot = run(*cells, name="run", **facts)
    return replace(snapshot, report_digest=digest_of_report(snapshot))


def backups(snapshot: Snapshot, policy: Policy = POLICY) -> list[tuple[CellId | None, int]]:
    return [
        (action.cell, action.epoch) for action in backup_schedule.want_backup(snapshot, policy, NOW)
    ]


@pytest.mark.parametrize(
    ("backup", "epoch"),
    [
        pytest.param(None, 1, id="never"),
        pytest.param(backed_up(), None, id="done"),
        pytest.param(
            ended("done", copies=[copy("first").record()]), 1, id="another place configured since"
        ),
        pytest.param(
            ended("done", manifest="other", copies=[copy().record()]), 1, id="processed once more"
        ),
        pytest.param(ended("failed", timedelta(seconds=59)), None, id="failed 59 s ago"),
        pytest.param(ended("failed", timedelta(seconds=60)), 2, id="failed 60 s ago"),
        pytest.param(
            ended("failed", timedelta(seconds=239), epoch=3), None, id="third failed 239 s ago"
        ),
        pytest.param(
            ended("failed", timedelta(seconds=240), epoch=3), 4, id="third failed 240 s ago"
        ),
        pytest.param(
            ended("failed", timedelta(hours=5, minutes=59), epoch=99),
            None,
            id="99th failed almost 6 h ago",
        ),
        pytest.param(ended("failed", timedelta(hours=6), epoch=99), 100, id="99th failed 6 h ago"),
        pytest.param(ended("failed", -DAY, epoch=1), 2, id="a clock was set back"),
        pytest.param(begun(Liveness.ALIVE, DAY), None, id="under way"),
        pytest.param(begun(Liveness.UNKNOWN, DAY), None, id="perhaps under way"),
        pytest.param(begun(Liveness.DEAD, timedelta(seconds=60)), 2, id="killed, begun 60 s ago"),
        pytest.param(
            begun(Liveness.DEAD, timedelta(seconds=59)), None, id="killed, begun 59 s ago"
        ),
        pytest.param(attempt("failed"), 1, id="a flag made by hand"),
    ],
)
def test_backup_of_a_cell(backup: Attempt | None, epoch: int | None) -> None:
    """A cell is backed up if some backup lacks its current results.

    Retries after failures come at growing intervals, and never two at once.
    """
    wanted = [(ID, epoch)] if epoch else []
    assert [each for each in backups(run_of(processed(backup=backup))) if each[0]] == wanted


@pytest.mark.parametrize("name", ["failed", "aborted", "stripped"])
def test_flags_that_prevent_a_backup(name: str) -> None:
    """No files are copied of a run that a person has stopped."""
    assert backups(run_of(processed(), flags=frozenset({name}))) == []


def test_nothing_without_backups_or_manifest() -> None:
    """Nothing is planned without a backup, or for a cell whose flag names no manifest."""
    assert backups(run_of(processed()), Policy()) == []
    nameless = run_of(processed(manifest=""))
    assert backups(nameless) == []
    assert "names no manifest" in " ".join(backup_schedule.waiting(nameless, POLICY))


def test_run_files_settle() -> None:
    """A run's own files are backed up after its cells, and again after another cell settles."""
    first, second = processed(backup=backed_up()), processed("b", backup=backed_up())
    assert backups(run_of(first)) == [(None, 1)]
    copied = ended("done", covers=backup_schedule.run_digest(run_of(first)))
    assert backups(run_of(first, backup=copied)) == []
    later = run_of(first, second, backup=copied)
    assert backups(later) == [(None, 1)]
    assert backups(replace(later, report_digest="old")) == []  # its page comes first
    failed = ended("failed", timedelta(seconds=30), covers="old")
    assert backups(run_of(first, backup=failed)) == []
    failed = ended("failed", timedelta(seconds=60), covers="old")
    assert backups(run_of(first, backup=failed)) == [(None, 2)]
    assert backups(run_of(first, backup=begun(Liveness.ALIVE))) == []


@pytest.mark.parametrize(
    ("backup", "policy", "reported"),
    [
        pytest.param(ended("failed", epoch=3, needs_person=False), POLICY, True, id="three times"),
        pytest.param(ended("failed", needs_person=True), POLICY, True, id="needs a person"),
        pytest.param(ended("failed", epoch=2, needs_person=False), POLICY, False, id="twice"),
        pytest.param(ended("done", epoch=3), POLICY, False, id="done"),
        pytest.param(ended("failed", epoch=3), Policy(), False, id="no backup any more"),
    ],
)
def test_run_files_that_are_never_copied(backup: Attempt, policy: Policy, reported: bool) -> None:
    """It is reported if the run's own files are not copied, although its cells are."""
    snapshot = run_of(processed(backup=backed_up()), backup=backup)
    found = [each for each in attention(snapshot, NOTHING_KNOWN, policy, NOW) if not each.cell]
    assert [each.kind for each in found] == ["run-files-behind"] * reported
    assert all(
        "hesiod-watch perform backup run" in str(step) for each in found for step in each.steps
    )


def test_run_files_are_copied_again_when_their_time_comes() -> None:
    """The next look at a finished run is not later than the next attempt to copy its files."""
    failed = ended("failed", timedelta(seconds=30), covers="old")
    snapshot = run_of(processed(backup=backed_up()), backup=failed)
    expected = NOW + timedelta(seconds=30)
    assert list(backup_schedule.look_again(snapshot, POLICY, NOW)) == [expected]


DAMAGED = ["second: x: missing"]


@pytest.mark.parametrize(
    ("backup", "verification", "due"),
    [
        pytest.param(None, None, 29 * DAY, id="processed a day ago"),
        pytest.param(backed_up(), None, 30 * DAY, id="just backed up"),
        pytest.param(backed_up(31 * DAY), None, -DAY, id="backed up long ago"),
        pytest.param(backed_up(31 * DAY), ended("done", 10 * DAY), 20 * DAY, id="read since"),
        # A backup reads its copies, too.
        pytest.param(
            backed_up(5 * DAY), ended("done", 10 * DAY), 25 * DAY, id="backed up after a reading"
        ),
        pytest.param(backed_up(), begun(Liveness.ALIVE, 99 * DAY), None, id="being read"),
        pytest.param(backed_up(), begun(Liveness.UNKNOWN, 99 * DAY), None, id="perhaps being read"),
        pytest.param(begun(Liveness.ALIVE), None, None, id="being backed up"),
        pytest.param(
            backed_up(DAY),
            ended("failed", timedelta(seconds=60)),
            timedelta(0),
            id="a place could not be read",
        ),
        pytest.param(
            backed_up(DAY),
            ended("failed", timedelta(seconds=60), problems=DAMAGED),
            30 * DAY - timedelta(seconds=60),
            id="damaged",
        ),
        pytest.param(
            backed_up(timedelta(seconds=30)),
            ended("failed", DAY, problems=DAMAGED),
            -timedelta(seconds=30),
            id="damaged, perhaps mended by a backup since",
        ),
    ],
)
def test_verification_is_due(
    backup: Attempt | None, verification: Attempt | None, due: timedelta | None
) -> None:
    """Copies are read again after the interval, and at once after a backup that may repair them.

    Only one process reads them at a time.
    """
    expected = NOW + due if due is not None else None
    processed_cell = processed(backup=backup, verification=verification)
    assert backup_schedule.verify_due(processed_cell, POLICY, NOW) == expected
    planned = [
        action.cell for action in backup_schedule.want_verify(run_of(processed_cell), POLICY, NOW)
    ]
    assert planned == ([ID] if due is not None and due <= timedelta(0) else [])


def test_stripped_runs_are_read() -> None:
    """Copies of a stripped run are still verified, because nothing else is left of it.

    Those of an aborted run are not.
    """
    old = processed(backup=backed_up(31 * DAY))
    stripped = run_of(old, flags=frozenset({"stripped"}))
    planned = backup_schedule.want_verify(stripped, POLICY, NOW)
    assert [each.name for each in planned] == ["verify"]
    aborted = run_of(old, flags=frozenset({"aborted"}))
    assert list(backup_schedule.want_verify(aborted, POLICY, NOW)) == []


def test_damage_is_reported() -> None:
    """Damage is in the waits, in the sentences of a poll and beside the damaged copy."""
    verification = ended("failed", problems=DAMAGED, here=True)
    snapshot = run_of(processed(backup=backed_up(), verification=verification))
    assert f"{ID}: damaged: second: x: missing" in list(backup_schedule.waiting(snapshot, POLICY))
    (found,) = attention(snapshot, NOTHING_KNOWN, POLICY, NOW)
    assert str(found).startswith(f"run {ID}: damaged: second: x: missing")
    problems = {
        each.where: each.problem
        for each in backup_schedule.copy_locations(snapshot, snapshot.cells[0])
    }
    assert problems == {"output": "", "landing": "", "second": "second: x: missing"}


@pytest.mark.parametrize("outcome", ["", "failed"])
def test_damage_counts_during_the_next_verification(outcome: str) -> None:
    """Damage from an earlier reading counts while the next one is under way."""
    verification = (
        ended(outcome, problems=DAMAGED) if outcome else begun(Liveness.ALIVE, problems=DAMAGED)
    )
    snapshot = run_of(processed(backup=backed_up(), verification=verification))
    kinds = [each.kind for each in attention(snapshot, NOTHING_KNOWN, POLICY, NOW)]
    assert kinds == ["copy-damaged"]


def test_newest_copy_counts() -> None:
    """The newest record of each backup counts, and no record of other results."""
    early, late = copy(at=NOW - DAY), copy(at=NOW)
    records = [
        ended("done", copies=[early.record()]),
        ended("done", copies=[late.record(), copy("b", "x").record()]),
    ]
    assert known_copies(MANIFEST, *records) == known_copies(MANIFEST, *reversed(records)) == (late,)
    of_others = [copy("a", "x").record(), copy("b", "x").record()]
    mixed = ended("done", copies=[*of_others, late.record()])
    assert known_copies(MANIFEST, mixed) == (late,)
    assert known_copies("", mixed) == ()
    assert known_copies("", *records) == ()


@pytest.mark.parametrize(
    "bad",
    [None, "x", [], [1], [{}], [{**copy().record(), "files": "3"}], [{"backup": "second"}]],
    ids=[
        "null",
        "text",
        "empty",
        "a number",
        "an empty record",
        "a text as number",
        "fields missing",
    ],
)
def test_invalid_records(bad: object) -> None:
    """An invalid copy record is ignored."""
    assert BackupRecord.from_record({"copies": bad}).copies == ()


def test_records_survive_json() -> None:
    """A copy record is unchanged after writing it to a flag and reading it."""
    assert BackupRecord.from_record({"copies": [copy().record()]}).copies == (copy(),)


def test_digest() -> None:
    """The digest changes with every fact, and with nothing else."""
    facts = {name: FileEntry(name, size=1, md5="0" * 32) for name in ("a", "b\n", "\udcff")}
    assert digest(facts) == digest(dict(reversed(facts.items())))
    assert digest({}) == ""
    others = [
        {**facts, "a": FileEntry("a", size=2, md5="0" * 32)},
        {**facts, "a": FileEntry("a", size=1, md5="1" * 32)},
        {**facts, "c": facts["a"]},
    ]
    assert len({digest(each) for each in [facts, *others]}) == 4


def test_raw_policy() -> None:
    """A backup contains all raw data, those that are not yet in the results, or none."""
    facts = {
        name: FileEntry(name, size=1, md5="0" * 32)
        for name in ("fastq_pass/a.fastq", "fastq_pass/late.fastq", "pod5/a.pod5")
    }
    sources = {"fastq_pass/a.fastq"}
    assert raw_wanted(facts, sources, wanted=True, fastq=True) == facts
    assert raw_wanted(facts, sources, wanted=True, fastq=False).keys() == facts.keys() - sources
    assert raw_wanted(facts, sources, wanted=False, fastq=True) == {}
