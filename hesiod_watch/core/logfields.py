"""Fields of a log line: the part that varies.

A log call is a constant sentence plus fields: `logger.info("claimed", extra=fields(run=…,
cell=…))`. So a person can search lines by sentence and filter them by field. Every layer may
import this module. Only `log`, at the edge, decides how a line looks.
"""

from __future__ import annotations


def fields(**values: object) -> dict[str, object]:
    """Return the `extra` of a log call.

    All values are under one key, so none can collide with an attribute of the log record.
    """
    return {"fields": values}
