"""The journal: a file of facts known to be durable, one JSON line each, in their order.

A line is `{"n": …, …, "j": …, "~": "…"}`:

- its number from 0;
- the fact;
- the number of bytes of the journal that were known to be durable when the line was written;
- the CRC-32 of everything before `,"~"`.

Facts are added by one write and one fdatasync, and count from that moment.

Reading stops at the first wrong line. If a later line says that this place was durable, the journal
is damaged. This raises `PermanentError`, because other parts may be wrong, too. Otherwise the wrong
line is the torn tail of an interrupted write, and is cut off. `journal_state` interprets the facts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from isal import isal_zlib

from hesiod_watch.core.errors import HesiodError, PermanentError
from hesiod_watch.fastq.durable import LogFile, chunks_of, replace_whole, size_of

NAME = "journal.jsonl"

_START = b'{"n":'
_END = re.compile(rb',"~":"([0-9a-f]{8})"}\n', re.ASCII)
_END_BYTES = 17

Fact = Mapping[str, Any]
OnFact = Callable[[Fact, int, int], None]
"""Called for each fact, with the bytes of the journal up to the end of its line and their CRC-32.
"""


def line_of(number: int, fact: Fact, durable: int) -> bytes:
    """Encode one line of the journal."""
    body = json.dumps({"n": number, **fact, "j": durable}, separators=(",", ":")).encode()[:-1]
    return body + b',"~":"%08x"}\n' % isal_zlib.crc32(body)


def whole(line: bytes) -> bool:
    """Whether a line is as it was written."""
    end = _END.fullmatch(line, max(0, len(line) - _END_BYTES))
    return (
        line.startswith(_START)
        and end is not None
        and int(end[1], 16) == isal_zlib.crc32(line[:-_END_BYTES])
    )


class Journal:
    """The journal of one directory, open for writing.

    `on_fact` has received every fact that was read at opening.
    """

    def __init__(self, directory: Path, first: Fact, on_fact: OnFact) -> None:
        """Open the journal, or make it with the fact `first`; cut off a torn tail.

        Raises `PermanentError` for damage, `TemporaryError` while another process writes. `on_fact`
        may raise ValueError for a fact that contradicts earlier facts; this is damage, too.
        """
        self.path = directory / NAME
        self.length = 0  # durable bytes of the journal
        self.crc32 = 0  # CRC-32 of the durable bytes
        self._next = 0  # number of the next fact
        self.made = size_of(self.path) is None
        """Whether the journal is new."""
        if self.made:
            # The journal exists with its first line or not at all: every journal names a writer.
            replace_whole(self.path, line_of(0, first, 0))
        self._file = LogFile(self.path)
        try:
            self._replay(on_fact)
        except BaseException:
            self._file.close()
            raise

    @property
    def descriptor(self) -> int:
        """File descriptor; it holds the lock in every process that has it open."""
        return self._file.descriptor

    def append(self, facts: Iterable[Fact]) -> None:
        """Append facts durably, all or none (a crash may leave some).

        After an error nothing has been added. After `TemporaryError` the method may be called
        again; after `PermanentError` it may not.
        """
        lines = [
            line_of(self._next + number, fact, self.length) for number, fact in enumerate(facts)
        ]
        data = b"".join(lines)
        try:
            self._file.write(data, self.length)
            self._file.sync()
        except HesiodError:
            self._file.truncate(self.length)
            raise
        self._next += len(lines)
        self.length += len(data)
        self.crc32 = isal_zlib.crc32(data, self.crc32)

    def close(self) -> None:
        self._file.close()

    def _replay(self, on_fact: OnFact) -> None:
        lines = _lines(self._file.chunks())
        for line in lines:
            fact = json.loads(line) if whole(line) else None
            if fact is None or fact["n"] != self._next:
                self._require_torn(line, lines)
                self._file.truncate(self.length)
                self._file.sync()
                return
            self.length += len(line)
            self.crc32 = isal_zlib.crc32(line, self.crc32)
            try:
                on_fact(fact, self.length, self.crc32)
            except (ValueError, KeyError, TypeError) as error:
                raise self._damaged(
                    f"line {self._next + 1} contradicts earlier lines ({error})"
                ) from error
            self._next += 1

    def _require_torn(self, line: bytes, rest: Iterator[bytes]) -> None:
        """Raise unless everything from `line` on was never known to be durable."""
        for later in (line, *rest):
            # If a newline was lost, a whole line is the end of a longer one.
            start = later.rfind(_START)
            if start >= 0 and whole(later[start:]) and json.loads(later[start:])["j"] > self.length:
                raise self._damaged(
                    f"line {self._next + 1} is not as it was written, and it was durable"
                )

    def _damaged(self, how: str) -> PermanentError:
        return PermanentError(
            f"{self.path}: damaged: {how}; to begin again from the sources, remove the directory"
            f" {self.path.parent}"
        )


def last_session(directory: Path) -> tuple[Mapping[str, object] | None, bool]:
    """Owner of the last session and whether it was closed; (None, True) without a journal.

    Reads only, and stops where `Journal` would stop.
    """
    owner: Mapping[str, object] | None = None
    closed = False
    try:
        for number, line in enumerate(_lines(chunks_of(directory / NAME))):
            if not whole(line):
                break
            closed = False
            kind = line[len(b'{"n":%d,' % number) :]
            if kind.startswith((b'"k":"session"', b'"k":"close"')):
                fact = json.loads(line)
                closed = fact["k"] == "close"
                owner = owner if closed else fact["owner"]
    except FileNotFoundError:
        return None, True
    return owner, closed


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file, each with its newline; the last one may lack it."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest
