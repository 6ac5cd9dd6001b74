"""Log lines: `TIME LEVEL sentence key=value …`, each on exactly one line.

One record is one line whatever the fields contain. Names from disk may contain newlines, escape
sequences or bytes that are not text; a traceback is a field like any other. Under systemd the
journal adds the time and reads the priority from a prefix `<n>`.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from typing import TextIO

from hesiod_watch.core.logfields import fields
from hesiod_watch.core.naming import display

__all__ = ["LineFormatter", "configure", "fields", "goes_to_journal"]

# sd-daemon(3)
PRIORITIES = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}

PLAIN_VALUE = re.compile(r"[^\s\"'=\\]+")


class LineFormatter(logging.Formatter):
    """One record, one line; fields that are None are omitted.

    `journal`: no time, and the priority for systemd.
    """

    def __init__(self, *, journal: bool = False) -> None:
        super().__init__()
        self.journal = journal

    def format(self, record: logging.LogRecord) -> str:
        given: dict[str, object] = getattr(record, "fields", {})
        values = {key: value for key, value in given.items() if value is not None}
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        sentence = display(record.getMessage())
        line = " ".join(
            [sentence, *(f"{key}={field_text(value)}" for key, value in values.items())]
        )
        if self.journal:
            return f"<{PRIORITIES.get(record.levelno, 6)}>{line}"
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return f"{moment} {record.levelname} {line}"


def field_text(value: object) -> str:
    """Format `value` as one word, in double quotes if it is empty or not plain.

    Blanks, quotes and escaped characters are not plain.
    """
    printable = display(str(value))
    if PLAIN_VALUE.fullmatch(printable):
        return printable
    return '"' + printable.replace('"', '\\"') + '"'


def goes_to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether systemd connected `stream` to its journal (`JOURNAL_STREAM`, systemd.exec(5)).

    Children inherit the variable although their output may be elsewhere, so device and inode are
    compared.
    """
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # a stream without a descriptor, or closed
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def configure(verbosity: int, stream: TextIO) -> None:
    """Send log lines to `stream`; a second call replaces the first.

    `verbosity`: below 0 only warnings, 0 actions, 1 also reasons, 2 also messages of libraries.
    """
    handler = logging.StreamHandler(stream)
    handler.set_name("hesiod-watch")
    handler.setFormatter(LineFormatter(journal=goes_to_journal(stream, os.environ)))
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if each.get_name() == "hesiod-watch"]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbosity >= 2 else logging.WARNING)
    ours = logging.WARNING if verbosity < 0 else logging.INFO if verbosity == 0 else logging.DEBUG
    logging.getLogger("hesiod_watch").setLevel(ours)
