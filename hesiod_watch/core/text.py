"""Text for people: numbers of things, durations, and words of a command."""

from __future__ import annotations

import shlex


def number_of(number: float, one: str, many: str = "", *, form: str = "") -> str:
    """Return a number with its noun: "1 file", "3 files".

    `many` is the plural if it is not `one` plus s. `form` is the format of the number.
    """
    return f"{number:{form}} {one if number == 1 else many or f'{one}s'}"


def span_text(seconds: float) -> str:
    """Format a duration, cut to its largest unit: "42 s", "5 min", "3 h", "2 days".

    A unit counts from two of it on: "90 min", not "1 h". bin/hesiod-flags does the same.
    """
    whole = max(0, int(seconds))
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def age_text(seconds: float) -> str:
    """Format the age of a file; by the clock of another host its time may be in the future."""
    return "future" if seconds <= -1 else span_text(seconds)


def exact_span_text(seconds: float) -> str:
    """Format a duration to the minute: "71 h 58 min", "12 min", "40 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes:02d} min" if hours else f"{minutes} min"


def quoted(word: str) -> str:
    """Quote `word` for a shell, on one line; with control characters as bash's `$'…'`."""
    if word.isprintable():
        return shlex.quote(word)
    # As the file system encodes a name: undecodable bytes become themselves again.
    data = word.encode("utf-8", "surrogateescape")
    return "$'" + "".join(_ansi_c(byte) for byte in data) + "'"


def _ansi_c(byte: int) -> str:
    plain = 0x20 <= byte < 0x7F and byte not in b"'\\"
    return chr(byte) if plain else f"\\x{byte:02x}"
