"""The overview page and the metrics of a site."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from site_states import EVIL, NOW, site_state

from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.model import Stage, Status
from hesiod_watch.core.watch_state import LISTED, SiteTotals, WatchState, listed_runs
from hesiod_watch.report.metrics import metrics_text
from hesiod_watch.report.site import render_site


def samples(text: bytes) -> dict[str, float]:
    """Value of each sample, by its name with labels."""
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def page(state: WatchState, **more: Any) -> str:
    shown = replace(state, runs=listed_runs(state.runs, state.attention))
    return render_site(shown, SiteTotals.of(state.runs), made_at=NOW, **more)


def metrics(state: WatchState, *others: WatchState) -> dict[str, float]:
    return samples(metrics_text(state, SiteTotals.of(state.runs), others))


def test_problems_come_first() -> None:
    """Runs that need a person come first, then unfinished ones, then complete ones."""
    html = page(site_state(9))
    chips = re.findall(r'class="chip (\w+)"', html)
    assert chips == sorted(chips, key=["bad", "busy", "good"].index)
    assert set(chips) == {"bad", "busy", "good"}


def test_trouble_of_the_site_comes_first() -> None:
    """Trouble of the whole site is listed before that of runs, and runs by how long they wait."""
    state = site_state(15)
    late = KINDS["landing-missing"].about(since=NOW, why="the mount is missing", landing="/landing")
    old, *others = state.attention
    old = replace(old, since=NOW - timedelta(days=9))
    html = page(replace(state, attention=(*others, late, old)))
    listed = re.findall(r"<li>\n<p><strong>(.*?)</strong>", html)
    assert listed[0] == "This site"
    assert old.run in listed[1]
    assert len(listed) == 4


def test_run_with_an_odd_name_is_blocked() -> None:
    """A run whose name needs escapes is marked and linked like any other."""
    html = page(site_state(1, name=EVIL))
    assert 'class="chip bad"' in html
    assert html.count('href="../2026') == 2
    assert '<a href="#person">1 thing needs a person</a>' in html


def test_page_says_that_the_next_look_is_unknown() -> None:
    """A page of irregular polls says that it is not known when it is made again."""
    html = page(replace(site_state(1), next_due=None))
    assert "not known when it is made again" in html
    assert "not known when it is made again" not in page(site_state(1))


def test_page_says_when_it_is_late() -> None:
    """The page says when it was made and when it should be made again, and loads itself again."""
    html = page(site_state(1))
    assert '<meta http-equiv="refresh" content="60">' in html
    assert 'datetime="2026-11-30T12:00:00+00:00"' in html
    assert 'datetime="2026-11-30T12:10:00+00:00"' in html
    assert "<script" not in html


def test_page_links_to_runs() -> None:
    """Each run that has a page is linked, relative to the overview, also where it is blocked."""
    html = page(site_state(3))
    assert html.count('href="../2026') == 3 + 1


def test_hostile_names_stay_text() -> None:
    """No name, sentence or path becomes markup or a link to another host."""
    html = page(site_state(2, name=EVIL), title=EVIL)
    assert "<img" not in html
    assert "<script" not in html
    assert 'href="javascript' not in html
    assert "\u202e" not in html


def test_metrics_have_every_series() -> None:
    """Every status, stage and kind has a sample, so that an alert is resolved."""
    found = metrics(site_state(0))
    for status in Status:
        assert found[f'hesiod_watch_runs{{status="{status}"}}'] == 0
    for stage in Stage:
        assert found[f'hesiod_watch_cells{{stage="{stage}"}}'] == 0
    for kind in KINDS.values():
        name = f'hesiod_watch_attention{{kind="{kind.name}",severity="{kind.severity}"}}'
        assert found[name] == 0


def test_metrics_count() -> None:
    """The metrics count runs, cells, reads and what needs a person, and date the looks."""
    state = site_state(9)
    found = metrics(state, site_state(0, host="host2"))
    assert sum(value for name, value in found.items() if "_runs{" in name) == 9
    assert found["hesiod_watch_reads"] == sum(run.reads for run in state.runs)
    overdue = 'hesiod_watch_attention{kind="overdue",severity="person"}'
    assert found[overdue] == len(state.attention)
    assert (
        found["hesiod_watch_attention_oldest_timestamp_seconds"]
        == (NOW - timedelta(days=1)).timestamp()
    )
    for host in ("host1", "host2"):
        look = f'hesiod_watch_last_look_timestamp_seconds{{host="{host}",watcher="service"}}'
        assert found[look] == datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
    assert found['hesiod_watch_upstream_up{upstream="up1"}'] == 1
    assert found['hesiod_watch_upstream_up{upstream="up2"}'] == 0


@pytest.mark.parametrize("host", ['a"b', "a\nb", "a\\b"])
def test_metrics_escape_labels(host: str) -> None:
    """A label with odd characters stays on its line."""
    text = metrics_text(site_state(0, host=host), SiteTotals.of(())).decode()
    assert all(line.startswith(("#", "hesiod_watch_")) for line in text.splitlines())


def test_page_lists_all_unfinished_runs_and_the_latest_finished_ones() -> None:
    """With thousands of runs the page counts all, and lists what is open and the latest others."""
    state = site_state(3 * LISTED)
    html = page(state)
    finished = [run for run in state.runs if run.status == "complete"]
    blocked = {each.run for each in state.attention}
    quiet = sorted((run.run for run in finished if run.run not in blocked), reverse=True)
    for run in state.runs:
        listed = f'rowheader"><a href="{run.page}"' in html
        assert listed == (run.run not in quiet[LISTED:])
    hidden = len(quiet) - LISTED
    assert f"{hidden:,} earlier runs are not in this table" in html
    assert html.count(f'<span class="num">{3 * LISTED:,}</span>') == 1
    assert "not in this table" not in page(site_state(9))
