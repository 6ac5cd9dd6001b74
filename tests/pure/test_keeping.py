"""When processed cells are backed up and their copies verified again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hesiod_watch.core.model import (
    LOCAL,
    Attempt,
    Cell,
    CellFlags,
    CellId,
    Flag,
    Liveness,
    Owner,
    Policy,
    RunName,
    Snapshot,
)
from hesiod_watch.rules import backup_schedule
from hesiod_watch.rules.copies import CopyRecord, copies_in, digest, known_copies, raw_wanted
from hesiod_watch.rules.copies import FileFact as Fact
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


def ended(ending: str, ago: timedelta = timedelta(0), epoch: int = 1, **record: object) -> Attempt:
    """An attempt to back up or verify that ended some time ago."""
    time = (NOW - ago).isoformat()
    owner = Owner("t", time=time, epoch=epoch)
    return Attempt(
        ending,
        owner,
        Liveness.DEAD,
        "it has ended",
        {"ended": time, "manifest": MANIFEST, **record},
    )


def under_way(liveness: Liveness, ago: timedelta = timedelta(0), **record: object) -> Attempt:
    return Attempt("", Owner("t", time=(NOW - ago).isoformat()), liveness, "evidence", record)


def backed_up(ago: timedelta = timedelta(0), *backups: str) -> Attempt:
    copies = [copy(name, at=NOW - ago).record() for name in backups or ("second",)]
    return ended("done", ago, copies=copies)


def cell(
    backup: Attempt | None = None, verification: Attempt | None = None, manifest: str = MANIFEST
) -> Cell:
    text = f'{{"manifest_md5": "{manifest}"}}' if manifest else ""
    done = Flag("done", (NOW - DAY).timestamp(), text=text)
    return Cell(
        ID, present=True, flags=CellFlags(done=done), backup=backup, verification=verification
    )


def run_of(
    *cells: Cell, flags: frozenset[str] = frozenset(), backup: Attempt | None = None
) -> Snapshot:
    snapshot = Snapshot(
        RunName("run"),
        Path("/landing/run"),
        has_pipeline=True,
        upstream=LOCAL,
        output=Path("/output/run"),
        flags=flags,
        cells=cells,
        backup=backup,
    )
    return replace(snapshot, report_digest=digest_of_report(snapshot))


def backups(snapshot: Snapshot, policy: Policy = POLICY) -> list[tuple[CellId | None, int]]:
    return [
        (action.cell, action.epoch) for action in backup_schedule.want_backup(snapshot, policy, NOW)
    ]


@pytest.mark.parametrize(
    ("backup", "epoch"),
    [
        (None, 1),
        (backed_up(), None),
        (
            ended("done", copies=[copy("first").record()]),
            1,
        ),  # another place has been configured since
        (ended("done", manifest="other", copies=[copy().record()]), 1),  # processed once more
        (ended("failed", timedelta(seconds=59)), None),
        (ended("failed", timedelta(seconds=60)), 2),
        (ended("failed", timedelta(seconds=239), epoch=3), None),
        (ended("failed", timedelta(seconds=240), epoch=3), 4),
        (ended("failed", timedelta(hours=5, minutes=59), epoch=99), None),
        (ended("failed", timedelta(hours=6), epoch=99), 100),
        (ended("failed", -DAY, epoch=1), 2),  # a clock was set back
        (under_way(Liveness.ALIVE, DAY), None),
        (under_way(Liveness.UNKNOWN, DAY), None),
        (under_way(Liveness.DEAD, timedelta(seconds=60)), 2),
        (under_way(Liveness.DEAD, timedelta(seconds=59)), None),
        (Attempt("failed", None, Liveness.DEAD, "it has ended", {}), 1),  # a flag made by hand
    ],
)
def test_backup_of_a_cell(backup: Attempt | None, epoch: int | None) -> None:
    """A cell is backed up if some backup lacks its current results.

    Retries after failures come at growing intervals, and never two at once.
    """
    wanted = [(ID, epoch)] if epoch else []
    assert [each for each in backups(run_of(cell(backup))) if each[0]] == wanted


@pytest.mark.parametrize("flag", ["failed", "aborted", "stripped"])
def test_hands_off(flag: str) -> None:
    """No files are copied of a run that a person has stopped."""
    assert backups(run_of(cell(), flags=frozenset({flag}))) == []


def test_nothing_without_backups_or_manifest() -> None:
    """Nothing is planned without a backup, or for a cell whose flag names no manifest."""
    assert backups(run_of(cell()), Policy()) == []
    nameless = run_of(cell(manifest=""))
    assert backups(nameless) == []
    assert "names no manifest" in " ".join(backup_schedule.waiting(nameless, POLICY))


def test_run_files_settle() -> None:
    """A run's own files are backed up after its cells, and again after another cell settles."""
    snapshot = run_of(cell(backed_up()))
    assert backups(snapshot) == [(None, 1)]
    copied = replace(snapshot, backup=ended("done", covers=backup_schedule.run_digest(snapshot)))
    assert backups(copied) == []
    later = replace(
        copied,
        cells=(
            cell(backed_up(timedelta(0), "second")),
            replace(cell(backed_up()), id=CellId("lib", "b")),
        ),
    )
    later = replace(later, report_digest=digest_of_report(later))
    assert backups(later) == [(None, 1)]
    assert backups(replace(later, report_digest="old")) == []  # its page comes first
    assert (
        backups(replace(copied, backup=ended("failed", timedelta(seconds=30), covers="old"))) == []
    )
    assert backups(
        replace(copied, backup=ended("failed", timedelta(seconds=60), covers="old"))
    ) == [(None, 2)]
    assert backups(replace(copied, backup=under_way(Liveness.ALIVE))) == []


DAMAGED = ["second: x: missing"]


@pytest.mark.parametrize(
    ("backup", "verification", "due"),
    [
        (None, None, 29 * DAY),  # since it was processed, a day ago
        (backed_up(), None, 30 * DAY),
        (backed_up(31 * DAY), None, -DAY),
        (backed_up(31 * DAY), ended("done", 10 * DAY), 20 * DAY),
        (backed_up(5 * DAY), ended("done", 10 * DAY), 25 * DAY),  # a backup reads its copies, too
        (backed_up(), under_way(Liveness.ALIVE, 99 * DAY), None),
        (backed_up(), under_way(Liveness.UNKNOWN, 99 * DAY), None),
        (under_way(Liveness.ALIVE), None, None),
        (
            backed_up(DAY),
            ended("failed", timedelta(seconds=60)),
            timedelta(0),
        ),  # a place could not be read
        (
            backed_up(DAY),
            ended("failed", timedelta(seconds=60), problems=DAMAGED),
            30 * DAY - timedelta(seconds=60),
        ),
        (
            backed_up(timedelta(seconds=30)),
            ended("failed", DAY, problems=DAMAGED),
            -timedelta(seconds=30),
        ),  # mended?
    ],
)
def test_verification_is_due(
    backup: Attempt | None, verification: Attempt | None, due: timedelta | None
) -> None:
    """Copies are read again after the interval, and at once after a backup that may repair them.

    Only one process reads them at a time.
    """
    expected = NOW + due if due is not None else None
    assert backup_schedule.verify_due(cell(backup, verification), POLICY, NOW) == expected
    snapshot = run_of(cell(backup, verification))
    planned = [action.cell for action in backup_schedule.want_verify(snapshot, POLICY, NOW)]
    assert planned == ([ID] if due is not None and due <= timedelta(0) else [])


def test_stripped_runs_are_read() -> None:
    """Copies of a stripped run are still verified, because nothing else is left of it.

    Those of an aborted run are not.
    """
    old = cell(backed_up(31 * DAY))
    assert [
        each.name
        for each in backup_schedule.want_verify(
            run_of(old, flags=frozenset({"stripped"})), POLICY, NOW
        )
    ] == ["verify"]
    assert (
        list(backup_schedule.want_verify(run_of(old, flags=frozenset({"aborted"})), POLICY, NOW))
        == []
    )


def test_damage_is_told() -> None:
    """Damage is in the waits, in the sentences of a poll and beside the damaged copy."""
    snapshot = run_of(cell(backed_up(), ended("failed", problems=DAMAGED, here=True)))
    assert f"{ID}: damaged: second: x: missing" in list(backup_schedule.waiting(snapshot, POLICY))
    assert backup_schedule.damage(snapshot)[0].startswith(f"run {ID}: damaged: second: x: missing")
    problems = {
        each.where: each.problem
        for each in backup_schedule.copy_locations(snapshot, snapshot.cells[0])
    }
    assert problems == {"output": "", "landing": "", "second": "second: x: missing"}


@pytest.mark.parametrize("ending", ["", "failed"])
def test_damage_stands_while_it_is_read_again(ending: str) -> None:
    """Damage from an earlier reading counts while the next one is under way."""
    round_ = (
        ended(ending, problems=DAMAGED) if ending else under_way(Liveness.ALIVE, problems=DAMAGED)
    )
    assert backup_schedule.damage(run_of(cell(backed_up(), round_)))


def test_newest_copy_counts() -> None:
    """The newest record of each backup counts, and no record of other results."""
    early, late = copy(at=NOW - DAY), copy(at=NOW)
    rounds = [
        ended("done", copies=[early.record()]),
        ended("done", copies=[late.record(), copy("b", "x").record()]),
    ]
    assert known_copies(MANIFEST, *rounds) == known_copies(MANIFEST, *reversed(rounds)) == (late,)
    assert known_copies("", *rounds) == ()


@pytest.mark.parametrize(
    "bad", [None, "x", [], [1], [{}], [{**copy().record(), "files": "3"}], [{"backup": "second"}]]
)
def test_records_that_are_none(bad: object) -> None:
    """An invalid copy record is ignored."""
    assert copies_in({"copies": bad}) == ()


def test_records_survive_json() -> None:
    """A copy record is unchanged after writing it to a flag and reading it."""
    assert copies_in({"copies": [copy().record()]}) == (copy(),)


def test_digest() -> None:
    """The digest changes with every fact, and with nothing else."""
    facts = {name: Fact(name, 1, "0" * 32) for name in ("a", "b\n", "\udcff")}
    assert digest(facts) == digest(dict(reversed(facts.items())))
    assert digest({}) == ""
    others = [
        {**facts, "a": Fact("a", 2, "0" * 32)},
        {**facts, "a": Fact("a", 1, "1" * 32)},
        {**facts, "c": facts["a"]},
    ]
    assert len({digest(each) for each in [facts, *others]}) == 4


def test_raw_policy() -> None:
    """A backup contains all raw data, those that are not yet in the results, or none."""
    facts = {
        name: Fact(name, 1, "0" * 32)
        for name in ("fastq_pass/a.fastq", "fastq_pass/late.fastq", "pod5/a.pod5")
    }
    sources = {"fastq_pass/a.fastq"}
    assert raw_wanted(facts, sources, wanted=True, fastq=True) == facts
    assert raw_wanted(facts, sources, wanted=True, fastq=False).keys() == facts.keys() - sources
    assert raw_wanted(facts, sources, wanted=False, fastq=True) == {}
