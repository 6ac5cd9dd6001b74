"""State of the outputs according to a journal: each output and its durable pieces, in order.

`JournalState` takes facts that come from the journal or are about to be written to it. It refuses
facts that contradict earlier ones. The facts, with their fields:

- session (owner, format, level, recompress): a process began to write. Settings that differ from
  the earlier ones make everything void.
- output (out, name, barcode, part, members): an output by its number. `members`: it consists of the
  sources' own gzip members.
- piece (out, and the fields of a `Piece`): one source, at the end of an output.
- seen (out, piece, ctime_ns, inode, sha256): the source of a piece was read again and has the same
  text. These are its hints and its checksum now.
- cut (out, pieces, why): only the first `pieces` count. The other pieces and the end do not.
- drop (out, why): the whole output does not count.
- end (out, bytes, md5): the output is finished, with that length and MD5.
- close: the session ended normally.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from hesiod_watch.fastq.journal import Fact
from hesiod_watch.fastq.model import Output, Piece, Settings, SourceIdentity

FORMAT = 1
_ALWAYS = ("source", "size", "mtime_ns", "offset", "length", "crc32", "reads", "bases")
"""Fields of a piece in every journal, in their order."""
_LATER = ("ctime_ns", "inode", "text_bytes", "text_crc32")
"""Fields of a piece that journals of 0.1.0 lack. Later journals may lack `sha256`."""


@dataclass(slots=True)
class JournalEntry:
    """One output according to the journal."""

    number: int
    name: str
    barcode: str | None
    part: str
    members: bool
    pieces: list[Piece] = field(default_factory=list)
    end: int = 0  # bytes, without the end-of-file block
    source_bytes: int = 0
    reads: int = 0
    bases: int = 0
    ended: tuple[int, str] | None = None  # bytes and MD5 of the whole
    # The journal write that added the last pieces, named by the journal's length before it.
    commit: int = -1
    commit_start: int = 0  # number of the first piece of that write

    @property
    def header(self) -> tuple[str, ...]:
        """Lines that the sources after the first one add to the header of a BAM output."""
        return tuple(line for piece in self.pieces for line in piece.header)

    def add(self, piece: Piece) -> None:
        if self.ended or piece.offset != self.end or piece.output != self.name:
            raise ValueError("a piece that does not follow the previous one")
        self.pieces.append(piece)
        self.end += piece.length
        self.source_bytes += piece.size
        self.reads += piece.reads
        self.bases += piece.bases

    def see(self, number: int, again: SourceIdentity) -> None:
        if not 0 <= number < len(self.pieces):
            raise ValueError("a piece that does not exist")
        self.pieces[number] = replace(self.pieces[number], **asdict(again))

    def cut(self, count: int) -> None:
        if not 0 <= count <= len(self.pieces):
            raise ValueError("a cut after the end")
        for piece in self.pieces[count:]:
            self.source_bytes -= piece.size
            self.reads -= piece.reads
            self.bases -= piece.bases
        del self.pieces[count:]
        last = self.pieces[-1] if self.pieces else None
        self.end = last.offset + last.length if last else 0
        self.ended = None


class JournalState:
    """The outputs of a journal, by number, after the facts so far."""

    def __init__(self) -> None:
        self.entries: dict[int, JournalEntry] = {}
        # Level and recompress: other settings give other bytes.
        self.settings: tuple[str, bool] | None = None
        # Names of outputs that no longer count; files of these names may still exist.
        self.void: set[str] = set()
        self.commit = -1  # the last journal write that had pieces
        self._next = 0

    def __call__(self, fact: Fact) -> None:
        """Apply one fact. Raises ValueError, KeyError or TypeError if it cannot be true."""
        match fact["k"]:
            case "piece":
                entry = self.entries[fact["out"]]
                self.commit = fact.get("j", -1)
                if entry.commit != self.commit:
                    entry.commit, entry.commit_start = self.commit, len(entry.pieces)
                entry.add(piece_of(fact, entry.name))
            case "session":
                self._begin(fact)
            case "output":
                if fact["out"] != self._next or any(
                    entry.name == fact["name"] for entry in self.entries.values()
                ):
                    raise ValueError("an output that already exists")
                self.entries[self._next] = JournalEntry(
                    fact["out"], fact["name"], fact["barcode"], fact["part"], fact["members"]
                )
                self.void.discard(fact["name"])
                self._next += 1
            case "seen":
                self.entries[fact["out"]].see(
                    fact["piece"],
                    SourceIdentity(fact["ctime_ns"], fact["inode"], fact.get("sha256", "")),
                )
            case "cut":
                self.entries[fact["out"]].cut(fact["pieces"])
            case "drop":
                self.void.add(self.entries.pop(fact["out"]).name)
            case "end":
                self.entries[fact["out"]].ended = (fact["bytes"], fact["md5"])
            case "close":
                pass
            case kind:
                raise ValueError(f"the fact {kind!r} is of another version of this program")

    @property
    def next_number(self) -> int:
        """Number of the next output."""
        return self._next

    def _begin(self, fact: Fact) -> None:
        if fact["format"] != FORMAT:
            raise ValueError(f"format {fact['format']!r} is of another version of this program")
        settings = (fact["level"], fact["recompress"])
        if self.settings not in (None, settings):
            self.void.update(entry.name for entry in self.entries.values())
            self.entries.clear()
        self.settings = settings


def session(owner: Mapping[str, object], settings: Settings) -> Fact:
    return {
        "k": "session",
        "owner": dict(owner),
        "format": FORMAT,
        "level": settings.level,
        "recompress": settings.recompress,
    }


def output(number: int, listed: Output, members: bool) -> Fact:
    return {
        "k": "output",
        "out": number,
        "name": listed.name,
        "barcode": listed.barcode,
        "part": listed.part,
        "members": members,
    }


def piece(number: int, taken: Piece) -> Fact:
    fact = {"k": "piece", "out": number, **{key: getattr(taken, key) for key in _ALWAYS}}
    if taken.inode:
        fact |= {key: getattr(taken, key) for key in _LATER}
    if taken.sha256:
        fact["sha256"] = taken.sha256
    if taken.header:
        fact["header"] = taken.header
    return fact | {"note": taken.note} if taken.note else fact


def piece_of(fact: Fact, name: str) -> Piece:
    known = {key: fact[key] for key in _ALWAYS} | {key: fact.get(key, 0) for key in _LATER}
    return Piece(
        output=name,
        note=fact.get("note", ""),
        sha256=fact.get("sha256", ""),
        header=tuple(fact.get("header", ())),
        **known,
    )


def seen(number: int, piece_number: int, again: SourceIdentity) -> Fact:
    return {"k": "seen", "out": number, "piece": piece_number, **asdict(again)}


def cut(number: int, count: int, why: str) -> Fact:
    return {"k": "cut", "out": number, "pieces": count, "why": why}


def drop(number: int, why: str) -> Fact:
    return {"k": "drop", "out": number, "why": why}


def end(number: int, size: int, md5: str) -> Fact:
    return {"k": "end", "out": number, "bytes": size, "md5": md5}


CLOSE: Fact = {"k": "close"}
