"""Explanations begin with the cause that blocks, wherever it is, and offer only steps that help."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from outboxes import ALL_TOLD
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.attention import Attention
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.cell_contents import Completeness, DataKind, Shortfall, Verdict
from hesiod_watch.core.circumstances import (
    Circumstances,
    DeniedPath,
    Heartbeat,
    RefusedAction,
    SlurmCondition,
    SlurmSilence,
    UpstreamAnswer,
)
from hesiod_watch.core.model import LOCAL, Cell, CellId, Policy, QuarantinedName, RunName
from hesiod_watch.core.ownership import Liveness, Owner, Progress, Wait
from hesiod_watch.rules.attention import attention, attention_of_site, oldest_first
from hesiod_watch.rules.explain import Explanation, explain_cell, explain_run
from hesiod_watch.rules.plan import plan
from hesiod_watch.rules.slurm_jobs import job_name
from hesiod_watch.rules.stages import match_cells

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
POLICY = Policy(ingest_interval=None)
THERE = "/data/promethion/run"
SHORT = Completeness(
    Verdict.SHORT, "1 of 2 FASTQ files missing", (Shortfall(DataKind.FASTQ, 1, 2),)
)
RUNNING = Completeness(Verdict.RUNNING, "still running: no final_summary yet")
LATE = (NOW - timedelta(hours=2)).timestamp()
READY, DONE = cell(synced=True), cell(done=flag("{}"))
OVERDUE = cell(completeness=SHORT, summary_since=LATE)
SILENT = UpstreamAnswer("promethion", "/data/promethion", "no route to host")
ELSEWHERE = UpstreamAnswer("gridion", "/data/gridion", "no route to host")


def explained(
    only: Cell, around: Circumstances | None = None, policy: Policy = POLICY, **facts: Any
) -> Explanation:
    """The explanation of this cell in a run whose events are all reported."""
    snapshot = run(only, outbox=ALL_TOLD, **facts)
    decision = plan(snapshot, policy, NOW)
    return explain_cell(snapshot, only.id, decision, policy, NOW, around or Circumstances())


@pytest.mark.parametrize(
    ("only", "facts", "around", "first"),
    [
        pytest.param(
            READY, {"flags": frozenset({"failed"})}, {}, "the run is flagged failed", id="run flag"
        ),
        pytest.param(
            READY, {}, {"output_problem": "not mounted"}, "not mounted", id="output missing"
        ),
        pytest.param(
            READY,
            {"output": None, "output_problem": "leads nowhere"},
            {},
            "leads nowhere",
            id="link",
        ),
        pytest.param(READY, {}, {"locks": ("no lock",)}, "no lock", id="locks"),
        pytest.param(
            READY,
            {},
            {"denied": (DeniedPath(Path("/landing/run"), "may not be written"),)},
            "may not be written",
            id="permission",
        ),
        pytest.param(
            READY,
            {},
            {"refused": (RefusedAction("process", RunName("run"), READY.id, "no memory", 3),)},
            "process was tried 3 times and has failed: no memory",
            id="refused",
        ),
        pytest.param(
            READY,
            {},
            {"busy": {"process": ("process other lib/cell",)}},
            "it waits for a free worker; busy with process other lib/cell",
            id="no free worker",
        ),
        pytest.param(
            cell(completeness=RUNNING),
            {"upstream": THERE},
            {"upstream_configured": False},
            f"waits for its upstream {THERE}",
            id="upstream not configured",
        ),
        pytest.param(
            cell(upstream=True, present=False),
            {"upstream": THERE},
            {"upstreams": (ELSEWHERE, SILENT)},
            "the upstream promethion does not answer",
            id="upstream silent",
        ),
        pytest.param(
            cell(upstream=True, present=False),
            {"upstream": THERE, "sync": attempt(liveness=Liveness.UNKNOWN, evidence="elsewhere")},
            {},
            "a sync was begun, and its owner",
            id="stale sync",
        ),
        pytest.param(
            cell(
                claims=(claim(owner=Owner("t"), worker=Owner("t")),),
                progress=Progress("waiting", note="Disk quota exceeded"),
            ),
            {},
            {},
            "its worker waits: Disk quota exceeded",
            id="quota",
        ),
        pytest.param(
            cell(
                claims=(claim(owner=Owner("t"), worker=Owner("t")),),
                progress=Progress(Wait.FOR_WORKER),
            ),
            {},
            {"busy": {"process": ("process other lib/cell",)}},
            "it waits for a free worker; busy with process other lib/cell",
            id="slot given to another cell",
        ),
        pytest.param(
            cell(
                claims=(claim(owner=Owner("t"), worker=Owner("t")),),
                progress=Progress(Wait.TO_RETRY, note="the landing area is missing"),
            ),
            {},
            {},
            "its worker waits, and tries again within 5 minutes: the landing area is missing",
            id="landing area away",
        ),
        pytest.param(
            cell(completeness=RUNNING, changed=(NOW - timedelta(days=9)).timestamp()),
            {},
            {},
            "quiet: no new file since 2026-11-13T22:00:00Z",
            id="quiet",
        ),
        pytest.param(
            cell(
                done=flag("{}"),
                verification=attempt("failed", problems=["second: x: missing"], here=True),
            ),
            {},
            {},
            "damaged: second: x: missing",
            id="damaged copy",
        ),
    ],
)
def test_the_blocking_cause_is_the_first_sentence(
    only: Cell, facts: dict[str, Any], around: dict[str, Any], first: str
) -> None:
    """The reason names what blocks a cell, also outside of it; without that cause it does not."""
    explanation = explained(only, Circumstances(**around), **facts)
    assert explanation.why.startswith(first)
    assert explanation.you_can
    assert not explanation.next.startswith("nothing; it is finished")
    healthy = explained(READY if only is READY else cell(completeness=RUNNING))
    assert not healthy.why.startswith(first)


def test_trouble_elsewhere_does_not_concern_a_cell() -> None:
    """A silent upstream of other runs, and one of a finished cell, are not its cause."""
    around = Circumstances(upstreams=(SILENT,))
    assert explained(READY, around).why == "its data are here and complete"
    assert explained(DONE, around, upstream=THERE).next == "nothing; it is finished"


ALL_STAGES = {
    "running": cell(completeness=RUNNING),
    "in its grace period": cell(completeness=SHORT, summary_since=NOW.timestamp() - 60),
    "ready": READY,
    "claimed": cell(claims=(claim(Liveness.UNKNOWN),)),
    "failed": cell(failed=flag("cut off")),
    "failed and short": cell(failed=flag("cut off"), completeness=SHORT),
    "aborted": cell(aborted=flag()),
    "done": DONE,
    "new": cell(upstream=True, present=False),
    "pending": cell(upstream=True, completeness=SHORT, summary_since=NOW.timestamp()),
}


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_a_cell_is_accepted_only_when_it_is_overdue(stage: str) -> None:
    """No other stage offers to accept a cell, and to disregard a cell is always the last step."""
    only = ALL_STAGES[stage]
    upstream = THERE if only.upstream else "LOCAL"
    can = explained(only, upstream=upstream, listed_at=THERE).you_can
    assert not any("hesiod-touch-atomic" in step for step in can)
    assert not any("hesiod-watch abort" in step for step in can[:-1])
    overdue = explained(OVERDUE).you_can
    assert "(1 of 2 FASTQ files missing): hesiod-touch-atomic" in overdue[-2]
    assert "hesiod-watch abort" in overdue[-1]


def test_a_retry_is_announced() -> None:
    """A processed cell whose backup failed is not called finished: the next attempt is named."""
    began = Owner("t", time=NOW.isoformat(), epoch=3)
    failed = attempt("failed", owner=began, reason="no route", ended=NOW.isoformat())
    done = cell(done=flag('{"manifest_md5": "abc"}', NOW.timestamp()), backup=failed)
    explanation = explained(done, policy=replace(POLICY, backups=frozenset({"second"})))
    assert explanation.why == "processed, but not backed up: no route"
    assert explanation.next.startswith("its backup is tried again in ")


@pytest.mark.parametrize(("age", "kind"), [(59, "owner-elsewhere"), (61, "owner-unknown")])
def test_work_on_another_host_is_no_trouble(age: int, kind: str) -> None:
    """An owner that this host cannot judge needs a person after an hour without a sign of work."""
    sign = (NOW - timedelta(minutes=age)).timestamp()
    old = replace(claim(Liveness.UNKNOWN), made=1.0)
    only = cell(claims=(old,), progress=Progress("compressing", updated=sign))
    (found,) = attention(run(only, outbox=ALL_TOLD), Circumstances(), POLICY, NOW)
    assert found.kind == kind
    assert found.needs_person is (age > 60)
    owner = Owner("t", time=(NOW - timedelta(minutes=age)).isoformat())
    sync = attempt(liveness=Liveness.UNKNOWN, owner=owner)
    (found,) = attention(run(upstream=THERE, sync=sync), Circumstances(), POLICY, NOW)
    assert found.needs_person is (age > 60)


@pytest.mark.parametrize(
    ("claimed", "worked", "waits", "liveness", "reported"),
    [
        pytest.param(61, 61, True, Liveness.ALIVE, True, id="requeued and held"),
        pytest.param(61, None, True, Liveness.ALIVE, True, id="requeued before it reported"),
        pytest.param(61, 59, True, Liveness.ALIVE, False, id="worked a moment ago"),
        pytest.param(59, None, True, Liveness.ALIVE, False, id="claimed a moment ago"),
        pytest.param(61, 61, False, Liveness.ALIVE, False, id="runs"),
        pytest.param(61, 61, True, Liveness.DEAD, False, id="ended meanwhile"),
    ],
)
def test_requeued_job_that_waits(
    claimed: int, worked: int | None, waits: bool, liveness: Liveness, reported: bool
) -> None:
    """A job that waits again after its worker has worked needs a person after the grace period."""

    def ago(minutes: int) -> float:
        return (NOW - timedelta(minutes=minutes)).timestamp()

    name = job_name("process", "ab" * 16)
    decider = Owner("t", slurm_name=name)
    held = replace(
        claim(liveness, owner=decider, worker=replace(decider, slurm_job="17"), evidence="held"),
        made=ago(claimed),
    )
    progress = Progress("compressing", updated=ago(worked)) if worked else None
    around = Circumstances(
        slurm=SlurmCondition(waiting_jobs=frozenset({name} if waits else {"other"}))
    )
    policy = replace(POLICY, grace=3600.0)
    snapshot = run(cell(claims=(held,), progress=progress), outbox=ALL_TOLD)
    found = [each for each in attention(snapshot, around, policy, NOW) if each.needs_person]
    assert [each.kind for each in found] == ["job-waiting"] * reported
    assert all("held" in each.sentence and name in str(each.steps[0]) for each in found)


def test_silent_parts_of_slurm() -> None:
    """Each part of Slurm that does not answer for ten minutes has its own sentence."""
    for minutes, reported in ((9, False), (11, True), (None, True)):
        silence = SlurmSilence("no route", NOW - timedelta(minutes=minutes) if minutes else None)
        for kind, slurm in (
            ("slurm-silent", SlurmCondition(controller=silence)),
            ("accounting-silent", SlurmCondition(accounting=silence)),
        ):
            found = list(attention_of_site(Circumstances(slurm=slurm), NOW))
            assert [each.kind for each in found] == [kind] * reported
            assert all("no route" in each.sentence for each in found)


def test_oldest_first() -> None:
    """The list for a person has no notes, and begins with what has waited longest."""
    old = cell("old", failed=flag(mtime=100.0))
    young = cell("young", failed=flag(mtime=200.0))
    empty = cell("empty", done=flag(mtime=50.0), results={"reads": 0})
    snapshot = run(young, empty, old, outbox=ALL_TOLD)
    found = attention(snapshot, Circumstances(), POLICY, NOW)
    assert {each.kind for each in found} == {"failed", "no-reads"}
    assert [each.cell for each in oldest_first(found)] == ["lib/old", "lib/young"]


def test_short_forms_of_a_cell() -> None:
    """A cell is found by its flow cell, its position or its beginning; a doubt finds several."""
    one = cell("20261122_2210_1A_PAW00001_0a1b2c3d")
    two = cell("20261122_2211_2-B5-D5_PAW00002_1a2b3c4d")
    snapshot = run(one, two)
    for text in ("paw00001", "1A", "20261122_2210", "lib/20261122_2210"):
        assert match_cells(snapshot, text) == [one.id]
    assert match_cells(snapshot, "2-B5-D5") == [two.id]
    assert match_cells(snapshot, "20261122") == [one.id, two.id]
    assert match_cells(snapshot, "PAW") == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_without_facts_is_still_a_sentence(kind: str) -> None:
    """A missing fact spoils no sentence, and hides each step that would name it."""
    found = KINDS[kind].about("run", str(CellId("lib", "cell")))
    assert found.sentence
    assert not any("{" in str(step) for step in found.steps)


def test_hostile_facts_stay_one_word_of_a_command() -> None:
    """A name with a quote and a line break is quoted in a command, and escaped in a sentence."""
    found = KINDS["stale-sync"].about("run", why="a\nb", sync_flag="/x/it's\n; reboot")
    assert "\n" not in found.sentence
    (step,) = found.steps
    assert step.command == r"rm $'/x/it\x27s\x0a; reboot'"


@pytest.mark.parametrize(
    "entry",
    [
        QuarantinedName("copies/cell", "another library has a cell of the same name", "doubled"),
        QuarantinedName("lib/cell", "a symbolic link", "link"),
        QuarantinedName("library of the flag", "a symbolic link", "link"),
        QuarantinedName("lib", "lib cannot be read: Permission denied", "unreadable"),
    ],
    ids=["two of its name", "a link", "a link to its library", "its library"],
)
def test_a_cell_that_is_not_worked_on_is_not_lost(entry: QuarantinedName) -> None:
    """Data are not reported as lost where an entry says why they are not seen."""
    absent = cell(present=False, library="library of the flag", synced=True)
    assert [each.kind for each in attention_in(absent)] == ["data-lost"]
    assert [each.kind for each in attention_in(absent, quarantined=(entry,))] == [entry.kind]


def attention_in(only: Cell, **facts: Any) -> tuple[Attention, ...]:
    return attention(run(only, outbox=ALL_TOLD, **facts), Circumstances(), POLICY, NOW)


@pytest.mark.parametrize(
    ("upstream", "listed_at", "listed", "said", "offered"),
    [
        (LOCAL, "", False, "no upstream lists it", False),
        (THERE, THERE, True, "its upstream lists it", True),
        (THERE, THERE, False, "no upstream lists it", False),
        (THERE, "", False, "its upstream's listing is not known here", True),
    ],
    ids=["local", "listed", "not listed", "not asked"],
)
def test_lost_data_of_a_cell(
    upstream: str, listed_at: str, listed: bool, said: str, offered: bool
) -> None:
    """Nothing is said of an upstream that was not asked, and its cell can be copied again."""
    absent = cell(present=False, library="?", synced=True, upstream=listed)
    (found,) = (
        each
        for each in attention_in(absent, upstream=upstream, listed_at=listed_at)
        if each.kind == "data-lost"
    )
    assert said in found.sentence
    assert found.steps[0].words.endswith("its library in /landing/run")
    assert any("attic" in step.command for step in found.steps) is offered


STOPPED = Heartbeat("the poll on b", NOW - timedelta(days=2), NOW - timedelta(days=1))
LOOKING = Heartbeat("the service on a", NOW, NOW + timedelta(hours=1))


def of_run(*cells: Cell, around: Circumstances, **facts: Any) -> Explanation:
    snapshot = run(*cells, outbox=ALL_TOLD, **facts)
    return explain_run(snapshot, plan(snapshot, POLICY, NOW), POLICY, NOW, around)


@pytest.mark.parametrize(
    ("watchers", "said"),
    [((STOPPED,), 1), ((STOPPED, LOOKING), 1), ((LOOKING,), 0)],
    ids=["no process looks", "one of two looks", "all look"],
)
def test_a_process_that_does_not_look_is_said_once(
    watchers: tuple[Heartbeat, ...], said: int
) -> None:
    """It is in the explanation of every run and cell, once, whether it blocks them or not."""
    around = Circumstances(watchers=watchers)
    for each in (explained(READY, around), explained(DONE, around), of_run(READY, around=around)):
        lines = (each.why, *each.evidence)
        assert sum("has looked" in line or "has not looked" in line for line in lines) == said


def test_what_is_wrong_outside_of_a_run() -> None:
    """A run is explained by what stops all work, also without cells, and by its own upstream."""
    away = Circumstances(landing_problem="not mounted", landing=Path("/landing"))
    assert of_run(around=away).why == "not mounted"
    assert of_run(DONE, around=away).why == "not mounted"
    silent = Circumstances(upstreams=(SILENT,))
    waits = cell(upstream=True, present=False)
    about = "the upstream promethion does not answer"

    def says(*cells: Cell, upstream: str) -> bool:
        explanation = of_run(*cells, around=silent, upstream=upstream)
        return any(about in line for line in (explanation.why, *explanation.evidence))

    assert says(waits, upstream=THERE)
    assert not says(waits, upstream=LOCAL)
    assert not says(DONE, upstream=THERE)


def test_an_action_on_the_run_has_no_cell() -> None:
    """A planned action on the whole run is named by its kind alone."""
    again = cell(synced=True, done=flag("{}"), results={"reads": 1})
    snapshot = run(again, outbox=ALL_TOLD)
    explanation = explain_run(snapshot, plan(snapshot, POLICY, NOW), POLICY, NOW)
    assert explanation.next == "at the next look: report (the run has no page yet)"
