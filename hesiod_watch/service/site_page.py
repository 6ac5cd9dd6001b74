"""Make the overview page and the metrics in a process of its own, while the caller continues.

At most one such process runs at a time. States that come meanwhile replace each other, so that a
slow host makes fewer pages, never more processes. A failure is logged once, until it is over.
"""

from __future__ import annotations

import logging
import pickle
import subprocess
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hesiod_watch.core.logfields import fields
from hesiod_watch.core.system_errors import FULL
from hesiod_watch.core.text import span_text
from hesiod_watch.core.watch_state import SiteTotals, WatchState, listed_runs
from hesiod_watch.host import process
from hesiod_watch.host.child import own_module
from hesiod_watch.runs.state_files import METRICS, PAGE, state_directory, write_state_files

logger = logging.getLogger(__name__)

LIMIT = 60.0
"""Seconds after which the process that makes the page is ended."""


class WriteProblem:
    """Log of writes that fail: each reason once, until a write succeeds."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._last = ""

    def is_new(self, why: str) -> bool:
        """Whether the last write did not fail for this reason; notes it."""
        known, self._last = self._last, why
        return why != known

    def report(self, error: OSError | subprocess.SubprocessError) -> None:
        """Log why a write failed."""
        why = _words(error)
        if not self.is_new(why):
            return
        # A user who may not write there only looks; a full disk is reported by the work.
        number = getattr(error, "errno", None)
        expected = number in FULL or process.why_not_writable(self._output)
        level = logging.INFO if expected else logging.WARNING
        place = state_directory(self._output)
        logger.log(level, "no state file", extra=fields(directory=place, why=why))

    def over(self) -> None:
        """Note that a write succeeded."""
        self._last = ""


class SitePageMaker:
    """Maker of the page and the metrics of one site; used by one thread."""

    def __init__(self, output: Path, title: str) -> None:
        self._output = output
        self._title = title
        self._problem = WriteProblem(output)
        self._lock = threading.Lock()
        self._next: bytes | None = None  # the latest state that has no page yet
        self._thread: threading.Thread | None = None

    def make(self, state: WatchState, others: tuple[WatchState, ...], made_at: datetime) -> None:
        """Begin to make the files of this state."""
        totals, listed = SiteTotals.of(state.runs), listed_runs(state.runs, state.attention)
        state = replace(state, runs=listed)  # a process gets no runs that it does not show
        others = tuple(replace(other, runs=()) for other in others)
        request = pickle.dumps((state, totals, others, self._title, made_at))
        with self._lock:
            self._next = request
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="site-page", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Wait until the files of the latest state are written, or their process is ended."""
        with self._lock:
            thread = self._thread
        if thread:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                request, self._next = self._next, None
                if request is None:
                    self._thread = None
                    return
            try:
                write_state_files(self._output, _rendered(request))
            except (OSError, subprocess.SubprocessError) as error:
                self._problem.report(error)
            except Exception as error:  # the files are for people only: work continues
                if self._problem.is_new(repr(error)):
                    logger.exception("a bug while making the overview page")
            else:
                self._problem.over()


def _rendered(request: bytes) -> dict[str, bytes]:
    """Contents of the files, by name. Raises OSError or SubprocessError."""
    try:
        done = subprocess.run(
            own_module("report.site_files"),
            input=request,
            capture_output=True,
            timeout=LIMIT,
            check=True,
            cwd="/",
            start_new_session=True,  # a Ctrl-C that ends a poll is no failure of this process
        )
    except OSError as error:
        why = f"{error.filename} cannot be started: {error.strerror}"
        raise OSError(error.errno, why) from error
    metrics, page = pickle.loads(done.stdout)  # noqa: S301 -- our own process wrote it
    return {METRICS: metrics, PAGE: page}


def _words(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        last = error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        return "the overview page cannot be made: " + (last[0] if last else f"{error.returncode}")
    if isinstance(error, OSError):
        return str(error.strerror)
    return f"the overview page was not made within {span_text(LIMIT)}"
