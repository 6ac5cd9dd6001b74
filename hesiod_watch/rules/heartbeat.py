"""Heartbeat rules: when a process that watches should look again, and when it counts as stopped.

A service says itself when it looks again. A poll is started by cron or a timer, which this program
cannot ask; so its interval is learned from the polls that no person started. A poll without a
regular interval is never missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from hesiod_watch.core.attention import Attention
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.circumstances import Heartbeat
from hesiod_watch.core.text import span_text
from hesiod_watch.core.watch_state import POLL, SERVICE, WatchState

APART = timedelta(minutes=1)
"""Shortest distance of two polls that count as two."""
MOST_LOOKS = 12
REGULAR = 6
"""Fewest polls from which an interval is learned."""
MARGIN = timedelta(minutes=10)
"""Shortest delay of a look that is reported."""
LONGEST_WORK = timedelta(days=1)
"""How long a poll may wait for its work, if it cannot be seen whether it is alive."""
RECENT = timedelta(hours=1)
"""How long a look counts as recent if it is not known when the next one is due."""


def looks_with(looks: tuple[datetime, ...], now: datetime) -> tuple[datetime, ...]:
    """Return the starts of polls with one more, as far as they are remembered."""
    past = tuple(look for look in looks if look <= now)
    if past and now - past[-1] < APART:
        return past
    return (*past, now)[-MOST_LOOKS:]


def next_poll(looks: tuple[datetime, ...]) -> datetime | None:
    """Return when the next poll should start; None if the polls are not regular."""
    if len(looks) < REGULAR:
        return None
    return looks[-1] + max(later - earlier for earlier, later in pairwise(looks))


def watcher_of(
    state: WatchState, now: datetime, *, alive: bool, dead: bool, digest: str, config: str
) -> Heartbeat:
    """Return the heartbeat of the process that wrote a state.

    `alive` and `dead` say what is proven about the process; `digest` and `config` are those of the
    present configuration.
    """
    due = state.next_due
    if due is not None:
        due += max(MARGIN, due - state.last_look)
        if state.kind == POLL and state.working and not dead:
            due = now + MARGIN if alive else max(due, state.last_look + LONGEST_WORK)
    in_time = due is None or due >= now
    other = state.config == config and state.config_digest != digest
    return Heartbeat(
        who=state.who,
        last_look=state.last_look,
        due=due,
        config_changed=state.kind == SERVICE and in_time and not dead and bool(digest) and other,
        kind=state.kind,
        state_file=state.file,
    )


def attention_of_watchers(
    watchers: Iterable[Heartbeat], now: datetime, directory: object = None
) -> Iterator[Attention]:
    """Yield the processes that should look and do not, and those with an old configuration.

    `directory` contains the state files.
    """
    watchers = tuple(watchers)
    overdue = [each for each in watchers if each.due is not None and each.due < now]
    looking = [each for each in watchers if each not in overdue and _is_recent(each, now)]
    if overdue and not looking:
        last = max(overdue, key=lambda each: each.last_look)
        yield _stopped("no-watcher", last, now, directory)
    else:
        for each in overdue:
            yield _stopped("watcher-stopped", each, now, directory)
    for each in watchers:
        if each.config_changed:
            yield KINDS["config-changed"].about(who=each.who)


def _is_recent(watcher: Heartbeat, now: datetime) -> bool:
    return watcher.due is not None or now - watcher.last_look < RECENT


def _stopped(kind: str, watcher: Heartbeat, now: datetime, directory: object) -> Attention:
    return KINDS[kind].about(
        since=watcher.last_look,
        who=watcher.who,
        age=span_text((now - watcher.last_look).total_seconds()),
        service=watcher.who if watcher.kind == SERVICE else None,
        poll=watcher.who if watcher.kind == POLL else None,
        state_file=f"{directory}/{watcher.state_file}" if directory else None,
    )
