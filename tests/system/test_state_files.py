"""State files, metrics and the overview page, as the real service and real polls write them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from site_states import make_older, state_path
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.runs.state_files import read_states, write_state_files

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
HOST = os.uname().nodename
ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def land(site: Site) -> SimulatedCell:
    cell = SimulatedCell(site.landing, RUN, LIBRARY, CELL, reads_per_file=20)
    cell.write()
    return cell


def place(site: Site) -> Path:
    return site.output / ".hesiod-watch"


def state(site: Site, kind: str = "poll") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((place(site) / f"{HOST}-{kind}.json").read_text())
    return document


def age(site: Site, kind: str) -> None:
    make_older(state_path(site.output, kind))


def test_poll_writes_all_files(site: Site) -> None:
    """A poll writes its state, the metrics, and the page with a link to each run's page."""
    land(site)
    site.run("poll")
    found = state(site)
    assert found["runs"][0] | {"why": ""} == {
        "run": RUN,
        "status": "complete",
        "why": "",
        "cells": {"processed": 1},
        "page": f"../{RUN}/report.html",
        "reads": found["runs"][0]["reads"],
        "bases": found["runs"][0]["bases"],
    }
    assert (place(site) / found["runs"][0]["page"]).is_file()
    assert found["attention"] == []
    assert f'href="../{RUN}/report.html"' in (place(site) / "index.html").read_text()
    assert 'hesiod_watch_runs{status="complete"} 1.0' in (place(site) / "metrics.prom").read_text()
    assert sorted(path.name for path in place(site).iterdir() if "tmp" in path.name) == []


def test_files_may_be_deleted(site: Site) -> None:
    """Without the files everything works, and the next poll writes them again."""
    land(site)
    site.run("poll")
    for name in (f"{HOST}-poll.json", "index.html", "metrics.prom"):
        (place(site) / name).unlink()
    assert site.run("status", "--attention").stdout == ""
    assert site.run("check", check=3).stdout.startswith("HESIOD-WATCH UNKNOWN - no process")
    site.run("poll")
    assert site.run("check").stdout.startswith("HESIOD-WATCH OK - 1 run,")


def test_what_needs_a_person_is_in_the_files(site: Site) -> None:
    """The state, the page, the metrics and `check` have the same list as `status --attention`."""
    land(site)
    (site.landing / RUN / LIBRARY / "20261122_2210_1A_PAW00002_zz; rm -rf").mkdir()
    site.run("poll", check=1)
    listed = json.loads(site.run("status", "--attention", "--json", check=1).stdout)["attention"]
    assert [each["kind"] for each in state(site)["attention"]] == [each["kind"] for each in listed]
    assert "1 thing needs a person" in (place(site) / "index.html").read_text()
    kind = listed[0]["kind"]
    assert (
        f'hesiod_watch_attention{{kind="{kind}",severity="person"}} 1.0'
        in (place(site) / "metrics.prom").read_text()
    )
    done = site.run("check", check=1)
    assert "HESIOD-WATCH WARNING - 1 thing needs a person" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_nothing_is_written_below_an_unmounted_output(site: Site) -> None:
    """Where the marker is missing, nothing is written, and `check` does not say OK."""
    land(site)
    site.run("poll")
    site.output.rename(site.root / "unmounted")
    site.output.mkdir()
    assert site.run("poll", check=75).stdout == ""
    assert list(site.output.iterdir()) == []
    (site.output / ".hesiod-watch").mkdir()
    assert not write_state_files(site.output, {"index.html": b""})
    assert list((site.output / ".hesiod-watch").iterdir()) == []
    shown = site.run("check", check=3).stdout
    assert shown.startswith("HESIOD-WATCH UNKNOWN")
    assert "has no marker .hesiod-watch/output" in shown
    shutil.rmtree(site.output)
    shown = site.run("check", check=3).stdout
    assert shown.startswith("HESIOD-WATCH UNKNOWN")
    assert "does not exist: is its file system mounted?" in shown


def test_check_says_why_a_new_site_has_no_state(site: Site) -> None:
    """Without a run nothing is written, and `check` says so, and when no process has looked."""
    site.run("poll")
    assert list(site.output.iterdir()) == []
    shown = site.run("check", check=3).stdout
    assert f"there is no run in the landing area {site.landing} yet" in shown
    assert len(shown.splitlines()) == 1
    land(site)
    assert "neither the service nor a poll has looked" in site.run("check", check=3).stdout
    site.run("poll")
    assert site.run("check").stdout.startswith("HESIOD-WATCH OK")


def test_landing_missing_is_in_the_files(site: Site) -> None:
    """A poll that finds no landing area says so in the files, which keep the runs."""
    land(site)
    site.run("poll")
    site.landing.rename(site.root / "unmounted")
    site.run("poll", check=75)
    found = state(site)
    assert [each["kind"] for each in found["attention"]] == ["landing-missing"]
    assert [run["run"] for run in found["runs"]] == [RUN]
    assert "1 thing needs a person" in (place(site) / "index.html").read_text()
    assert site.run("check", check=2).stdout.startswith("HESIOD-WATCH CRITICAL")


def test_write_that_fails_stops_nothing(site: Site) -> None:
    """A page that cannot be written is logged, and the poll does its work."""
    site.run("poll")
    land(site)
    site.run("perform", "new-run", RUN)
    place(site).mkdir(exist_ok=True)
    (place(site) / "index.html").mkdir()
    done = site.run("poll")
    assert done.stderr.count("no state file") == 1
    assert site.stages() == {f"{RUN}/{LIBRARY}/{CELL}": "processed"}


def test_foreign_content_is_ignored(site: Site) -> None:
    """Files of other programs, links and broken files are no states, and stop nothing."""
    land(site)
    site.run("poll")
    (place(site) / "a-poll.json").write_text("{")
    (place(site) / "b-service.json").write_text("[]" * 10)
    (place(site) / "c-service.json").symlink_to("/dev/zero")
    os.mkfifo(place(site) / "d-service.json")
    (place(site) / "e-service.json").mkdir()
    shutil.copy(place(site) / f"{HOST}-poll.json", place(site) / "other-poll.json")
    assert [each.file for each in read_states(site.output)] == [f"{HOST}-poll.json"]
    site.run("poll")
    site.run("check")
    assert site.run("status", "--attention").stdout == ""


def test_service_writes_and_a_stopped_one_is_reported(site: Site) -> None:
    """Every command reports a service that has stopped, until its state file is deleted."""
    land(site)
    with site.service():
        site.eventually(
            (place(site) / f"{HOST}-service.json").exists, "the service writes its state"
        )
        site.eventually(
            lambda: f"{CELL}.done" in site.flags(RUN), "the cell is processed while it is watched"
        )
        assert site.run("check").stdout.startswith("HESIOD-WATCH OK")
        assert site.run("status", "--attention").stdout == ""
    assert site.run("status", "--attention").stdout == ""  # it has just stopped
    age(site, "service")
    shown = site.run("status", "--attention", check=1).stdout
    assert "no process has looked at the landing area for 2 days" in shown
    assert f"the service on {HOST}" in shown
    assert site.run("check", check=2).stdout.startswith("HESIOD-WATCH CRITICAL")
    assert "BAD   watchers no process has looked" in site.run("doctor", check=1).stdout
    polled = site.run("poll", check=1)
    assert f"the service on {HOST} has not looked at the landing area for 2 days" in polled.stderr
    (step,) = [
        line
        for line in site.run("status", "--attention", check=1).stdout.splitlines()
        if "have it forgotten" in line
    ]
    subprocess.run(["sh", "-c", step.rpartition(": ")[2]], check=True)
    assert site.run("status", "--attention").stdout == ""
    site.run("poll")


def test_explain_names_the_missing_watcher(site: Site) -> None:
    """Of a cell that waits, `explain` first says that no process looks."""
    land(site)
    site.run("poll")
    other = SimulatedCell(site.landing, RUN, LIBRARY, CELL.replace("0a1b2c3d", "1b2c3d4e"))
    other.write()
    age(site, "poll")
    first = site.run("explain", RUN, other.cell).stdout.splitlines()[0]
    assert "no process has looked at the landing area for 2 days" in first
    assert "Next: as soon as a process looks again" in site.run("explain", RUN, other.cell).stdout
    document = json.loads(site.run("explain", RUN, other.cell, "--json").stdout)
    assert document["why"].startswith("no process has looked at the landing area for 2 days")
    assert any("hesiod-watch poll" in step for step in document["you_can"])


def test_explain_has_the_stopped_processes_in_its_evidence(site: Site) -> None:
    """A process that has stopped is evidence also where it blocks nothing, in text and JSON."""
    land(site)
    site.run("poll")
    age(site, "poll")
    for about in ((RUN,), (RUN, CELL)):
        document = json.loads(site.run("explain", *about, "--json").stdout)
        said = [document["why"], *document["evidence"]]
        assert any("no process has looked at the landing area for 2 days" in each for each in said)
        assert sum("no process has looked" in each for each in said) == 1
    with site.service():
        site.eventually(
            (place(site) / f"{HOST}-service.json").exists, "the service writes its state"
        )
        said = json.loads(site.run("explain", RUN, CELL, "--json").stdout)["evidence"]
        assert any(f"the poll on {HOST} has not looked" in each for each in said)


def test_service_reports_a_stopped_poll(site: Site) -> None:
    """The service logs a poll that has stopped, and `status` says who looks."""
    land(site)
    site.run("poll")
    age(site, "poll")
    with site.service():
        site.eventually(lambda: site.logged("watcher-stopped") == 1, "the stopped poll is logged")
        shown = site.run("status", "--attention", check=1).stdout
        assert f"the poll on {HOST} has not looked" in shown


def test_killed_service_counts_as_stopped_later_only(site: Site) -> None:
    """A service that was killed a moment ago is not overdue; its failed actions are forgotten."""
    land(site)
    site.run("poll")
    with site.service() as service:
        site.eventually(
            (place(site) / f"{HOST}-service.json").exists, "the service writes its state"
        )
        service.send_signal(signal.SIGKILL)
        service.wait()
    assert site.run("status", "--attention").stdout == ""


def test_changed_configuration_is_reported(site: Site) -> None:
    """A service with an earlier configuration is reported; a new comment is no change."""
    land(site)
    with site.service():
        site.eventually(
            (place(site) / f"{HOST}-service.json").exists, "the service writes its state"
        )
        text = site.config.read_text()
        site.config.write_text(f"# a comment\n\n{text}")
        assert "configuration" not in site.run("status", "--attention").stdout
        site.config.write_text(f"{text}reports: {{title: Facility}}\n")
        shown = site.run("status", "--attention", check=1).stdout
        assert "works with a configuration that was changed" in shown


def test_silent_upstream_is_in_the_files(site: Site) -> None:
    """The last answer of each upstream is in the state, and `status --attention` shows it."""
    gone = site.root / "sequencer"
    site.configure(more=f"upstreams: {{box: {{location: {gone}}}, local: {{location: LOCAL}}}}\n")
    land(site)
    site.run("poll", check=1)
    (answer,) = state(site)["upstreams"]
    assert (answer["name"], bool(answer["problem"])) == ("box", True)
    assert "upstream box" in site.run("status", "--attention", check=1).stdout
    assert (
        'hesiod_watch_upstream_up{upstream="box"} 0.0' in (place(site) / "metrics.prom").read_text()
    )
    gone.mkdir()
    site.run("poll")
    assert site.run("status", "--attention").stdout == ""


@pytest.mark.parametrize("arguments", [["--max-age", "soon"], ["--what"], ["extra"]])
def test_check_with_a_mistake_is_unknown(site: Site, arguments: list[str]) -> None:
    """A mistake in the command line or in the configuration is UNKNOWN, never CRITICAL."""
    assert site.run("check", *arguments, check=3).stdout == ""
    site.config.write_text("landing: 3\n")
    done = site.run("check", check=3)
    assert done.stdout.startswith("HESIOD-WATCH UNKNOWN - ")
    assert len(done.stdout.splitlines()) == 1


@contextmanager
def pinged(code: int) -> Iterator[tuple[str, list[str]]]:
    """A web server that records the requests that it gets, and its address."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/secret", paths
        server.shutdown()


@pytest.mark.parametrize(("code", "failures"), [(200, 0), (500, 1)])
def test_ping(site: Site, code: int, failures: int) -> None:
    """Each poll over all runs fetches the address; a failure is logged without its path."""
    land(site)
    with pinged(code) as (url, paths):
        site.configure(more=f"notify: {{ping_url: {url}}}\n")
        done = site.run("poll")
        site.run("poll", RUN)
        assert paths == ["/secret"]
        assert done.stderr.count("ping failed") == failures
        assert "secret" not in done.stderr


def test_ping_that_is_not_answered_delays_nothing(site: Site) -> None:
    """The service processes a cell while its ping waits for an answer."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        site.configure(more=f"notify: {{ping_url: http://127.0.0.1:{port}/}}\n")
        with site.service():
            land(site)
            site.eventually(
                lambda: f"{CELL}.done" in site.flags(RUN), "the cell is processed", seconds=9
            )


def test_alert_rules_and_metrics_are_valid(site: Site) -> None:
    """Prometheus's own program accepts the alert rules and the metrics."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: the Debian package prometheus is not installed")
    rules = ROOT / "contrib/monitoring/hesiod-watch.rules.yml"
    subprocess.run([promtool, "check", "rules", str(rules)], check=True, capture_output=True)
    land(site)
    site.run("poll")
    with (place(site) / "metrics.prom").open("rb") as metrics:
        done = subprocess.run(
            [promtool, "check", "metrics"], stdin=metrics, capture_output=True, text=True
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_monitoring_uses_existing_metrics(site: Site) -> None:
    """Every metric and label value that the rules and the dashboard name exists."""
    import re

    land(site)
    site.run("poll")
    metrics = (place(site) / "metrics.prom").read_text()
    rules = (ROOT / "contrib/monitoring/hesiod-watch.rules.yml").read_text()
    dashboard = (ROOT / "contrib/monitoring/grafana-dashboard.json").read_text()
    assert json.loads(dashboard)["panels"]
    assert {rule["labels"]["severity"] for rule in yaml.safe_load(rules)["groups"][0]["rules"]} == {
        *("critical", "warning")
    }
    for name in set(re.findall(r"\bhesiod_watch_\w+", rules + dashboard)):
        assert f"# TYPE {name} gauge" in metrics, name
    for kind in re.findall(r'kind=~"([^"]+)"', rules):
        for each in kind.split("|"):
            assert f'kind="{each}"' in metrics
    assert importlib.util.find_spec("prometheus_client")
