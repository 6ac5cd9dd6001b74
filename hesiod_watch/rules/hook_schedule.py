"""Hook rules: when the facility's own command is run for a processed cell, and run again.

The command is run once for each `.done` of a cell whose flag says that a command was configured
when the cell was processed. So cells that were finished before are left alone. A failed command is
run again after the pauses of a failed backup. The flag itself counts the attempts, so a restart
forgets nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from hesiod_watch.core.action_kinds import HOOK
from hesiod_watch.core.model import Action, Cell, Policy, Snapshot, Stage
from hesiod_watch.core.ownership import Attempt, Flag
from hesiod_watch.core.results import DoneRecord, HookRecord
from hesiod_watch.core.times import due_at
from hesiod_watch.rules.backup_schedule import RETRY, ended_at, keeps_failing
from hesiod_watch.rules.liveness import unclear, under_way
from hesiod_watch.rules.stages import at


def want_hook(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Run the command for each processed cell that is to have it and has not had it."""
    if not policy.on_done or not snapshot.may_start(HOOK):
        return
    for cell in at(snapshot, Stage.PROCESSED):
        if (due := hook_due(cell, now)) is not None and due <= now:
            last = current_hook(cell)
            reason = (
                "processed, and the command of on_done was not run yet"
                if last is None
                else f"its last attempt failed: {last.why}"
                if last.outcome
                else f"it was begun and not finished: {last.evidence}"
            )
            epoch = last.owner.epoch + 1 if last and last.owner else 1
            yield Action(HOOK, snapshot.run, reason, cell.id, epoch=epoch)


def look_again(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[datetime]:
    """Times at which the command becomes due although nothing else changes."""
    if policy.on_done and snapshot.may_start(HOOK):
        for cell in at(snapshot, Stage.PROCESSED):
            if (due := hook_due(cell, now)) and due > now:
                yield due


def waiting(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Sentences about commands that failed, or whose worker may or may not live."""
    for cell in at(snapshot, Stage.PROCESSED):
        last = current_hook(cell)
        if policy.on_done and hook_failed(cell) and last:
            yield f"{cell.id}: the command of on_done failed: {last.why}"
        elif unclear(last):
            yield (
                f"{cell.id}: the command of on_done was started, and it is unknown whether its"
                f" owner lives ({last.evidence})"
            )


def hook_due(cell: Cell, now: datetime) -> datetime | None:
    """When the command is next to be run for a cell; None: never, or it is under way."""
    last = current_hook(cell)
    if is_hook_over(cell) or under_way(cell.hook):
        return None
    if last is None:
        return now
    return due_at(ended_at(last), now, RETRY.rest(last.owner.epoch if last.owner else 1))


def is_hook_over(cell: Cell) -> bool:
    """Whether the command is not to be run for a cell, or has succeeded."""
    last = current_hook(cell)
    succeeded = last is not None and last.outcome == "done"
    return succeeded or not DoneRecord.of(cell.flags.done).hook_due


def hook_failed(cell: Cell) -> bool:
    """Whether the last attempt for the present results failed."""
    last = current_hook(cell)
    return last is not None and last.outcome == "failed"


def failing(cell: Cell) -> str:
    """Why the command keeps failing, so that a person is needed; "" if it does not."""
    last = current_hook(cell)
    if last is None or last.outcome == "done" or is_hook_over(cell):
        return ""
    before = HookRecord.of(last).failing
    if last.outcome:
        return last.why if keeps_failing(last) or before else ""
    return before


def current_hook(cell: Cell) -> Attempt | None:
    """The last attempt, if it was for the present `.done` of the cell."""
    return cell.hook if cell.hook and is_about(cell.hook.record, cell.flags.done) else None


def is_about(record: Mapping[str, object], done: Flag | None) -> bool:
    """Whether the record of an attempt is about this `.done`; a person's flag is about any."""
    about = HookRecord.from_record(record).done
    return not about or about == DoneRecord.of(done).key
