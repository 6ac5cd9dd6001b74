"""Text for people: numbers of things, and words of a command."""

from __future__ import annotations

import shlex


def number_of(number: float, one: str, many: str = "", *, form: str = "") -> str:
    """Return a number with its noun: "1 file", "3 files".

    `many` is the plural if it is not `one` plus s. `form` is the format of the number.
    """
    return f"{number:{form}} {one if number == 1 else many or f'{one}s'}"


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
