"""Log of one run, for its operators: every action on the run, each line with its time.

The first line of an action is the command that repeats it. Several processes may write at once:
each line is one write to a file opened for appending, so lines never mix on a local file system. A
log that cannot be written must not stop the work, so no function here raises for a full disk or a
missing directory.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from hesiod_watch.core.logfields import fields
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import quoted
from hesiod_watch.host.files import open_or_create

logger = logging.getLogger(__name__)


class RunLog:
    """Append to the log at `path`; creates the file, but not its directory.

    Without a path the lines are discarded: the run has no directory for a log.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._complained = False

    def line(self, text: str) -> None:
        """Append one line with the time. Never raises OSError.

        Control characters in `text`, also newlines, are escaped.
        """
        self._append(display(text))

    def command(self, argv: Sequence[str]) -> None:
        """Append the command that repeats an action, quoted for pasting into a shell."""
        self._append("$ " + " ".join(quoted(word) for word in argv))

    def _append(self, text: str) -> None:
        if self.path is None:
            return
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        data = f"{moment} {text}\n".encode("utf-8", "backslashreplace")
        # A link or a FIFO of this name must neither redirect the text nor block this process.
        try:
            descriptor = open_or_create(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._complained:
                logger.warning(
                    "cannot write the run's log", extra=fields(path=self.path, error=error)
                )
            self._complained = True
