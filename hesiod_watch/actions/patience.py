"""Patience of a worker: it waits out temporary errors under its claim, and lets other cells work.

A worker that waits longer than a moment gives its slot back. Another cell may not need what this
one waits for, such as a quota of one group. The claim stays, so no attempt is used up, and no flag
is made. Before each retry the worker takes a free slot again.

At most MOST_WAITING workers wait without a slot. Any further one keeps its slot, so that a full
disk does not start a worker for every cell.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.progress import ProgressReporter
from hesiod_watch.core.errors import HesiodError, NoSpace, TemporaryError
from hesiod_watch.core.ownership import Progress, Wait
from hesiod_watch.core.times import BackOff
from hesiod_watch.host.slots import OwnSlot, WorkerSlots

T = TypeVar("T")

PATIENCE = BackOff(timedelta(seconds=1), timedelta(minutes=5))
"""Waits before retrying after a temporary error, which may set a shorter limit of its own."""
LONGEST_WITH_SLOT = 5.0
"""Longest wait, in seconds, for which a worker keeps its slot."""
MOST_WAITING = 8
"""Number of workers of this host that may wait without a slot."""
SLOT_CHECK_INTERVAL = 0.05
"""Seconds between two attempts to take a slot: sooner than a service can start another worker."""
CLAIM_CHECK_INTERVAL = 1.0
"""Seconds between two checks of the claim while the worker has no slot."""


class Patience:
    """Waits of one worker. `check_claim` raises an error if the claim is not the worker's any more.

    It is called only while the run is in its place.
    """

    def __init__(self, job: Job, check_claim: Callable[[], None]) -> None:
        landing, locks, action = job.config.landing, job.config.locks, job.action
        processing = job.config.processing
        self._job = job
        self._check_claim = check_claim
        self._slot = OwnSlot(
            WorkerSlots(
                *(landing, action, processing.workers), most=processing.most_workers, locks=locks
            ),
            WorkerSlots(landing, f"{action}-waiting", MOST_WAITING, locks=locks),
        )

    def retry(self, step: Callable[[], T]) -> T:
        """Retry until the step succeeds or fails for good; report and wait out temporary errors."""
        job, failures = self._job, 0
        while True:
            try:
                return step()
            except TemporaryError as error:
                self._check()
                failures += 1
                delay = PATIENCE.rest(failures).total_seconds()
                wait = min(delay, error.retry_after or delay)
                job.log().line(f"{job.the_cell}: waiting {wait:.0f} s: {error}")
                phase = Wait.FOR_SPACE if isinstance(error, NoSpace) else Wait.TO_RETRY
                self._say(Progress(phase, note=str(error)))
                if wait > LONGEST_WITH_SLOT:
                    self._slot.give_back()
                time.sleep(wait)
                self._check()
                self._wait_for_slot()

    def _wait_for_slot(self) -> None:
        if self._slot.take_again():
            return
        self._say(Progress(Wait.FOR_WORKER))
        next_check = time.monotonic()
        while not self._slot.take_again():
            if time.monotonic() >= next_check:
                self._check()
                next_check = time.monotonic() + CLAIM_CHECK_INTERVAL
            time.sleep(SLOT_CHECK_INTERVAL)
        self._check()

    def _check(self) -> None:
        """An overtaken attempt need not wait."""
        self._job.open_anew()
        if self._job.pipeline.is_in_place():
            self._check_claim()

    def _say(self, progress: Progress) -> None:
        with suppress(HesiodError):  # the output area is missing; the log says so
            ProgressReporter(self._job.cell_output, self._job.on_progress).say(progress)
