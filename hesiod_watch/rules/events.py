"""What people are told about a run: which events there are, which of them have happened, and who
hears of them.

An event has a key that stays the same for as long as it is the same thing that has happened: a cell
that is processed again is told again, a cell that is looked at again is not. Whether an event has
been told is whether its key is in the run's outbox; so nobody has to remember anything.

A run that was worked on before it had an outbox is told nothing about its past: what has happened
to it by then goes into the outbox as known. A run that was finished by then is left alone.

A new event is one entry in EVENTS: a word, who hears of it by default, and a generator that finds
it in a snapshot.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from hesiod_watch.core.model import LOCAL, Cell, CellId, Flag, Policy, RunName, Snapshot, Stage
from hesiod_watch.rules.attention import is_resolved, overdue_cells
from hesiod_watch.rules.checksum_findings import finding_of, finding_when_processed, other_damage
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.rules.stages import FINISHED, at, settled, stage_of

COMMENT, REPLY, NOTHING = "comment", "reply", "nothing"
KINDS = (COMMENT, REPLY, NOTHING)
RUN_NEW = "run-new"
CELL_OVERDUE = "cell-overdue"
CELL_OVERDUE_ENDED = "cell-overdue-ended"
STANDING = frozenset({RUN_NEW, CELL_OVERDUE})
"""Events that are news also in a run that was taken up before it had an outbox."""
ATTEMPTS = 3
"""Attempts in a row to copy a cell after which a person is told."""
LONGEST_KEY = 240
"""Bytes; file systems allow 255."""
DIGEST = 12
"""Hexadecimal digits that tell two happenings of one event apart."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened and that people may want to hear of."""

    name: str  # a word of EVENTS
    run: RunName
    key: str  # different for everything that is told apart; the name of a file
    cell: CellId | None = None


@dataclass(frozen=True, slots=True)
class EventKind:
    """An entry of EVENTS."""

    default: str  # comment, reply or nothing
    says: str  # when it happens, for the documentation
    find: Finder


Finder = Callable[[Snapshot, Policy, datetime], Iterator[Event]]


def due(snapshot: Snapshot, policy: Policy, now: datetime) -> tuple[Event, ...]:
    """What is to be told now, in the order in which it is told. `now` is aware of its time zone."""
    if not _speaks(snapshot):
        return ()
    if snapshot.outbox is None:
        # Taken up before there were messages: it is followed from now on, if there is anything left
        # to follow.
        return () if settled(snapshot) else tuple(EVENTS[RUN_NEW].find(snapshot, policy, now))
    told = snapshot.outbox.reported
    return tuple(event for event in happened(snapshot, policy, now) if event.key not in told)


def happened(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """Everything that a snapshot shows to have happened, told or not."""
    for kind in EVENTS.values():
        yield from kind.find(snapshot, policy, now)


def addressed(event: str, snapshot: Snapshot, policy: Policy) -> dict[str, str]:
    """The channels that an event is told on, each with how: comment or reply."""
    if not type_of(snapshot, policy).notify:
        return {}
    kinds = {channel: events.get(event, NOTHING) for channel, events in policy.channels.items()}
    return {channel: kind for channel, kind in kinds.items() if kind != NOTHING}


def is_told_complete(snapshot: Snapshot) -> bool:
    """Whether people were told that the run is complete, with its cells as they are now.

    Where nobody has asked the upstream, the status alone might take a part of a run for all of it.
    """
    outbox = snapshot.outbox
    return outbox is not None and any(event.key in outbox.reported for event in _complete(snapshot))


def default_kinds() -> dict[str, str]:
    """How each event is told where the configuration says nothing about it."""
    return {name: kind.default for name, kind in EVENTS.items()}


def _speaks(snapshot: Snapshot) -> bool:
    readable = not snapshot.problem and not (snapshot.outbox and snapshot.outbox.problem)
    return snapshot.adopted and readable and "aborted" not in snapshot.flags


# Finding them.


def _run_new(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    yield Event(RUN_NEW, snapshot.run, RUN_NEW)


def _cells(name: str, wanted: Callable[[Cell], bool]) -> Finder:
    """A generator of one event for each cell that is `wanted`, once for ever."""

    def find(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
        for cell in snapshot.cells:
            if wanted(cell):
                yield Event(name, snapshot.run, _key(name, cell.id.stem), cell.id)

    return find


def _flagged(name: str, flag_of: Callable[[Cell], Flag | None]) -> Finder:
    """A generator of one event for each cell with a flag, once for each flag of other content."""

    def find(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
        for cell in snapshot.cells:
            flag = flag_of(cell)
            if flag is not None and (
                flag.text is not None or not flag.regular
            ):  # else it cannot be read just now
                yield Event(
                    name, snapshot.run, _key(name, cell.id.stem, _digest(flag.text or "")), cell.id
                )

    return find


def _run_over(cell: Cell) -> bool:
    """Its acquisition has ended, and its data are here."""
    return stage_of(cell) in (Stage.READY, Stage.PROCESSING, Stage.PROCESSED, Stage.FAILED)


def _all_cells_run(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    counted = [cell for cell in snapshot.cells if stage_of(cell) is not Stage.ABORTED]
    if _all_known(snapshot) and counted and all(_run_over(cell) for cell in counted):
        yield Event(
            "all-cells-run",
            snapshot.run,
            f"all-cells-run.{_digest(*(cell.id.stem for cell in counted))}",
        )


def _run_complete(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    if _all_known(snapshot):
        yield from _complete(snapshot)


def _complete(snapshot: Snapshot) -> Iterator[Event]:
    finished = at(snapshot, *FINISHED)
    flags = [cell.flags.done for cell in finished if cell.flags.done]
    if not flags or len(finished) != len(snapshot.cells):
        return
    if all(flag.text is not None or not flag.regular for flag in flags):
        what = [
            f"{cell.id.stem} {cell.flags.done.text if cell.flags.done else ''}" for cell in finished
        ]
        yield Event("run-complete", snapshot.run, f"run-complete.{_digest(*what)}")


def _run_failed(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    if "failed" in snapshot.flags:
        yield Event(
            "run-failed",
            snapshot.run,
            f"run-failed.{_digest(snapshot.flag_texts.get('failed', ''))}",
        )


def _sync_failed(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """Once a day for the same trouble: the sync is tried every few minutes, and does not say what
    is new.
    """
    last = snapshot.sync
    if last and last.ending == "failed" and last.record.get("needs_person"):
        day = str(last.record.get("time", ""))[:10]
        trouble = re.sub(
            "[0-9]+", "0", str(last.record.get("reason", ""))
        )  # counts and codes may change each time
        yield Event("sync-failed", snapshot.run, f"sync-failed.{_digest(trouble, day)}")


def _backup_failed(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """Once a day for a run: what fails is mostly the place that all its cells are copied to."""
    failing = [
        cell.backup for cell in snapshot.cells if cell.backup and cell.backup.ending == "failed"
    ]
    days = [
        str(each.record.get("ended", ""))[:10]
        for each in failing
        if each.owner and each.owner.epoch >= ATTEMPTS
    ]
    if days:
        yield Event("backup-failed", snapshot.run, f"backup-failed.{_digest(max(days))}")


def _verification_failed(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    for cell in snapshot.cells:
        if damage := other_damage(cell):
            key = _key("verification-failed", cell.id.stem, _digest(*damage))
            yield Event("verification-failed", snapshot.run, key, cell.id)


def _checksums_failed(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """What a backup, a verification, a strip or a mark has found; once for each set of files.

    What was found when the cell was processed is part of the message about that.
    """
    for cell in at(snapshot, Stage.PROCESSED):
        names = finding_of(cell).names
        if names and names != finding_when_processed(cell).names:
            yield Event(
                "checksums-failed",
                snapshot.run,
                _key("checksums-failed", cell.id.stem, names),
                cell.id,
            )


def _deletable(cell: Cell) -> bool:
    return (
        cell.deletable is not None and cell.deletable.ending == "done" and not finding_of(cell).said
    )


def _cell_overdue(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """Once for each time that a cell becomes overdue, however its counts change until that ends."""
    for cell in overdue_cells(snapshot, policy, now):
        key = _overdue_key(CELL_OVERDUE, snapshot, cell)
        yield Event(CELL_OVERDUE, snapshot.run, key, cell.id)


def _cell_overdue_ended(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """Only for a cell of which people were told that it is overdue."""
    told = snapshot.outbox.reported if snapshot.outbox else frozenset()
    for cell in snapshot.cells:
        if _overdue_key(CELL_OVERDUE, snapshot, cell) not in told:
            continue
        if is_resolved(snapshot, cell, policy, now):
            key = _overdue_key(CELL_OVERDUE_ENDED, snapshot, cell)
            yield Event(CELL_OVERDUE_ENDED, snapshot.run, key, cell.id)


def _overdue_key(name: str, snapshot: Snapshot, cell: Cell) -> str:
    """The key of an overdue event: its number is one more than the endings that were told before."""
    told = snapshot.outbox.reported if snapshot.outbox else frozenset()
    endings = 0
    while endings < len(told):
        if _key(CELL_OVERDUE_ENDED, cell.id.stem, str(endings + 1)) not in told:
            break
        endings += 1
    return _key(name, cell.id.stem, str(endings + 1))


def _all_known(snapshot: Snapshot) -> bool:
    """Nobody but its upstream knows which cells a run has; one that has not been asked just now may
    have more.
    """
    return snapshot.upstream == LOCAL or snapshot.listed_at == snapshot.upstream


def _key(name: str, *parts: str) -> str:
    """The key of an event, short enough for the name of a file: a flag may itself be as long as a
    name can be.
    """
    key = ".".join((name, *parts))
    return (
        key
        if len(key.encode("utf-8", "surrogateescape")) <= LONGEST_KEY
        else f"{name}.{_digest(*parts)}"
    )


def _digest(*texts: str) -> str:
    data = "\0".join(texts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(data).hexdigest()[:DIGEST]


EVENTS: Mapping[str, EventKind] = {
    RUN_NEW: EventKind(COMMENT, "a run has been taken up", _run_new),
    CELL_OVERDUE: EventKind(
        COMMENT,
        "a cell has ended and is not complete after the grace period: files are missing, are in MinKNOW's "
        "fallback folder or are more than announced, or its final_summary cannot be read",
        _cell_overdue,
    ),
    CELL_OVERDUE_ENDED: EventKind(
        COMMENT, "a cell is not overdue any more, and why; again each time", _cell_overdue_ended
    ),
    "cell-ready": EventKind(
        COMMENT,
        "a cell's sequencing has ended, and all its data are here, or a person accepted it",
        _cells("cell-ready", _run_over),
    ),
    "all-cells-run": EventKind(
        COMMENT, "this is so for every cell of the run; again when cells are added", _all_cells_run
    ),
    "cell-done": EventKind(
        REPLY,
        "a cell is processed, with its numbers",
        _flagged("cell-done", lambda cell: cell.flags.done),
    ),
    "cell-failed": EventKind(
        COMMENT, "a cell needs a person", _flagged("cell-failed", lambda cell: cell.flags.failed)
    ),
    "cell-aborted": EventKind(
        COMMENT,
        "a person has said to disregard a cell",
        _flagged("cell-aborted", lambda cell: cell.flags.aborted),
    ),
    "run-complete": EventKind(
        REPLY,
        "all cells of the run are processed or aborted; again when that changes",
        _run_complete,
    ),
    "sync-failed": EventKind(
        COMMENT,
        "copying from the upstream needs a person; once a day for the same trouble",
        _sync_failed,
    ),
    "run-failed": EventKind(COMMENT, "the whole run was flagged as failed", _run_failed),
    "backup-failed": EventKind(
        COMMENT,
        "copying cells to a second place has failed three times in a row; once a day",
        _backup_failed,
    ),
    "verification-failed": EventKind(
        COMMENT,
        "a copy of a cell, here or on a second place, is found damaged",
        _verification_failed,
    ),
    "checksums-failed": EventKind(
        COMMENT,
        "MinKNOW's own checksums prove that files of a processed cell differ or are missing; once for the same files",
        _checksums_failed,
    ),
    "cell-deletable": EventKind(
        COMMENT,
        "a cell is marked on its upstream as safe to delete",
        _cells("cell-deletable", _deletable),
    ),
}
"""Every event, in the order in which those that are due at one look are told."""
