"""The varying part of a log line.

A log call is a constant sentence plus fields, `logger.info("claimed", extra=fields(run=…,
cell=…))`, so that lines can be searched by sentence and filtered by field. Every layer may import
this module; how the lines look is decided at the edge, in `log`.
"""

from __future__ import annotations


def fields(**values: object) -> dict[str, object]:
    """The `extra` of a log call. All values go under one key, so none can collide with an attribute
    of the record.
    """
    return {"fields": values}
