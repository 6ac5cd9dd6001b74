"""Messages of the whole site: trouble that no run's outbox can take, once, in one ticket."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from notified_site import CELLS, LIBRARY, NotifiedSite, numbers
from rt_server import RtServer
from site_states import make_older, state_path

pytestmark = pytest.mark.system

ODD = "20261122_exp (2)\x1b"


@pytest.fixture
def site(tmp_path: Path, tracker: RtServer) -> NotifiedSite:
    """A site whose messages go to the tracker."""
    return NotifiedSite(tmp_path, tracker)


def messages(site: NotifiedSite) -> list[str]:
    """Messages of the site in order: the event and the kind."""
    place = site.output / ".hesiod-watch" / "messages"
    links = sorted(path for path in place.glob("[0-9]*") if path.name.isdigit())
    return [" ".join(str(link.readlink()).split(".")[:2]) for link in links]


def odd_run(site: NotifiedSite) -> Path:
    """A run whose name is not allowed."""
    (site.landing / ODD / LIBRARY / CELLS[0] / "fastq_pass").mkdir(parents=True)
    return site.landing / ODD


def test_a_name_that_is_not_allowed(site: NotifiedSite, tracker: RtServer) -> None:
    """A run that cannot be taken up is reported when it comes and when it goes, in one ticket."""
    run = odd_run(site)
    for _ in range(2):
        site.run("poll", check=1)
    assert messages(site) == ["attention quarantined"]
    shutil.rmtree(run)
    for _ in range(2):
        site.run("poll")
    assert messages(site) == ["attention quarantined", "attention-ended quarantined"]
    odd_run(site)
    site.run("poll", check=1)
    (ticket,) = tracker.tickets()
    assert str(site.landing) in ticket.subject
    assert numbers(ticket) == [1, 2, 3]
    text = site.run("messages", "--text").stdout
    assert "This is over: 20261122_exp" in text
    assert "\x1b" not in text
    assert [each["channels"]["rt"]["delivered"] for each in listed(site)] == [True] * 3


def listed(site: NotifiedSite) -> list[dict[str, dict[str, dict[str, bool]]]]:
    found: list[dict[str, dict[str, dict[str, bool]]]]
    found = json.loads(site.run("messages", "--json").stdout)["messages"]
    return found


def test_a_missing_landing_area(site: NotifiedSite) -> None:
    """Its loss and its return are one message each; nothing else ends meanwhile."""
    odd_run(site)
    site.run("poll", check=1)
    for _ in range(2):
        site.landing.rename(site.root / "away")
        site.run("poll", check=75)
        site.run("poll", check=75)
        (site.root / "away").rename(site.landing)
        site.run("poll", check=1)
    lost = ["attention landing-missing", "attention-ended landing-missing"]
    assert messages(site) == ["attention quarantined", *lost, *lost]


def test_a_service_that_stopped(site: NotifiedSite) -> None:
    """A poll reports a stopped service, and that it looks again; it never counts itself as late."""
    site.cell().write()
    with site.service():
        site.eventually(state_path(site.output, "service").exists, "the service writes its state")
    site.run("poll")
    assert messages(site) == []
    make_older(state_path(site.output, "service"))
    make_older(state_path(site.output, "poll"))
    for _ in range(2):
        site.run("poll", check=1)
    assert messages(site) == ["attention watcher-stopped"]
    with site.service():
        site.eventually(lambda: len(messages(site)) == 2, "the service reports that it looks")
    assert messages(site) == ["attention watcher-stopped", "attention-ended watcher-stopped"]


def test_a_poll_that_stopped(site: NotifiedSite) -> None:
    """The service reports a stopped poll, and the next poll ends that; a late start is no news."""
    site.cell().write()
    site.run("poll")
    make_older(state_path(site.output, "poll"))
    site.run("poll")
    assert messages(site) == []
    make_older(state_path(site.output, "poll"))
    with site.service():
        site.eventually(lambda: len(messages(site)) == 1, "the service reports the stopped poll")
        site.run("poll")
        site.eventually(lambda: len(messages(site)) == 2, "the end is reported")
    assert messages(site) == ["attention watcher-stopped", "attention-ended watcher-stopped"]


def test_an_upstream_that_does_not_answer(site: NotifiedSite) -> None:
    """An upstream is reported when it stops to answer, and when it answers again."""
    there = site.root / "there"
    there.mkdir()
    more = f"\nupstreams: {{gridion: {{location: {there}, instrument: GRID}}}}\n"
    site.configure(more=more)
    site.cell().write()
    site.run("poll", check=None)
    assert messages(site) == []
    there.rename(site.root / "away")
    for _ in range(2):
        site.run("poll", check=1)
    assert messages(site) == ["attention upstream-refusing"]
    (site.root / "away").rename(there)
    site.run("poll", check=None)
    assert messages(site) == ["attention upstream-refusing", "attention-ended upstream-refusing"]


def test_the_service_reports_and_delivers(site: NotifiedSite, tracker: RtServer) -> None:
    """The service does the same as polls, also while the tracker is down for a time."""
    run = odd_run(site)
    tracker.down()
    with site.service():
        site.eventually(lambda: messages(site) == ["attention quarantined"], "it is reported")
        tracker.up()
        shutil.rmtree(run)
        site.eventually(lambda: len(messages(site)) == 2, "its end is reported")
        site.eventually(
            lambda: [numbers(ticket) for ticket in tracker.tickets()] == [[1, 2]],
            "both are delivered",
        )
