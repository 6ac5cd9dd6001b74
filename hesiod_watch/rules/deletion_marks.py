"""Deletion marks on an upstream: format and parser of the list of deletable cells. No I/O.

`cells_processed.txt` is beside the upstream's runs. It is a list of decisions, one line each, for
people and for `bin/hesiod-clean-upstream`. The last line about a cell counts. Each line has ten
columns, separated by tabs:

    deletable  made  until  run/library/cell  run here  files  bytes  digest  evidence file  copies
    revoked    made  -      run/library/cell  run here  0      0      -       -              why

Times are UTC. The digest is `deletion_proof.digest_of`: the MD5 of the output of `md5sum -z` for
the cell's files. The evidence file is in `cells_processed.d` and lists the same files in the format
of `md5sum`, so that a person can check them with `md5sum -c`.

Every byte of a name except letters, digits and `._+@=,:/-` is written as `\\0` and three octal
digits (blanks in the last column stay). So one line is one cell, whatever its name is, and
`printf %b` in a shell restores the name. A truncated line does not match and is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from hesiod_watch.core.frozen import frozen

LIST = "cells_processed.txt"
EVIDENCE = "cells_processed.d"
HEADER = "# cells that hesiod-watch has found safe to delete here; see hesiod-clean-upstream --help"

Word = Literal["deletable", "revoked"]

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+@=,:/-")
_NAME = r"(?:[A-Za-z0-9._+@=,:/-]|\\0[0-7]{3})+"
_TEXT = r"(?:[A-Za-z0-9._+@=,:/ -]|\\0[0-7]{3})+"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_LINE = re.compile(
    rf"(?:deletable\t{_TIME}\t{_TIME}\t{_NAME}\t{_NAME}\t[0-9]+\t[0-9]+\t[0-9a-f]{{32}}\t{_NAME}\t{_TEXT}"
    rf"|revoked\t{_TIME}\t-\t{_NAME}\t{_NAME}\t0\t0\t-\t-\t{_TEXT})"
)


@frozen
class DeletionMark:
    """One line of the list; `place` is the path of the cell upstream, `run/library/cell`."""

    word: Word
    made: datetime
    place: str
    run: str  # name of the run in our landing area
    # end of the mark's validity: afterwards a clean-up requires a newer line; None if revoked
    until: datetime | None = None
    files: int = 0
    bytes: int = 0
    digest: str = ""
    evidence: str = ""  # file name in EVIDENCE
    said: str = ""  # for people: where copies are, or why the mark is withdrawn

    def line(self) -> str:
        """The line without its newline."""
        until = _time(self.until) if self.until else "-"
        parts = (
            self.word,
            _time(self.made),
            until,
            encoded_name(self.place),
            encoded_name(self.run),
            str(self.files),
            str(self.bytes),
            self.digest or "-",
            encoded_name(self.evidence) if self.evidence else "-",
            _encoded(self.said or "-", _SAFE | {ord(" ")}),
        )
        return "\t".join(parts)


def encoded_name(name: str) -> str:
    """Encode a name as one ASCII word; lone surrogates stand for bytes that are not UTF-8."""
    return _encoded(name, _SAFE)


def _encoded(text: str, safe: frozenset[int]) -> str:
    return "".join(
        chr(byte) if byte in safe else f"\\0{byte:03o}"
        for byte in text.encode("utf-8", "surrogateescape")
    )


def decoded_name(word: str) -> str:
    """Decode a name that `encoded_name` has encoded."""
    data = re.sub(
        rb"\\0([0-7]{3})", lambda found: bytes([int(found[1], 8) & 255]), word.encode("ascii")
    )
    return data.decode("utf-8", "surrogateescape")


def read_marks(text: bytes) -> dict[str, DeletionMark]:
    """The valid mark of each place, from the bytes of LIST; lines that are no marks are ignored."""
    marks = {}
    for line in text.decode("utf-8", "surrogateescape").split("\n"):
        if mark := _read(line):
            marks[mark.place] = mark
    return marks


def _read(line: str) -> DeletionMark | None:
    if not _LINE.fullmatch(line):
        return None
    word, made, until, place, run, files, size, digest, evidence, said = line.split("\t")
    try:
        return DeletionMark(
            "deletable" if word == "deletable" else "revoked",
            _moment(made),
            decoded_name(place),
            decoded_name(run),
            None if until == "-" else _moment(until),
            int(files),
            int(size),
            "" if digest == "-" else digest,
            "" if evidence == "-" else decoded_name(evidence),
            decoded_name(said),
        )
    except ValueError:  # the 31st of February
        return None


def evidence_text(checksums: Mapping[str, str]) -> bytes:
    """Content of the file for `md5sum -c` in the cell's directory, from MD5 sums by name.

    Names are escaped as GNU md5sum escapes them.
    """
    lines = []
    for name, md5 in sorted(
        (name.encode("utf-8", "surrogateescape"), md5) for name, md5 in checksums.items()
    ):
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        mark = b"\\" if escaped != name else b""
        lines.append(mark + md5.encode() + b"  ./" + escaped + b"\n")
    return b"".join(lines)


def evidence_name(stem: str, digest: str) -> str:
    """File name of a cell's evidence in EVIDENCE.

    Equal files give the same name, so evidence is not written twice.
    """
    return f"{stem}.{digest[:16]}.md5"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
