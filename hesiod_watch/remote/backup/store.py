"""One open backup: list its files, compute checksums there, copy to it.

It never deletes a file. A file that a copy replaces is kept in `superseded`.

The same scripts and the same rsync command serve a mounted directory and a host behind ssh.
Checksums are computed where the data are. Every response names the marker and the device again. So
a backup that disappears meanwhile is noticed, even if an empty directory is left in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

from hesiod_watch.config import BackupPlaceSettings
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.inventory import names_given, read_files
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.host.files import OpenDirectory, regular_below
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.backup import queries
from hesiod_watch.remote.backup.local_files import (
    ChecksumComparison,
    largest,
)
from hesiod_watch.remote.backup.queries import BackupPlace
from hesiod_watch.remote.connection import connected
from hesiod_watch.remote.directory import QueryResponse, RemoteDirectory
from hesiod_watch.remote.rsync import copy_command, copy_files
from hesiod_watch.rules.copies import SUPERSEDED
from hesiod_watch.rules.exit_codes import last_line

_NO_LOG = RunLog(None)


@dataclass
class BackupStore(RemoteDirectory):
    """One open backup. Directories are relative to its root and begin with the name of a run.

    A temporary error may be an unreachable, unmounted or full backup. Every sentence begins with
    the backup's name.
    """

    CHECKSUMS: ClassVar[str] = queries.CHECKSUMS

    backup: BackupPlaceSettings
    place: BackupPlace
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

    def entries(self, directory: str) -> dict[str, FileEntry]:
        """All present entries of a directory, by name relative to it; empty if it does not exist.

        Other file systems that are mounted within it are not entered.
        """
        response = self.query(queries.ENTRIES, directory)
        if response.code == queries.ABSENT:
            return {}
        return dict(self.read(read_files, response.records).entries)

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
            self.query(queries.MAKE, superseded)
            self.query(queries.SET_ASIDE, directory, superseded, given=names_given(names))

    def copy(
        self,
        source: OpenDirectory,
        directory: str,
        names: Iterable[str],
        *,
        ignore_times: bool = False,
        log: RunLog = _NO_LOG,
        on_progress: Callable[[int], None] = lambda copied: None,
    ) -> None:
        """Copy regular files from `source` to a directory, which is created; they are durable then.

        A file that is replaced is kept in `superseded`. Safe to stop at any moment and to repeat: a
        file with the same size and time is not sent again, and an interrupted large file is
        continued.
        `ignore_times`: compare contents also if size and time agree. This method does not verify
        the result.
        """
        if names := list(names):
            self.query(queries.MAKE, directory)
            superseded = f"{self.location.path}/{self.superseded(directory)}"
            command = copy_command(
                self.endpoint,
                "./",
                self.endpoint.rsync_path(f"{self.location.path}/{directory}"),
                nice=self.nice,
                options=("--backup", f"--backup-dir={superseded}"),
                always=("--ignore-times",) if ignore_times else (),
            )
            descriptor = source.opened().descriptor
            log.line(f"{self.backup.name}: {number_of(len(names), 'file')} to {directory}")
            copy_files(
                self.endpoint,
                command,
                names,
                descriptor,
                largest=largest(descriptor, names),
                log=log,
                label=self.backup.name,
                on_progress=on_progress,
            )
        # Also without a copy: the files may come from a copy that was killed before this.
        self.make_durable()

    def make_durable(self) -> None:
        """Sync all written data to the backup's disk."""
        self.query(queries.DURABLE)

    def difference(self, directory: str, name: str, reference: OpenDirectory) -> tuple[int, int]:
        """Compare a file with that of the same name in `reference` on this host.

        Returns the offset of the first differing byte and the number of differing bytes; (0, 0) for
        equal files. Bytes beyond the end of the shorter file count as differing. Also raises
        OSError.
        """
        with regular_below(reference, name) as descriptor:
            comparison = ChecksumComparison(descriptor)
            ended = self.endpoint.run(
                ("cat", "--", f"{self.location.path}/{directory}/{name}"),
                on_output=comparison.feed,
            )
            if ended.why or ended.code:
                why = ended.why or last_line(ended.errors)
                raise TemporaryError(
                    f"{self.backup.name}: {display(name)} cannot be read to its end: {why}"
                )
            return comparison.result()

    def query(
        self,
        script: str,
        directory: str = "",
        *arguments: str,
        given: bytes = b"",
        patience: float = 0.0,
    ) -> QueryResponse:
        """Run a script of `queries`; records without the head, which must be of this backup.

        Only the codes 0 and ABSENT are returned, and any code of CHECKSUMS: an unreadable file only
        has no checksum.
        """
        parts = filter(None, directory.split("/"))
        response = super().query(script, "", *arguments, *parts, given=given, patience=patience)
        place, rest = self.read(queries.read_head, _require_head(self, response))
        if place.identity != self.identity or place.number != self.place.number:
            raise TemporaryError(f"{self} is not the backup any more that it was a moment ago")
        code, errors = response.code, response.errors
        if script == queries.ENTRIES and code == queries.ABSENT:
            return QueryResponse([], code, errors)
        where = f"{self.backup.name}: {display(directory)}"
        if why := queries.PROBLEMS.get(code):
            full = "No space left" in errors or "quota" in errors
            detail = f": {last_line(errors)}" if errors else ""
            temporary = full or code == queries.NOT_MADE
            raise (TemporaryError if temporary else PermanentError)(f"{where}: {why}{detail}")
        if code and script != queries.CHECKSUMS:
            raise TemporaryError(f"{where}: {last_line(errors) or f'code {code}'}")
        return QueryResponse(rest, code, errors)


def _require_head(directory: RemoteDirectory, response: QueryResponse) -> Sequence[bytes]:
    """Records of a response; a backup that is mounted prints at least its device."""
    if not response.records:
        raise TemporaryError(f"{directory} is not there: {last_line(response.errors)}")
    return response.records


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
    with connected(backup, runner, stop, prefix=f"{backup.name}: ") as endpoint:
        root = RemoteDirectory(endpoint, backup.place)
        records = _require_head(root, root.query(queries.OPEN))
        yield BackupStore(endpoint, backup.place, backup, root.read(queries.read_place, records))


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
