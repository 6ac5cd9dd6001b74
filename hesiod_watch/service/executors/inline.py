"""Work in this process: the short actions of a service, or a person watching one action."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from hesiod_watch.actions import Job, perform
from hesiod_watch.config import Config
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import Action, Snapshot
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.rules.liveness import same_process
from hesiod_watch.service.executors import EndedAction, NoReservation, OnEnd, Reservation

logger = logging.getLogger(__name__)

DONE, FAILED, AGAIN = 0, 1, 75


class Inline:
    """Performs an action before `start` returns; errors become exit codes, as in a child."""

    name = "inline"

    def __init__(self, config: Config, on_end: OnEnd) -> None:
        self._config = config
        self._on_end = on_end
        self.last_error = ""

    def reserve(self, action: Action) -> Reservation | None:
        return NoReservation()

    def start(
        self, action: Action, snapshot: Snapshot, owner: Owner, reservation: Reservation
    ) -> None:
        self.last_error = ""
        code = DONE
        config = replace(self._config, judge=partial(self._judge, owner))
        try:
            perform(
                Job(
                    *(action.name, snapshot.path, config, owner, action.cell),
                    *(action.reason, action.upstream, snapshot),
                )
            )
        except (TemporaryError, PermanentError) as error:
            code = AGAIN if isinstance(error, TemporaryError) else FAILED
            self.last_error = str(error)
        except Exception as error:
            # A bug in one action must not stop the others. It is logged with its traceback, and the
            # action is retried later.
            logger.exception(
                "a bug", extra=fields(run=snapshot.run, cell=action.cell, action=action.name)
            )
            code = FAILED
            self.last_error = f"a bug in hesiod-watch: {type(error).__name__}: {error}"
        self._on_end(EndedAction(snapshot.path, action, code))

    def _judge(self, working: Owner, owner: Owner | None) -> tuple[Liveness, str]:
        """Judge as the plan does: this process works on one action only, that of `working`.

        Another attempt of this process has ended, and its flag could not be changed: a full disk.
        """
        mine = owner and owner.executor == self.name and same_process(owner, working)
        if mine and owner and owner.token != working.token:
            return Liveness.DEAD, f"this process ({owner.pid}) made it, and works on another action"
        return self._config.judge(owner)

    def running(self) -> dict[str, Action]:
        return {}
