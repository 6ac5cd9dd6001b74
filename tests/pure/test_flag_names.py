"""Names of flags: how they are made, parsed and explained to a person."""

from __future__ import annotations

import pytest

from hesiod_watch.core.model import CellId
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.flags.names import ParsedFlagName

STEM = "20190710_1723_2-A5-D5_PAD38578_c6ded78b.recalled"
KEY = "0a1b2c3d4e5f"


def backup_job(stem: str) -> str:
    return names.job_of(names.backup(stem))


@pytest.mark.parametrize(
    ("name", "fact", "epoch"),
    [
        (names.synced(STEM), "synced", 1),
        (names.done(STEM), "done", 1),
        (names.failed(STEM), "failed", 1),
        (names.aborted(STEM), "aborted", 1),
        (names.second_copy(STEM), "second-copy", 1),
        (names.wanted(STEM), "wanted", 1),
        (names.started(STEM), "started", 1),
        (names.started(STEM, 2), "started", 2),
        (names.worker(STEM), "worker", 1),
        (names.worker(STEM, 12), "worker", 12),
        (names.yielded(STEM, 3), "yielded", 3),
        (names.died(STEM, 3), "died", 3),
        *(
            (f"{work(STEM)}.{end}", f"{stage}.{end}", 1)
            for stage, work in {
                "ingest": names.ingest,
                "checksums": names.checksums,
                "backup": names.backup,
                "verify": names.verify,
                "deletable": names.deletable,
                "strip": names.strip,
                "hook": names.hook,
                "backup-job": backup_job,
            }.items()
            for end in ("started", "done", "failed", f"over.{KEY}")
        ),
    ],
)
def test_flag_of_a_cell(name: str, fact: str, epoch: int) -> None:
    """The name of each flag of a cell is parsed to what it was made from, and has a meaning."""
    assert names.parse(name) == ParsedFlagName(STEM, fact, epoch)
    assert names.meaning(name) not in (names.UNKNOWN, names.UNUSED)
    assert (f"(attempt {epoch})" in names.meaning(name)) is (epoch > 1)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("sync.done", "the last sync succeeded"),
        (names.over(names.SYNC, KEY), names.OVER_MEANING),
        (names.over(names.NOTIFY, KEY), names.OVER_MEANING),
        ("other.over.0a1b2c3d4e5f", names.UNKNOWN),
        ("sync.over.short", names.UNKNOWN),
        ("notify_2_cells_complete.done", names.UNUSED),
        ("report_upload_url.txt", names.UNUSED),
        ("anything.log", names.UNUSED),
        (f"{STEM}.started.1", names.UNKNOWN),
        (f"{STEM}.started.02", names.UNKNOWN),
        (".done", names.UNKNOWN),
        ("done", names.UNKNOWN),
    ],
)
def test_other_names(name: str, meaning: str) -> None:
    """Names of the run, of Hesiod and of other programs belong to no cell."""
    assert names.parse(name) is None
    assert names.meaning(name) == meaning


@pytest.mark.parametrize(
    ("action", "cell", "work"),
    [
        ("sync", None, "sync"),
        ("notify", None, "notify"),
        ("backup", None, "backup"),
        ("process", None, ""),
        ("ingest", None, ""),
        ("ingest", CellId("lib", STEM), f"{STEM}.ingest"),
        ("backup", CellId("lib", STEM), f"{STEM}.backup"),
        ("process", CellId("lib", STEM), ""),
        ("sync", CellId("lib", STEM), ""),
    ],
)
def test_work_of_an_action(action: str, cell: CellId | None, work: str) -> None:
    """Repeatable work of a run or a cell is named after its action; other actions have none."""
    assert names.work_of(action, cell) == work


@pytest.mark.parametrize(
    ("name", "prepared"),
    [
        (names.prepared(names.done(STEM), "0a"), True),
        (names.prepared(names.failed(STEM), "0a"), True),
        (names.prepared(names.synced(STEM), "0a"), False),
        (names.prepared(names.done("other"), "0a"), False),
        (names.prepared(names.done(f"x.{STEM}"), "0a"), False),
        (names.done(STEM), False),
        (f".tmp.0a.{STEM}.done", False),
    ],
)
def test_prepared_flags(name: str, prepared: bool) -> None:
    """Only a hidden `done` or `failed` of this very cell is a prepared flag."""
    assert names.is_prepared(name, STEM) is prepared


def test_prepared_names_are_hidden() -> None:
    """A prepared flag is hidden, so that no listing takes it for a flag."""
    assert names.prepared("x.done", "0a") == ".prepared.0a.x.done"
