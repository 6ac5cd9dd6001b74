"""Events of a run for people: their kinds, their detection and their recipients.

Each event has a key, which stays the same as long as it is the same event: a cell that is processed
again is reported again, a cell that is observed again is not. An event is reported if its key is in
the run's outbox, so no process has to remember anything.

The past of a run that was worked on before it had an outbox is not reported: earlier events are
written to the outbox as known. A run that was finished, or failed, by then gets no messages.

A new event is one entry in EVENTS: its name, its default recipients, and a generator that finds it
in a snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial

from hesiod_watch.core.action_kinds import TELL
from hesiod_watch.core.events import Event
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import LOCAL, Action, Cell, Policy, Snapshot, Stage
from hesiod_watch.core.ownership import Flag
from hesiod_watch.core.results import AttemptEnd
from hesiod_watch.rules import attention_events
from hesiod_watch.rules.attention_events import ATTENTION, ATTENTION_ENDED
from hesiod_watch.rules.attention_events import digest as _digest
from hesiod_watch.rules.backup_schedule import is_stuck
from hesiod_watch.rules.checksum_findings import finding_of, finding_when_processed, other_damage
from hesiod_watch.rules.overdue import is_resolved, overdue_cells
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.rules.stages import FINISHED, at, settled, stage_of

COMMENT, REPLY, NOTHING = "comment", "reply", "nothing"
KINDS = (COMMENT, REPLY, NOTHING)
RUN_NEW = "run-new"
CELL_OVERDUE = "cell-overdue"
CELL_OVERDUE_ENDED = "cell-overdue-ended"
STANDING = frozenset({RUN_NEW, CELL_OVERDUE, ATTENTION})
"""Events reported even in a run that was worked on before it had an outbox."""
ATTEMPTS = 3
"""Failed attempts in a row to copy a cell after which a message is sent."""
LONGEST_KEY = 240
"""Bytes of a key; file systems allow 255 in a name."""


@frozen
class EventKind:
    """Kind of an event: default recipients, description and detection."""

    default: str  # comment, reply or nothing
    says: str  # when it occurs, for the documentation
    find: Finder


Finder = Callable[[Snapshot, Policy, datetime], Iterator[Event]]


def due(snapshot: Snapshot, policy: Policy, now: datetime) -> tuple[Event, ...]:
    """Events to report now, in the order of their messages. `now` has a time zone."""
    if not may_report(snapshot):
        return ()
    if snapshot.outbox is None:
        # Hesiod, or hesiod-watch before there were messages, worked on this run. Its events are
        # reported from now on.
        return () if is_past(snapshot) else tuple(EVENTS[RUN_NEW].find(snapshot, policy, now))
    reported = snapshot.outbox.reported
    return tuple(event for event in happened(snapshot, policy, now) if event.key not in reported)


def is_past(snapshot: Snapshot) -> bool:
    """Whether a run ended before it had messages, so that it gets none before it is resumed."""
    return snapshot.outbox is None and (settled(snapshot) or "failed" in snapshot.flags)


def happened(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """All events that a snapshot shows, reported or not."""
    for kind in EVENTS.values():
        yield from kind.find(snapshot, policy, now)


def addressed(event: str, snapshot: Snapshot, policy: Policy) -> dict[str, str]:
    """Channels that get an event, each with the form: comment or reply."""
    if not type_of(snapshot, policy).notify:
        return {}
    kinds = {channel: events.get(event, NOTHING) for channel, events in policy.channels.items()}
    return {channel: kind for channel, kind in kinds.items() if kind != NOTHING}


def is_reported_complete(snapshot: Snapshot) -> bool:
    """Whether a message reported that the run is complete, with its current cells.

    If the upstream was not queried, the status alone could mistake a part of a run for all of it.
    """
    outbox = snapshot.outbox
    return outbox is not None and any(event.key in outbox.reported for event in _complete(snapshot))


def default_kinds() -> dict[str, str]:
    """Default form of each event, used if the configuration does not set one."""
    return {name: kind.default for name, kind in EVENTS.items()}


def may_report(snapshot: Snapshot) -> bool:
    """Whether messages about a run can be written to its outbox, and are wanted."""
    readable = not snapshot.problem and not (snapshot.outbox and snapshot.outbox.problem)
    return snapshot.adopted and readable and not snapshot.stop_flags(TELL)


# Rule of the plan.


def want_queue_messages(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Queue messages for events that are not reported yet."""
    names = list(dict.fromkeys(event.name for event in due(snapshot, policy, now)))
    if names or (snapshot.outbox and snapshot.outbox.unnumbered):
        reason = f"to report: {', '.join(names) or 'messages that were begun and not finished'}"
        yield Action(TELL, snapshot.run, reason=reason)


# Detection of events.


def _run_new(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    yield Event(RUN_NEW, snapshot.run, RUN_NEW)


def _cells(
    name: str, wanted: Callable[[Cell], bool], snapshot: Snapshot, policy: Policy, now: datetime
) -> Iterator[Event]:
    """One event for each cell that is `wanted`; each is reported once."""
    for cell in snapshot.cells:
        if wanted(cell):
            yield Event(name, snapshot.run, _key(name, cell.id.stem), cell.id)


def _flagged(
    name: str,
    flag_of: Callable[[Cell], Flag | None],
    snapshot: Snapshot,
    policy: Policy,
    now: datetime,
) -> Iterator[Event]:
    """One event for each cell with a flag; new content of the flag is a new event."""
    for cell in snapshot.cells:
        flag = flag_of(cell)
        # A regular flag without text cannot be read at the moment.
        if flag is not None and (flag.text is not None or not flag.regular):
            key = _key(name, cell.id.stem, _digest(flag.text or ""))
            yield Event(name, snapshot.run, key, cell.id)


def _run_over(cell: Cell) -> bool:
    """Whether the acquisition of a cell has ended and its data are here."""
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
        states = [
            f"{cell.id.stem} {cell.flags.done.text if cell.flags.done else ''}" for cell in finished
        ]
        yield Event("run-complete", snapshot.run, f"run-complete.{_digest(*states)}")


def _run_failed(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    if "failed" in snapshot.flags:
        yield Event(
            "run-failed",
            snapshot.run,
            f"run-failed.{_digest(snapshot.flag_texts.get('failed', ''))}",
        )


def _sync_failed(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """The sync needs a person; one event a day for the same reason.

    The sync is retried every few minutes and does not say what is new. If it fails for long and
    asks for no person, each attempt may have met another file: then it is one event a day.
    """
    last = snapshot.sync
    if last and is_stuck(last):
        day = last.owner.time[:10] if last.owner else ""
        end = AttemptEnd.of(last)
        # Counts and codes in the reason may change each time.
        reason = re.sub("[0-9]+", "0", end.reason) if end.needs_person else ""
        yield Event("sync-failed", snapshot.run, f"sync-failed.{_digest(reason, day)}")


def _backup_failed(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """Backups of a run failed; one event a day, because mostly the backup itself fails."""
    failing = [
        cell.backup for cell in snapshot.cells if cell.backup and cell.backup.outcome == "failed"
    ]
    days = [
        AttemptEnd.of(each).ended[:10]
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
    """MinKNOW's checksums show damage in a processed cell; one event for each set of files.

    A backup, a verification, a strip or a mark has found it. Damage found while the cell was
    processed is part of the message about the processing.
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
        cell.deletable is not None
        and cell.deletable.outcome == "done"
        and not finding_of(cell).said
    )


def _cell_overdue(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """A cell is overdue; one event each time it becomes so, even if its counts change."""
    for cell in overdue_cells(snapshot, policy, now):
        key = _overdue_key(CELL_OVERDUE, snapshot, cell)
        yield Event(CELL_OVERDUE, snapshot.run, key, cell.id)


def _cell_overdue_ended(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """A cell is no longer overdue; only if it was reported as overdue."""
    reported = snapshot.outbox.reported if snapshot.outbox else frozenset()
    for cell in snapshot.cells:
        if _overdue_key(CELL_OVERDUE, snapshot, cell) not in reported:
            continue
        if is_resolved(snapshot, cell, policy, now):
            key = _overdue_key(CELL_OVERDUE_ENDED, snapshot, cell)
            yield Event(CELL_OVERDUE_ENDED, snapshot.run, key, cell.id)


def _overdue_key(name: str, snapshot: Snapshot, cell: Cell) -> str:
    """The key of an overdue event. Its number is one more than that of the last reported end."""
    reported = snapshot.outbox.reported if snapshot.outbox else frozenset()
    endings = 0
    while endings < len(reported):
        if _key(CELL_OVERDUE_ENDED, cell.id.stem, str(endings + 1)) not in reported:
            break
        endings += 1
    return _key(name, cell.id.stem, str(endings + 1))


def _all_known(snapshot: Snapshot) -> bool:
    """Whether all cells of a run are known.

    Only its upstream knows them: an upstream that was not just queried may have more.
    """
    return snapshot.upstream == LOCAL or snapshot.listed_at == snapshot.upstream


def _key(name: str, *parts: str) -> str:
    """The key of an event, short enough for a file name.

    The name of a flag alone may have the greatest length of a file name.
    """
    key = ".".join((name, *parts))
    return (
        key
        if len(key.encode("utf-8", "surrogateescape")) <= LONGEST_KEY
        else f"{name}.{_digest(*parts)}"
    )


EVENTS: Mapping[str, EventKind] = {
    RUN_NEW: EventKind(COMMENT, "hesiod-watch has found a new run", _run_new),
    CELL_OVERDUE: EventKind(
        COMMENT,
        "a cell has ended and is not complete after the grace period: files are missing, are in"
        " MinKNOW's fallback folder or are more than announced, or its final_summary cannot be"
        " read",
        _cell_overdue,
    ),
    CELL_OVERDUE_ENDED: EventKind(
        COMMENT,
        "a cell is not overdue any more, with the reason; again each time",
        _cell_overdue_ended,
    ),
    ATTENTION: EventKind(
        COMMENT,
        "anything else begins to need a person, with the steps that help: a quiet cell, a name that"
        " is not allowed, an unknown owner and so on"
        " ([When something is wrong](operations.md#when-something-is-wrong))",
        attention_events.find_begun,
    ),
    ATTENTION_ENDED: EventKind(
        COMMENT,
        "that is over; again each time",
        attention_events.find_ended,
    ),
    "cell-ready": EventKind(
        COMMENT,
        "a cell's sequencing has ended, and all its data are here, or a person accepted it",
        partial(_cells, "cell-ready", _run_over),
    ),
    "all-cells-run": EventKind(
        COMMENT,
        "all cells of the run are sequenced, or a person accepted them; again when cells are added",
        _all_cells_run,
    ),
    "cell-done": EventKind(
        REPLY,
        "a cell is processed, with its numbers",
        partial(_flagged, "cell-done", lambda cell: cell.flags.done),
    ),
    "cell-failed": EventKind(
        COMMENT,
        "a cell needs a person",
        partial(_flagged, "cell-failed", lambda cell: cell.flags.failed),
    ),
    "cell-aborted": EventKind(
        COMMENT,
        "a person has aborted a cell",
        partial(_flagged, "cell-aborted", lambda cell: cell.flags.aborted),
    ),
    "run-complete": EventKind(
        REPLY,
        "all cells of the run are processed or aborted; again when that changes",
        _run_complete,
    ),
    "sync-failed": EventKind(
        COMMENT,
        "copying from the upstream needs a person, or fails for an hour; once a day for the same"
        " reason",
        _sync_failed,
    ),
    "run-failed": EventKind(COMMENT, "the whole run was flagged as failed", _run_failed),
    "backup-failed": EventKind(
        COMMENT,
        "copying cells to a backup has failed three times in a row; once a day",
        _backup_failed,
    ),
    "verification-failed": EventKind(
        COMMENT,
        "a copy of a cell, here or on a backup, is found damaged",
        _verification_failed,
    ),
    "checksums-failed": EventKind(
        COMMENT,
        "MinKNOW's own checksums prove that files of a processed cell differ or are missing; once"
        " for the same files",
        _checksums_failed,
    ),
    "cell-deletable": EventKind(
        COMMENT,
        "a cell is marked on its upstream as safe to delete",
        partial(_cells, "cell-deletable", _deletable),
    ),
}
"""All kinds of events, in the order in which events due at the same time are reported."""
