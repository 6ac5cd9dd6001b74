"""Deletion list of an upstream: reads the cells there and records which may be deleted.

The commands are fixed lines of POSIX sh, like those of `core.inventory`. Only arguments that need
no quoting (`rules.deletion_marks` encodes them) and the data on standard input vary. The upstream
gets two kinds of files: the list of marks, which only grows, and for each mark the checksums of its
cell. The checksums are complete and on disk before the list names them.

The upstream needs sync of GNU coreutils, and everything that `core.inventory` needs. This module
deletes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.inventory import framed
from hesiod_watch.core.location import run_in
from hesiod_watch.core.model import CellId
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.remote.connection import connected
from hesiod_watch.remote.directory import RemoteDirectory
from hesiod_watch.rules.deletion_marks import EVIDENCE, HEADER, LIST, DeletionMark, read_marks
from hesiod_watch.rules.exit_codes import last_line

# A link in the place of one of these files is an attempt to make us write elsewhere.
_GUARD = (
    f"for f in {LIST} {EVIDENCE}; do if test -L $f; then echo $f is a link >&2; exit 3; fi; done; "
)
READ = framed(f"({_GUARD}if test -e {LIST}; then cat {LIST} && printf '\\0'; fi)")
"""Print the list of marks as one record; no record without a list. `$1` contains the runs."""

KEEP = framed(
    f'({_GUARD}umask 022 && mkdir -p {EVIDENCE} && cat >"{EVIDENCE}/.new.$2" && '
    f'sync "{EVIDENCE}/.new.$2" && mv -f "{EVIDENCE}/.new.$2" "{EVIDENCE}/$2" && '
    f'sync {EVIDENCE} && md5sum "{EVIDENCE}/$2" && printf "\\0")'
)
"""Store standard input as the file `$2` of EVIDENCE; print its MD5, read back, as one record."""

# A line that a power cut left incomplete must not damage the next one.
APPEND = framed(
    f'({_GUARD}umask 022; test -e {LIST} || echo "{HEADER}" >>{LIST}; '
    f'if test -n "$(tail -c 1 {LIST})"; then echo >>{LIST}; fi; cat >>{LIST} && sync {LIST})'
)
"""Append standard input to the list of marks.

Each line is one write, so two writers at the same time do not mix their lines.
"""


@dataclass
class DeletionList(RemoteDirectory):
    """Deletion list and cells of one run on a reachable upstream."""

    run_name: str  # name of the run's directory on the upstream

    def place(self, cell: CellId) -> str:
        """Path of a cell relative to the upstream's directory; marks contain this path."""
        return f"{self.run_name}/{cell}"

    def standing_marks(self, cell: CellId) -> list[DeletionMark]:
        """Marks in the list that say that a cell may be deleted.

        A library may have been renamed since a mark was made, so the cell is found by its name.
        """
        names = self.place(cell).split("/")
        return [
            mark
            for place, mark in self._read_list().items()
            if mark.word == "deletable"
            and [*place.split("/")[:-2], place.split("/")[-1]] == [*names[:-2], names[-1]]
        ]

    def _read_list(self) -> dict[str, DeletionMark]:
        """Last mark of each cell in the list, by its place."""
        answer, _, errors = self.query(READ)
        if errors.strip():
            raise PermanentError(f"{self}: {LIST} cannot be read: {last_line(errors)}")
        return read_marks(b"\0".join(answer))

    def keep_evidence(self, name: str, content: bytes, md5: str) -> None:
        """Store the checksums that a mark will name, complete and on disk.

        Safe to repeat with the same name and content.
        """
        answer, _, errors = self.query(KEEP, "", name, given=content)
        if not answer or answer[0][:32].decode("ascii", "replace") != md5:
            raise TemporaryError(f"{self}: {EVIDENCE}/{name} was not kept: {last_line(errors)}")

    def write(self, mark: DeletionMark) -> None:
        """Append a mark to the list and read it back."""
        errors = self.query(APPEND, given=f"{mark.line()}\n".encode("ascii")).errors
        found = self._read_list().get(mark.place)
        if found is None or found.line() != mark.line():
            raise TemporaryError(f"{self}: {LIST} was not written: {last_line(errors)}")


@contextmanager
def reached(
    upstream: UpstreamSettings,
    run_location: str,
    *,
    stop: Callable[[], bool] = lambda: False,
    runner: CommandRunner = run,
) -> Iterator[DeletionList]:
    """Deletion list for the run at `run_location` (the text of `pipeline/upstream`).

    Raises TemporaryError if the upstream cannot be reached, PermanentError if the location is not a
    run of this upstream.
    """
    try:
        run_name = run_in(upstream.place, run_location).path.rpartition("/")[2]
    except ValueError as error:
        raise PermanentError(str(error)) from error
    with connected(upstream, runner, stop) as endpoint:
        yield DeletionList(endpoint, upstream.place, run_name)
