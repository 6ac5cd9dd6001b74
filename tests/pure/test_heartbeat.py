"""Heartbeats: when a service or a poll counts as stopped, and what `check` makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hesiod_watch.core.attention import Attention
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.circumstances import Circumstances, Heartbeat
from hesiod_watch.core.watch_state import POLL, SERVICE, RunSummary, WatchState
from hesiod_watch.rules.attention import attention_of_site
from hesiod_watch.rules.heartbeat import looks_with, next_poll, watcher_of
from hesiod_watch.rules.site_check import CheckCode, check_site

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def service(age: timedelta, interval: timedelta = 10 * MINUTE) -> WatchState:
    """State of a service that looked `age` ago."""
    last = NOW - age
    return WatchState(SERVICE, "host1", "/landing", last, next_due=last + interval)


def polls(age: timedelta, every: timedelta | None = 5 * MINUTE) -> WatchState:
    """State of a poll that cron starts at an interval (None: that a person started once)."""
    last = NOW - age
    looks = tuple(last - every * number for number in reversed(range(8))) if every else ()
    return WatchState(POLL, "host2", "/landing", last, next_due=next_poll(looks), looks=looks)


def watchers(
    *states: WatchState, alive: bool = False, dead: bool = False, digest: str = ""
) -> tuple[Heartbeat, ...]:
    return tuple(
        watcher_of(state, NOW, alive=alive, dead=dead, digest=digest, config="") for state in states
    )


def kinds(found: Sequence[Heartbeat]) -> list[str]:
    """Kinds of attention that these heartbeats cause."""
    return [each.kind for each in attention_of_site(Circumstances(watchers=tuple(found)), NOW)]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param([], [], id="nothing-known"),
        pytest.param([service(MINUTE)], [], id="service-alone"),
        pytest.param([service(19 * MINUTE)], [], id="service-a-little-late"),
        pytest.param([service(2 * DAY)], ["no-watcher"], id="service-stopped"),
        pytest.param([polls(MINUTE)], [], id="polls-alone"),
        pytest.param([polls(13 * MINUTE)], [], id="poll-a-little-late"),
        pytest.param([polls(2 * DAY)], ["no-watcher"], id="polls-stopped"),
        pytest.param([polls(20 * HOUR, DAY)], [], id="polls-once-a-day"),
        pytest.param([polls(30 * DAY, None)], [], id="poll-of-a-person-long-ago"),
        pytest.param([service(MINUTE), polls(MINUTE)], [], id="both"),
        pytest.param([service(MINUTE), polls(DAY)], ["watcher-stopped"], id="poll-stopped"),
        pytest.param([service(DAY), polls(MINUTE)], ["watcher-stopped"], id="service-stopped-too"),
        pytest.param([service(DAY), polls(DAY)], ["no-watcher"], id="both-stopped"),
        pytest.param([service(MINUTE), polls(DAY, None)], [], id="service-and-poll-of-a-person"),
        pytest.param([service(DAY), polls(MINUTE, None)], ["watcher-stopped"], id="poll-just-now"),
        pytest.param([service(-DAY)], [], id="clock-was-set-back"),
    ],
)
def test_stopped_processes_are_reported(states: list[WatchState], expected: list[str]) -> None:
    """A process that should look and does not is reported; a person's poll is never missed."""
    assert kinds(watchers(*states)) == expected


def test_says_how_long_and_how_to_forget() -> None:
    """The sentence says for how long no process has looked; a step has a process forgotten."""
    around = Circumstances(watchers=watchers(polls(2 * DAY)))
    (found,) = attention_of_site(around, NOW)
    assert found.sentence.startswith("no process has looked at the landing area for 2 days")
    assert not any("rm " in step.command for step in found.steps)  # its place is not known here


@pytest.mark.parametrize(
    ("state", "begins", "other"),
    [(service(2 * DAY), "service", "poll"), (polls(2 * DAY), "poll", "service")],
    ids=["a service", "a poll"],
)
def test_steps_for_a_stopped_process(state: WatchState, begins: str, other: str) -> None:
    """The entry names the process by its kind, and the file by which it is forgotten."""
    watching = watchers(state)
    around = Circumstances(watchers=watching, state_directory=Path("/landing/.hesiod-watch"))
    (found,) = attention_of_site(around, NOW)
    assert found.facts["who"] == found.facts[begins] == watching[0].who
    assert other not in found.facts
    assert found.facts["state_file"] == f"/landing/.hesiod-watch/{state.file}"


@pytest.mark.parametrize(
    ("age", "alive", "dead", "expected"),
    [
        (6 * HOUR, True, False, []),
        (6 * HOUR, False, False, []),
        (2 * DAY, True, False, []),
        (2 * DAY, False, False, ["no-watcher"]),
        (6 * HOUR, False, True, ["no-watcher"]),
    ],
)
def test_poll_that_works_is_not_stopped(
    age: timedelta, alive: bool, dead: bool, expected: list[str]
) -> None:
    """A poll that waits for hours of work counts as stopped only if it is dead, or after a day."""
    state = replace(polls(age), working=True)
    assert kinds(watchers(state, alive=alive, dead=dead)) == expected


@pytest.mark.parametrize(
    ("state", "digest", "changed"),
    [
        (replace(service(MINUTE), config_digest="a"), "a", False),
        (replace(service(MINUTE), config_digest="a"), "b", True),
        (replace(service(MINUTE), config_digest="a"), "", False),
        (replace(service(DAY), config_digest="a"), "b", False),
        (replace(polls(MINUTE), config_digest="a"), "b", False),
        (replace(service(MINUTE), config_digest="a", config="/other"), "b", False),
    ],
)
def test_changed_configuration(state: WatchState, digest: str, changed: bool) -> None:
    """Only a service that works with an earlier text of the same file is reported."""
    assert ("config-changed" in kinds(watchers(state, digest=digest))) == changed


def test_interval_of_polls_is_learned() -> None:
    """Six polls are needed, two within a minute count once, and the longest distance counts."""
    looks: tuple[datetime, ...] = ()
    for minutes in (0, 5, 5.5, 10, 20, 25):
        looks = looks_with(looks, NOW + minutes * MINUTE)
    assert len(looks) == 5
    assert next_poll(looks) is None
    looks = looks_with(looks, NOW + 30 * MINUTE)
    assert next_poll(looks) == NOW + 40 * MINUTE
    for number in range(20):
        looks = looks_with(looks, NOW + (35 + 5 * number) * MINUTE)
    assert next_poll(looks) == looks[-1] + 5 * MINUTE


def blocked(kind: str, run: str = "") -> Attention:
    return KINDS[kind].about(run, since=NOW - HOUR, why="of a | reason\n")


@pytest.mark.parametrize(
    ("states", "max_age", "code", "words"),
    [
        ([], None, CheckCode.UNKNOWN, "no process has written"),
        ([service(MINUTE)], None, CheckCode.OK, "nothing needs a person"),
        ([service(MINUTE)], 30, CheckCode.CRITICAL, "no process has looked for 60 s"),
        ([service(MINUTE)], 90, CheckCode.OK, "looked 60 s ago"),
        ([service(2 * DAY)], None, CheckCode.CRITICAL, "no process has looked"),
        ([polls(2 * DAY, None)], None, CheckCode.CRITICAL, "no process has looked for 2 days"),
        ([service(MINUTE), polls(DAY)], None, CheckCode.WARNING, "the poll on host2 has not"),
        (
            [replace(service(MINUTE), attention=(blocked("quarantined", "run1"),))],
            None,
            CheckCode.WARNING,
            "1 thing needs a person: run1: ",
        ),
        (
            [
                replace(
                    service(MINUTE),
                    attention=(blocked("quarantined", "run1"), blocked("landing-missing")),
                )
            ],
            None,
            CheckCode.CRITICAL,
            "2 things need a person: of a / reason",
        ),
        (
            [replace(service(DAY), attention=(blocked("quarantined", "run1"),)), polls(MINUTE)],
            None,
            CheckCode.WARNING,
            "the service on host1 has not looked",
        ),
    ],
)
def test_check(
    states: list[WatchState], max_age: float | None, code: CheckCode, words: str
) -> None:
    """`check` has the code and the words for each state, on one line with one bar."""
    limit = None if max_age is None else timedelta(seconds=max_age)
    result = check_site(states, watchers(*states), NOW, limit)
    line = str(result)
    assert (result.code, words in line) == (code, True), line
    assert "\n" not in line
    assert line.count("|") == (1 if states else 0)
    assert line.startswith(f"HESIOD-WATCH {code.name} - ")


def test_state_survives_its_file() -> None:
    """A state that is read again equals the one that was written."""
    state = replace(
        polls(MINUTE),
        owner={"pid": 3},
        working=True,
        runs=(RunSummary("run1", "complete", "why", {"processed": 2}, "../run1/a.html", 5, 9),),
    )
    assert WatchState.from_record(state.record()) == state


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {},
        {"format": "other"},
        {"format": "hesiod-watch state 1", "kind": "service", "last_look": "soon"},
        {"format": "hesiod-watch state 1", "kind": "cat", "last_look": "2026-11-30T00:00:00Z"},
    ],
)
def test_foreign_state_is_ignored(record: object) -> None:
    """Content of another program or format is no state."""
    assert WatchState.from_record(record) is None


def test_odd_values_are_tolerated() -> None:
    """A state with values of wrong types is read as far as it can be understood."""
    odd = {
        "format": "hesiod-watch state 1",
        "kind": "service",
        "host": 3,
        "landing": None,
        "last_look": "2026-11-30T00:00:00Z",
        "next_due": 5,
        "looks": {},
        "owner": [],
        "runs": [1, {"cells": {"new": -1}, "reads": "x"}],
        "attention": [{"steps": 1}],
        "upstreams": [{}],
        "refused": [{"attempts": "x", "cell": 3}],
    }
    state = WatchState.from_record(odd)
    assert state is not None
    assert (state.next_due, state.looks, len(state.runs)) == (None, (), 1)
    assert (state.runs[0].cells, state.refused[0].cell) == ({"new": 0}, None)
