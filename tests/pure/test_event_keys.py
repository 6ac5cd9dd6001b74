"""Keys of events: a key that changes would report everything again after an upgrade."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.model import IngestState, Policy, Snapshot
from hesiod_watch.core.ownership import Attempt, Flag, Liveness, Owner
from hesiod_watch.core.queued_messages import Outbox
from hesiod_watch.rules.attention_events import begun, find_begun, find_ended, for_site
from hesiod_watch.rules.attention_events import ended as ended_keys
from hesiod_watch.rules.events import happened

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG = "x" * 240
FINDING = {"at": "2026-11-23T10:00:00Z", "said": "1 differs", "set": "abc123"}
SHORT = Completeness(Verdict.SHORT, "1 file missing")


def ended(outcome: str, epoch: int = 1, **record: Any) -> Attempt:
    """An attempt that ended on that day."""
    owner = Owner("t", time="2026-11-23T09:00:00Z", epoch=epoch)
    return attempt(outcome, owner=owner, **{"ended": "2026-11-23T10:00:00Z", **record})


SNAPSHOTS = {
    "new": run(),
    "ready": run(cell("a", synced=True)),
    "processed": run(cell("a", done=flag("d")), cell("b", aborted=flag("x"))),
    "failed": run(cell("a", failed=flag("f")), cell("b", done=Flag("done", 1.0, text=None))),
    "a link in the place of a flag": run(cell("a", failed=Flag("failed", 1.0, regular=False))),
    "a flagged run": run(cell("a"), flags=frozenset({"failed"}), flag_texts={"failed": "no space"}),
    "of an upstream": run(cell("a", done=flag("d")), upstream="host:/x", listed_at="host:/x"),
    "of an upstream that was not asked": run(cell("a", done=flag("d")), upstream="host:/x"),
    "sync": run(
        cell("a"),
        upstream="host:/x",
        sync=ended("failed", needs_person=True, reason="code 23 in 12 files"),
    ),
    "backups": run(
        cell("a", done=flag("d"), backup=ended("failed", 3)),
        cell("b", done=flag("d"), backup=ended("failed", 4, ended="2026-11-22T10:00:00Z")),
        cell("c", synced=True, backup=ended("failed", 2, ended="2026-11-25T10:00:00Z")),
        cell("e", synced=True, backup=ended("done", 9)),
    ),
    "damaged": run(
        cell("a", done=flag("d"), verification=ended("failed", problems=["one: rot", "b: rot"])),
        cell("b", done=flag("d"), deletable=ended("failed", minknow_checksums=FINDING)),
        cell("c", done=flag(json.dumps({"minknow_checksums": FINDING}))),
    ),
    "deletable": run(
        cell("a", done=flag("d"), deletable=ended("done", marked=True)),
        cell("b", done=flag("d"), deletable=ended("failed", marked=True)),
        cell("c", done=flag("d"), deletable=ended("done", minknow_checksums=FINDING)),
    ),
    "overdue": run(
        cell("a", completeness=SHORT, summary_since=1.0),
        cell("b", done=flag("d")),
        outbox=Outbox(reported=frozenset({"cell-overdue.b.1", "cell-overdue-ended.a.1"})),
    ),
    "attention": run(
        cell("a", claims=(claim(Liveness.UNKNOWN),)),
        output=None,
        outbox=Outbox(
            reported=frozenset(
                {
                    "attention.quiet.0123456789ab.1",
                    "attention-ended.quiet.0123456789ab.1",
                    "attention.quiet.0123456789ab.2",
                }
            )
        ),
    ),
    "a long name": run(cell(LONG, done=flag("d"))),
}

Key = tuple[str, str]
"""The key of an event, and its cell's name; "" for an event of the run."""
KEYS: dict[str, list[Key]] = {
    "new": [
        ("run-new", ""),
    ],
    "ready": [
        ("run-new", ""),
        ("cell-ready.a", "a"),
        ("all-cells-run.ca978112ca1b", ""),
    ],
    "processed": [
        ("run-new", ""),
        ("cell-ready.a", "a"),
        ("all-cells-run.ca978112ca1b", ""),
        ("cell-done.a.18ac3e7343f0", "a"),
        ("cell-aborted.b.2d711642b726", "b"),
        ("run-complete.de463268152a", ""),
    ],
    "failed": [
        ("run-new", ""),
        ("cell-ready.a", "a"),
        ("cell-ready.b", "b"),
        ("all-cells-run.59b271ae1bbc", ""),
        ("cell-failed.a.252f10c83610", "a"),
    ],
    "a link in the place of a flag": [
        ("run-new", ""),
        ("cell-ready.a", "a"),
        ("all-cells-run.ca978112ca1b", ""),
        ("cell-failed.a.e3b0c44298fc", "a"),
    ],
    "a flagged run": [
        ("run-new", ""),
        ("run-failed.03f9cb95b773", ""),
    ],
    "of an upstream": [
        ("run-new", ""),
        ("cell-ready.a", "a"),
        ("all-cells-run.ca978112ca1b", ""),
        ("cell-done.a.18ac3e7343f0", "a"),
        ("run-complete.f6a835b61e0d", ""),
    ],
    "of an upstream that was not asked": [
        ("run-new", ""),
        ("cell-ready.a", "a"),
        ("cell-done.a.18ac3e7343f0", "a"),
    ],
    "sync": [
        ("run-new", ""),
        ("sync-failed.2cf68de39060", ""),
    ],
    "backups": [
        ("run-new", ""),
        ("cell-ready.a", "a"),
        ("cell-ready.b", "b"),
        ("cell-ready.c", "c"),
        ("cell-ready.e", "e"),
        ("all-cells-run.f6f930d345a7", ""),
        ("cell-done.a.18ac3e7343f0", "a"),
        ("cell-done.b.18ac3e7343f0", "b"),
        ("backup-failed.f09b63beda3c", ""),
    ],
    "damaged": [
        ("run-new", ""),
        ("cell-ready.a", "a"),
        ("cell-ready.b", "b"),
        ("cell-ready.c", "c"),
        ("all-cells-run.8badde10c760", ""),
        ("cell-done.a.18ac3e7343f0", "a"),
        ("cell-done.b.18ac3e7343f0", "b"),
        ("cell-done.c.8299e2bc0d6e", "c"),
        ("run-complete.c0a72d15e2e8", ""),
        ("verification-failed.a.ae7b1bcaf7a2", "a"),
        ("checksums-failed.b.abc123", "b"),
    ],
    "deletable": [
        ("run-new", ""),
        ("cell-ready.a", "a"),
        ("cell-ready.b", "b"),
        ("cell-ready.c", "c"),
        ("all-cells-run.8badde10c760", ""),
        ("cell-done.a.18ac3e7343f0", "a"),
        ("cell-done.b.18ac3e7343f0", "b"),
        ("cell-done.c.18ac3e7343f0", "c"),
        ("run-complete.ef84dc3fb4b2", ""),
        ("checksums-failed.c.abc123", "c"),
        ("cell-deletable.a", "a"),
    ],
    "overdue": [
        ("run-new", ""),
        ("cell-overdue.a.2", "a"),
        ("cell-overdue-ended.b.1", "b"),
        ("cell-ready.b", "b"),
        ("cell-done.b.18ac3e7343f0", "b"),
    ],
    "attention": [
        ("run-new", ""),
        ("attention.no-results.e3b0c44298fc.1", ""),
        ("attention.owner-unknown.ca978112ca1b.1", "a"),
        ("attention-ended.quiet.0123456789ab.2", ""),
        ("cell-ready.a", "a"),
        ("all-cells-run.ca978112ca1b", ""),
    ],
    "a long name": [
        ("run-new", ""),
        ("cell-ready.718df6704d8a", LONG),
        ("all-cells-run.718df6704d8a", ""),
        ("cell-done.d96f6d15a9b2", LONG),
        ("run-complete.98e9ddcbe1ec", ""),
    ],
}


@pytest.mark.parametrize("case", SNAPSHOTS)
def test_keys(case: str) -> None:
    """Each event has its key of this and of all later versions, its run and its cell."""
    snapshot = SNAPSHOTS[case]
    events = list(happened(snapshot, Policy(), NOW))
    assert [(each.key, each.cell.name if each.cell else "") for each in events] == KEYS[case]
    for each in events:
        assert each.run == snapshot.run
        assert each.key.partition(".")[0] == each.name
        assert each.cell is None or snapshot.cell(each.cell)


FOUND = [
    KINDS["owner-unknown"].about("run", "lib/a"),
    KINDS["failed"].about("run", "lib/a"),
    KINDS["undelivered"].about("run"),
    KINDS["upstream-lost-run"].about("run", upstream="prom"),
    KINDS["dry-run"].about(),
]


def test_what_a_site_reports() -> None:
    """A run with an outbox reports what its snapshot shows; the site reports the rest."""
    kinds = [each.kind for each in for_site(run(), FOUND, reports=False)]
    assert kinds == ["owner-unknown", "upstream-lost-run"]
    kinds = [each.kind for each in for_site(run(), FOUND, reports=True)]
    assert kinds == ["upstream-lost-run"]


def test_numbers_of_occurrences() -> None:
    """The number of an occurrence is one more than that of the last end, on a site or in a run."""
    first = [key for key, _ in begun(FOUND, ())]
    assert first == [
        "attention.owner-unknown.ca978112ca1b.1",
        "attention.upstream-lost-run.3feb00294c5c.1",
    ]
    over = ["attention-ended.owner-unknown.ca978112ca1b.9", "attention-ended.quiet.ca978112ca1b.11"]
    assert [key for key, _ in begun(FOUND[:1], over)] == ["attention.owner-unknown.ca978112ca1b.10"]
    of_site = [key for key, _ in begun(FOUND[:1], (), of_site=True)]
    assert of_site == ["attention.owner-unknown.45a767811a72.1"]


def test_ends_of_occurrences() -> None:
    """An entry that is over has an end once, unless its cell is not known."""
    reported = [key for key, _ in begun(FOUND, ())]
    owner, lost = reported
    ends = [(key.replace("attention.", "attention-ended."), key) for key in reported]
    assert list(ended_keys(FOUND, reported)) == []
    assert list(ended_keys([], reported)) == ends
    assert list(ended_keys(FOUND[:1], reported)) == ends[1:]
    assert list(ended_keys([], reported, {"a"})) == ends[1:]
    assert list(ended_keys([], [owner, lost, ends[0][0]])) == ends[1:]
    assert list(ended_keys([], ["attention.quiet.0123.1", "attention.quiet.0123456789ab.0"])) == []


RUNNING = Completeness(Verdict.RUNNING, "no final_summary")
PROCESSED = cell("b", done=flag("d"))
TRIED: dict[str, Callable[[Attempt], Snapshot]] = {
    "ingest-failed": lambda last: run(
        cell("a", completeness=RUNNING, arriving=IngestState(1, last_attempt=last)), PROCESSED
    ),
    "copies-unread": lambda last: run(cell("a", done=flag("d"), verification=last), PROCESSED),
    "deletion-behind": lambda last: run(cell("a", done=flag("d"), strip=last), PROCESSED),
    "run-files-behind": lambda last: run(PROCESSED, backup=last),
}


@pytest.mark.parametrize("kind", TRIED)
def test_work_that_fails_does_not_end_while_it_is_tried_again(kind: str) -> None:
    """The message about the end waits for the end of the attempt, also of one that has died."""
    make, policy = TRIED[kind], Policy(backups=frozenset({"second"}))
    failed = ended("failed", 3, needs_person=False, failing_since="2026-11-23T01:00:00Z")
    (begin,) = (each.key for each in find_begun(make(failed), policy, NOW))
    assert begin.startswith(f"attention.{kind}.")

    def ends(last: Attempt) -> list[str]:
        reported = replace(make(last), outbox=Outbox(reported=frozenset({begin})))
        return [each.begun for each in find_ended(reported, policy, NOW)]

    assert ends(failed) == []
    assert ends(attempt("", liveness=Liveness.ALIVE)) == []
    assert ends(attempt("", liveness=Liveness.DEAD)) == []
    assert ends(ended("done")) == [begin]


def test_a_message_about_something_blocked_has_its_entry() -> None:
    """The event says what needs a person: the message has its sentence and its steps."""
    (event,) = find_begun(run(output=None), Policy(), NOW)
    assert event.attention is not None
    assert event.attention.kind == "no-results"


BEGUN = Outbox(reported=frozenset({"attention.quiet.0123456789ab.1"}))


@pytest.mark.parametrize(
    ("facts", "ends"),
    [
        pytest.param({}, True, id="nothing hides it"),
        pytest.param({"sync": attempt()}, False, id="a sync is under way"),
        pytest.param({"sync": attempt(liveness=Liveness.UNKNOWN)}, False, id="perhaps under way"),
        pytest.param({"sync": attempt("done")}, True, id="the sync is done"),
        pytest.param({"flags": frozenset({"failed"})}, False, id="the run is flagged failed"),
        pytest.param({"flags": frozenset({"aborted"})}, False, id="the run is flagged aborted"),
        pytest.param({"outbox": Outbox()}, False, id="it was not reported"),
    ],
)
def test_what_hides_an_end(facts: dict[str, Any], ends: bool) -> None:
    """Nothing ends while a flag of the run or a sync hides what its cells need."""
    usual: dict[str, Any] = {"upstream": "host:/x", "outbox": BEGUN}
    snapshot = run(cell("a", synced=True), **(usual | facts))
    assert bool(list(find_ended(snapshot, Policy(), NOW))) is ends
