"""State of a process that watches the landing area, as of its last look at all runs.

The service and the poll write it into a state file, for people, monitoring and each other. No
decision about data uses it, and the file may be deleted at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from datetime import datetime
from functools import lru_cache

from hesiod_watch.core.attention import Attention, Severity, Step
from hesiod_watch.core.circumstances import RefusedAction, UpstreamAnswer
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import CellId, RunName, Status
from hesiod_watch.core.naming import display
from hesiod_watch.core.records import texts_in, whole_number
from hesiod_watch.core.times import iso, time_of

FORMAT = "hesiod-watch state 1"
LISTED = 1000
"""Most finished runs that the overview page lists; it lists all others."""
_FINISHED = frozenset({Status.COMPLETE, Status.STRIPPED, Status.ABORTED, Status.HISTORIC})
SERVICE, POLL = "service", "poll"


def watcher_name(host: str, kind: str) -> str:
    """Return how a process that watches is called in sentences."""
    return f"the {kind} on {host}"


def state_file(host: str, kind: str) -> str:
    """Return the name of a process's state file."""
    return f"{host.replace('/', '_') or 'unknown'}-{kind}.json"


@lru_cache(maxsize=1024)
def shared_counts(counts: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    """Return one object for equal counts: thousands of finished runs have the same."""
    return dict(counts)


@lru_cache(maxsize=1024)
def shared_text(text: str) -> str:
    """Return one object for equal texts, such as the reasons of thousands of finished runs."""
    return text


@frozen
class RunSummary:
    """One run as the page and the metrics show it."""

    run: str
    status: str
    why: str = ""
    cells: Mapping[str, int] = field(default_factory=dict)  # stage → number of cells
    page: str = ""  # path of the run's page, relative to the state file; "": it has none
    reads: int = 0  # of all its cells, also of those that are not finished
    bases: int = 0

    def record(self) -> dict[str, object]:
        return {
            "run": self.run,
            "status": self.status,
            "why": self.why,
            "cells": dict(self.cells),
            "page": self.page,
            "reads": self.reads,
            "bases": self.bases,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> RunSummary:
        cells = record.get("cells")
        counts = cells.items() if isinstance(cells, Mapping) else ()
        return cls(
            run=str(record.get("run", "")),
            status=shared_text(str(record.get("status", ""))),
            why=shared_text(str(record.get("why", ""))),
            cells=shared_counts(
                tuple((str(stage), whole_number(number) or 0) for stage, number in counts)
            ),
            page=str(record.get("page", "")),
            reads=whole_number(record.get("reads")) or 0,
            bases=whole_number(record.get("bases")) or 0,
        )


@frozen
class SiteTotals:
    """All runs of a site in numbers."""

    runs: int
    statuses: Mapping[str, int]  # status → number of runs
    cells: Mapping[str, int]  # stage → number of cells
    reads: int
    bases: int

    @classmethod
    def of(cls, runs: Collection[RunSummary]) -> SiteTotals:
        cells = Counter[str]()
        for run in runs:
            for stage, number in run.cells.items():
                cells[stage] += number
        statuses = Counter(run.status for run in runs)
        reads, bases = sum(run.reads for run in runs), sum(run.bases for run in runs)
        return cls(len(runs), statuses, cells, reads, bases)


def listed_runs(runs: Iterable[RunSummary], found: Iterable[Attention]) -> tuple[RunSummary, ...]:
    """Runs that the overview page lists, the latest name first, because names begin with a date."""
    blocked = {display(each.run) for each in found if each.needs_person}
    listed: list[RunSummary] = []
    finished = 0
    for run in sorted(runs, key=lambda run: run.run, reverse=True):
        if run.status in _FINISHED and run.run not in blocked:
            finished += 1
            if finished > LISTED:
                continue
        listed.append(run)
    return tuple(listed)


@frozen
class WatchState:
    """Knowledge of a service or a poll after its last look at all runs."""

    kind: str  # SERVICE or POLL
    host: str
    landing: str
    last_look: datetime
    next_due: datetime | None = None  # None: not known, as for a poll that a person started
    # Starts of polls that no person started, the latest last; their distance says when the next
    # one is due.
    looks: tuple[datetime, ...] = ()
    working: bool = False  # a poll that still waits for the work that it started
    owner: Mapping[str, object] = field(default_factory=dict)  # record of the process
    version: str = ""
    config: str = ""  # path of the configuration in use
    config_digest: str = ""
    upstreams: tuple[UpstreamAnswer, ...] = ()
    refused: tuple[RefusedAction, ...] = ()
    attention: tuple[Attention, ...] = ()
    runs: tuple[RunSummary, ...] = ()

    @property
    def who(self) -> str:
        return watcher_name(self.host, self.kind)

    @property
    def file(self) -> str:
        return state_file(self.host, self.kind)

    def record(self) -> dict[str, object]:
        """Return it as the JSON object of the state file."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "host": self.host,
            "pid": self.owner.get("pid"),
            "version": self.version,
            "landing": self.landing,
            "last_look": iso(self.last_look),
            "next_due": iso(self.next_due) if self.next_due else None,
            "looks": [iso(each) for each in self.looks],
            "working": self.working,
            "owner": dict(self.owner),
            "config": self.config,
            "config_digest": self.config_digest,
            "upstreams": [
                {
                    "name": each.name,
                    "location": each.location,
                    "problem": each.problem,
                    "refused": each.refused,
                    "since": iso(each.since) if each.since else None,
                    "missing": list(each.missing),
                }
                for each in self.upstreams
            ],
            "refused": [
                {
                    "action": each.action,
                    "run": each.run,
                    "cell": str(each.cell) if each.cell else None,
                    "why": each.why,
                    "attempts": each.attempts,
                    "since": iso(each.since) if each.since else None,
                    "again": iso(each.again) if each.again else None,
                }
                for each in self.refused
            ],
            "attention": [each.record() for each in self.attention],
            "runs": [each.record() for each in self.runs],
        }

    @classmethod
    def from_record(cls, record: object) -> WatchState | None:
        """Read the JSON object of a state file; None for one of another program or format."""
        if not isinstance(record, Mapping) or record.get("format") != FORMAT:
            return None
        last_look = time_of(record.get("last_look"))
        kind, owner = record.get("kind"), record.get("owner")
        if kind not in (SERVICE, POLL) or last_look is None:
            return None
        return cls(
            kind=str(kind),
            host=str(record.get("host", "")),
            landing=str(record.get("landing", "")),
            last_look=last_look,
            next_due=time_of(record.get("next_due")),
            looks=tuple(filter(None, map(time_of, texts_in(record.get("looks"))))),
            working=record.get("working") is True,
            owner=owner if isinstance(owner, Mapping) else {},
            version=str(record.get("version", "")),
            config=str(record.get("config", "")),
            config_digest=str(record.get("config_digest", "")),
            upstreams=tuple(map(_upstream_of, _records(record, "upstreams"))),
            refused=tuple(map(_refused_of, _records(record, "refused"))),
            attention=tuple(map(_attention_of, _records(record, "attention"))),
            runs=tuple(map(RunSummary.from_record, _records(record, "runs"))),
        )


def _records(record: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    value = record.get(key)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _upstream_of(record: Mapping[str, object]) -> UpstreamAnswer:
    missing = record.get("missing")
    return UpstreamAnswer(
        name=str(record.get("name", "")),
        location=str(record.get("location", "")),
        problem=str(record.get("problem", "")),
        refused=record.get("refused") is True,
        since=time_of(record.get("since")),
        missing=tuple(map(str, missing)) if isinstance(missing, list) else (),
    )


def _refused_of(record: Mapping[str, object]) -> RefusedAction:
    library, _, name = str(record.get("cell") or "").partition("/")
    return RefusedAction(
        action=str(record.get("action", "")),
        run=RunName(str(record.get("run", ""))),
        cell=CellId(library, name) if name else None,
        why=str(record.get("why", "")),
        attempts=whole_number(record.get("attempts")) or 1,
        since=time_of(record.get("since")),
        again=time_of(record.get("again")),
    )


def _attention_of(record: Mapping[str, object]) -> Attention:
    """Return an entry as it was reported: its names are escaped, and its steps are words."""
    return Attention(
        kind=str(record.get("kind", "")),
        run=str(record.get("run") or ""),
        cell=str(record.get("cell") or ""),
        since=time_of(record.get("since")),
        severity=Severity.NOTE if record.get("severity") == Severity.NOTE else Severity.PERSON,
        sentence=str(record.get("sentence", "")),
        steps=tuple(map(Step, texts_in(record.get("steps")))),
    )
