"""Mirror a directory to a backup: set conflicts aside, copy missing files, verify all files.

Nothing is ever deleted. An entry that has other content, or that no fact names, or that occupies
the name of a file, is moved below the run's `superseded/` at the backup. A later listing checks
that the entry was kept there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hesiod_watch.config import Config
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import Entries, FileEntry, file_sizes
from hesiod_watch.core.naming import display
from hesiod_watch.core.system_errors import translated
from hesiod_watch.core.text import number_of
from hesiod_watch.host.files import OpenDirectory, checksums, regular
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.backup.compare import find_wrong, sentences
from hesiod_watch.remote.backup.store import BackupStore
from hesiod_watch.remote.rsync import compare_and_repair
from hesiod_watch.rules.copies import FLAGS, RESULTS

LOGS = frozenset({"pipeline.log", "sync.log", "backup.log"})
"""Files of a run that grow while they are copied; they are copied last."""
RUN_BACKUP = frozenset({"backup.started", "backup.done", "backup.failed"})
"""Flags of this action itself, which change while it runs; they are not copied."""


@dataclass(frozen=True)
class DirectoryMirror:
    """One directory of a backup, with the files that it must contain."""

    store: BackupStore
    source: Path  # the source directory; it may be missing
    below: Path  # a directory above it; below this one no link is followed
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
        if not self.source.is_dir():
            return found
        with OpenDirectory(self.source, self.below).opened() as directory:
            for name, fact in self.facts.items():
                try:
                    status = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
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
            below=self.below,
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
    store: BackupStore, run_dir: Path, output: Path, config: Config, log: RunLog
) -> int:
    """Copy a run's own files and flags, its logs last, and verify them; returns their number.

    Raises as `copy_missing`.
    """
    run = run_dir.name
    number = 0
    for source, directory, below, logs in (
        (output, f"{run}/{RESULTS}", config.output, False),
        (run_dir / "pipeline", f"{run}/{FLAGS}", config.landing, False),
        (output, f"{run}/{RESULTS}", config.output, True),
    ):
        for last in (False, False, True):
            facts = {
                name: fact
                for name, fact in _facts_of(source, below).items()
                if (name in LOGS) is logs
            }
            try:
                store.copy(source, directory, facts, below=below, log=log)
                differing = _differing(store, source, directory, facts)
            except TemporaryError:
                if last:
                    raise
                continue  # perhaps a flag was renamed meanwhile
            if not differing:
                break
            if last:
                raise TemporaryError(
                    f"{store.backup.name}: {directory}/{display(differing[0])} "
                    "differs from the file here"
                )
        number += len(facts)
    return number


def _differing(store: BackupStore, source: Path, directory: str, facts: Entries) -> list[str]:
    """Files at the backup that are neither our present file nor the beginning of it."""
    sizes = file_sizes(store.entries(directory), facts)
    md5s = store.checksums(directory, sizes)
    return [
        name
        for name, fact in facts.items()
        if (md5 := md5s.get(name)) != fact.md5
        and (md5 is None or _md5_of_beginning(source / name, sizes[name]) != md5)
    ]


def _md5_of_beginning(path: Path, size: int) -> str:
    with translated(display(str(path))):
        return _md5(path, size)


def _facts_of(source: Path, below: Path) -> Entries:
    """Regular files of a directory, without hidden ones, as they are now.

    Includes sub-directories of `pipeline`. Only the top level of `output` is wanted, so cells are
    not entered.
    """
    found: dict[str, FileEntry] = {}
    with OpenDirectory(source, below).opened():
        pass  # checks that it is a real directory
    pending = [""]
    while pending:
        prefix = pending.pop()
        with translated(display(str(source))), os.scandir(source / prefix) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            name = f"{prefix}{entry.name}"
            if entry.name.startswith(".") or name in RUN_BACKUP:
                continue
            if entry.is_dir(follow_symlinks=False):
                if source.name == "pipeline":
                    pending.append(f"{name}/")
            elif entry.is_file(follow_symlinks=False):
                try:
                    size = entry.stat(follow_symlinks=False).st_size
                    md5 = _md5(source / name, size)
                    found[name] = FileEntry(name, size=size, md5=md5)
                except FileNotFoundError:
                    continue  # a flag that was renamed meanwhile
                except (OSError, HesiodError) as error:
                    raise TemporaryError(f"{display(str(source / name))}: {error}") from error
    return found


def _md5(path: Path, size: int) -> str:
    """MD5 of the first `size` bytes of a regular file. Raises OSError."""
    with regular(path) as descriptor:
        return checksums(descriptor, "md5", size=size)[0]
