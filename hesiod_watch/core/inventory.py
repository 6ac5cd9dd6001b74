"""What is there: the questions that are asked of an upstream's shell, and how the answers are read.

A question is one line of POSIX sh that never changes; what varies are its arguments. It works on
the host of the upstream, or here where that is mounted. Answers are records that end in NUL, so no
name can be taken for two; they begin and end with a mark of their own, so that neither what a login
shell prints nor an answer cut short is believed.

Needed there: GNU find, xargs and md5sum, as on every sequencer (Ubuntu).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hesiod_watch.core.records import parse_whole

Kind = Literal["f", "d", "l", "o"]
"""Of a directory entry: file, directory, link, anything else (FIFO, socket, device)."""

SUMMARY = "final_summary"
_BEGIN = b"hesiod-watch answers\0"
_END = b"hesiod-watch ends "

# No newline and no `!` anywhere: csh reads both within quotes, and somebody's login shell may be
# one.
_FRAME = (
    r'LC_ALL=C; export LC_ALL; printf "hesiod-watch answers\0"; '
    r'cd -- "$1" && { QUESTION; }; printf "hesiod-watch ends %s\0" "$?"'
)


def framed(question: str) -> str:
    """The whole of a question that is asked in the directory `$1`."""
    return _FRAME.replace("QUESTION", question)


CELLS = framed(
    r'find . -mindepth 1 -maxdepth 3 -name ".*" -prune -o -type d '
    r'\( -readable -executable -printf "d%P\0" -o -printf "u%P\0" -prune \)'
)
"""Directories at three levels: runs, libraries, cells. `$1` is where runs lie."""

PARTIAL = ".hesiod-watch-partial"
"""Beside a file that is being copied: what came of it before an interruption. Hidden, so nobody
takes it for data.
"""

FILES = framed(
    r'printf "%s\0" "$(date +%s)"; '
    rf'find . -mindepth 1 -name {PARTIAL} -prune -o -printf "%y %s %T@ %C@ %P\0%l\0"'
)
"""Everything in a cell: the time there, then of each entry what it is and where it leads. `$1` is
the cell.
"""

BATCH = 64
"""Files that one md5sum reads: its answers may come only when it has read them all."""
SLOWEST_READING = 10_000_000
"""Bytes in a second that a disk is trusted to read: silence is longer while large files are read.
"""
CHECKSUMS = framed(f"nice -n 10 xargs -0 -r -n {BATCH} md5sum -z --")
"""MD5 of the files in a cell whose names, with `./` before them, come NUL-separated. `$1` is the
cell.
"""


def longest_silence(sizes: Sequence[int]) -> float:
    """Seconds for which nothing may come while files of these sizes are read there for `CHECKSUMS`,
    in this order.
    """
    return (
        max((sum(sizes[start : start + BATCH]) for start in range(0, len(sizes), BATCH)), default=0)
        / SLOWEST_READING
    )


def question(script: str, directory: str) -> tuple[str, ...]:
    """The command that asks. The name before the directory is what the shell calls itself in
    messages.
    """
    return ("sh", "-c", script, "sh", directory)


class MalformedResponse(Exception):
    """What came is no answer, or not the whole of one; the text says what is wrong with it."""


def records(output: bytes) -> tuple[list[bytes], int]:
    """The records of an answer, and the exit code of what gave them. Raises NotAnAnswer."""
    _, begun, body = output.partition(_BEGIN)
    if not begun:
        raise MalformedResponse("no answer came")
    found = body.split(b"\0")
    last = found[-2] if len(found) > 1 and not found[-1] else b""
    if not last.startswith(_END) or not last[len(_END) :].isdigit():
        raise MalformedResponse("the answer was cut short")
    return found[:-2], int(last[len(_END) :])


def decoded(name: bytes) -> str:
    """A name as `os.fsdecode` gives it: bytes that are no UTF-8 are kept as lone surrogates."""
    return name.decode("utf-8", "surrogateescape")


def encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """One entry of a directory. Times are nanoseconds since the epoch, of the file system's clock.

    `changed` is the inode's change time: nobody can set it back, so a file rewritten under its old
    time shows.
    """

    kind: Kind
    size: int = 0
    mtime: int = 0
    changed: int = 0
    target: str = ""  # where a link leads

    @property
    def identity(self) -> tuple[object, ...]:
        """What differs when the entry has changed; directories change with what is in them, which
        is seen there.
        """
        return (
            (self.kind, self.target)
            if self.kind != "f"
            else (self.kind, self.size, self.mtime, self.changed)
        )


Entries = Mapping[str, InventoryEntry]
"""Entries of a cell by their name relative to it, with `/` between the parts."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything in a cell of an upstream at one look."""

    entries: Entries
    now: int  # seconds since the epoch, by the clock there

    @property
    def summaries(self) -> tuple[str, ...]:
        """Names that say final_summary, at the top of the cell; where there is none the cell is
        still being written.
        """
        found = [
            name
            for name, entry in self.entries.items()
            if name.startswith(SUMMARY) and entry.kind == "f"
        ]
        return tuple(sorted(name for name in found if "/" not in name))

    def same(self, other: Inventory) -> bool:
        """Whether nothing has come, gone or changed from one look to the other."""
        return self.entries.keys() == other.entries.keys() and all(
            entry.identity == other.entries[name].identity for name, entry in self.entries.items()
        )


def read_files(answer: Iterable[bytes]) -> Inventory:
    """The inventory from the records of `FILES`. Raises NotAnAnswer."""
    found = list(answer)
    try:
        now = parse_whole(found[0])
        entries = dict(
            _entry(head, target) for head, target in zip(found[1::2], found[2::2], strict=True)
        )
    except (ValueError, IndexError) as error:
        raise MalformedResponse("the answer cannot be read") from error
    return Inventory(entries, now)


def _entry(head: bytes, target: bytes) -> tuple[str, InventoryEntry]:
    kind, size, mtime, changed, name = head.split(b" ", 4)
    letter: Kind = "f" if kind == b"f" else "d" if kind == b"d" else "l" if kind == b"l" else "o"
    return decoded(name), InventoryEntry(
        letter, parse_whole(size), _nanoseconds(mtime), _nanoseconds(changed), decoded(target)
    )


def _nanoseconds(time: bytes) -> int:
    """`find` prints ten digits behind the point; the exact value, which a float could not hold."""
    seconds, _, fraction = time.partition(b".")
    return parse_whole(seconds) * 1_000_000_000 + parse_whole(fraction[:9].ljust(9, b"0") or b"0")


def read_checksums(answer: Iterable[bytes]) -> dict[str, str]:
    """MD5 by name from the records of `CHECKSUMS`; a file that could not be read has none. Raises
    NotAnAnswer.
    """
    found = {}
    for record in answer:
        checksum, _, name = record.partition(b"  ./")
        if len(checksum) != 32 or not name:
            raise MalformedResponse("the answer cannot be read")
        found[decoded(name)] = checksum.decode("ascii", "replace")
    return found


def names_given(names: Iterable[str]) -> bytes:
    """Names for the standard input of rsync's `--files-from=-` or of `CHECKSUMS`.

    The `./` keeps rsync from dropping names that begin with `#` or `;`, and md5sum from taking one
    for an option.
    """
    return b"".join(b"./" + encoded(name) + b"\0" for name in names)
