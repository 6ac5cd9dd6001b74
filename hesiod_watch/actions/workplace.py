"""A worker's private directory, `.work.{epoch}.{token}` in the cell's output, and what it says about its progress.

Nobody else writes there, so a worker that was taken for dead by mistake can only spoil its own files. Its
directory goes when it has published; those of attempts that ended are removed by the next one.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from hesiod_watch.errors import TemporaryError
from hesiod_watch.fields import fields
from hesiod_watch.model import Owner, Progress
from hesiod_watch.observe import PROGRESS_FILE, WORK_PREFIX

logger = logging.getLogger(__name__)

SAY_EVERY = 0.5
"""Seconds between two updates of the progress file."""
LOG_EVERY = 60.0
"""Seconds between two lines about progress in the log."""


class Workplace:
    """Context manager: the directory exists inside the block; it is removed when the block ends well."""

    def __init__(self, cell_output: Path, owner: Owner, listener: Callable[[Progress], None]) -> None:
        self.cell_output = cell_output
        self.directory = cell_output / f"{WORK_PREFIX}{owner.epoch}.{owner.token[:12]}"
        self._listener = listener
        self._said = 0.0
        self._logged = time.monotonic()
        self._phase = ""

    def __enter__(self) -> Workplace:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._remove_others()
            for name in os.listdir(self.directory):
                (self.directory / name).unlink()
        except OSError as error:
            raise TemporaryError(f"{error.filename}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            shutil.rmtree(self.directory, ignore_errors=True)

    def report(self, progress: Progress) -> None:
        """Tell whoever looks how far we are; cheap enough to be called for every file."""
        now = time.monotonic()
        if now - self._said < SAY_EVERY and progress.phase == self._phase:
            return
        self._said, self._phase = now, progress.phase
        progress = dataclasses.replace(progress, updated=time.time())
        self._listener(progress)
        if now - self._logged >= LOG_EVERY:
            self._logged = now
            share = f"{progress.bytes_done / progress.bytes_total:.0%}" if progress.bytes_total else "?"
            logger.info(progress.phase, extra=fields(done=share, reads=progress.reads, bases=progress.bases))
        path = self.directory / PROGRESS_FILE
        try:
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(dataclasses.asdict(progress)))
            temporary.replace(path)
        except OSError:
            pass  # a full disk is reported by those whose data it stops; progress is only for people

    def _remove_others(self) -> None:
        """Remove the directories of attempts that have ended: our claim is the proof that they have."""
        for other in self.cell_output.glob(f"{WORK_PREFIX}*"):
            if other != self.directory and other.is_dir() and not other.is_symlink():
                shutil.rmtree(other, ignore_errors=True)
