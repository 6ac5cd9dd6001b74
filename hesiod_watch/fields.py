"""Words for logging: the varying part of a log line, and text made safe to print on one line.

A log call is a constant sentence plus fields, `logger.info("claimed", extra=fields(run=…, cell=…))`, so that
lines can be searched by sentence and filtered by field. Every layer may import this module; how the lines look
is decided at the edge, in `log`.
"""

from __future__ import annotations

import unicodedata

# Control, format (bidirectional overrides, zero-width), surrogate (undecodable bytes), private, unassigned,
# line separator and paragraph separator: whatever moves a cursor, reverses text or breaks a line.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def fields(**values: object) -> dict[str, object]:
    """The `extra` of a log call. All values go under one key, so none can collide with an attribute of the record."""
    return {"fields": values}


def escaped(text: str) -> str:
    """`text` on one line, harmless to a terminal: `a\\nb` for a newline, `\\xff` for a byte that is no UTF-8.

    Backslashes are doubled, so two different names never print as the same text.
    """
    return "".join(_escaped_character(character) for character in text)


def _escaped_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if unicodedata.category(character) not in UNPRINTABLE:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: the byte that the file name really has
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
