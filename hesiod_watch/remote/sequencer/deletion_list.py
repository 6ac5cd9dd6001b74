"""What an upstream has of a cell, byte by byte, and what is written there about deleting it.

The commands are fixed lines of POSIX sh, like those of `inventory`; what varies are arguments that
need no quoting (`marks` spells them so) and data on standard input. Two files are written: the list
of marks, which only grows, and for each mark the checksums of its cell. The checksums are whole and
on disk before the list names them.

Needed there beside what `inventory` needs: sync of GNU coreutils. Nothing here deletes anything.
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
from hesiod_watch.remote.answers import answered
from hesiod_watch.remote.connection import HostUnreachable, connected
from hesiod_watch.rules.deletion_marks import EVIDENCE, HEADER, LIST, DeletionMark, read_marks
from hesiod_watch.rules.exit_codes import last_line

# A link in the place of one of our files was put there by somebody, to have us write elsewhere.
_GUARD = (
    f"for f in {LIST} {EVIDENCE}; do if test -L $f; then echo $f is a link >&2; exit 3; fi; done; "
)
READ = framed(f"({_GUARD}if test -e {LIST}; then cat {LIST} && printf '\\0'; fi)")
"""The list of marks, as one record; none where there is no list. `$1` is where runs lie."""

KEEP = framed(
    f'({_GUARD}umask 022 && mkdir -p {EVIDENCE} && cat >"{EVIDENCE}/.new.$2" && sync "{EVIDENCE}/.new.$2" && '
    f'mv -f "{EVIDENCE}/.new.$2" "{EVIDENCE}/$2" && sync {EVIDENCE} && md5sum "{EVIDENCE}/$2" && printf "\\0")'
)
"""Keep standard input as the file `$2` of EVIDENCE; one record that begins with the MD5 of what is
there then.
"""

# A line that a power cut left without its end must not take the next one with it.
APPEND = framed(
    f'({_GUARD}umask 022; test -e {LIST} || echo "{HEADER}" >>{LIST}; '
    f'if test -n "$(tail -c 1 {LIST})"; then echo >>{LIST}; fi; cat >>{LIST} && sync {LIST})'
)
"""Append standard input to the list of marks. One write for a line, so two at the same time do not
mix.
"""


@dataclass
class DeletionList:
    """An upstream that answers, and one run of it. Every method raises TemporaryError or
    PermanentError.
    """

    upstream: UpstreamSettings
    run: Location
    control: Path | None
    stop: Callable[[], bool]
    runner: CommandRunner

    def place(self, cell: CellId) -> str:
        """Where a cell lies, relative to the upstream's directory: what a mark is about."""
        return f"{self.run.path.rpartition('/')[2]}/{cell}"

    def inventory(self, cell: CellId) -> Inventory:
        """Everything in a cell, now."""
        answer, errors = self._ask(FILES, f"{self.run.path}/{cell}")
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
        """MD5 of the files of a cell, read there; one that cannot be read has none."""
        sizes = {name: entry.size for name, entry in inventory.entries.items() if entry.kind == "f"}
        if not sizes:
            return {}
        patience = longest_silence(list(sizes.values()))
        answer, _ = self._ask(
            CHECKSUMS, f"{self.run.path}/{cell}", given=names_given(sizes), patience=patience
        )
        try:
            return read_checksums(answer)
        except MalformedResponse as error:
            raise TemporaryError(f"{self.run}/{cell}: {error}") from error

    def mark_of(self, cell: CellId) -> DeletionMark | None:
        """The last that was written about a cell."""
        answer, errors = self._ask(READ, self.upstream.place.path)
        if errors.strip():
            raise PermanentError(
                f"{self.upstream.place}: {LIST} cannot be read: {last_line(errors)}"
            )
        return read_marks(b"\0".join(answer)).get(self.place(cell))

    def keep_evidence(self, name: str, content: bytes, md5: str) -> None:
        """Keep what a mark will name, whole and on disk. The same name with the same content may be
        kept again.
        """
        answer, errors = self._ask(KEEP, self.upstream.place.path, name, given=content)
        if not answer or answer[0][:32].decode("ascii", "replace") != md5:
            raise TemporaryError(
                f"{self.upstream.place}: {EVIDENCE}/{name} was not kept: {last_line(errors)}"
            )

    def write(self, cell: CellId, mark: DeletionMark) -> None:
        """Append a line, and read it back."""
        _, errors = self._ask(
            APPEND, self.upstream.place.path, given=f"{mark.line()}\n".encode("ascii")
        )
        found = self.mark_of(cell)
        if found is None or found.line() != mark.line():
            raise TemporaryError(
                f"{self.upstream.place}: {LIST} was not written: {last_line(errors)}"
            )

    def _ask(
        self, script: str, directory: str, *more: str, given: bytes = b"", patience: float = 0.0
    ) -> tuple[Sequence[bytes], str]:
        asked = (*question(script, directory), *more)
        command = ssh.remote(self.upstream, asked, self.control) if self.run.over_ssh else asked
        quiet = self.upstream.connect_timeout + self.upstream.timeout + patience
        ended = self.runner(command, quiet=quiet, given=given, stop=self.stop)
        answer, _ = answered(str(self.run), ended)
        return answer, ended.errors


@contextmanager
def reached(
    upstream: UpstreamSettings,
    run_location: str,
    *,
    stop: Callable[[], bool] = lambda: False,
    runner: CommandRunner = run,
) -> Iterator[DeletionList]:
    """The upstream of the run at `run_location` (the text of `pipeline/upstream`).

    Raises TemporaryError where it cannot be reached, PermanentError where it is no upstream's run.
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
            if error.ending.outcome == "failed"
            else TemporaryError(sentence)
        ) from error
