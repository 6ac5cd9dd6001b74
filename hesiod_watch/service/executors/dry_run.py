"""Dry run: the same plan, but every start is only logged."""

from __future__ import annotations

import logging

from hesiod_watch.config import Config
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import Action, Snapshot
from hesiod_watch.core.ownership import Owner
from hesiod_watch.service.executors import NoReservation, OnEnd, Reservation

logger = logging.getLogger(__name__)


class DryRun:
    """Logs the actions that would be started. `reconcile` claims nothing for it."""

    name = "dry-run"

    def __init__(self, config: Config, on_end: OnEnd) -> None:
        pass

    def reserve(self, action: Action) -> Reservation | None:
        return NoReservation()

    def start(
        self, action: Action, snapshot: Snapshot, owner: Owner, reservation: Reservation
    ) -> None:
        logger.info(
            "would start",
            extra=fields(
                run=snapshot.run, cell=action.cell, action=action.name, reason=action.reason
            ),
        )

    def running(self) -> dict[str, Action]:
        return {}
