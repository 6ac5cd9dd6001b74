"""Event of a run: one occurrence that people may want to know about."""

from __future__ import annotations

from dataclasses import field

from hesiod_watch.core.attention import Attention
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import CellId, RunName


@frozen
class Event:
    """One occurrence that people may want to know about."""

    name: str  # a key of `rules.events.EVENTS`
    run: RunName
    key: str  # unique for each occurrence; the name of a file
    cell: CellId | None = None
    # What needs a person; only for ATTENTION.
    attention: Attention | None = field(default=None, compare=False)
    # Key of the message whose end this is, and the text of that message; only for ATTENTION_ENDED.
    begun: str = ""
    begun_text: str = ""
