"""Mirror a directory to a backup: set conflicts aside, copy missing files, verify all files.

Nothing is ever deleted. An entry that has other content, or that no fact names, or that occupies
the name of a file, is moved below the run's `superseded/` at the backup. A later listing checks
that the entry was kept there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from hesiod_watch.config import Config
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import Entries, FileEntry, file_sizes
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.system_errors import translated
from hesiod_watch.core.text import number_of
from hesiod_watch.host.files import OpenDirectory, checksums, regular_below
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.backup.compare import find_wrong, sentences
from hesiod_watch.remote.backup.store import BackupStore
from hesiod_watch.remote.rsync import compare_and_repair
from hesiod_watch.rules.copies import FLAGS, RAW, RESULTS
from hesiod_watch.runs import flags
from hesiod_watch.runs.cell_results import run_names_on_backups
from hesiod_watch.runs.run_directories import find_cells
from hesiod_watch.runs.run_files import run_files

LOGS = frozenset({"pipeline.log", "sync.log", "backup.log"})
"""Files of a run that grow while they are copied; they are copied last."""
ATTEMPTS = 3
"""How often a run's own files are copied in one action: flags change meanwhile."""
RUN_BACKUP = frozenset({"backup.started", "backup.done", "backup.failed"})
"""Flags of this action itself, which change while it runs; they are not copied."""


@frozen
class DirectoryMirror:
    """One directory of a backup, with the files that it must contain."""

    store: BackupStore
    source: OpenDirectory  # it may be missing
    directory: str
    facts: Entries
    log: RunLog

    @property
    def size(self) -> int:
        return sum(fact.size for fact in self.facts.values())

    def copy_missing(self, on_progress: Callable[[int], None]) -> int:
        """Make the directory contain exactly the named files; returns the number it set aside.

        A file that agrees in size and time is not sent again. A file whose source is missing stays
        unchanged at the backup. The copies are durable when it returns, and not verified yet.

        Raises TemporaryError, PermanentError.
        """
        here = self._sources()
        before = self.store.entries(self.directory)
        aside = {name for name, entry in before.items() if _is_conflicting(name, entry, self.facts)}
        self.store.set_aside(self.directory, _outermost(aside))
        present = {name: entry for name, entry in before.items() if name not in aside}
        needed = [name for name, entry in here.items() if not entry.is_like(present.get(name))]
        done = self.size - sum(self.facts[name].size for name in needed)
        self._copy(needed, lambda more: on_progress(done + more))
        gone = {name: before[name] for name in aside | (set(needed) & present.keys())}
        _require_set_aside(self.store, self.directory, gone)
        return len(gone)

    def verify_files(self, on_progress: Callable[[int], None]) -> list[str]:
        """Verify all files at the backup by reading them; returns a sentence for each problem.

        A file that differs is copied once more and read again; its former version is kept.
        """

        def compare(only: Collection[str] | None) -> dict[str, str]:
            first = only is None
            return find_wrong(
                self.store,
                self.directory,
                self.facts,
                None if first else self.source,
                on_progress if first else lambda done: None,
                only=only,
            )

        def repair(problems: dict[str, str]) -> Collection[str]:
            here = self._sources()
            if again := [name for name in problems if name in here]:
                before = self.store.entries(self.directory)
                for sentence in sentences(self.store, self.directory, self.facts, problems)[:100]:
                    self.log.line(f"{sentence}; copied once more, the former copy is kept")
                self._copy(again, lambda done: None, ignore_times=True)
                gone = {name: before[name] for name in again if name in before}
                _require_set_aside(self.store, self.directory, gone)
            return again

        problems = compare_and_repair(compare, repair)
        return sentences(self.store, self.directory, self.facts, problems)

    def _sources(self) -> dict[str, FileEntry]:
        """Source files that can be copied.

        Raises PermanentError if the size of a file differs from its fact.
        """
        found: dict[str, FileEntry] = {}
        if not self.source.is_in_place():
            return found
        directory = self.source.opened().descriptor
        for name, fact in self.facts.items():
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except OSError:
                continue  # missing here: reading at the backup shows whether a copy exists
            if status.st_size != fact.size:
                where = display(str(self.source / name))
                raise PermanentError(
                    f"{where}: {number_of(status.st_size, 'byte')}, and should be {fact.size}; "
                    "it is not copied"
                )
            found[name] = FileEntry.of_status(name, status)
        return found

    def _copy(
        self, names: Iterable[str], on_progress: Callable[[int], None], ignore_times: bool = False
    ) -> None:
        self.store.copy(
            self.source,
            self.directory,
            names,
            log=self.log,
            on_progress=on_progress,
            ignore_times=ignore_times,
        )


def _is_conflicting(name: str, entry: FileEntry, facts: Entries) -> bool:
    """Whether an entry of a backup is neither a wanted file nor a directory above one."""
    if entry.kind == "f" and name in facts:
        return False
    return entry.kind != "d" or name in facts


def _outermost(names: Collection[str]) -> list[str]:
    """Names that are below none of the other names: those are moved with their directory."""
    return [
        name
        for name in names
        if not any(str(above) in names for above in PurePosixPath(name).parents)
    ]


def _require_set_aside(store: BackupStore, directory: str, gone: Mapping[str, FileEntry]) -> None:
    """Check that every entry set aside is in `superseded/`, or still in its place.

    Raises PermanentError.
    """
    if not gone:
        return
    place = store.superseded(directory)
    kept, now = store.entries(place), store.entries(directory)
    for name, entry in gone.items():
        still, found = now.get(name), kept.get(name)
        if entry.kind == "d" or (still and still.identity == entry.identity):
            continue
        if found is None or (found.kind, found.size, found.target) != (
            entry.kind,
            entry.size,
            entry.target,
        ):
            where = f"{store.backup.name}: {directory}/{display(name)}"
            raise PermanentError(f"{where} was replaced by another version, and is not in {place}")


def mirror_run_files(
    store: BackupStore, run: OpenDirectory, output: Path, config: Config, log: RunLog, *, raw: bool
) -> int:
    """Copy a run's own files and flags, its logs last, and verify them; returns their number.

    With `raw`, its own files are also those in its directory that belong to no cell.

    Raises as `copy_missing`.
    """
    names = run_names_on_backups(run, config.output, output)
    there = (each for each in names if store.entries(f"{each}/{FLAGS}"))
    name = next(there, names[0]) if len(names) > 1 else names[0]
    results, number = OpenDirectory(output, config.output), 0
    for source, directory, logs in (
        *([(run, f"{name}/{RAW}", False)] if raw else []),
        (results, f"{name}/{RESULTS}", False),
        (flags.Pipeline(run), f"{name}/{FLAGS}", False),
        (results, f"{name}/{RESULTS}", True),
    ):
        for attempt in range(1, ATTEMPTS + 1):
            found = _facts_of_run(run, log) if source is run else _facts_of(source)
            facts = {
                name: fact
                for name, fact in found.items()
                if source is run or (name in LOGS) is logs
            }
            try:
                # A flag that was replaced within a second may have the same size and time.
                store.copy(source, directory, facts, ignore_times=attempt > 1, log=log)
                differing = _differing(store, source, directory, facts)
            except TemporaryError:
                if attempt == ATTEMPTS:
                    raise
                continue  # perhaps a flag was renamed meanwhile
            if not differing:
                break
            if attempt == ATTEMPTS:
                raise TemporaryError(
                    f"{store.backup.name}: {directory}/{display(differing[0])} "
                    "differs from the file here"
                )
        number += len(facts)
    return number


def _differing(
    store: BackupStore, source: OpenDirectory, directory: str, facts: Entries
) -> list[str]:
    """Files at the backup that are neither our present file nor the beginning of it."""
    sizes = file_sizes(store.entries(directory), facts)
    md5s = store.checksums(directory, sizes)
    return [
        name
        for name, fact in facts.items()
        if (md5 := md5s.get(name)) != fact.md5
        and (md5 is None or _md5_of_beginning(source, name, sizes[name]) != md5)
    ]


def _md5_of_beginning(source: OpenDirectory, name: str, size: int) -> str:
    with translated(display(str(source / name))):
        return _md5(source, name, size)


def _facts_of(source: OpenDirectory) -> Entries:
    """Regular files of a directory, without hidden ones, as they are now.

    Includes sub-directories of `pipeline`. Only the top level of `output` is wanted, so cells are
    not entered.
    """
    found: dict[str, FileEntry] = {}
    source.opened()  # checks that it is a real directory
    pending = [""]
    while pending:
        prefix = pending.pop()
        with (
            translated(display(str(source))),
            source.open(*prefix.split("/")) as inner,
            os.scandir(inner.descriptor) as entries,
        ):
            listed = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
            )
        for last, is_directory in listed:
            name = f"{prefix}{last}"
            if last.startswith(".") or name in RUN_BACKUP:
                continue
            if not is_directory:
                try:
                    found[name] = _fact(source, name)
                except FileNotFoundError:
                    continue  # a flag that was renamed meanwhile
                except (OSError, HesiodError) as error:
                    raise TemporaryError(f"{display(str(source / name))}: {error}") from error
            elif isinstance(source, flags.Pipeline):
                pending.append(f"{name}/")
    return found


def _facts_of_run(run: OpenDirectory, log: RunLog) -> Entries:
    """The run's files that belong to no cell. The log has those that cannot be read."""
    found: dict[str, FileEntry] = {}

    def report(sentence: str) -> None:
        log.line(f"not backed up: {sentence}")

    with translated(display(str(run))):
        cells = find_cells(run).cells
    for name in run_files(run, cells, report):
        try:
            found[name] = _fact(run, name)
        except (OSError, HesiodError) as error:
            report(f"{display(name)}: {error}")
    return found


def _fact(source: OpenDirectory, name: str) -> FileEntry:
    """A regular file with its present size, and the MD5 of that many bytes. Raises OSError."""
    with regular_below(source, name) as descriptor:
        size = os.fstat(descriptor).st_size
        return FileEntry(name, size=size, md5=checksums(descriptor, "md5", size=size)[0])


def _md5(source: OpenDirectory, name: str, size: int) -> str:
    """MD5 of the first `size` bytes of a regular file. Raises OSError."""
    with regular_below(source, name) as descriptor:
        return checksums(descriptor, "md5", size=size)[0]
