"""What is blocked in a whole run: the kind, since when, and the facts of sentence and steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from blocked_cells import failing
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.circumstances import Circumstances, DeniedPath, RefusedAction
from hesiod_watch.core.model import CellId, Policy, QuarantinedName, RunName, RunType, Snapshot
from hesiod_watch.core.ownership import Attempt, Liveness, Owner, Progress
from hesiod_watch.core.queued_messages import Outbox, OutboxMessage
from hesiod_watch.rules.run_attention import attention_of_run, quarantined_names

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
THERE = "host:/data/Exp"
READY, DONE = cell(synced=True), cell(done=flag())
PIPELINE = "/landing/run/pipeline"
TYPES = Policy(types=(RunType("own", "run"),))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def sync(outcome: str = "", *, seconds: float = 60, **facts: Any) -> Attempt:
    owner = Owner("t", time=ago(seconds).isoformat())
    return attempt(outcome, owner=owner, **facts)


def messages(*failures: str, since: float = 60, person: bool = False, **facts: Any) -> Outbox:
    """An outbox with a message that these channels could not deliver."""
    record = {
        name: {
            "reason": "no route",
            "attempts": 1,
            "since": ago(since + number).isoformat(),
            "until": "",
            "needs_person": person,
        }
        for number, name in enumerate(failures)
    }
    message = OutboxMessage(
        1,
        "cell-done",
        channels=dict.fromkeys(("mail", "rt"), "comment"),
        time=ago(since).isoformat(),
    )
    usual: dict[str, Any] = {
        "channels": ("mail", "rt"),
        "waiting": (message,),
        "last_attempt": attempt("failed", channels=record),
    }
    return Outbox(**(usual | facts))


Entry = tuple[str, str, datetime | None, dict[str, str]]
REFUSED = RefusedAction("process", RunName("run"), READY.id, "no memory", 3, ago(60))
OTHERS = RefusedAction("process", RunName("other"), None, "no memory")
REFUSED_ENTRY: Entry = (
    "action-refused",
    "lib/cell",
    ago(60),
    {"action": "process", "attempts": "3 times", "why": "no memory"},
)
FLAG = f"{PIPELINE}/upstream"
UNDELIVERED = "1 message not delivered to rt: no route"
CASES: dict[str, tuple[Snapshot, dict[str, Any], list[Entry]]] = {
    "nothing": (run(READY), {}, []),
    "not trusted": (
        run(pipeline_foreign=True, problem="another owner"),
        {"refused": (REFUSED, OTHERS)},
        [
            (
                "not-trusted",
                "",
                None,
                {
                    "why": "another owner",
                    "pipeline": PIPELINE,
                    "pipeline_aside": "/landing/run.pipeline-aside",
                },
            ),
            REFUSED_ENTRY,
        ],
    ),
    "unreadable": (
        run(problem="permission denied", flags=frozenset({"failed"})),
        {},
        [("unreadable", "", None, {"why": "permission denied", "path": PIPELINE})],
    ),
    "unreadable, and new": (
        run(problem="permission denied", has_pipeline=False),
        {},
        [("unreadable", "", None, {"why": "permission denied", "path": "/landing/run"})],
    ),
    "a defect of the program": (
        run(problem="cannot be shown: KeyError"),
        {},
        [("unreadable", "", None, {"why": "cannot be shown: KeyError"})],
    ),
    "new": (run(has_pipeline=False, upstream=None, output=None), {}, []),
    "denied": (
        run(READY),
        {
            "denied": (
                DeniedPath(Path("/a"), "no right"),
                DeniedPath(Path("/b"), "no right", CellId("lib", "x")),
            )
        },
        [
            ("not-permitted", "", None, {"why": "no right", "path": "/a"}),
            ("not-permitted", "lib/x", None, {"why": "no right", "path": "/b"}),
        ],
    ),
    "a name": (
        run(quarantined=(QuarantinedName("a b", "it has a blank"),)),
        {},
        [
            (
                "quarantined",
                "",
                None,
                {
                    "it": "a b is",
                    "name": "a b",
                    "why": "it has a blank",
                    "path": "/landing/run/a b",
                    "area": "/landing",
                },
            )
        ],
    ),
    "its own name": (
        run(quarantined=(QuarantinedName("run", "it has a blank"),)),
        {},
        [
            (
                "quarantined",
                "",
                None,
                {
                    "it": "it is",
                    "name": "run",
                    "why": "it has a blank",
                    "path": "/landing/run",
                    "area": "/landing",
                },
            )
        ],
    ),
    "failed and stripped": (
        run(
            READY,
            flags=frozenset({"failed", "stripped"}),
            flag_texts={"failed": "no space"},
        ),
        {},
        [
            ("run-failed", "", None, {"why": "no space", "run_flag": f"{PIPELINE}/failed"}),
            (
                "run-stripped",
                "",
                None,
                {"why": "no reason is recorded", "run_flag": f"{PIPELINE}/stripped"},
            ),
        ],
    ),
    "aborted": (
        run(READY, flags=frozenset({"aborted"}), upstream=None, output=None),
        {"refused": (REFUSED,)},
        [
            (
                "run-aborted",
                "",
                None,
                {"why": "no reason is recorded", "run_flag": f"{PIPELINE}/aborted"},
            )
        ],
    ),
    "refused": (run(READY), {"refused": (OTHERS, REFUSED)}, [REFUSED_ENTRY]),
    "refused, for the whole run": (
        run(READY),
        {"refused": (RefusedAction("sync", RunName("run"), None, "no memory"),)},
        [
            (
                "action-refused",
                "",
                None,
                {"action": "sync", "attempts": "1 time", "why": "no memory", "of_run": "run"},
            )
        ],
    ),
    "no upstream": (
        run(DONE, upstream=None),
        {},
        [("no-upstream", "", None, {"upstream_flag": FLAG})],
    ),
    "an unreadable upstream": (
        run(DONE, upstream=None, upstream_problem="two lines"),
        {},
        [("upstream-unreadable", "", None, {"why": "two lines", "upstream_flag": FLAG})],
    ),
    "an unknown upstream": (
        run(READY, upstream=THERE),
        {"upstream_configured": False},
        [("upstream-unconfigured", "", None, {"upstream": THERE, "upstream_flag": FLAG})],
    ),
    "an unknown upstream, and all is finished": (
        run(DONE, upstream=THERE),
        {"upstream_configured": False},
        [],
    ),
    "LOCAL is not configured": (run(READY), {"upstream_configured": False}, []),
    "lost upstream": (
        run(DONE, cell("b", upstream=True), upstream=THERE),
        {"lost_by": "prom"},
        [
            (
                "upstream-lost-run",
                "",
                None,
                {"upstream": "prom", "location": THERE, "path": "/landing/run"},
            )
        ],
    ),
    "lost upstream, without a cell": (
        run(upstream=THERE),
        {"lost_by": "prom"},
        [
            (
                "upstream-lost-run",
                "",
                None,
                {"upstream": "prom", "location": THERE, "path": "/landing/run"},
            )
        ],
    ),
    "lost upstream, and all is here": (
        run(DONE, READY, upstream=THERE),
        {"lost_by": "prom"},
        [],
    ),
    "no results": (
        run(READY, output=None),
        {"output": Path("/output")},
        [
            (
                "no-results",
                "",
                None,
                {
                    "why": "the output directory is missing",
                    "output_link": f"{PIPELINE}/output",
                    "results": "/output/run",
                },
            )
        ],
    ),
    "no results, without a cell": (
        run(output=None, output_problem="leads nowhere"),
        {},
        [
            (
                "no-results",
                "",
                None,
                {"why": "leads nowhere", "output_link": f"{PIPELINE}/output"},
            )
        ],
    ),
    "a file in the place of the results": (
        run(READY, output=None, output_problem="leads to /output/run, which is not a directory"),
        {"output": Path("/output")},
        [
            (
                "no-results",
                "",
                None,
                {
                    "why": "leads to /output/run, which is not a directory",
                    "output_link": f"{PIPELINE}/output",
                    "in_place": "/output/run",
                    "in_place_aside": "/output/run.aside",
                },
            )
        ],
    ),
    "results of another run": (
        run(READY, output=None, output_foreign=True, output_problem="leads to another run"),
        {"output": Path("/output")},
        [
            (
                "results-elsewhere",
                "",
                None,
                {"why": "leads to another run", "output_link": f"{PIPELINE}/output"},
            )
        ],
    ),
    "results moved": (
        run(DONE, output=None),
        {"output": Path("/output")},
        [
            (
                "results-moved",
                "",
                None,
                {
                    "why": "the output directory is missing",
                    "output_link": f"{PIPELINE}/output",
                    "results": "/output/run",
                },
            )
        ],
    ),
    "no output area": (run(READY, output=None), {"output_problem": "not mounted"}, []),
    "a sync": (run(READY, sync=sync()), {}, []),
    "a sync in doubt": (
        run(READY, sync=sync(liveness=Liveness.UNKNOWN, evidence="on another host")),
        {},
        [
            (
                "sync-elsewhere",
                "",
                ago(60),
                {"why": "on another host", "sync_flag": f"{PIPELINE}/sync.started"},
            )
        ],
    ),
    "a sync in doubt for long": (
        run(
            READY,
            sync=sync(seconds=9999, liveness=Liveness.UNKNOWN, evidence="on another host"),
        ),
        {},
        [
            (
                "stale-sync",
                "",
                ago(9999),
                {"why": "on another host", "sync_flag": f"{PIPELINE}/sync.started"},
            )
        ],
    ),
    "a sync in doubt for long, which copies": (
        run(
            READY,
            cell("b", progress=Progress("copying", updated=ago(60).timestamp())),
            sync=sync(seconds=9999, liveness=Liveness.UNKNOWN, evidence="on another host"),
        ),
        {},
        [
            (
                "sync-elsewhere",
                "",
                ago(9999),
                {"why": "on another host", "sync_flag": f"{PIPELINE}/sync.started"},
            )
        ],
    ),
    "a sync without an owner": (
        run(READY, sync=attempt(liveness=Liveness.UNKNOWN, evidence="no owner")),
        {},
        [
            (
                "stale-sync",
                "",
                None,
                {"why": "no owner", "sync_flag": f"{PIPELINE}/sync.started"},
            )
        ],
    ),
    "a sync that died": (run(READY, sync=sync(liveness=Liveness.DEAD)), {}, []),
    "a sync that failed": (
        run(
            READY,
            upstream=THERE,
            sync=sync("failed", needs_person=True, reason="no right", ended=ago(9).isoformat()),
        ),
        {},
        [("sync-failed", "", ago(9), {"upstream": THERE, "why": "no right"})],
    ),
    "a sync that failed, at an unknown time": (
        run(READY, upstream=THERE, sync=sync("failed", needs_person=True, reason="no right")),
        {},
        [("sync-failed", "", ago(60), {"upstream": THERE, "why": "no right"})],
    ),
    "a sync that fails for an hour": (
        run(READY, upstream=THERE, sync=failing(3600)),
        {},
        [("sync-failed", "", ago(3660), {"upstream": THERE, "why": "rot"})],
    ),
    "a sync that fails for less": (run(READY, sync=failing(3599)), {}, []),
    "a sync that is retried": (run(READY, sync=sync("failed", needs_person=False)), {}, []),
    "a sync that is done": (run(READY, sync=sync("done", needs_person=True)), {}, []),
    "an unknown type": (
        run(READY, type="visitor"),
        {},
        [
            (
                "type-unknown",
                "",
                None,
                {
                    "why": f"{PIPELINE}/type.yaml says type visitor, which is not configured; the"
                    " run is treated like any other",
                    "type_file": f"{PIPELINE}/type.yaml",
                },
            )
        ],
    ),
    "an unknown type, and all is settled": (run(DONE, type="visitor"), {}, []),
    "messages": (run(READY, outbox=messages(since=9999, last_attempt=None)), {}, []),
    "messages that are retried": (
        run(READY, outbox=messages("rt")),
        {},
        [
            (
                "delivery-retried",
                "",
                ago(60),
                {"why": UNDELIVERED, "notify_flag": f"{PIPELINE}/notify.failed"},
            )
        ],
    ),
    "messages that two channels retry": (
        run(READY, outbox=messages("rt", "mail")),
        {},
        [
            (
                "delivery-retried",
                "",
                ago(61),
                {
                    "why": f"1 message not delivered to mail: no route; {UNDELIVERED}",
                    "notify_flag": f"{PIPELINE}/notify.failed",
                },
            )
        ],
    ),
    "messages that need a person": (
        run(READY, outbox=messages("rt", person=True)),
        {},
        [
            (
                "undelivered",
                "",
                ago(60),
                {"why": UNDELIVERED, "notify_flag": f"{PIPELINE}/notify.failed"},
            )
        ],
    ),
    "messages for an hour": (
        run(READY, outbox=messages("rt", since=3600)),
        {},
        [
            (
                "undelivered",
                "",
                ago(3600),
                {"why": UNDELIVERED, "notify_flag": f"{PIPELINE}/notify.failed"},
            )
        ],
    ),
    "an outbox that cannot be read": (
        run(READY, outbox=Outbox(problem="permission denied")),
        {},
        [("undelivered", "", None, {"why": "permission denied"})],
    ),
    "messages of an aborted run": (
        run(READY, outbox=messages("rt"), flags=frozenset({"aborted"})),
        {},
        [
            (
                "run-aborted",
                "",
                None,
                {"why": "no reason is recorded", "run_flag": f"{PIPELINE}/aborted"},
            ),
            (
                "delivery-retried",
                "",
                ago(60),
                {"why": UNDELIVERED, "notify_flag": f"{PIPELINE}/notify.failed"},
            ),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_blocked(case: str) -> None:
    """Each cause gives its entries in their order, with beginning and facts."""
    snapshot, around, expected = CASES[case]
    found = list(attention_of_run(snapshot, Circumstances(**around), TYPES, NOW))
    assert [(each.kind, each.cell, each.since) for each in found] == [row[:3] for row in expected]
    for each, (_, of_cell, _, facts) in zip(found, expected, strict=True):
        own = {"run": "run", **({"cell": of_cell} if of_cell else {})}
        assert each.facts == {**facts, **own}


def test_a_delivery_in_doubt_needs_a_person() -> None:
    """A delivery whose owner is unknown stops all messages of the run."""
    outbox = messages(last_attempt=attempt(liveness=Liveness.UNKNOWN, evidence="pid 7"))
    (found,) = attention_of_run(run(outbox=outbox), Circumstances(), Policy(), NOW)
    assert found.kind == "undelivered"
    assert "neither be seen alive nor proven dead (pid 7)" in found.facts["why"]
    assert found.facts["notify_claim"] == f"{PIPELINE}/notify.started"
    assert "notify_flag" not in found.facts


def test_a_directory_of_runs_has_its_own_advice() -> None:
    """Where runs are one level too deep, only the advice about `batch` is given."""
    entries = (
        QuarantinedName("a", "too deep", "wrong-level"),
        QuarantinedName("b c", "it has a blank"),
    )
    snapshot = run(cell(claims=(claim(),)), quarantined=entries)
    beside = [Path("/landing/other/x"), Path("/landing/run/a")]
    assert [each.kind for each in quarantined_names(snapshot, beside)] == ["quarantined"]
    kinds = [each.kind for each in quarantined_names(snapshot, beside[:1])]
    assert kinds == ["wrong-level", "quarantined"]
