"""What is asked of the shell at a backup, here or behind ssh, and how the answers are read.

As `upstreams.inventory` says: a question is one line of POSIX sh that never changes, what varies
are its arguments, and answers are records between marks. Each answer begins with the marker file
and the device, so that none can be about an empty directory in the place of the backup. The
directory in question is reached part by part, no link followed, and never left for another file
system.

Needed there: GNU find, xargs, coreutils 8.24 and rsync 3.1, as on every Linux of the last years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.inventory import BATCH, MalformedResponse, framed
from hesiod_watch.core.records import loads, parse_whole

MARKER = "hesiod-watch-backup.json"
FORMAT = "hesiod-watch backup 1"

LINK, ABSENT, NO_DIRECTORY, ELSEWHERE, NOT_MADE, MARKED = 13, 14, 15, 16, 17, 18
"""Exit codes of our own questions."""
PROBLEMS = {
    LINK: "a link is in the place of a directory",
    NO_DIRECTORY: "something else is in the place of a directory",
    ELSEWHERE: "another file system is mounted within it",
    NOT_MADE: "nothing can be written there",
}

# Neither newline nor `!` in any of these, as in `upstreams.inventory`. What is asked goes on in a
# subshell, so that `exit` does not keep the end mark from being printed.
_HEAD = (
    rf"find . -maxdepth 1 -name {MARKER} -type f -exec head -c 4096 \{{\}} \; ; "
    r'top=$(stat -c %d .); printf "\0%s\0" "$top"; '
)
_STEP = (
    rf'if test -L "./$part"; then exit {LINK}; fi; '
    rf'if test -d "./$part"; then :; elif test -e "./$part"; then exit {NO_DIRECTORY}; else MISSING; fi; '
    rf'cd -P -- "./$part" || exit {NO_DIRECTORY}; test "$(stat -c %d .)" = "$top" || exit {ELSEWHERE}; '
)
_WALK = "for part; do " + _STEP.replace("MISSING", f"exit {ABSENT}") + "done; "
_MAKE = (
    "for part; do " + _STEP.replace("MISSING", rf'mkdir -- "./$part" || exit {NOT_MADE}') + "done; "
)


def _asked(body: str) -> str:
    return framed(f"( {_HEAD}{body} )")


OPEN = _asked(
    r'cat /proc/sys/kernel/random/boot_id; printf "\0"; cat /etc/machine-id; printf "\0"; '
    r'df --output=source . | tail -n 1; printf "\0"; stat -f -c "%S %b %a" . ; printf "\0"'
)
"""Who and where it is. `$1` is the root of the backup, as in all of these."""

ENTRIES = _asked(
    rf'shift; {_WALK}printf "%s\0" "$(date +%s)"; '
    rf'find . -xdev -mindepth 1 -name .hesiod-watch-partial -prune -o -printf "%y %s %T@ %C@ %P\0%l\0"'
)
"""Everything in a directory, its parts after the root: as `upstreams.inventory.FILES`."""

CHECKSUMS = _asked(
    rf"shift; {_WALK}nice -n 10 xargs -0 -r -n {BATCH} sh -c "
    # What the disk has is what counts, not what memory has of it.
    r"""'for each; do dd if="$each" iflag=nocache count=0 2>/dev/null; done; exec md5sum -z -- "$@"' sh"""
)
"""MD5 of files of a directory, whose names come NUL-separated with `./` before them."""

MAKE = _asked(f"shift; {_MAKE}:")
"""Make a directory, part by part."""

SET_ASIDE = _asked(
    rf'kept="$1/$2"; shift 2; {_WALK}'
    r"""xargs -0 -r -n 1 sh -c 'mkdir -p -- "$1/${2%/*}" && mv -n -T -- "$2" "$1/$2"' sh "$kept" """
)
"""Move entries of a directory to another one, `$2` after the root, under the same names."""

DURABLE = _asked("sync -f .")
"""Bring all that was written to this file system to its disk."""

INIT = _asked(
    rf"if test -e ./{MARKER} || test -L ./{MARKER}; then exit {MARKED}; fi; "
    rf"set -C; cat > ./{MARKER} || exit {NOT_MADE}; sync -f ."
)
"""Write the marker, which comes on standard input; never over another."""


@dataclass(frozen=True, slots=True)
class BackupPlace:
    """A backup as it says of itself what and where it is."""

    identity: str  # "" where there is no marker
    number: str  # st_dev of its root
    boot: str = ""
    machine: str = ""
    source: str = ""  # what is mounted: /dev/sda1, nas:/volume
    size: int = 0  # bytes of its file system
    free: int = 0

    @property
    def device(self) -> str:
        return device_name(self.boot, self.machine, self.number, self.source)


def device_name(boot: str, machine: str, number: str, source: str) -> str:
    """What tells a file system from every other.

    One that comes from a server has the server's name for it, wherever it is mounted; any other the
    number by which the running kernel knows it. A kernel is known by its boot id, which is the same
    in each of its containers.
    """
    if source.startswith("//") or ":/" in source:
        return source
    return f"{boot or machine}/{number}"


def identity_of(text: bytes) -> str:
    """The id in the text of a marker; "" for no marker. Raises PermanentError for one that cannot
    be read.
    """
    if not text:
        return ""
    try:
        marker = loads(text)
        if marker["format"] == FORMAT and len(identity := str(marker["id"])) == 32:
            return identity
    except (ValueError, KeyError, TypeError):
        pass
    raise PermanentError(
        f"{MARKER} cannot be read as one; it was damaged, or made by something else"
    )


def read_head(records: Sequence[bytes]) -> tuple[BackupPlace, Sequence[bytes]]:
    """Whose answer it is, and the rest of the answer. Raises NotAnAnswer, PermanentError."""
    if len(records) < 2 or not records[1].isdigit():
        raise MalformedResponse("the answer cannot be read")
    return BackupPlace(identity_of(records[0]), records[1].decode()), records[2:]


def read_place(records: Sequence[bytes]) -> BackupPlace:
    """The answer to OPEN. Raises NotAnAnswer, PermanentError, TemporaryError."""
    place, rest = read_head(records)
    if len(rest) != 4:
        raise MalformedResponse("the answer cannot be read")
    boot, machine, source, sizes = (each.decode("utf-8", "replace").strip() for each in rest)
    if not boot and not machine:
        raise TemporaryError(
            "it cannot be told which machine it is: there is neither a boot id nor a machine id"
        )
    try:
        block, blocks, free = (parse_whole(each) for each in sizes.split())
    except ValueError:
        block = blocks = free = 0
    return BackupPlace(
        place.identity, place.number, boot, machine, source, block * blocks, block * free
    )
