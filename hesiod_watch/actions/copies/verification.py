"""Read all copies of a processed cell: results and raw data here, and every copy on a backup.

Results are compared with `manifest.json`, raw data in the landing area with `raw.json`, and
copies on backups with both. A place that cannot be reached is not damaged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hesiod_watch.actions.outputs.check import verify_cell
from hesiod_watch.actions.outputs.source_check import changed_sources, new_data_in
from hesiod_watch.config import BackupPlaceSettings, Config
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import Entries, FileEntry
from hesiod_watch.core.minknow_checksums import NO_CHECKSUMS, MinknowChecksums
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Flag
from hesiod_watch.core.results import CopyRecord, DoneRecord
from hesiod_watch.core.text import number_of
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.host.process import iso_now
from hesiod_watch.remote.backup.compare import find_copy, find_wrong, sentences
from hesiod_watch.remote.backup.manifests import (
    MANIFEST,
    RawManifest,
    copied_raw,
    manifest_md5,
    publish_raw,
    read_begun,
    read_raw,
    read_raw_data,
    result_facts,
    save_begun,
    sources_of,
    withdraw_raw,
)
from hesiod_watch.remote.backup.minknow_hashes import compare
from hesiod_watch.remote.backup.store import BackupStore, opened
from hesiod_watch.rules.checksum_findings import problem_of
from hesiod_watch.rules.copies import (
    RAW,
    RESULTS,
    CopyPlace,
    digest,
    known_copies,
    raw_wanted,
)
from hesiod_watch.runs import flags
from hesiod_watch.runs.cell_results import find_results, places_on_backups
from hesiod_watch.runs.observe import RAW_MANIFEST

logger = logging.getLogger(__name__)

Say = Callable[[str, int, int], None]
"""Progress callback: phase, bytes read so far, bytes in total."""


@dataclass
class VerificationResult:
    """Result of reading a cell's copies.

    Sentences begin with the place: output, landing, a backup's name.
    """

    problems: list[str] = field(default_factory=list)
    copies: list[CopyRecord] = field(default_factory=list)  # copies that agree
    unread: list[str] = field(default_factory=list)  # why a place could not be read
    extra: list[str] = field(default_factory=list)  # files that raw.json does not name
    new_data: str = ""  # sentence about files that came after the cell was processed
    local_read: bool = False  # the results and raw data on this host were read to the end
    raw_made: bool = False  # `raw.json` was made
    checksums: MinknowChecksums = NO_CHECKSUMS  # comparison of our raw data with MinKNOW's


def verify_copies(
    config: Config,
    run: OpenDirectory,
    output: Path,
    cell: CellId,
    *,
    backups: bool = True,
    fence: Callable[[], None] | None = None,
    say: Say = lambda phase, done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> VerificationResult:
    """Read the copies of a cell.

    Changes nothing, but with a `fence` it makes `raw.json` where there is none. Damaged and
    unreadable copies are in the result. Raises PermanentError for a cell without `.done`.
    """
    done = DoneRecord.of(require_done(config, run, cell))
    kept = find_results(output, cell, done)
    places = places_on_backups(run, config.output, output, cell, kept)
    verification = _Verification(config, run, output / str(kept), cell, places, say, stop, fence)
    return verification.make(backups=backups)


def require_done(config: Config, run: OpenDirectory, cell: CellId) -> Flag:
    """Return `.done`. Raises PermanentError without it: then no results count."""
    done = flags.read_flags(flags.Pipeline(run)).cell(cell.stem, config.judge).done
    if done is None:
        raise PermanentError(
            f"{display(run.path.name)} {display(str(cell))} is not processed; there is nothing to"
            " verify yet"
        )
    return done


@dataclass
class _Verification:
    config: Config
    run: OpenDirectory
    cell_output: Path
    cell: CellId
    places: Sequence[CopyPlace]  # on backups
    say: Say
    stop: Callable[[], bool]
    fence: Callable[[], None] | None  # makes `raw.json` where there is none, unless overtaken
    found: VerificationResult = field(default_factory=VerificationResult)
    # damaged files on this host: RESULTS or RAW, and the name
    bad: set[str] = field(default_factory=set)

    def make(self, *, backups: bool) -> VerificationResult:
        listing = flags.read_flags(flags.Pipeline(self.run))
        done = listing.cell(self.cell.stem, self.config.judge).done
        manifest = DoneRecord.of(done).manifest_md5
        try:
            self.say("reading results", 0, 0)
            self._results(manifest)
            if self.fence:
                withdraw_raw(self.cell_output)
            results, raw = result_facts(self.cell_output), read_raw(self.cell_output)
            attempts = [
                listing.attempt(work(self.cell.stem), self.config.judge)
                for work in (flags.backup, flags.verify)
            ]
            copies = {copy.backup: copy for copy in known_copies(manifest, *attempts)}
            removed = listing.raw_removed(self.cell.stem)
            # Where backups have raw data, a backup makes `raw.json` and copies it.
            first = self.fence is not None and not (raw.files or removed)
            first = first and not any(copy.raw for copy in copies.values())
            self._raw(raw, removed=removed, first=first)
            self._sources(raw, removed=removed)
            self.found.new_data = new_data_in(
                self.run, self.cell, self.cell_output, self.found.extra
            )
            self.found.local_read = True
        except PermanentError as error:
            # A damaged manifest allows no further comparison.
            self.found.problems.append(f"output: {error}")
            return self.found
        except TemporaryError as error:
            self.found.unread.append(str(error))
            return self.found
        if backups and manifest:
            for backup in self.config.backups:
                if copy := copies.get(backup.name):
                    self._backup(backup, copy, results, raw)
        return self.found

    def _results(self, manifest: str) -> None:
        if not manifest and not (self.cell_output / MANIFEST).exists():
            self.found.problems.append(
                f"output: {MANIFEST} is missing, and its flag done names none (made by hand, or by"
                " an earlier program), so its results cannot be compared; processing the cell again"
                " makes one"
            )
            return
        if manifest and manifest_md5(self.cell_output) != manifest:
            self.found.problems.append(
                f"output: manifest.json is not the one that its flag done names ({manifest})"
            )
        for problem in verify_cell(self.cell_output):
            self.found.problems.append(f"output: {display(problem)}")
            name = Path(problem.removeprefix(f"{self.cell_output}/").partition(":")[0]).name
            self.bad.add(f"{RESULTS}/{name}")

    def _raw(self, recorded: RawManifest, *, removed: bool, first: bool) -> None:
        """Compare the raw data here with raw.json and MinKNOW's own checksums.

        If files were removed on purpose, only the remaining files are compared. Without raw.json,
        only the files that MinKNOW names are compared, unless it is to be made (`first`).
        """
        directory = self.run.open_cell(self.cell)
        if not directory.is_in_place():
            return
        if not recorded.files and not first:
            checksums = compare(
                self.run,
                self.cell,
                on_progress=lambda done, total: self.say("reading raw data", done, total),
            )
            self._minknow(checksums, known=None if removed else frozenset())
            if unread := checksums.not_compared:
                files = number_of(unread, "file")
                self.found.unread.append(
                    f"landing: {files} that {checksums.files[0]} names cannot be read"
                )
            return
        # No record is trusted: every file is read again, whatever its times say. Only a first
        # reading that was interrupted is continued.
        now = read_raw_data(
            self.run,
            self.cell,
            read_begun(self.cell_output) if first else RawManifest(str(self.cell)),
            on_progress=lambda done, total: self.say("reading raw data", done, total),
            stop=self.stop,
            save=lambda begun: save_begun(self.cell_output, begun) if first else None,
        )
        if first and self.fence:
            publish_raw(self.cell_output, now, self.fence, new=not recorded.cell)
            self.found.raw_made, recorded = True, now
        # For a file that was removed from here since, raw.json says whether it differed. Its
        # copies then differ too.
        removed_bad = {name for name in recorded.checksums.differing if name not in now.files}
        checksums = now.checksums or recorded.checksums
        checksums = replace(
            checksums, differing=tuple(sorted({*checksums.differing, *removed_bad}))
        )
        # A file that MinKNOW's checksums prove to be damaged is reported once.
        if now.checksums or checksums.wrong:
            self._minknow(checksums, known=recorded.files.keys())
        for name, why in now.damaged.items():
            if name not in checksums.differing:
                self.found.problems.append(f"landing: {display(name)}: {why}")
        copied = copied_raw(self.cell_output)
        for name in sorted(recorded.files.keys() | now.files.keys()):
            before, file = recorded.files.get(name), now.files.get(name)
            shown = f"landing: {display(name)}"
            if file is None:
                if not removed:
                    self.found.problems.append(f"{shown}: missing")
            elif before is None:
                self.found.extra.append(name)
            elif not file.same_content(before):
                if name not in checksums.differing:
                    self.found.problems.append(f"{shown}: {_other(before, file)}")
                self.bad.add(f"{RAW}/{name}")
            elif file.md5 != (former := copied.get(name, file.md5)):
                self.found.problems.append(
                    f"{shown}: its MD5 is {file.md5}, and was {former} when it was processed"
                )

    def _sources(self, recorded: RawManifest, *, removed: bool) -> None:
        """Compare the sources of the results; raw.json has shown missing files already."""
        directory = self.run.open_cell(self.cell)
        if not directory.is_in_place():
            return
        for sentence in changed_sources(
            directory,
            self.cell_output,
            may_be_missing=lambda name: removed or name in recorded.files,
            stop=self.stop,
        ):
            self.found.problems.append(f"landing: {sentence}")

    def _minknow(self, checksums: MinknowChecksums, known: Collection[str] | None) -> None:
        """Record the problems that MinKNOW's checksums prove.

        A `known` file is not absent: it was part of the cell, and raw.json describes it. None:
        files were removed on purpose, and it is not known which.
        """
        self.found.checksums = checksums.without_absent(known)
        if wrong := self.found.checksums.wrong:
            self.found.problems.append(problem_of(wrong))

    def _backup(
        self, backup: BackupPlaceSettings, copy: CopyRecord, results: Entries, raw: RawManifest
    ) -> None:
        if not copy.raw:  # its raw.json may be younger than the copy, and describes no data there
            results = {name: fact for name, fact in results.items() if name != RAW_MANIFEST}
        wanted = raw_wanted(
            raw.files, sources_of(self.cell_output), wanted=copy.raw, fastq=backup.fastq
        )
        total = sum(fact.size for facts in (results, wanted) for fact in facts.values())
        try:
            with opened(backup, stop=self.stop) as store:
                if store.identity != copy.identity:
                    self.found.problems.append(
                        f"{backup.name}: {backup.location} is another backup ({store.identity}) "
                        f"than the one that the cell was copied to ({copy.identity})"
                    )
                    return
                problems: list[str] = []
                done = 0
                place = find_copy(store, self.places, results)
                for directory, part, facts, here in (
                    (place.results, RESULTS, results, OpenDirectory(self.cell_output)),
                    (place.raw, RAW, wanted, self.run.open_cell(self.cell)),
                ):
                    if facts:
                        wrong = self._part(store, directory, part, facts, here, done, total)
                        if not copy.raw:  # a raw.json that was copied all the same is no damage
                            wrong.pop(RAW_MANIFEST, None)
                        problems += sentences(store, directory, facts, wrong)
                        done += sum(fact.size for fact in facts.values())
                device = store.device
        except TemporaryError as error:
            self.found.unread.append(str(error))
            return
        except PermanentError as error:
            self.found.problems.append(str(error))
            return
        self.found.problems += problems
        if not problems:
            all_raw = digest(raw.files)
            self.found.copies.append(
                replace(
                    copy,
                    verified_at=iso_now(),
                    device=device,
                    raw_digest=all_raw,
                    location=backup.location,
                    run=place.run,
                )
            )

    def _part(
        self,
        store: BackupStore,
        directory: str,
        part: str,
        facts: Entries,
        here: OpenDirectory,
        done: int,
        total: int,
    ) -> dict[str, str]:
        """Verify one directory of a backup; returns what is wrong with which entry.

        If our own file is the damaged one, report which byte of it differs.
        """

        def reading(more: int) -> None:
            self.say(f"reading at {store.backup.name}", done + more, total)

        wrong = find_wrong(store, directory, facts, here, reading)
        for name in facts:
            if name not in wrong and f"{part}/{name}" in self.bad:
                self.bad.remove(f"{part}/{name}")
                self._compare(store, directory, name, here)
        return wrong

    def _compare(self, store: BackupStore, directory: str, name: str, here: OpenDirectory) -> None:
        try:
            first, count = store.difference(directory, name, here)
        except (HesiodError, OSError) as error:
            logger.debug("not compared: %s", error)
            return
        where = "output" if here.path == self.cell_output else "landing"
        if count:
            self.found.problems.append(
                f"{where}: {display(name)}: byte {first} is the first of {count} that differ "
                f"from the copy on {store.backup.name}, which is correct"
            )


def _other(before: FileEntry, now: FileEntry) -> str:
    size = (
        f"{number_of(now.size, 'byte')}, and was {before.size}; " if now.size != before.size else ""
    )
    return f"{size}its MD5 is {now.md5}, and was {before.md5}"
