"""Fixed shell scripts that query a backup, and readers of their responses.

The backup is mounted or behind ssh. As in `core.inventory`, a query is one line of POSIX sh that
never changes. Only its arguments vary, and a response is a list of records between marks. Each
response begins with the marker file and the device. So a response about an empty directory in the
place of the backup is detected. A script enters its directory part by part, follows no link, and
never enters another file system.

The backup's host needs GNU find, xargs, coreutils 8.24 and rsync 3.1, as in every recent Linux.
"""

from __future__ import annotations

from collections.abc import Sequence

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.inventory import ATTRIBUTES, BATCH, MalformedResponse, framed
from hesiod_watch.core.records import loads, parse_whole

MARKER = "hesiod-watch-backup.json"
FORMAT = "hesiod-watch backup 1"

LINK, ABSENT, NO_DIRECTORY, ELSEWHERE, NOT_MADE, MARKED = 13, 14, 15, 16, 17, 18
"""Exit codes of these scripts."""
PROBLEMS = {
    LINK: "a link is in the place of a directory",
    NO_DIRECTORY: "something else is in the place of a directory",
    ELSEWHERE: "another file system is mounted within it",
    NOT_MADE: "nothing can be written there",
}

# No script contains a newline or `!`, as in `core.inventory`. Each body runs in a subshell, so that
# the end mark is printed also after `exit`.
_HEAD = (
    rf"find . -maxdepth 1 -name {MARKER} -type f -exec head -c 4096 \{{\}} \; ; "
    r'top=$(stat -c %d .); printf "\0%s\0" "$top"; '
)
_STEP = (
    rf'if test -L "./$part"; then exit {LINK}; fi; '
    r'if test -d "./$part"; then :; '
    rf'elif test -e "./$part"; then exit {NO_DIRECTORY}; else MISSING; fi; '
    rf'cd -P -- "./$part" || exit {NO_DIRECTORY}; '
    rf'test "$(stat -c %d .)" = "$top" || exit {ELSEWHERE}; '
)
_WALK = "for part; do " + _STEP.replace("MISSING", f"exit {ABSENT}") + "done; "
_MAKE = (
    "for part; do " + _STEP.replace("MISSING", rf'mkdir -- "./$part" || exit {NOT_MADE}') + "done; "
)


def _script(body: str) -> str:
    return framed(f"( {_HEAD}{body} )")


OPEN = _script(
    r'cat /proc/sys/kernel/random/boot_id; printf "\0"; cat /etc/machine-id; printf "\0"; '
    r'df --output=source . | tail -n 1; printf "\0"; stat -f -c "%S %b %a" . ; printf "\0"'
)
"""Print identity, host and size of a backup. `$1` is its root, as in all these scripts."""

ENTRIES = _script(rf'shift; {_WALK}printf "%s\0" "$(date +%s)"; find . -xdev {ATTRIBUTES}')
"""List a directory, given by its parts after the root. Records are as in `inventory.FILES`."""

CHECKSUMS = _script(
    rf"shift; {_WALK}nice -n 10 xargs -0 -r -n {BATCH} sh -c "
    # Only the content on disk counts, not a copy of it in memory.
    r"""'for each; do dd if="$each" iflag=nocache count=0 2>/dev/null; done; """
    r"""exec md5sum -z -- "$@"' sh"""
)
"""Print MD5 of files of a directory; standard input has `./NAME` entries separated by NUL."""

MAKE = _script(f"shift; {_MAKE}:")
"""Make a directory, part by part."""

SET_ASIDE = _script(
    rf'kept="$1/$2"; shift 2; {_WALK}'
    r"""xargs -0 -r -n 1 sh -c 'mkdir -p -- "$1/${2%/*}" && mv -n -T -- "$2" "$1/$2"' sh "$kept" """
)
"""Move entries of a directory to another one, `$2` below the root, under the same names."""

DURABLE = _script("sync -f .")
"""Sync the file system of the backup to its disk."""

INIT = _script(
    rf"if test -e ./{MARKER} || test -L ./{MARKER}; then exit {MARKED}; fi; "
    rf"set -C; cat > ./{MARKER} || exit {NOT_MADE}; sync -f ."
)
"""Write the marker from standard input; never overwrite another."""


@frozen
class BackupPlace:
    """Identity, host and file system of a backup, as it reports them itself."""

    identity: str  # "" without a marker
    number: str  # st_dev of its root
    boot: str = ""
    machine: str = ""
    source: str = ""  # mounted source: /dev/sda1, nas:/volume
    size: int = 0  # bytes of its file system
    free: int = 0  # bytes

    @property
    def device(self) -> str:
        return device_name(self.boot, self.machine, self.number, self.source)


def device_name(boot: str, machine: str, number: str, source: str) -> str:
    """Unique name of a file system.

    A network file system is named by its server, wherever it is mounted. Any other is named by its
    number in the running kernel. A kernel is identified by its boot id, which is the same in each
    of its containers.
    """
    if source.startswith("//") or ":/" in source:
        return source
    return f"{boot or machine}/{number}"


def identity_of(text: bytes) -> str:
    """Read the id from the text of a marker; "" for no marker.

    Raises PermanentError for a damaged marker.
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
        f"{MARKER} is not a valid marker: it is damaged, or another program made it"
    )


def read_head(records: Sequence[bytes]) -> tuple[BackupPlace, Sequence[bytes]]:
    """Backup that sent a response, and the other records.

    Raises MalformedResponse, PermanentError.
    """
    if len(records) < 2 or not records[1].isdigit():
        raise MalformedResponse("the response cannot be read")
    return BackupPlace(identity_of(records[0]), records[1].decode()), records[2:]


def read_place(records: Sequence[bytes]) -> BackupPlace:
    """Read the response to OPEN. Raises MalformedResponse, PermanentError, TemporaryError."""
    place, rest = read_head(records)
    if len(rest) != 4:
        raise MalformedResponse("the response cannot be read")
    boot, machine, source, sizes = (each.decode("utf-8", "replace").strip() for each in rest)
    if not boot and not machine:
        raise TemporaryError(
            "its host cannot be identified: it has neither a boot id nor a machine id"
        )
    try:
        block, blocks, free = (parse_whole(each) for each in sizes.split())
    except ValueError:
        block = blocks = free = 0
    return BackupPlace(
        place.identity, place.number, boot, machine, source, block * blocks, block * free
    )
