"""Messages through a real tracker: each event once, in order, and without delay for any work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_gate import Gate, gate
from notified_site import CELLS, LIBRARY, QUEUE, RUN, NotifiedSite, first_lines, numbers, tokens
from rt_server import RtServer, Ticket
from sites import eventually
from younger_files import end_with_summaries

pytestmark = pytest.mark.system

STORY = ["run-new", "cell-ready", "all-cells-run", "cell-done", "run-complete"]
"""Messages of a run with one cell."""


@pytest.fixture
def site(tmp_path: Path, tracker: RtServer) -> NotifiedSite:
    return NotifiedSite(tmp_path, tracker)


@pytest.fixture
def tracker_gate(tracker: RtServer) -> Iterator[Gate]:
    """A gate before the tracker."""
    with gate(tracker.port) as made:
        yield made


@pytest.fixture
def gated_site(tmp_path: Path, tracker: RtServer, tracker_gate: Gate) -> NotifiedSite:
    """A site that reaches the tracker through the gate."""
    return NotifiedSite(tmp_path, tracker, tracker_gate.url)


def poll_until_delivered(site: NotifiedSite, *runs: str) -> None:
    def delivered() -> bool:
        site.run("poll", check=None)
        return not any(run["messages"]["undelivered"] for run in site.status().values())

    site.eventually(delivered, "everything is delivered")


def assert_reported_once(ticket: Ticket, count: int = len(STORY)) -> None:
    """Assert that a ticket has this number of messages, each once, in order."""
    assert numbers(ticket) == list(range(1, count + 1))
    assert len(set(tokens(ticket))) == count


# Messages of a run, without faults.


def test_life_of_a_run(site: NotifiedSite, tracker: RtServer) -> None:
    """A run leaves one ticket with all messages in order; repeated commands add nothing."""
    site.cell().write()
    assert site.run("poll").stderr == ""
    (ticket,) = tracker.tickets()
    assert (ticket.queue, ticket.subject) == (QUEUE, f"Run {RUN}")
    name = f"{LIBRARY}/{CELLS[0]}"
    assert site.messages() == STORY
    assert_reported_once(ticket)
    assert first_lines(ticket) == [
        ("Create", f"A new run: {RUN}."),
        ("Comment", f"Cell {name} of the run {RUN} has been sequenced, and all its data are here."),
        ("Comment", f"The one cell of the run {RUN} has been sequenced, and all data are here."),
        ("Correspond", f"Cell {name} of the run {RUN} is processed, checked and reported."),
        ("Correspond", f"The run {RUN} is complete: 1 cell processed."),
    ]
    done = ticket.texts[3][1]
    assert "Reads:   20; passed " in done
    assert "N50:     " in done
    assert f"Report: https://reports.invalid/{RUN}" in done
    assert (site.landing / RUN / "pipeline" / "rt_ticket").read_text() == f"{ticket.number}\n"
    for again in (["poll"], ["perform", "tell", RUN], ["perform", "notify", RUN], ["poll", RUN]):
        site.run(*again)
    assert tracker.tickets() == [ticket]


def test_a_cell_is_added_and_one_processed_again(site: NotifiedSite, tracker: RtServer) -> None:
    """A further cell of a complete run uses its ticket.

    A cell that is processed again is reported again.
    """
    site.cell().write()
    site.run("poll")
    site.cell(cell=CELLS[1]).write()
    site.run("poll")
    (ticket,) = tracker.tickets()
    added = [*STORY, "cell-ready", "all-cells-run", "cell-done", "run-complete"]
    assert site.messages() == added
    assert_reported_once(ticket, 9)
    assert ticket.texts[-1][1].startswith(f"The run {RUN} is complete: 2 cells processed.")
    pipeline = site.landing / RUN / "pipeline"
    for path in pipeline.glob(f"{CELLS[0]}.done"):
        path.unlink()
    site.run("retry", RUN, CELLS[0], "--why", "again", check=None)
    for path in pipeline.glob(f"{CELLS[0]}.started*"):
        path.unlink()
    site.run("poll")
    assert site.messages() == [*added, "cell-done", "run-complete"]
    assert_reported_once(tracker.tickets()[0], 11)


def test_a_failed_cell(site: NotifiedSite, tracker: RtServer) -> None:
    """A failed cell is reported once, with the reason and the remedy; the other cell continues."""
    bad = site.cell().write()
    site.cell(cell=CELLS[1]).write()
    (fastq,) = bad.glob("fastq_pass/barcode01/*.fastq")
    fastq.write_bytes(b"@not\nfastq\x1b[31m\n+\n")
    end_with_summaries(bad)
    for _ in range(2):
        site.run("poll", check=None)
    (ticket,) = tracker.tickets()
    (text,) = [text for _, text in ticket.texts if "needs a person" in text]
    assert f"hesiod-watch retry {RUN} {LIBRARY}/{CELLS[0]} --why TEXT" in text
    assert "\x1b" not in text
    assert site.messages().count("cell-failed") == 1
    assert site.messages().count("cell-done") == 1
    assert "run-complete" not in site.messages()


def test_types_and_queues(site: NotifiedSite, tracker: RtServer) -> None:
    """The type decides the queue of a run's ticket, or that there is none.

    A run of a type without processing is reported as received.
    """
    types = (
        'types: {v: {runs: ".*_v_.*", process: false, queue: promrun_visitor},'
        ' t: {runs: ".*test.*", notify: false}, '
    )
    site.configure(more=types + 'i: {runs: ".*"}}')
    for run in ("20261122_TEST_v_ada", "20261122_TEST_test1", RUN):
        site.cell(run).write()
    site.run("poll")
    by_run = {ticket.subject.removeprefix("Run "): ticket for ticket in tracker.tickets()}
    assert {run: ticket.queue for run, ticket in by_run.items()} == {
        "20261122_TEST_v_ada": "promrun_visitor",
        RUN: QUEUE,
    }
    assert site.messages("20261122_TEST_v_ada") == STORY[:3]
    assert site.messages("20261122_TEST_test1") == STORY
    assert (
        "reported run-complete: The run"
        in (site.output / "20261122_TEST_test1" / "pipeline.log").read_text()
    )


def test_names_that_begin_alike(site: NotifiedSite, tracker: RtServer) -> None:
    """Runs with similar names have separate tickets, without messages of the other runs."""
    runs = [RUN, f"{RUN}_2", RUN[:-1], RUN.upper(), RUN.replace("_", "-")]
    for number, run in enumerate(runs):
        site.cell(run, f"20261122_221{number}_1A_PAW0000{number}_0a1b2c3{number}").write()
    site.run("poll")
    assert sorted(ticket.subject for ticket in tracker.tickets()) == sorted(
        f"Run {run}" for run in runs
    )
    for ticket in tracker.tickets():
        assert_reported_once(ticket)
        run = ticket.subject.removeprefix("Run ")
        assert all(f" {run}." in line or f" {run} " in line for _, line in first_lines(ticket))


def test_events_that_are_not_reported(site: NotifiedSite, tracker: RtServer) -> None:
    """An event configured as "nothing" is only logged; others are comments or replies."""
    site.configure(
        events={
            "run-new": "nothing",
            "cell-ready": "reply",
            "all-cells-run": "nothing",
            "cell-done": "comment",
        }
    )
    site.cell().write()
    site.run("poll")
    (ticket,) = tracker.tickets()
    assert numbers(ticket) == [2, 4, 5]
    assert [kind for kind, _ in ticket.texts] == ["Create", "Comment", "Correspond"]
    assert "reported run-new: A new run" in (site.output / RUN / "pipeline.log").read_text()
    assert site.undelivered() == 0


def test_without_a_tracker(site: NotifiedSite, tracker: RtServer) -> None:
    """Without a tracker all messages are logged and shown; a later tracker gets only new ones."""
    site.configure(rt={})
    site.cell().write()
    site.run("poll")
    log = (site.output / RUN / "pipeline.log").read_text()
    lines = [line for line in log.splitlines() if " reported " in line]
    assert [line.split()[2].rstrip(":") for line in lines] == STORY
    shown = site.run("messages", RUN, "--text").stdout
    assert "is processed, checked and reported." in shown
    assert "in the run's log only" in shown
    site.configure()
    site.run("poll")
    assert tracker.tickets() == []
    site.cell(cell=CELLS[1]).write()
    site.run("poll")
    (ticket,) = tracker.tickets()
    assert numbers(ticket) == [6, 7, 8, 9]


def test_runs_from_before_there_were_messages(site: NotifiedSite, tracker: RtServer) -> None:
    """A run that was complete before there were messages gets none.

    A run that was incomplete gets its messages from then on.
    """
    site.configure(rt={})
    for run in (RUN, f"{RUN}_open"):
        site.cell(run).write()
    steps = site.cell(f"{RUN}_open", CELLS[1]).steps()
    next(steps)
    site.run("poll")
    for run in (RUN, f"{RUN}_open"):
        shutil.rmtree(site.landing / run / "pipeline" / "messages")
        (site.landing / run / "pipeline" / "type.yaml").unlink()
    site.configure()
    site.run("poll")
    assert not (site.landing / RUN / "pipeline" / "messages").exists()
    assert site.messages(f"{RUN}_open") == ["run-new"]
    for _ in steps:
        pass
    site.run("poll")
    (ticket,) = tracker.tickets()
    assert ticket.subject == f"Run {RUN}_open"
    assert site.messages(f"{RUN}_open") == STORY
    assert [
        key.split(".")[1]
        for key in os.listdir(site.landing / f"{RUN}_open" / "pipeline" / "messages")
        if key.startswith("cell-done")
    ] == [CELLS[1]]
    assert_reported_once(ticket)


# A tracker that is down, slow, or loses answers.


@pytest.mark.slow
@pytest.mark.timeout(400)  # ten runs are processed, and fifty messages delivered
def test_tracker_down_for_the_life_of_many_runs(site: NotifiedSite, tracker: RtServer) -> None:
    """A stopped tracker delays none of 10 runs; afterwards each ticket has all messages."""
    runs = [f"20261122_TEST_run{number:02d}" for number in range(10)]
    tracker.down()
    for number, run in enumerate(runs):
        site.cell(
            run, f"20261122_22{number:02d}_1A_PAW0{number:04d}_0a1b2c{number:02d}", reads=4
        ).write()
    first = site.run("poll")
    assert first.stderr == "", (
        "a tracker that is away for a moment is nothing to write a mail about"
    )
    status = site.status()
    assert {run: status[run]["status"] for run in runs} == dict.fromkeys(runs, "complete")
    assert {status[run]["messages"]["undelivered"] for run in runs} == {5}
    assert all("not delivered to rt" in status[run]["messages"]["why"] for run in runs)
    tracker.up()
    poll_until_delivered(site)
    tickets = tracker.tickets()
    assert sorted(ticket.subject for ticket in tickets) == [f"Run {run}" for run in runs]
    for ticket in tickets:
        assert_reported_once(ticket)


@pytest.mark.timeout(240)
def test_a_frozen_tracker_delays_nothing(site: NotifiedSite, tracker: RtServer) -> None:
    """A tracker that accepts connections but never answers costs a poll only its timeout.

    It delays no cell.
    """
    tracker.freeze()
    runs = [f"{RUN}_{number}" for number in range(4)]
    for run in runs:
        site.cell(run).write()
    poll = subprocess.Popen(site.command("poll"), env=site.environ, stderr=subprocess.PIPE)
    began = time.monotonic()
    site.eventually(
        lambda: all(f"{CELLS[0]}.done" in site.flags(run) for run in runs),
        "all cells are processed",
    )
    processed = time.monotonic() - began
    _, complaints = poll.communicate(timeout=120)
    assert (poll.returncode, complaints) == (0, b""), f"processed after {processed:.0f} s"
    tracker.thaw()
    poll_until_delivered(site)
    assert len(tracker.tickets()) == 4
    for ticket in tracker.tickets():
        assert_reported_once(ticket)


@pytest.mark.parametrize(
    "request_",
    [
        "POST /REST/2.0/ticket ",
        "POST /REST/2.0/ticket/1/comment",
        "POST /REST/2.0/ticket/1/correspond",
    ],
)
@pytest.mark.parametrize("how", ["cut", "silence"])
def test_a_lost_response(
    request_: str, how: str, gated_site: NotifiedSite, tracker_gate: Gate, tracker: RtServer
) -> None:
    """A connection that fails after the tracker accepted a message causes no duplicate."""
    assert how in ("cut", "silence")
    tracker_gate.lose(request_.rstrip(), "cut" if how == "cut" else "silence")
    gated_site.cell().write()
    gated_site.run("poll")
    poll_until_delivered(gated_site)
    (ticket,) = tracker.tickets()
    assert_reported_once(ticket)
    assert "not delivered to rt: " in (gated_site.output / RUN / "pipeline.log").read_text()


@pytest.mark.slow
def test_services_and_polls_deliver_at_once(
    gated_site: NotifiedSite, tracker_gate: Gate, tracker: RtServer
) -> None:
    """Two services and polls that deliver at once, with lost answers, deliver each message once."""
    for request in (
        "POST /REST/2.0/ticket",
        "POST /REST/2.0/ticket/1/",
        "POST /REST/2.0/ticket/2/",
    ):
        for _ in range(2):
            tracker_gate.lose(request, "cut")
    runs = [f"{RUN}_{number}" for number in range(3)]
    with gated_site.service(), gated_site.service():
        steps = [gated_site.cell(run, cell).steps() for run in runs for cell in CELLS]
        polls = [
            subprocess.Popen(
                gated_site.command("poll"), env=gated_site.environ, stderr=subprocess.PIPE
            )
            for _ in range(2)
        ]
        for each in steps:
            for _ in each:
                pass
        polls += [
            subprocess.Popen(
                gated_site.command("poll"), env=gated_site.environ, stderr=subprocess.PIPE
            )
            for _ in range(2)
        ]
        gated_site.eventually(
            lambda: all(
                run["status"] == "complete"
                and run["messages"]["total"]
                and not run["messages"]["undelivered"]
                and "run-complete" in gated_site.messages(name)
                for name, run in gated_site.status().items()
            ),
            "all is processed and reported",
        )
        for poll in polls:
            poll.communicate(timeout=120)
    tickets = tracker.tickets()
    assert sorted(ticket.subject for ticket in tickets) == [f"Run {run}" for run in runs]
    for ticket in tickets:
        count = len(gated_site.messages(ticket.subject.removeprefix("Run ")))
        assert_reported_once(ticket, count)


@pytest.mark.parametrize("request_", ["GET", "POST /REST/2.0/ticket"])
def test_killed_while_delivering(
    request_: str, gated_site: NotifiedSite, tracker_gate: Gate, tracker: RtServer
) -> None:
    """After a kill while the tracker has the message, the next deliverer sends no duplicate."""
    gated_site.cell().write()
    gated_site.configure(rt={})
    gated_site.run("poll")
    shutil.rmtree(gated_site.landing / RUN / "pipeline" / "messages")
    (gated_site.landing / RUN / "pipeline" / "messages").mkdir()
    gated_site.configure()
    gated_site.run("perform", "tell", RUN)
    killed: list[int] = []

    def kill() -> None:
        deliverer.send_signal(signal.SIGKILL)
        killed.append(deliverer.wait())

    tracker_gate.at(request_, kill)
    deliverer = subprocess.Popen(
        gated_site.command("perform", "notify", RUN), env=gated_site.environ
    )
    eventually(lambda: bool(killed), "the deliverer is killed")
    assert "notify.started" in gated_site.flags(RUN)
    poll_until_delivered(gated_site)
    (ticket,) = tracker.tickets()
    assert_reported_once(ticket)
    assert "notify.done" in gated_site.flags(RUN)


# Changes that people make to tickets.


def test_resolved_by_a_person(site: NotifiedSite, tracker: RtServer) -> None:
    """A ticket that a person resolved still gets all messages; no other ticket is opened."""
    site.cell().write()
    site.run("poll")
    (ticket,) = tracker.tickets()
    tracker.person.edit_ticket(ticket.number, Status="resolved")
    site.cell(cell=CELLS[1]).write()
    site.run("poll")
    (ticket,) = tracker.tickets()
    assert_reported_once(ticket, 9)


def test_deleted_by_a_person(site: NotifiedSite, tracker: RtServer) -> None:
    """A deleted ticket is not replaced silently.

    Status names the remedy, after which the delivery continues.
    """
    site.cell().write()
    site.run("poll")
    (ticket,) = tracker.tickets()
    tracker.person.edit_ticket(ticket.number, Status="deleted")
    site.cell(cell=CELLS[1]).write()
    site.run("poll")
    summary = site.status()[RUN]["messages"]
    assert (summary["total"], summary["undelivered"]) == (9, 4)
    assert "deleted" in summary["why"]
    assert "rt_ticket" in summary["why"]
    assert summary["next"]
    assert any(
        "rt_ticket" in line
        for line in json.loads(site.run("explain", RUN, "--json").stdout)["evidence"]
    )
    pipeline = site.landing / RUN / "pipeline"
    (pipeline / "rt_ticket").unlink()
    (pipeline / "notify.failed").unlink()
    site.run("poll")
    fresh = [each for each in tracker.tickets() if each.number != ticket.number]
    assert [numbers(each) for each in fresh] == [[6, 7, 8, 9]]


def test_ticket_status_follows_the_run(site: NotifiedSite, tracker: RtServer) -> None:
    """A ticket gets the status configured for the status of its run, and keeps any other."""
    tracked = {
        "url": tracker.url,
        "credentials": str(site.root / "rt"),
        "queue": QUEUE,
        "timeout": "5s",
    }
    site.configure(rt={**tracked, "statuses": {"complete": "resolved"}})
    site.cell().write()
    site.run("poll")
    (ticket,) = tracker.tickets()
    assert ticket.status == "resolved"
    assert_reported_once(ticket)


# Reports about the delivery.


def test_credentials_that_others_can_read(site: NotifiedSite, tracker: RtServer) -> None:
    """Bad credentials delay messages only; status, explain and doctor give the remedy.

    The secret appears in no log.
    """
    (site.root / "rt").chmod(0o644)
    site.cell().write()
    site.run("poll")
    summary = site.status()[RUN]["messages"]
    assert summary["undelivered"] == 5
    assert f"chmod 600 {site.root}/rt" in summary["why"]
    table = site.run("status").stdout
    assert "5 messages not delivered to rt: " in table
    doctor = json.loads(site.run("doctor", "--json", check=1).stdout)["checks"]
    assert [check["ok"] for check in doctor if check["name"] == "messages"] == [False]
    assert "notify.failed" in "".join(
        json.loads(site.run("explain", RUN, "--json").stdout)["you_can"]
    )
    everything = b"".join(path.read_bytes() for path in site.output.rglob("*.log"))
    assert tracker.token.encode() not in everything
    (site.root / "rt").chmod(0o600)
    (site.landing / RUN / "pipeline" / "notify.failed").unlink()
    site.run("poll")
    assert_reported_once(tracker.tickets()[0])


def test_a_poll_reports_waiting_messages_once(site: NotifiedSite, tracker: RtServer) -> None:
    """A poll prints once that messages have waited for over an hour; each one ends with code 1."""
    tracker.down()
    site.cell().write()
    assert site.run("poll").stderr == ""
    for path in (site.landing / RUN / "pipeline" / "messages").iterdir():
        if path.is_file() and not path.is_symlink():
            record = json.loads(path.read_text())
            path.write_text(json.dumps({**record, "time": "2026-11-22T10:00:00+00:00"}))
    errors = site.run("poll", check=1).stderr
    assert f"5 messages of {RUN} not delivered to rt for more than an hour: " in errors
    assert site.run("poll", check=1).stderr == ""


def test_doctor(site: NotifiedSite, tracker: RtServer) -> None:
    """The doctor asks the tracker, and reports a fault of it."""
    checks = json.loads(site.run("doctor", "--json", check=None).stdout)["checks"]
    assert [check["ok"] for check in checks if check["name"] == "messages"] == [True]
    tracker.down()
    checks = json.loads(site.run("doctor", "--json", check=1).stdout)["checks"]
    assert [check["ok"] for check in checks if check["name"] == "messages"] == [False]
