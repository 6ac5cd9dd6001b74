"""Deletion list of an upstream: reads the cells there and records which may be deleted.

The commands are fixed lines of POSIX sh, like those of `core.inventory`. Only arguments that need
no quoting (`rules.deletion_marks` encodes them) and the data on standard input vary. The upstream
gets two kinds of files: the list of marks, which only grows, and for each mark the checksums of its
cell. The checksums are complete and on disk before the list names them.

The upstream needs sync of GNU coreutils, and everything that `core.inventory` needs. This module
deletes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.inventory import (
    CHECKSUMS,
    FILES,
    Inventory,
    MalformedResponse,
    framed,
    longest_silence,
    names_given,
    question,
    read_checksums,
    read_files,
)
from hesiod_watch.core.location import Location, run_in
from hesiod_watch.core.model import CellId
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.remote import ssh
from hesiod_watch.remote.connection import HostUnreachable, connected
from hesiod_watch.remote.responses import read_response
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
class DeletionList:
    """Deletion list and cells of one run on a reachable upstream.

    Every method raises TemporaryError or PermanentError.
    """

    upstream: UpstreamSettings
    run: Location
    control: Path | None
    stop: Callable[[], bool]
    runner: CommandRunner

    def place(self, cell: CellId) -> str:
        """Path of a cell relative to the upstream's directory; marks contain this path."""
        return f"{self.run.path.rpartition('/')[2]}/{cell}"

    def inventory(self, cell: CellId) -> Inventory:
        """All entries of a cell at this moment."""
        answer, errors = self._query(FILES, f"{self.run.path}/{cell}")
        bad = [
            line for line in errors.splitlines() if not line.endswith("No such file or directory")
        ]
        if not answer or bad:
            raise TemporaryError(f"{self.run}/{cell} cannot be read in full: {last_line(errors)}")
        try:
            return read_files(answer)
        except MalformedResponse as error:
            raise TemporaryError(f"{self.run}/{cell}: {error}") from error

    def checksums(self, cell: CellId, inventory: Inventory) -> dict[str, str]:
        """MD5 of the files of a cell, read upstream; an unreadable file has none."""
        sizes = {name: entry.size for name, entry in inventory.entries.items() if entry.kind == "f"}
        if not sizes:
            return {}
        patience = longest_silence(list(sizes.values()))
        answer, _ = self._query(
            CHECKSUMS, f"{self.run.path}/{cell}", given=names_given(sizes), patience=patience
        )
        try:
            return read_checksums(answer)
        except MalformedResponse as error:
            raise TemporaryError(f"{self.run}/{cell}: {error}") from error

    def mark_of(self, cell: CellId) -> DeletionMark | None:
        """Last mark of a cell in the list; None without one."""
        answer, errors = self._query(READ, self.upstream.place.path)
        if errors.strip():
            raise PermanentError(
                f"{self.upstream.place}: {LIST} cannot be read: {last_line(errors)}"
            )
        return read_marks(b"\0".join(answer)).get(self.place(cell))

    def keep_evidence(self, name: str, content: bytes, md5: str) -> None:
        """Store the checksums that a mark will name, complete and on disk.

        Safe to repeat with the same name and content.
        """
        answer, errors = self._query(KEEP, self.upstream.place.path, name, given=content)
        if not answer or answer[0][:32].decode("ascii", "replace") != md5:
            raise TemporaryError(
                f"{self.upstream.place}: {EVIDENCE}/{name} was not kept: {last_line(errors)}"
            )

    def write(self, cell: CellId, mark: DeletionMark) -> None:
        """Append a mark to the list and read it back."""
        _, errors = self._query(
            APPEND, self.upstream.place.path, given=f"{mark.line()}\n".encode("ascii")
        )
        found = self.mark_of(cell)
        if found is None or found.line() != mark.line():
            raise TemporaryError(
                f"{self.upstream.place}: {LIST} was not written: {last_line(errors)}"
            )

    def _query(
        self, script: str, directory: str, *more: str, given: bytes = b"", patience: float = 0.0
    ) -> tuple[Sequence[bytes], str]:
        query = (*question(script, directory), *more)
        command = ssh.remote(self.upstream, query, self.control) if self.run.over_ssh else query
        quiet = self.upstream.connect_timeout + self.upstream.timeout + patience
        ended = self.runner(command, quiet=quiet, given=given, stop=self.stop)
        answer, _ = read_response(str(self.run), ended)
        return answer, ended.errors


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
        place = run_in(upstream.place, run_location)
        with connected(upstream, runner, stop) as control:
            yield DeletionList(upstream, place, control, stop, runner)
    except ValueError as error:
        raise PermanentError(str(error)) from error
    except HostUnreachable as error:
        sentence = str(error)
        raise (
            PermanentError(sentence)
            if error.judgement.outcome == "failed"
            else TemporaryError(sentence)
        ) from error
