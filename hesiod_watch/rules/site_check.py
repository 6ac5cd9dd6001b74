"""Result of `check`, by the contract of Nagios plugins: one line, performance data, a code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import IntEnum

from hesiod_watch.core.attention import Attention, Stops
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.circumstances import Heartbeat
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of, span_text
from hesiod_watch.core.watch_state import WatchState
from hesiod_watch.rules.heartbeat import attention_of_watchers

NEVER_LONGER = timedelta(days=1)
"""Age of the last look that is critical if it is not known when the next look is due."""
SHOWN = 2
"""Most things that the line names."""


class CheckCode(IntEnum):
    """Exit code of a Nagios plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@frozen
class CheckResult:
    """Line that `check` prints, and its exit code."""

    code: CheckCode
    words: str
    data: str = ""  # performance data

    def __str__(self) -> str:
        # A bar separates the performance data.
        words = display(self.words).replace("|", "/")
        return f"HESIOD-WATCH {self.code.name} - {words}" + (f" | {self.data}" if self.data else "")


def check_site(
    states: Sequence[WatchState],
    watchers: Iterable[Heartbeat],
    now: datetime,
    max_age: timedelta | None = None,
    blocked: str = "",
) -> CheckResult:
    """Judge the state files of a site; `max_age`: greatest age of the last look, if given.

    `blocked`: why no state can be written, if there is none.
    """
    if not states:
        why = blocked or "neither the service nor a poll has looked at all runs yet"
        return CheckResult(CheckCode.UNKNOWN, f"no process has written its state: {why}")
    newest = max(states, key=lambda state: state.last_look)
    age = max(timedelta(0), now - newest.last_look)
    stopped = list(attention_of_watchers(watchers, now))
    reported = [each for each in newest.attention if each.needs_person]
    person = stopped + [each for each in reported if each.kind not in _OF_WATCHERS]
    data = _data(newest, age, max_age, person)
    looked = f"{newest.who} looked {span_text(age.total_seconds())} ago"
    # An interval that is known makes a stopped process known, too.
    known = any(state.next_due for state in states)
    longest = max_age or (timedelta.max if known else NEVER_LONGER)
    if age > longest:
        silence = span_text(age.total_seconds())
        words = f"no process has looked for {silence}: {newest.who} was the last"
        return CheckResult(CheckCode.CRITICAL, words, data)
    if not person:
        runs = number_of(len(newest.runs), "run")
        return CheckResult(CheckCode.OK, f"{runs}, nothing needs a person; {looked}", data)
    person.sort(key=lambda each: (not _stops_all(each), each.since or now))
    named = "; ".join(_words(each) for each in person[:SHOWN])
    more = f"; and {len(person) - SHOWN} more" if len(person) > SHOWN else ""
    code = CheckCode.CRITICAL if _stops_all(person[0]) else CheckCode.WARNING
    count = number_of(len(person), "thing needs", "things need")
    return CheckResult(code, f"{count} a person: {named}{more}; {looked}", data)


_OF_WATCHERS = frozenset({"no-watcher", "watcher-stopped"})


def _stops_all(each: Attention) -> bool:
    """Whether work on all runs stops."""
    kind = KINDS.get(each.kind)
    return not each.run and kind is not None and kind.stops is Stops.WORK


def _words(each: Attention) -> str:
    where = " ".join(filter(None, (each.run, each.cell)))
    return f"{where}: {each.sentence}" if where else each.sentence


def _data(
    newest: WatchState, age: timedelta, max_age: timedelta | None, person: Sequence[Attention]
) -> str:
    limit = f"{max_age.total_seconds():.0f}" if max_age else ""
    cells = sum(sum(run.cells.values()) for run in newest.runs)
    unfinished = sum(
        number
        for run in newest.runs
        for stage, number in run.cells.items()
        if stage not in ("processed", "aborted")
    )
    return (
        f"age={age.total_seconds():.0f}s;;{limit};0 attention={len(person)};0;;0"
        f" runs={len(newest.runs)};;;0 cells={cells};;;0 unfinished_cells={unfinished};;;0"
    )
