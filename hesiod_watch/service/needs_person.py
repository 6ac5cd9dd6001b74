"""Runs that need a person: what the last look at each run found, kept between two looks.

Polls print it, the state file has it, and the messages of the site report what the outbox of a run
cannot take. It decides nothing about data.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.attention import Attention
from hesiod_watch.core.circumstances import Circumstances, ConfigEffects, SlurmCondition
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import Policy, RunName, Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.rules import attention, attention_events, events
from hesiod_watch.rules.liveness import under_way
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.runs.landing import LandingArea
from hesiod_watch.service.circumstances import is_configured

logger = logging.getLogger(__name__)


@dataclass
class RunsThatNeedPerson:
    """Findings of the last look at each run; with `log`, each new one is logged once."""

    config: Config
    policy: Policy
    log: bool

    def __post_init__(self) -> None:
        # Run → its upstream's name and the location, which is missing there.
        self.missing: Mapping[Path, tuple[str, str]] = {}
        self.slurm = SlurmCondition()
        self._attention: dict[Path, tuple[Attention, ...]] = {}
        # What the messages of the site report about a run.
        self._of_site: dict[Path, tuple[Attention, ...]] = {}
        self._unjudged: dict[Path, RunName] = {}  # runs that a sync was changing at the last look

    def __contains__(self, run_dir: Path) -> bool:
        return run_dir in self._attention

    def note(self, snapshot: Snapshot, now: datetime) -> None:
        """Take over what a look found; a run that a sync is changing keeps what is known."""
        if under_way(snapshot.sync):
            self._unjudged[snapshot.path] = snapshot.run
            return  # the look after the sync reports it
        known = {(each.kind, each.cell) for each in self._attention.get(snapshot.path, ())}
        self.forget(snapshot.path)
        around = Circumstances(
            upstream_configured=is_configured(snapshot.upstream, self.config),
            lost_by=self.missing.get(snapshot.path, ("",))[0],
            slurm=self.slurm,
            effects=ConfigEffects(beside_batch=self._runs_inside(snapshot)),
        )
        found = attention.attention(snapshot, around, self.policy, now)
        if person := tuple(each for each in found if each.needs_person):
            self._attention[snapshot.path] = person
            self._of_site[snapshot.path] = self._for_site(snapshot, person)
        for each in person:
            if self.log and (each.kind, each.cell) not in known:
                logger.warning(
                    each.kind, extra=fields(run=each.run, cell=each.cell, why=each.sentence)
                )

    def _runs_inside(self, snapshot: Snapshot) -> tuple[Path, ...]:
        """Runs in directories that seem to be runs; found only if this one's cells are too deep."""
        if any(entry.kind == "wrong-level" for entry in snapshot.quarantined):
            with suppress(TemporaryError):
                return tuple(LandingArea(self.config.landing, self.config.batch).runs_beside())
        return ()

    def forget(self, run_dir: Path) -> None:
        """Forget what is known about a run."""
        self._attention.pop(run_dir, None)
        self._of_site.pop(run_dir, None)
        self._unjudged.pop(run_dir, None)

    def in_runs(self) -> Iterator[Attention]:
        """Everything that needs a person, run by run."""
        return (each for run_dir in sorted(self._attention) for each in self._attention[run_dir])

    def for_site(self) -> list[Attention]:
        """Everything that needs a person and that the outbox of its run cannot take."""
        return [each for found in list(self._of_site.values()) for each in found]

    def unjudged_runs(self) -> frozenset[str]:
        """Runs of which the last look could not find out what needs a person, for display."""
        return frozenset(map(display, self._unjudged.values()))

    def _for_site(self, snapshot: Snapshot, person: tuple[Attention, ...]) -> tuple[Attention, ...]:
        silent = "aborted" in snapshot.flags or not type_of(snapshot, self.policy).notify
        reports = events.may_report(snapshot)
        if silent or (reports and events.is_past(snapshot)):
            return ()
        return attention_events.for_site(snapshot, person, reports=reports)
