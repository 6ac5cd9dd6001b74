"""Attention as events: one message when something begins to need a person, one when that is over.

The key of a beginning is `attention.KIND.DIGEST.N`, and that of its end `attention-ended.` with the
same rest. The digest stands for the cell, the name, the upstream and so on. N is one more than that
of its last reported end, so a thing that begins again is reported again. Another reason for the
same thing is nothing new.

Kinds that had an event before this module existed keep it, and are in REPORTED_OTHERWISE.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from hesiod_watch.core.action_kinds import (
    BACKUP,
    DELETABLE,
    INGEST,
    PROCESS,
    STRIP,
    VERIFY,
)
from hesiod_watch.core.attention import Attention
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.circumstances import NOTHING_KNOWN
from hesiod_watch.core.events import Event
from hesiod_watch.core.model import Cell, Policy, Snapshot, Stage
from hesiod_watch.rules.attention import attention
from hesiod_watch.rules.liveness import under_way
from hesiod_watch.rules.overdue import WAITING
from hesiod_watch.rules.stages import stage_of
from hesiod_watch.rules.turns import last_attempt

ATTENTION = "attention"
ATTENTION_ENDED = "attention-ended"
DIGEST = 12
"""Hexadecimal digits that distinguish two occurrences of one event."""

REPORTED_OTHERWISE = {
    **dict.fromkeys(
        ("overdue", "fallback", "surplus-files", "unreadable-summary", "unreadable-files"),
        "cell-overdue",
    ),
    "failed": "cell-failed",
    "run-failed": "run-failed",
    "sync-failed": "sync-failed",
    "backup-behind": "backup-failed",
    "copy-damaged": "verification-failed",
    "files-damaged": "checksums-failed",
}
"""Kinds with an event of their own."""
NEVER_REPORTED = frozenset({"undelivered", "action-refused", "take-up-undecided"})
"""Kinds that no message reports: no message could, only one process knows when it is over, or it is
a question to the person who installs the program."""

CIRCUMSTANTIAL = frozenset({"not-permitted", "upstream-unconfigured", "upstream-lost-run"})
"""Kinds of a run that its snapshot alone does not show."""

TRIED_AGAIN = (
    ("ingest-failed", INGEST),
    ("copies-unread", VERIFY),
    ("deletion-behind", DELETABLE),
    ("deletion-behind", STRIP),
    ("run-files-behind", BACKUP),
)
"""Kinds that only a failed attempt shows, and its action."""

_BEGUN = re.compile(
    rf"{ATTENTION}\.(?P<what>[a-z]+(?:-[a-z]+)*\.[0-9a-f]{{{DIGEST}}})\.(?P<number>[1-9][0-9]*)"
)


def find_begun(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """Something in a run begins to need a person, as far as its snapshot shows it."""
    found = attention(snapshot, NOTHING_KNOWN, policy, now)
    for key, each in begun(found, _reported(snapshot)):
        cell = next((cell.id for cell in snapshot.cells if str(cell.id) == each.cell), None)
        yield Event(ATTENTION, snapshot.run, key, cell, each)


def find_ended(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Event]:
    """Something in a run does not need a person any more; only if that was reported.

    Nothing ends while a flag of the run or a sync hides what its cells need. Nothing that a
    failed attempt has caused ends while the work is tried again.
    """
    if snapshot.stop_flags(PROCESS) or under_way(snapshot.sync):
        return
    found = attention(snapshot, NOTHING_KNOWN, policy, now)
    unknown = {cell.id.stem for cell in snapshot.cells if _is_unknown(cell)}
    again = frozenset(_tried_again(snapshot))
    for key, begin in ended(found, _reported(snapshot), unknown, again):
        yield Event(ATTENTION_ENDED, snapshot.run, key, begun=begin)


def for_site(
    snapshot: Snapshot, found: Iterable[Attention], *, reports: bool
) -> tuple[Attention, ...]:
    """Return the entries of a run that the site reports.

    A run that `reports` has an outbox, which takes everything that its snapshot alone shows.
    """
    if not reports:
        return tuple(each for each in found if is_reported(each))
    return tuple(each for each in found if is_reported(each) and each.kind in CIRCUMSTANTIAL)


def begun(
    found: Iterable[Attention], reported: Collection[str], *, of_site: bool = False
) -> Iterator[tuple[str, Attention]]:
    """Yield what needs a person, with the key of its beginning, whether reported or not."""
    for each in found:
        if is_reported(each):
            what = _what(each, of_site=of_site)
            yield f"{ATTENTION}.{what}.{_next_number(what, reported)}", each


def ended(
    found: Iterable[Attention],
    reported: Collection[str],
    unknown: Collection[str] = (),
    again: Collection[str] = (),
    *,
    of_site: bool = False,
) -> Iterator[tuple[str, str]]:
    """Yield the keys of ends that are not reported yet, each with the key of its beginning.

    Nothing is known about the cells whose stems are in `unknown`, so nothing of them ends. Neither
    does what is in `again`: kinds with their digest.
    """
    present = {_what(each, of_site=of_site) for each in found} | set(again)
    hidden = {digest(stem) for stem in unknown}
    for key in sorted(reported):
        if match := _BEGUN.fullmatch(key):
            end = f"{ATTENTION_ENDED}.{match['what']}.{match['number']}"
            over = match["what"] not in present and match["what"].rpartition(".")[2] not in hidden
            if over and end not in reported:
                yield end, key


def is_reported(each: Attention) -> bool:
    """Whether an entry is reported as an event of this module."""
    return (
        each.needs_person
        and each.kind not in REPORTED_OTHERWISE
        and each.kind not in NEVER_REPORTED
    )


def digest(*texts: str) -> str:
    data = "\0".join(texts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(data).hexdigest()[:DIGEST]


def _what(each: Attention, *, of_site: bool) -> str:
    run = (each.run,) if of_site else ()
    return f"{each.kind}.{digest(*run, *each.identity[1:])}"


def _next_number(what: str, reported: Collection[str]) -> int:
    ended = re.compile(rf"{ATTENTION_ENDED}\.{re.escape(what)}\.([1-9][0-9]{{0,8}})")
    numbers = (int(match[1]) for key in reported if (match := ended.fullmatch(key)))
    return max(numbers, default=0) + 1


def _is_unknown(cell: Cell) -> bool:
    """Whether a snapshot does not show if a cell still waits for its data."""
    stage = stage_of(cell)
    return stage is Stage.NEW or (stage in WAITING and cell.present and cell.completeness is None)


def _tried_again(snapshot: Snapshot) -> Iterator[str]:
    """Kinds with their digest whose work has an attempt that has not ended."""
    for kind, action in TRIED_AGAIN:
        named = action.name if action in (DELETABLE, STRIP) else None
        for cell in (None, *snapshot.cells):
            last = last_attempt(snapshot, cell, action)
            if last is not None and not last.outcome:
                each = KINDS[kind].about(snapshot.run, str(cell.id) if cell else "", action=named)
                yield _what(each, of_site=False)


def _reported(snapshot: Snapshot) -> frozenset[str]:
    return snapshot.outbox.reported if snapshot.outbox else frozenset()
