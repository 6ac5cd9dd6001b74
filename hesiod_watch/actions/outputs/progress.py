"""Progress of a worker: a small file for `status`, and now and then a line in the log."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hesiod_watch.core.logfields import fields
from hesiod_watch.core.ownership import Progress
from hesiod_watch.host.files import directory, replace_whole
from hesiod_watch.runs.observe import PROGRESS_FILE

logger = logging.getLogger(__name__)

SAY_EVERY = 0.5
"""Seconds between two updates of the progress file."""
LOG_EVERY = 60.0
"""Seconds between two lines about progress in the log."""


class ProgressReporter:
    """Publishes the progress of a worker; `say` is cheap enough to be called for every file."""

    def __init__(
        self, cell_output: Path, listener: Callable[[Progress], None], name: str = PROGRESS_FILE
    ) -> None:
        self._path = cell_output / name
        self._listener = listener
        self._said = 0.0
        self._logged = time.monotonic()
        self._phase = ""

    def say(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._said < SAY_EVERY and progress.phase == self._phase:
            return
        self._said, self._phase = now, progress.phase
        progress = dataclasses.replace(progress, updated=time.time())
        self._listener(progress)
        if now - self._logged >= LOG_EVERY:
            self._logged = now
            share = (
                f"{progress.bytes_done / progress.bytes_total:.0%}" if progress.bytes_total else "?"
            )
            logger.info(
                progress.phase, extra=fields(done=share, reads=progress.reads, bases=progress.bases)
            )
        self._write(json.dumps(dataclasses.asdict(progress)))

    def _write(self, text: str) -> None:
        """Replace the progress file whole if there is room.

        On a full disk, overwrite its former text, which already has space: `status` can then show
        that the worker waits.
        """
        try:
            with directory(self._path.parent, follow=True) as parent:
                replace_whole(parent, self._path.name, text.encode(), durable=False)
        except OSError:
            # Progress is only for people.
            with suppress(OSError), self._path.open("r+") as file:
                file.write(text)
                file.truncate()

    def end(self) -> None:
        """Remove the progress file: no work is under way any more."""
        # An old progress file does no harm: `status` shows the stage of a finished cell first.
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
