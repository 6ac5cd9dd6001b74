"""Turns: which of two pieces of work of one kind gets the next free worker, across runs.

Work on live cells comes before work on old ones, so that a backlog delays no cell that a person
waits for. Among them, the work that has waited longest comes first. Turns are compared only between
works that need the same workers. Work of the same turn is done in the order in which it was planned
(`service.waiting_line`).

Every time is taken from the snapshot, so a restart of the service forgets no wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hesiod_watch.core import action_kinds
from hesiod_watch.core.action_kinds import ActionKind
from hesiod_watch.core.model import Action, Cell, Snapshot
from hesiod_watch.core.naming import parse_cell
from hesiod_watch.core.ownership import Attempt, Owner
from hesiod_watch.core.times import rested, time_at, time_of
from hesiod_watch.rules.backup_schedule import ended_at, finished_at
from hesiod_watch.rules.overdue import summary_time

LIVE = timedelta(days=3)
"""A cell is live for so long after its start, its last new data, its end, or its processing."""
LARGEST_OFFSET = timedelta(hours=14)
"""The time in a cell's name is local time of the sequencer, at most so far ahead of UTC."""
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """Position of a piece of work in a waiting line; the smallest turn is next."""

    old: bool  # whether its cells were neither written nor finished lately
    since: datetime  # when its wait began; `LONG_AGO` if this is unknown or it was never done


def turn_of(snapshot: Snapshot, action: Action, now: datetime) -> Turn:
    """Return the turn of a planned action."""
    cell = snapshot.cell(action.cell) if action.cell else None
    cells = (cell,) if cell else snapshot.cells
    since = _since(snapshot, cell, action, now)
    return Turn(
        old=not any(_is_live(each, now) for each in cells),
        since=since if since and since <= now else LONG_AGO,
    )


def in_turn(snapshot: Snapshot, actions: Iterable[Action], now: datetime) -> list[Action]:
    """Sort actions of one kind: the first one gets the first free worker."""
    return sorted(
        actions,
        key=lambda action: (turn_of(snapshot, action, now), action.cell is None, action.cell),
    )


def _since(snapshot: Snapshot, cell: Cell | None, action: Action, now: datetime) -> datetime | None:
    """Return when the wait for an action began; None if no time is known."""
    last = last_attempt(snapshot, cell, action.kind)
    if cell is None or action.kind is action_kinds.INGEST:
        return _began(last)
    if action.kind is action_kinds.PROCESS:
        claim = cell.flags.claims[-1] if cell.flags.claims else None
        return _time_of(claim.owner) if claim else summary_time(cell)
    return ended_at(last) or finished_at(cell, now) or summary_time(cell)


def last_attempt(snapshot: Snapshot, cell: Cell | None, kind: ActionKind) -> Attempt | None:
    """Return the last attempt at an action on a run or a cell; None if there was none."""
    if cell is None:
        return {
            action_kinds.SYNC: snapshot.sync,
            action_kinds.BACKUP: snapshot.backup,
            action_kinds.NOTIFY: snapshot.outbox.last_attempt if snapshot.outbox else None,
        }.get(kind)
    return {
        action_kinds.INGEST: cell.arriving.last_attempt if cell.arriving else None,
        action_kinds.CHECKSUMS: cell.checksums,
        action_kinds.BACKUP: cell.backup,
        action_kinds.VERIFY: cell.verification,
        action_kinds.HOOK: cell.hook,
        action_kinds.DELETABLE: cell.deletable,
        action_kinds.STRIP: cell.strip,
    }.get(kind)


def _began(last: Attempt | None) -> datetime | None:
    return _time_of(last.owner) if last else None


def _time_of(owner: Owner | None) -> datetime | None:
    """Return when an owner began, by its own clock; None if the time cannot be read."""
    return time_of(owner.time) if owner else None


def _is_live(cell: Cell, now: datetime) -> bool:
    """Whether a cell was written or finished lately; a time in the future shows nothing."""
    return any(time and not rested(time, now, LIVE) for time in _times(cell, now))


def _times(cell: Cell, now: datetime) -> Iterator[datetime | None]:
    yield _named_start(cell)
    yield time_at(cell.arriving.changed / 1e9) if cell.arriving else None
    yield summary_time(cell)
    yield finished_at(cell, now)


def _named_start(cell: Cell) -> datetime | None:
    """Return the start of a cell by its name; None if its name has none."""
    name = parse_cell(cell.id.name)
    started = time_of(f"{name.date}T{name.time}") if name else None
    return started - LARGEST_OFFSET if started else None
