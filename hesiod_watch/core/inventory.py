"""Shell queries that list the files of an upstream, and readers of their responses.

A query is one line of POSIX sh that never changes; only its arguments vary. It runs on the
upstream's host, or on this host if the upstream is mounted here.

A response consists of records that end in NUL, so no name can be read as two names. It begins and
ends with a fixed mark. So output of a login shell and a truncated response are both rejected.

The upstream needs GNU find, xargs and md5sum, which every sequencer (Ubuntu) has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hesiod_watch.core.file_entry import Entries, EntryKind, FileEntry, changed_names, is_inside
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display, is_final_summary
from hesiod_watch.core.records import parse_whole

_BEGIN = b"hesiod-watch answers\0"
_END = b"hesiod-watch ends "

# No newline and no `!` anywhere: csh interprets both within quotes, and a login shell may be csh.
_FRAME = (
    r'LC_ALL=C; export LC_ALL; printf "hesiod-watch answers\0"; '
    r'cd -- "$1" && { QUESTION; }; printf "hesiod-watch ends %s\0" "$?"'
)


def framed(question: str) -> str:
    """Return the complete script of a query that runs in the directory `$1`."""
    return _FRAME.replace("QUESTION", question)


QUIET_MINUTES = 4 * 24 * 60
"""Age of pooled data at which their final_summary is missed; no acquisition takes so long."""
_DATA = r'\( -name "fast[q5]*" -o -name "pod5*" -o -name "bam*" \)'
CELLS = framed(
    r"find . -mindepth 1 -maxdepth 5 -regextype posix-extended "
    r'-name ".*" -prune -o -path "./*/*/*/*" \( -type d -regex ".*/[0-9]{8}_[0-9]{3,6}_[^/]*" '
    rf'-printf "d%P\0" -prune -o {_DATA} -prune -o -readable -executable -o -prune \) '
    r"-o -type d \( -readable -executable "
    rf'\( -path "./*/*/*" {_DATA} \( -mmin +{QUIET_MINUTES} -printf "q%P\0" '
    r'-o -printf "d%P\0" \) -prune '
    r'-o -printf "d%P\0" -path "./*/*/*" -regex ".*/[0-9]{8}_[0-9]{3,6}_[^/]*" -prune '
    r'-o -true \) -o -printf "u%P\0" -prune \) '
    r'-o -type l -printf "l%P\0t%l\0" '
    r'-o -type f -path "./*/final_summary*.txt" -printf "s%P\0"'
)
"""Query for directories at three levels: runs, libraries, cells. `$1` contains the runs.

A record is a letter and a path: a directory is `d`, or `q` if it may contain data and nothing came
into it for QUIET_MINUTES, or `u` if it cannot be read. `l` is a link, and the next record, `t`, is
its target. `s` is a final_summary in a run or in a library. Below the level of cells there are only
`d` for cells that are too deep.
"""
ENDED = framed(
    r'find . -mindepth 1 -maxdepth 4 -name ".*" -prune'
    r' -o -path "./*/*/*" ! -path "./*/*/*/*" ! -name "????????_????_*" -prune'
    r' -o -path "./*/*/*/*" -name "final_summary*.txt" -printf "%P\0"'
)
"""Query for the final summaries of cells. Directories that are no cells may have a million files,
and are not listed. `$1` contains the runs."""

PARTIAL = ".hesiod-watch-partial"
"""Directory next to a file being copied, with the part received before an interruption.

Its name is hidden, so that it is not mistaken for data.
"""

ATTRIBUTES = rf'-mindepth 1 -name {PARTIAL} -prune -o -printf "%y %s %T@ %C@ %P\0%l\0"'
"""Arguments of find that print each entry in the form that `read_files` reads."""
FILES = framed(rf'printf "%s\0" "$(date +%s)"; find . {ATTRIBUTES}')
"""Query for everything in the cell `$1`.

The response is the time on that host, then for each entry two records: its attributes with its
name, and the target of a link.
"""

RUN_FILES = framed(
    r'printf "%s\0" "$(date +%s)"; find . -mindepth 1 -regextype posix-extended \( -name ".*" '
    r'-o -type d \( -regex "[.]/(pipeline|rundata)" -o -name "*.pooled" '
    r'-o -regex ".*/[^/]*/[0-9]{8}_[0-9]{3,6}_[^/]*" '
    r'-o -regex "[.](/[^/]*)?/(fastq|fast5|pod5|bam)(_[a-z_]*)?" \) \) -prune '
    r'-o -type f -printf "%y %s %T@ %C@ %P\0\0"'
)
"""Query for the files of the run `$1` that are neither in a cell nor among pooled data.

The response is that of `FILES`, without directories and links.
"""

DEEPEST = 1000
"""Number of directories in each other in a cell: rsync 3.5 fails at 1,024."""
LONGEST_NAME = 3072
"""Bytes of a path relative to its cell: 1,024 fewer than Linux opens.

The rest is for the directories above the cell, here and on a backup.
"""
_SHOWN = 60  # characters of an overlong path in a sentence

BATCH = 64
"""Number of files that one md5sum reads; it may print nothing before it has read them all."""
SLOWEST_READING = 10_000_000
"""Lowest expected speed of a disk, in bytes per second.

It gives the time that a query may stay silent while it reads large files.
"""
CHECKSUMS = framed(f"nice -n 10 xargs -0 -r -n {BATCH} md5sum -z --")
"""Query for the MD5 of files in the cell `$1`.

Their names come on standard input, each with `./` before it and NUL after it.
"""


def longest_silence(sizes: Sequence[int]) -> float:
    """Return how long `CHECKSUMS` may print nothing for files of these sizes, in seconds.

    The sizes are in the order of the files.
    """
    return (
        max((sum(sizes[start : start + BATCH]) for start in range(0, len(sizes), BATCH)), default=0)
        / SLOWEST_READING
    )


def question(script: str, directory: str) -> tuple[str, ...]:
    """Return the command that runs a query in a directory.

    The `sh` before the directory is the name that the shell uses in its messages.
    """
    return ("sh", "-c", script, "sh", directory)


class MalformedResponse(Exception):
    """Error for output that is not a complete response; its text says what is wrong."""


class HostileName(MalformedResponse):
    """Error for a name of a file that is outside the directory that was listed."""


class OverlongName(HostileName):
    """Error for a path that no rsync can copy; its text says what to do."""

    def __init__(self, name: str) -> None:
        top = display(name.partition("/")[0][:_SHOWN])
        super().__init__(
            f"the directories `{display(name[:_SHOWN])}…` are too deep: rsync copies at most "
            f"{DEEPEST} directories in each other and paths of {LONGEST_NAME} bytes; move `{top}` "
            "out of the cell, or remove it"
        )


def require_copyable(name: str) -> None:
    """Refuse a path relative to its cell that rsync cannot copy. Raises OverlongName."""
    if len(name) < min(DEEPEST, LONGEST_NAME // 4):
        return
    if name.count("/") > DEEPEST or len(encoded(name)) > LONGEST_NAME:
        raise OverlongName(name)


def records(output: bytes) -> tuple[list[bytes], int]:
    """Return the records of a response and the exit code of its query.

    Raises MalformedResponse.
    """
    _, begun, body = output.partition(_BEGIN)
    if not begun:
        raise MalformedResponse("no answer came")
    found = body.split(b"\0")
    last = found[-2] if len(found) > 1 and not found[-1] else b""
    if not last.startswith(_END) or not last[len(_END) :].isdigit():
        raise MalformedResponse("the answer was cut short")
    return found[:-2], int(last[len(_END) :])


def decoded(name: bytes) -> str:
    """Decode a name like `os.fsdecode`: bytes that are not UTF-8 become lone surrogates."""
    return name.decode("utf-8", "surrogateescape")


def _file_name(name: bytes) -> str:
    """Name of a file in a response. Raises HostileName, OverlongName."""
    require_copyable(text := decoded(name))
    if not is_inside(text):
        raise HostileName(
            f"the answer names `{display(text)}`, which is not inside the directory; "
            "nothing is opened or copied under this name"
        )
    return text


def encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


@frozen
class Inventory:
    """All files of a cell on its upstream at one moment."""

    entries: Entries
    now: int  # seconds since the epoch, by the clock of the upstream's host

    @property
    def summaries(self) -> tuple[str, ...]:
        """Names of the final_summary files at the top of the cell.

        If there is none, the sequencer is still writing the cell.
        """
        found = [
            name
            for name, entry in self.entries.items()
            if is_final_summary(name) and entry.kind == "f"
        ]
        return tuple(sorted(name for name in found if "/" not in name))

    def same(self, other: Inventory) -> bool:
        """Whether the two inventories show the same entries, none added, removed or changed."""
        return not changed_names(self.entries, other.entries)


def read_files(answer: Iterable[bytes]) -> Inventory:
    """Read an inventory from the records of `FILES`. Raises MalformedResponse, HostileName."""
    found = list(answer)
    try:
        now = parse_whole(found[0])
        listed = [
            _entry(head, target) for head, target in zip(found[1::2], found[2::2], strict=True)
        ]
    except (ValueError, IndexError) as error:
        raise MalformedResponse("the answer cannot be read") from error
    return Inventory({entry.name: entry for entry in listed}, now)


def _entry(head: bytes, target: bytes) -> FileEntry:
    kind, size, mtime, ctime, name = head.split(b" ", 4)
    letter: EntryKind = (
        "f" if kind == b"f" else "d" if kind == b"d" else "l" if kind == b"l" else "o"
    )
    return FileEntry(
        _file_name(name),
        letter,
        parse_whole(size),
        _nanoseconds(mtime),
        _nanoseconds(ctime),
        target=decoded(target),
    )


def _nanoseconds(time: bytes) -> int:
    """Parse a time of `find`, with ten digits after the point, exactly; a float could not hold it.

    Returns nanoseconds since the epoch.
    """
    seconds, _, fraction = time.partition(b".")
    return parse_whole(seconds) * 1_000_000_000 + parse_whole(fraction[:9].ljust(9, b"0") or b"0")


def read_checksums(answer: Iterable[bytes]) -> dict[str, str]:
    """Read MD5 checksums by name from the records of `CHECKSUMS`.

    A file that could not be read is missing in the result. Raises MalformedResponse, HostileName.
    """
    found = {}
    for record in answer:
        checksum, _, name = record.partition(b"  ./")
        if len(checksum) != 32 or not name:
            raise MalformedResponse("the answer cannot be read")
        found[_file_name(name)] = checksum.decode("ascii", "replace")
    return found


def names_given(names: Iterable[str]) -> bytes:
    """Encode names for the standard input of rsync's `--files-from=-` or of `CHECKSUMS`.

    Without the `./`, rsync would drop names that begin with `#` or `;`, and md5sum could take a
    name for an option.
    """
    return b"".join(b"./" + encoded(name) + b"\0" for name in names)
