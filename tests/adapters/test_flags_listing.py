"""Facts in one listing of a run's flags."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from call_counts import calls_of
from open_runs import pipeline_at

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.model import Cell, CellId
from hesiod_watch.core.ownership import CellFlags, Liveness, Owner
from hesiod_watch.rules.attempt_pauses import attempts_today, next_epoch
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags import names

STEM = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
ALIVE, DEAD, UNKNOWN = Liveness.ALIVE, Liveness.DEAD, Liveness.UNKNOWN


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline"
    path.mkdir()
    return path


def owner(pid: int) -> Owner:
    return Owner(f"token {pid}", host="h", boot_id="b", pid_namespace="n", pid=pid, pid_start=pid)


def judge_by(*alive: int) -> Judge:
    """Judge for which these pids live, other pids are dead, and a missing owner is unknown."""

    def judge(who: Owner | None) -> tuple[Liveness, str]:
        if who is None or not who.pid:
            return UNKNOWN, "no owner"
        return (ALIVE if who.pid in alive else DEAD), f"pid {who.pid}"

    return judge


def look(pipeline: Path, *alive: int, stem: str = STEM) -> CellFlags:
    return flags.read_flags(pipeline_at(pipeline)).cell(stem, judge_by(*alive))


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("X.synced", ("X", "synced", 1)),
        ("X.done", ("X", "done", 1)),
        ("X.failed", ("X", "failed", 1)),
        ("X.aborted", ("X", "aborted", 1)),
        ("X.started", ("X", "started", 1)),
        ("X.started.2", ("X", "started", 2)),
        ("X.started.17", ("X", "started", 17)),
        ("X.started.worker", ("X", "worker", 1)),
        ("X.started.3.worker", ("X", "worker", 3)),
        ("X.started.yielded", ("X", "yielded", 1)),
        ("X.started.3.yielded", ("X", "yielded", 3)),
        ("X.started.3.died", ("X", "died", 3)),
        ("X.backup.done", ("X", "backup.done", 1)),
        ("X.ingest.started", ("X", "ingest.started", 1)),
        ("X.ingest.failed", ("X", "ingest.failed", 1)),
        ("X.recalled.done", ("X.recalled", "done", 1)),
        ("X.1.2.started.2.worker", ("X.1.2", "worker", 2)),
        ("a b\n.done", ("a b\n", "done", 1)),
        ("X.started.1", None),
        ("X.started.0", None),
        ("X.started.02", None),
        ("X.started.99999999", None),
        ("X.started.worker.2", None),
        ("X.done\n", None),
        ("X.Done", None),
        (".done", None),
        ("sync.done", None),
        ("sync.failed", None),
        ("upstream", None),
        ("type.yaml", None),
    ],
)
def test_names(name: str, parsed: tuple[str, str, int] | None) -> None:
    """Names are read from the right against the known facts, so stems may contain dots."""
    found = names.parse(name)
    assert (found and (found.stem, found.fact, found.epoch)) == parsed


@pytest.mark.parametrize("stem", [STEM, f"{STEM}.recalled", f"{STEM}.v1.2", "X"])
@pytest.mark.parametrize("epoch", [1, 2, 10, 999])
def test_names_there_and_back(stem: str, epoch: int) -> None:
    """Every name that is composed is parsed back."""
    assert names.parse(flags.started(stem, epoch)) == names.ParsedFlagName(stem, "started", epoch)
    assert names.parse(flags.worker(stem, epoch)) == names.ParsedFlagName(stem, "worker", epoch)
    assert names.parse(flags.yielded(stem, epoch)) == names.ParsedFlagName(stem, "yielded", epoch)
    for fact in (flags.synced, flags.done, flags.failed, flags.aborted):
        assert names.parse(fact(stem)) == names.ParsedFlagName(stem, fact.__name__)


def test_no_pipeline(tmp_path: Path) -> None:
    """A missing directory is FileNotFoundError; anything else of its name needs a person."""
    with pytest.raises(FileNotFoundError):
        flags.read_flags(pipeline_at(tmp_path / "pipeline"))
    (tmp_path / "pipeline").touch()
    with pytest.raises(PermanentError, match="Not a directory"):
        flags.read_flags(pipeline_at(tmp_path / "pipeline"))
    (tmp_path / "pipeline").unlink()
    (tmp_path / "pipeline").symlink_to(".")
    with pytest.raises(PermanentError, match="symlink"):
        flags.read_flags(pipeline_at(tmp_path / "pipeline"))


def test_no_flags(pipeline: Path) -> None:
    """An empty directory has no facts."""
    listing = flags.read_flags(pipeline_at(pipeline))
    assert (listing.run_flags, listing.run_texts, listing.stems) == (frozenset(), {}, frozenset())
    assert listing.cell(STEM, judge_by()) == CellFlags()
    assert listing.all(judge_by()) == ()
    assert listing.epoch_numbers(STEM) == []


def test_made_by_hand(pipeline: Path) -> None:
    """Empty files made with touch are facts; an empty claim has an unknown owner."""
    for name in (
        "upstream",
        "failed",
        "sync.started",
        "A.synced",
        "B.done",
        "C.aborted",
        "D.failed",
        "E.started",
    ):
        (pipeline / name).touch()
    listing = flags.read_flags(pipeline_at(pipeline))
    assert listing.run_flags == {"failed", "sync.started"}
    assert listing.stems == {"A", "B", "C", "D", "E"}
    cells = {stem: listing.cell(stem, judge_by()) for stem in listing.stems}
    assert cells["A"] == CellFlags(synced=True, accepted=True)
    assert cells["B"].done
    assert cells["C"].aborted
    assert cells["D"].failed
    assert cells["E"].claim
    assert cells["E"].claim.liveness is UNKNOWN


def test_texts(pipeline: Path) -> None:
    """Texts of run-level flags are available for people; an empty flag has none."""
    (pipeline / "failed").write_text("the disk\n")
    (pipeline / "aborted").touch()
    assert flags.read_flags(pipeline_at(pipeline)).run_texts == {"failed": "the disk\n"}


def test_unknown_names(pipeline: Path) -> None:
    """Unknown names are reported, but not temporary files, the attic and Hesiod's own leftovers."""
    for name in (
        "X.done",
        "strange",
        "X.done.bak",
        ".tmp.1",
        "type.yaml",
        "kick_off.started",
        "notify_2_cells_complete.done",
        "start_times",
        "report_upload_url.txt",
        "upstream",
        "output",
    ):
        (pipeline / name).touch()
    (pipeline / "attic").mkdir()
    (pipeline / os.fsdecode(b"\xff.what")).touch()
    listing = flags.read_flags(pipeline_at(pipeline))
    assert listing.stems == {"X"}
    lines = listing.all(judge_by())
    assert {line.name for line in lines} == set(os.listdir(pipeline)) - {".tmp.1", "attic"}
    unknown = [line.name for line in lines if line.meaning == "not known to this program, ignored"]
    assert unknown == ["X.done.bak", "strange", "\udcff.what"]


def plant(path: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["fifo", "directory", "symlink"])
def test_not_regular(kind: str, pipeline: Path) -> None:
    """A flag that is not a regular file blocks work, never allows it, and is never opened."""
    for fact in (flags.synced, flags.done, flags.failed, flags.aborted, flags.started):
        plant(pipeline / fact(fact.__name__), kind)
    listing = flags.read_flags(pipeline_at(pipeline))
    assert not listing.cell("synced", judge_by()).synced
    done = listing.cell("done", judge_by()).done
    assert done
    assert not done.regular
    assert listing.cell("failed", judge_by()).failed
    assert listing.cell("aborted", judge_by()).aborted
    claim = listing.cell("started", judge_by()).claim
    assert claim
    assert claim.liveness is UNKNOWN
    assert all("not a regular file" in line.meaning for line in listing.all(judge_by()))


def test_exchanged_while_it_is_read(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO that replaces a flag after its lstat blocks no process."""
    (pipeline / flags.failed(STEM)).write_text("because")
    listing = flags.read_flags(pipeline_at(pipeline))
    real: Callable[..., os.stat_result] = os.stat

    def stat_and_exchange(name: str, **options: Any) -> os.stat_result:
        found = real(name, **options)
        if name == flags.failed(STEM):
            (pipeline / name).unlink()
            os.mkfifo(pipeline / name)
        return found

    monkeypatch.setattr(os, "stat", stat_and_exchange)
    failed = listing.cell(STEM, judge_by()).failed
    assert failed
    assert not failed.regular


def test_a_listing_is_of_one_moment(pipeline: Path) -> None:
    """A listing is of one moment: later flags are not in it, and a deleted flag causes no error."""
    flags.create(pipeline_at(pipeline), flags.started(STEM), owner(1))
    flags.create(pipeline_at(pipeline), flags.done("B"), {"results": {}})
    listing = flags.read_flags(pipeline_at(pipeline))
    flags.create(pipeline_at(pipeline), flags.done(STEM), owner(1))
    (pipeline / flags.started(STEM)).unlink()
    (pipeline / flags.done("B")).unlink()
    cell = listing.cell(STEM, judge_by(1))
    assert not cell.done
    assert cell.claim
    assert cell.claim.liveness is UNKNOWN
    assert listing.cell("B", judge_by()).done
    assert len(listing.all(judge_by())) == 2


def test_done_has_its_record(pipeline: Path) -> None:
    """The record in `done` is available, and no owner is judged for a finished cell."""
    flags.create(pipeline_at(pipeline), flags.started(STEM), owner(1))
    flags.create(pipeline_at(pipeline), flags.done(STEM), {"results": {"reads": 5}})

    def never(_: Owner | None) -> tuple[Liveness, str]:
        raise AssertionError("asked after the owner of a finished cell")

    cell = flags.read_flags(pipeline_at(pipeline)).cell(STEM, never)
    assert cell.done
    assert cell.done.record["results"] == {"reads": 5}
    assert [claim.epoch for claim in cell.claims] == [1]


@pytest.mark.parametrize(
    ("alive", "liveness"),
    [((1, 2), ALIVE), ((2,), ALIVE), ((1,), DEAD), ((), DEAD)],
    ids=["decider and worker alive", "worker alive", "decider alive", "both dead"],
)
def test_the_worker_alone_counts(
    alive: tuple[int, ...], liveness: Liveness, pipeline: Path
) -> None:
    """Once a worker has recorded itself, only its liveness counts, not the decider's."""
    flags.create(pipeline_at(pipeline), flags.started(STEM), owner(1))
    flags.create(pipeline_at(pipeline), flags.worker(STEM), owner(2))
    claim = look(pipeline, *alive).claim
    assert claim
    assert claim.liveness is liveness
    assert (claim.owner, claim.worker) == (owner(1), owner(2))


def test_a_worker_without_an_owner(pipeline: Path) -> None:
    """A worker's record without an owner is unknown, although the decider is dead."""
    flags.create(pipeline_at(pipeline), flags.started(STEM), owner(1))
    (pipeline / flags.worker(STEM)).touch()
    claim = look(pipeline).claim
    assert claim
    assert claim.liveness is UNKNOWN


def test_epochs(pipeline: Path) -> None:
    """Claims are sorted by epoch, and the highest counts."""
    for epoch in (10, 2, 1):
        flags.create(
            pipeline_at(pipeline), flags.started(STEM, epoch), replace(owner(epoch), epoch=epoch)
        )
    cell = look(pipeline, 10)
    assert [claim.epoch for claim in cell.claims] == [1, 2, 10]
    assert [claim.liveness for claim in cell.claims] == [DEAD, DEAD, ALIVE]
    assert cell.claim
    assert cell.claim.epoch == 10


def test_yielded_by_its_decider(pipeline: Path) -> None:
    """A claim given up by its decider before a worker existed does not count.

    The claim before it does.
    """
    flags.create(pipeline_at(pipeline), flags.started(STEM), owner(1))
    flags.create(pipeline_at(pipeline), flags.worker(STEM), owner(2))
    flags.create(pipeline_at(pipeline), flags.started(STEM, 2), owner(3))
    flags.create(pipeline_at(pipeline), flags.yielded(STEM, 2), owner(3))
    cell = look(pipeline, 2, 3)
    assert [claim.yielded for claim in cell.claims] == [False, True]
    assert cell.claim
    assert (cell.claim.epoch, cell.claim.liveness) == (1, ALIVE)


def test_yielded_by_its_worker(pipeline: Path) -> None:
    """A worker that records that it stops is believed, also while its process still runs."""
    flags.create(pipeline_at(pipeline), flags.started(STEM), owner(1))
    flags.create(pipeline_at(pipeline), flags.worker(STEM), owner(2))
    flags.create(pipeline_at(pipeline), flags.yielded(STEM), owner(2))
    assert look(pipeline, 1, 2).claim is None


def test_a_decider_cannot_yield_for_its_worker(pipeline: Path) -> None:
    """A worker that has recorded itself counts until it gives up or is dead."""
    flags.create(pipeline_at(pipeline), flags.started(STEM), owner(1))
    flags.create(pipeline_at(pipeline), flags.worker(STEM), owner(2))
    flags.create(pipeline_at(pipeline), flags.yielded(STEM), owner(1))
    claim = look(pipeline, 1, 2).claim
    assert claim
    assert claim.liveness is ALIVE


@pytest.mark.parametrize("made_by", ["another process", "no owner"])
def test_yielded_by_another(made_by: str, pipeline: Path) -> None:
    """A process can give up only its own claim."""
    flags.create(pipeline_at(pipeline), flags.started(STEM), owner(1))
    if made_by == "no owner":
        (pipeline / flags.yielded(STEM)).touch()
    else:
        flags.create(pipeline_at(pipeline), flags.yielded(STEM), owner(9))
    claim = look(pipeline, 1).claim
    assert claim
    assert claim.liveness is ALIVE


def test_a_yielded_epoch_is_not_used_again(pipeline: Path) -> None:
    """A yielded flag without a claim blocks no process; its number is not used again."""
    flags.create(pipeline_at(pipeline), flags.yielded(STEM), owner(1))
    assert look(pipeline).claim is None
    assert [claim.epoch for claim in look(pipeline).claims] == [1]


def test_no_dead_claim_beside_an_earlier_worker(pipeline: Path) -> None:
    """A claim of a dead owner is not shown as dead while an earlier worker may live."""
    flags.create(pipeline_at(pipeline), flags.started(STEM), owner(1))
    flags.create(pipeline_at(pipeline), flags.worker(STEM), owner(2))
    flags.create(pipeline_at(pipeline), flags.started(STEM, 2), owner(3))
    claim = look(pipeline, 2).claim
    assert claim
    assert (claim.epoch, claim.liveness) == (2, ALIVE)
    assert "attempt 1 still has a worker" in claim.evidence
    claim = look(pipeline).claim
    assert claim
    assert claim.liveness is DEAD


def claim_again(pipeline: Path, numbers: range, *beside: Callable[[str, int], str]) -> None:
    """Make claims of dead owners, each with these flags of the same owner."""
    for number in numbers:
        record = json.dumps(asdict(replace(owner(number), epoch=number)))
        for name in (flags.started, *beside):
            (pipeline / name(STEM, number)).write_text(record)


@pytest.mark.parametrize(
    "beside",
    [(), (flags.worker,), (flags.yielded,), (flags.worker, flags.died)],
    ids=["claims alone", "with workers", "given up", "with dead workers"],
)
def test_cost_of_many_claims(beside: tuple[Any, ...], pipeline: Path) -> None:
    """A look at a cell with many claims reads few of them; each other one costs few calls."""
    claim_again(pipeline, range(1, 17), *beside)
    few = calls_of(lambda: look(pipeline))
    claim_again(pipeline, range(17, 317), *beside)
    many = calls_of(lambda: look(pipeline))
    assert (many - few) / 300 < few / 16 / 4
    assert len(look(pipeline).claims) == 316


@pytest.mark.parametrize("where", [1, 2, 150])
def test_a_worker_below_many_claims(where: int, pipeline: Path) -> None:
    """A worker that may live is found below any number of claims that got no worker."""
    claim_again(pipeline, range(1, 301))
    record = json.dumps(asdict(replace(owner(9999), epoch=where)))
    (pipeline / flags.worker(STEM, where)).write_text(record)
    claim = look(pipeline, 9999).claim
    assert claim
    assert (claim.epoch, claim.liveness) == (300, ALIVE)
    assert f"attempt {where} still has a worker" in claim.evidence
    assert getattr(look(pipeline).claim, "liveness", None) is DEAD


def test_the_claim_below_many_that_were_given_up(pipeline: Path) -> None:
    """The claim that counts is read, also below any number of claims that were given up."""
    claim_again(pipeline, range(1, 3), flags.worker)
    claim_again(pipeline, range(3, 301), flags.yielded)
    claim = look(pipeline, 2).claim
    assert claim
    assert (claim.epoch, claim.liveness) == (2, ALIVE)


def test_attempts_that_are_not_read_count(pipeline: Path) -> None:
    """Attempts of a day are counted, also those whose flags are not read: by the flags' times."""
    now = datetime.now(UTC)
    claim_again(pipeline, range(1, 101), flags.worker)
    claim_again(pipeline, range(101, 151), flags.yielded)
    long_ago = (now - timedelta(days=3)).timestamp()
    for number in range(1, 51):
        os.utime(pipeline / flags.started(STEM, number), (long_ago, long_ago))
    cell = Cell(CellId("sample_A", STEM), present=True, flags=look(pipeline))
    assert attempts_today(cell, now + timedelta(seconds=1)) == 50
    assert next_epoch(cell) == 151


def test_lines(pipeline: Path) -> None:
    """Every flag has a meaning; claims have an owner and a verdict, and facts have none."""
    flags.create(pipeline_at(pipeline), flags.started(STEM), owner(1))
    flags.create(pipeline_at(pipeline), flags.started(STEM, 2), owner(2))
    flags.create(pipeline_at(pipeline), flags.synced(STEM), {"why": "complete"})
    flags.create(pipeline_at(pipeline), f"{STEM}.backup.started", owner(1))
    (pipeline / "strange").touch()
    lines = {
        line.name.removeprefix(STEM): line
        for line in flags.read_flags(pipeline_at(pipeline)).all(judge_by(2))
    }
    assert {name: line.liveness for name, line in lines.items()} == {
        ".started": DEAD,
        ".started.2": ALIVE,
        ".synced": None,
        ".backup.started": DEAD,
        "strange": None,
    }
    assert lines[".started.2"].meaning == "claimed for processing (attempt 2)"
    assert lines[".backup.started"].meaning == "backup running"
    assert lines["strange"].meaning == "not known to this program, ignored"
    assert lines[".started"].owner == owner(1)
    assert all(abs(line.mtime - pipeline.stat().st_mtime) < 100 for line in lines.values())
