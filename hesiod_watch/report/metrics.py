"""Metrics in the text format of Prometheus, for the textfile collector of node_exporter.

Every known status, stage and kind has a sample, 0 if there is none. So a series never ends, and an
alert on it is resolved. Times are seconds since the epoch: an age would be that of the last write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.model import Stage, Status
from hesiod_watch.core.watch_state import SiteTotals, WatchState

PREFIX = "hesiod_watch_"


def metrics_text(
    state: WatchState, totals: SiteTotals, others: tuple[WatchState, ...] = ()
) -> bytes:
    """Return the metrics of a state, with the heartbeats of the other processes that watch."""
    registry = CollectorRegistry()
    registry.register(_StateCollector(state, totals, others))
    return generate_latest(registry)


class _StateCollector(Collector):
    def __init__(
        self, state: WatchState, totals: SiteTotals, others: tuple[WatchState, ...]
    ) -> None:
        self._state = state
        self._totals = totals
        self._others = others

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from _runs(self._totals)
        yield from _attention(self._state)
        yield from _watchers((self._state, *self._others))
        upstreams = _family("upstream_up", "1 if the upstream answered the last time", "upstream")
        for answer in self._state.upstreams:
            upstreams.add_metric([answer.name], 0 if answer.problem else 1)
        yield upstreams
        refused = _family("refused_actions", "Actions that have failed and are tried again.")
        refused.add_metric([], len(self._state.refused))
        yield refused


def _runs(totals: SiteTotals) -> Iterator[GaugeMetricFamily]:
    runs = _family("runs", "Runs by status.", "status")
    for status in Status:
        runs.add_metric([status], totals.statuses.get(status, 0))
    yield runs
    cells = _family("cells", "Cells by stage.", "stage")
    for stage in Stage:
        cells.add_metric([stage], totals.cells.get(stage, 0))
    yield cells
    for name, words, number in (
        ("reads", "Reads in the results of all present runs.", totals.reads),
        ("bases", "Bases in the results of all present runs.", totals.bases),
    ):
        family = _family(name, words)
        family.add_metric([], number)
        yield family


def _attention(state: WatchState) -> Iterator[GaugeMetricFamily]:
    found = Counter(each.kind for each in state.attention)
    kinds = _family("attention", "What is blocked, by kind and severity.", "kind", "severity")
    for kind in KINDS.values():
        kinds.add_metric([kind.name, str(kind.severity)], found[kind.name])
    yield kinds
    oldest = _family(
        "attention_oldest_timestamp_seconds",
        "Beginning of the oldest thing that needs a person; 0 if there is none.",
    )
    since = [each.since.timestamp() for each in state.attention if each.since]
    oldest.add_metric([], min(since, default=0))
    yield oldest


def _watchers(states: tuple[WatchState, ...]) -> Iterator[GaugeMetricFamily]:
    look = _family("last_look_timestamp_seconds", "Last look at all runs.", "watcher", "host")
    due = _family(
        "next_look_due_timestamp_seconds",
        "When the next look at all runs is due, where this is known.",
        "watcher",
        "host",
    )
    build = _family("info", "Version of the program.", "watcher", "host", "version")
    for state in states:
        look.add_metric([state.kind, state.host], state.last_look.timestamp())
        if state.next_due:
            due.add_metric([state.kind, state.host], state.next_due.timestamp())
        build.add_metric([state.kind, state.host, state.version], 1)
    yield look
    yield due
    yield build


def _family(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, words, labels=labels)
