"""Exact lines of `check`, and the words of claims' owners and of their Slurm jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hesiod_watch.core.attention import Attention
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.ownership import Owner
from hesiod_watch.core.watch_state import SERVICE, RunSummary, WatchState
from hesiod_watch.rules.liveness import OwnerEvidence, describe, judge, same_process
from hesiod_watch.rules.site_check import check_site

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
DATA = "age=60s;;;0 attention={};0;;0 runs={};;;0 cells={};;;0 unfinished_cells={};;;0"


def summary(**cells: int) -> RunSummary:
    return RunSummary("run", "complete", "why", cells)


def state(
    *found: Attention, age: float = 60, runs: tuple[RunSummary, ...] = (), due: bool = True
) -> WatchState:
    last = NOW - timedelta(seconds=age)
    next_due = NOW + timedelta(minutes=5) if due else None
    return WatchState(
        SERVICE, "host1", "/landing", last, next_due=next_due, attention=found, runs=runs
    )


def failed(cell: str, since: float) -> Attention:
    begun = NOW - timedelta(seconds=since)
    return KINDS["failed"].about("run", cell, begun, why="no space")


WHO = state().who
SENTENCE = failed("lib/a", 1).sentence
LANDING = KINDS["landing-missing"].about(why="not mounted", landing="/landing")
LINES: dict[str, tuple[list[WatchState], dict[str, timedelta | str], str]] = {
    "nothing": (
        [],
        {},
        "UNKNOWN - no process has written its state: neither the service nor a poll has looked at"
        " all runs yet",
    ),
    "nothing can be written": (
        [],
        {"blocked": "no right"},
        "UNKNOWN - no process has written its state: no right",
    ),
    "fine": (
        [state(runs=(summary(processed=2, aborted=1),))],
        {},
        f"OK - 1 run, nothing needs a person; {WHO} looked 60 s ago | {DATA.format(0, 1, 3, 0)}",
    ),
    "the newest counts": (
        [state(age=120), state(runs=(summary(processed=1), summary(ready=2))), state(age=90)],
        {},
        f"OK - 2 runs, nothing needs a person; {WHO} looked 60 s ago | {DATA.format(0, 2, 3, 2)}",
    ),
    "a note": (
        [state(KINDS["dry-run"].about())],
        {},
        f"OK - 0 runs, nothing needs a person; {WHO} looked 60 s ago | {DATA.format(0, 0, 0, 0)}",
    ),
    "one thing": (
        [state(failed("lib/a", 9))],
        {},
        f"WARNING - 1 thing needs a person: run lib/a: {SENTENCE}; {WHO} looked 60 s ago | "
        + DATA.format(1, 0, 0, 0),
    ),
    "three things, the oldest first": (
        [state(failed("lib/a", 1), failed("lib/b", 9), failed("lib/c", 5))],
        {},
        f"WARNING - 3 things need a person: run lib/b: {SENTENCE}; run lib/c: {SENTENCE}; and 1"
        f" more; {WHO} looked 60 s ago | " + DATA.format(3, 0, 0, 0),
    ),
    "something that stops all runs": (
        [state(failed("lib/a", 1), LANDING)],
        {},
        f"CRITICAL - 2 things need a person: {LANDING.sentence}; run lib/a: {SENTENCE};"
        f" {WHO} looked 60 s ago | " + DATA.format(2, 0, 0, 0),
    ),
    "a bar in a sentence": (
        [state(KINDS["failed"].about("run", "lib/a", NOW, why="a|b"))],
        {},
        "WARNING - 1 thing needs a person: run lib/a: "
        + KINDS["failed"].about(why="a/b").sentence
        + f"; {WHO} looked 60 s ago | "
        + DATA.format(1, 0, 0, 0),
    ),
    "a look that is just in time": (
        [state()],
        {"max_age": timedelta(seconds=60)},
        f"OK - 0 runs, nothing needs a person; {WHO} looked 60 s ago | "
        + DATA.format(0, 0, 0, 0).replace(";;;0 attention", ";;60;0 attention"),
    ),
    "a look that is too old": (
        [state()],
        {"max_age": timedelta(seconds=59)},
        f"CRITICAL - no process has looked for 60 s: {WHO} was the last | "
        + DATA.format(0, 0, 0, 0).replace(";;;0 attention", ";;59;0 attention"),
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_line(case: str) -> None:
    """The line has the state, what needs a person, the last look and the numbers."""
    states, options, expected = LINES[case]
    result = check_site(states, (), NOW, **options)  # type: ignore[arg-type]  # a table
    assert str(result) == f"HESIOD-WATCH {expected}"


OWNER = Owner("t", action="process", executor="service", host="host1", user="hesiod", pid=7)


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        (OWNER, "process (service) of hesiod, pid 7 on host1"),
        (replace(OWNER, action="", executor=""), "a process of hesiod, pid 7 on host1"),
        (replace(OWNER, user="", pid=0), "process (service) on host1"),
        (Owner("t"), "a process on an unnamed host"),
    ],
    ids=["all", "no action", "no user", "nothing"],
)
def test_words_of_an_owner(owner: Owner, words: str) -> None:
    """An owner is described by what its record says, and by nothing else."""
    assert describe(owner) == words


def test_words_of_a_verdict() -> None:
    """A verdict without evidence says why there is none."""
    assert judge(None, None)[1] == ("the flag names no owner: made by hand or by an earlier Hesiod")
    assert judge(OWNER, None)[1] == f"{describe(OWNER)}: it could not be examined"
    silent = "this version cannot tell whether a Slurm job lives"
    job = replace(OWNER, executor="slurm")
    where = "the record does not say enough about its machine"
    from_here = judge(job, OwnerEvidence())[1]
    assert from_here == f"{describe(job)}: {where}; its Slurm job: {silent}"
    named = replace(job, slurm_job="17", slurm_cluster="big")
    assert judge(named, OwnerEvidence())[1].endswith(f"; Slurm job 17 on big: {silent}")


@pytest.mark.parametrize(
    "missing", [{"boot_id": ""}, {"pid": 0}, {"pid_start": 0}], ids=lambda each: next(iter(each))
)
def test_a_record_that_says_too_little(missing: dict[str, str | int]) -> None:
    """Two equal records without boot, pid or start are not known to be of one process."""
    whole = replace(OWNER, boot_id="b", pid_start=5)
    assert same_process(whole, whole)
    part = replace(whole, **missing)  # type: ignore[arg-type]  # one field each
    assert not same_process(part, part)
