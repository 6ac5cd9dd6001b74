"""One open backup: list its files, compute checksums there, copy to it.

It never deletes a file. A file that a copy replaces is kept in `superseded`.

The same scripts and the same rsync command serve a mounted directory and a host behind ssh.
Checksums are computed where the data are. Every response names the marker and the device again. So
a backup that disappears meanwhile is noticed, even if an empty directory is left in its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from hesiod_watch.config import BackupPlaceSettings
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.inventory import (
    PARTIAL,
    SLOWEST_READING,
    InventoryEntry,
    MalformedResponse,
    longest_silence,
    names_given,
    question,
    read_checksums,
    read_files,
)
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote import ssh
from hesiod_watch.remote.backup import queries
from hesiod_watch.remote.backup.local_files import (
    ChecksumComparison,
    largest,
    opened_directory,
    opened_file,
)
from hesiod_watch.remote.backup.queries import BackupPlace
from hesiod_watch.remote.connection import HostUnreachable, connected
from hesiod_watch.remote.responses import read_response
from hesiod_watch.remote.rsync import RsyncProgress
from hesiod_watch.rules.copies import SUPERSEDED
from hesiod_watch.rules.exit_codes import CommandOutcome, judge, last_line

_PATTERN = re.compile(r"([*?\[\]\\])")
_Answer = TypeVar("_Answer")


@dataclass
class BackupStore:
    """One open backup. Directories are relative to its root and begin with the name of a run.

    Every method raises TemporaryError if a retry may help (unreachable, unmounted, full), and
    PermanentError if it needs a person. The sentence begins with the backup's name.
    """

    backup: BackupPlaceSettings
    place: BackupPlace
    control: Path | None = None
    stop: Callable[[], bool] = lambda: False
    runner: CommandRunner = run
    nice: int = 10
    opened_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def identity(self) -> str:
        """Id in the marker of this backup."""
        return self.place.identity

    @property
    def device(self) -> str:
        """Unique name of its file system, among those visible now; comparable with `device_of`."""
        return self.place.device

    def entries(self, directory: str) -> dict[str, InventoryEntry]:
        """All present entries of a directory, by name relative to it; empty if it does not exist.

        Other file systems that are mounted within it are not entered.
        """
        answer = self._query(queries.ENTRIES, directory, absent=[b"0"])
        return dict(self._read(read_files, answer).entries)

    def checksums(
        self, directory: str, names: Iterable[str], sizes: Mapping[str, int] | None = None
    ) -> dict[str, str]:
        """MD5 of regular files, read from the backup's disk; an unreadable file has none.

        With known `sizes` of these files, the directory is not listed again.
        """
        if sizes is None:
            sizes = {
                name: entry.size
                for name, entry in self.entries(directory).items()
                if entry.kind == "f"
            }
        wanted = [name for name in names if name in sizes]  # only regular files are ever opened
        if not wanted:
            return {}
        patience = longest_silence([sizes[name] for name in wanted])
        answer = self._query(
            queries.CHECKSUMS, directory, given=names_given(wanted), patience=patience
        )
        return self._read(read_checksums, answer)

    def superseded(self, directory: str) -> str:
        """Directory for superseded files of a directory.

        It is below the run and contains the time when this store was opened.
        """
        run_name, _, rest = directory.partition("/")
        moment = self.opened_at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return f"{run_name}/{SUPERSEDED}/{moment}/{rest}"

    def set_aside(self, directory: str, names: Iterable[str]) -> None:
        """Move entries to `superseded(directory)`.

        Safe to repeat: an entry that is already missing is not an error.
        """
        names = list(names)
        if names:
            superseded = self.superseded(directory)
            self._query(queries.MAKE, superseded)
            self._query(queries.SET_ASIDE, directory, first=superseded, given=names_given(names))

    def copy(
        self,
        source: Path,
        directory: str,
        names: Iterable[str],
        *,
        below: Path | None = None,
        ignore_times: bool = False,
        log: RunLog | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """Copy regular files from `source` to a directory, which is created.

        A file that is replaced is kept in `superseded`. Safe to stop at any moment and to repeat: a
        file with the same size and time is not sent again, and an interrupted large file is
        continued. `below` is a directory above `source`; no link is followed below it.
        `ignore_times`: compare contents also if size and time agree. This method does not verify
        the result.
        """
        names = list(names)
        if not names:
            return
        self._query(queries.MAKE, directory)
        progress = RsyncProgress()

        def on_output(data: bytes) -> None:
            if progress.feed(data) and on_progress:
                on_progress(progress.bytes)

        command = self._rsync(directory, ignore_times=ignore_times)
        with opened_directory(source, below) as descriptor:
            largest_size = largest(descriptor, names)
            if log:
                log.line(f"{self.backup.name}: {number_of(len(names), 'file')} to {directory}")
                log.command(command)
            ended = self.runner(
                command,
                quiet=2 * self.backup.timeout
                + self.backup.connect_timeout
                + largest_size / SLOWEST_READING,
                given=names_given(names),
                directory=descriptor,
                on_output=on_output,
                stop=self.stop,
            )
        if log:
            for line in ended.errors.splitlines()[-20:]:
                log.line(f"  {line}")
            log.line(f"{self.backup.name}: exit code {ended.code}: {progress}")
        if ended.why:
            raise TemporaryError(f"{self.backup.name}: copying was ended: {ended.why}")
        self._judge(judge(ended.code, ended.errors), "copying")

    def make_durable(self) -> None:
        """Sync all written data to the backup's disk."""
        self._query(queries.DURABLE)

    def difference(self, directory: str, name: str, reference: Path) -> tuple[int, int]:
        """Compare a file with `reference`, a regular file on this host.

        Returns the offset of the first differing byte and the number of differing bytes; (0, 0) for
        equal files. Bytes beyond the end of the shorter file count as differing. Also raises
        OSError.
        """
        with opened_file(reference) as descriptor:
            comparison = ChecksumComparison(descriptor)
            command: tuple[str, ...] = ("cat", "--", f"{self.backup.place.path}/{directory}/{name}")
            if self.backup.place.over_ssh:
                command = ssh.remote(self.backup.reached, command, self.control)
            ended = self.runner(
                command, quiet=self._patience, on_output=comparison.feed, stop=self.stop
            )
            if ended.why or ended.code:
                why = ended.why or last_line(ended.errors)
                raise TemporaryError(
                    f"{self.backup.name}: {display(name)} cannot be read to its end: {why}"
                )
            return comparison.result()

    # Queries.

    @property
    def _patience(self) -> float:
        return self.backup.connect_timeout + self.backup.timeout

    def _query(
        self,
        script: str,
        directory: str = "",
        *,
        first: str = "",
        given: bytes = b"",
        patience: float = 0.0,
        absent: Sequence[bytes] | None = None,
    ) -> Sequence[bytes]:
        """Records of a response without its head; `absent` if the directory does not exist."""
        arguments = (*((first,) if first else ()), *filter(None, directory.split("/")))
        answer, code, errors = query_backup(
            self.backup,
            script,
            arguments,
            self.control,
            given=given,
            patience=patience,
            stop=self.stop,
            run=self.runner,
        )
        place, rest = self._head(answer)
        if place.identity != self.identity or place.number != self.place.number:
            raise TemporaryError(
                f"{self.backup.name}: {self.backup.location} is not the backup any more "
                "that it was a moment ago"
            )
        if code == queries.ABSENT and absent is not None:
            return absent
        if why := queries.PROBLEMS.get(code):
            full = "No space left" in errors or "quota" in errors
            detail = f": {last_line(errors)}" if errors else ""
            sentence = f"{self.backup.name}: {display(directory)}: {why}{detail}"
            raise (
                TemporaryError(sentence)
                if full or code == queries.NOT_MADE
                else PermanentError(sentence)
            )
        # An unreadable file only has no checksum.
        if code and script not in (queries.CHECKSUMS,):
            raise TemporaryError(
                f"{self.backup.name}: {display(directory)}: {last_line(errors) or f'code {code}'}"
            )
        return rest

    def _head(self, answer: Sequence[bytes]) -> tuple[BackupPlace, Sequence[bytes]]:
        return self._read(queries.read_head, answer)

    def _read(
        self, reader: Callable[[Sequence[bytes]], _Answer], answer: Sequence[bytes]
    ) -> _Answer:
        try:
            return reader(answer)
        except MalformedResponse as error:
            raise TemporaryError(f"{self.backup.name}: {error}") from error

    def _judge(self, judgement: CommandOutcome, what: str) -> None:
        if judgement.outcome != "done":
            sentence = f"{self.backup.name}: {what}: {judgement.why}"
            raise (
                TemporaryError(sentence)
                if judgement.outcome == "again"
                else PermanentError(sentence)
            )

    def _rsync(self, directory: str, *, ignore_times: bool) -> tuple[str, ...]:
        """Command that copies files from its working directory, named on its standard input."""
        backup, place = self.backup, self.backup.place
        rsh = ssh.rsh(backup.reached, self.control) if place.over_ssh else ""
        path = f"{place.path}/{directory}/"
        # rsync expands patterns only in remote paths.
        escaped = _PATTERN.sub(r"\\\1", path)
        destination = f"{place.rsync_host}:{escaped}" if place.over_ssh else path
        return (
            *("nice", "-n", str(self.nice), "rsync", "--times", "--secluded-args"),
            *("--no-whole-file", f"--partial-dir={PARTIAL}"),
            *("--backup", f"--backup-dir={place.path}/{self.superseded(directory)}"),
            f"--timeout={math.ceil(backup.timeout)}",
            *((f"--bwlimit={backup.bandwidth_limit}",) if backup.bandwidth_limit else ()),
            *((f"--rsh={rsh}",) if rsh else ()),
            *(("--ignore-times",) if ignore_times else ()),
            *("--no-recursive", "--dirs", "--relative", "--from0", "--files-from=-"),
            *("--info=progress2", "--no-human-readable", "--outbuf=L"),
            *("./", destination),
        )


def query_backup(
    backup: BackupPlaceSettings,
    script: str,
    arguments: Sequence[str],
    control: Path | None,
    *,
    given: bytes = b"",
    patience: float = 0.0,
    stop: Callable[[], bool] = lambda: False,
    run: CommandRunner = run,
) -> tuple[list[bytes], int, str]:
    """Run a script at a backup; records, exit code and error text of its response.

    Raises TemporaryError or PermanentError without a response.
    """
    query = (*question(script, backup.place.path), *arguments)
    command = ssh.remote(backup.reached, query, control) if backup.place.over_ssh else query
    quiet = backup.connect_timeout + backup.timeout + patience
    ended = run(command, quiet=quiet, given=given, stop=stop)
    answer, code = read_response(f"{backup.name}: {backup.location}", ended)
    if not answer:
        raise TemporaryError(
            f"{backup.name}: {backup.location} is not there: {last_line(ended.errors)}"
        )
    return answer, code, ended.errors


@contextmanager
def reached(
    backup: BackupPlaceSettings,
    *,
    stop: Callable[[], bool] = lambda: False,
    runner: CommandRunner = run,
) -> Iterator[BackupStore]:
    """Open a reachable backup with or without a marker, for `backup-init` and `doctor`.

    Raises the errors of `opened`.
    """
    with _connected(backup, runner, stop) as control:
        answer, _, _ = query_backup(backup, queries.OPEN, (), control, stop=stop, run=runner)
        try:
            place = queries.read_place(answer)
        except MalformedResponse as error:
            raise TemporaryError(f"{backup.name}: {error}") from error
        except (TemporaryError, PermanentError) as error:
            raise type(error)(f"{backup.name}: {backup.location}: {error}") from error
        yield BackupStore(backup, place, control, stop, runner)


@contextmanager
def opened(
    backup: BackupPlaceSettings,
    *,
    stop: Callable[[], bool] = lambda: False,
    runner: CommandRunner = run,
) -> Iterator[BackupStore]:
    """Open a backup that has a marker. When `stop` returns True, its running command ends.

    Raises TemporaryError if it cannot be reached or has no marker (unmounted, or never
    initialised), PermanentError if it needs a person.
    """
    with reached(backup, stop=stop, runner=runner) as store:
        if not store.identity:
            raise TemporaryError(
                f"{backup.name}: {backup.location} is there, but {queries.MARKER} is not in it: "
                "is it mounted? "
                f"If it is new: hesiod-watch backup-init {backup.name}"
            )
        yield store


@contextmanager
def _connected(
    backup: BackupPlaceSettings, runner: CommandRunner, stop: Callable[[], bool]
) -> Iterator[Path | None]:
    with ExitStack() as stack:
        try:
            control = stack.enter_context(connected(backup.reached, runner, stop))
        except HostUnreachable as error:
            sentence = f"{backup.name}: {error}"
            raise (
                PermanentError(sentence)
                if error.judgement.outcome == "failed"
                else TemporaryError(sentence)
            ) from error
        yield control
