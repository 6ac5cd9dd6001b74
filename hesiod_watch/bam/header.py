"""The header of a BAM file: lines of text and a list of references. No I/O.

The records of a file name their references by number. Blocks of two files can therefore follow each
other only if both have the same references, or one of them has none.

Headers are united line by line. The first header keeps its form and order. A line that it lacks is
added at the end. A read group or program of the same ID and another content would make the header
invalid: it is added as a comment (`@CO`). So no line is lost, except `@HD`, which describes the
order of the records of one file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence

from hesiod_watch.core.frozen import frozen

MAGIC = b"BAM\1"
TEXT_LIMIT = 64 << 20
"""Bytes of the longest accepted header text."""
REFERENCES_LIMIT = 4 << 20
"""Most references accepted: ten times as many as the largest assemblies have."""

_SIZE = struct.Struct("<i")
_NUMBERED = ("@RG", "@PG")
_BY_ID = re.compile(r"\tID:([^\t]*)")
_SEQUENCE = re.compile(r"\tSN:([^\t]*)")
_REFERENCE = re.compile(rb"[^\0-\x20\x7f]+")
_LENGTH = re.compile(r"\tLN:([0-9]+)")


@frozen
class BamHeader:
    """The header of one file, or the union of several."""

    lines: tuple[str, ...]
    references: tuple[tuple[str, int], ...]  # name and length of each, in their order

    def encode(self) -> bytes:
        """The header in the form that a BAM file has at its beginning."""
        text = "".join(f"{line}\n" for line in self.lines).encode("utf-8", "surrogateescape")
        parts = [MAGIC, _SIZE.pack(len(text)), text, _SIZE.pack(len(self.references))]
        for name, length in self.references:
            encoded = name.encode("utf-8", "surrogateescape") + b"\0"
            parts += (_SIZE.pack(len(encoded)), encoded, _SIZE.pack(length))
        return b"".join(parts)


def header_of(lines: Iterable[str]) -> BamHeader:
    """The header with these lines. Raises ValueError for an `@SQ` without name or length."""
    kept = tuple(lines)
    references = []
    for line in kept:
        if line.startswith("@SQ\t"):
            name, length = _SEQUENCE.search(line), _LENGTH.search(line)
            if name is None or length is None:
                raise ValueError("a reference without name or length")
            references.append((name[1], int(length[1])))
    return BamHeader(kept, tuple(references))


def decode(data: bytes | bytearray) -> tuple[BamHeader, int] | None:
    """The header at the beginning of inflated BAM, and its size in bytes; None if it is not whole.

    Raises ValueError if the data are no BAM header.
    """
    if not MAGIC.startswith(data[: len(MAGIC)]):
        raise ValueError("it does not begin with BAM's magic number")
    if len(data) < len(MAGIC) + _SIZE.size:
        return None
    at = len(MAGIC)
    (size,) = _SIZE.unpack_from(data, at)
    at += _SIZE.size
    if not 0 <= size <= TEXT_LIMIT:
        raise ValueError(f"its header claims a text of {size} bytes")
    if len(data) < at + size + _SIZE.size:
        return None
    text = bytes(data[at : at + size])
    at += size
    (count,) = _SIZE.unpack_from(data, at)
    at += _SIZE.size
    if not 0 <= count <= REFERENCES_LIMIT:
        raise ValueError(f"its header claims {count} references")
    references = []
    for _ in range(count):
        if len(data) < at + _SIZE.size:
            return None
        (size,) = _SIZE.unpack_from(data, at)
        if not 2 <= size <= 1 << 16:
            raise ValueError(f"its header claims a reference's name of {size} bytes")
        end = at + _SIZE.size + size
        if len(data) < end + _SIZE.size:
            return None
        name = bytes(data[at + _SIZE.size : end - 1])
        (length,) = _SIZE.unpack_from(data, end)
        if length < 0 or not _REFERENCE.fullmatch(name):
            raise ValueError("its header has a reference with an impossible name or length")
        references.append((name.decode("utf-8", "surrogateescape"), length))
        at = end + _SIZE.size
    return BamHeader(_lines(text, references), tuple(references)), at


def _lines(text: bytes, references: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """The lines of a header's text; with the references, which a text need not have."""
    decoded = text.rstrip(b"\0").decode("utf-8", "surrogateescape")
    lines = [line.rstrip("\r") for line in decoded.split("\n") if line.rstrip("\r")]
    stated: tuple[tuple[str, int], ...] | None
    try:
        stated = header_of(lines).references
    except ValueError:
        stated = None
    if stated != tuple(references):
        lines = [line for line in lines if not line.startswith("@SQ\t")]
        after = 1 if lines and lines[0].startswith("@HD") else 0
        lines[after:after] = [f"@SQ\tSN:{name}\tLN:{length}" for name, length in references]
    return tuple(lines)


def added_lines(known: Sequence[str], more: Iterable[str]) -> tuple[str, ...]:
    """The lines to add to a header with the lines `known`, so that it also has those of `more`."""
    lines = set(known)
    names = {_name(line) for line in known}
    has_references = any(line.startswith("@SQ\t") for line in known)
    added: list[str] = []
    for line in more:
        if line.startswith("@HD") or line in lines or (has_references and line[:3] == "@SQ"):
            continue
        name = _name(line)
        if name and name in names:
            line = f"@CO\t{line}"
            if line in lines:
                continue
        names.add(name)
        lines.add(line)
        added.append(line)
    return tuple(added)


def lost_lines(header: Iterable[str], source: Iterable[str]) -> list[str]:
    """The lines of a source's header that an output's header has in no form."""
    known = set(header)
    return [
        line
        for line in source
        if not line.startswith("@HD") and line not in known and f"@CO\t{line}" not in known
    ]


def _name(line: str) -> tuple[str, str] | None:
    """Type and ID of a line that must be the only one with them; None for other lines."""
    found = _BY_ID.search(line) if line[:3] in _NUMBERED else None
    return (line[:3], found[1]) if found else None
