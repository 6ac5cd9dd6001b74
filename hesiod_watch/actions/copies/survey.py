"""Survey the copies of a cell's raw data: every file is read now, at its place.

Earlier records are not trusted.

A cell's output counts as a copy of a raw file of reads if two things hold: the piece made from that
file inflates to the file's own text (`fastq.content_equality`), and the whole output has the MD5 of
the manifest. The same output on a backup then counts too. A sorted output has no such pieces.

A place that cannot be read adds no copies, only a reason. It stops nothing, because other places
may suffice.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from hesiod_watch.actions import Job
from hesiod_watch.config import BackupPlaceSettings
from hesiod_watch.core.errors import HesiodError, TemporaryError
from hesiod_watch.core.file_entry import Entries, FileEntry, changed_names, file_sizes
from hesiod_watch.core.naming import holds_reads
from hesiod_watch.fastq import readback
from hesiod_watch.fastq.content_equality import ContentReading, ReadInto, difference, read_source
from hesiod_watch.fastq.formats import is_bam, is_compressed
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.remote.backup.compare import find_copy
from hesiod_watch.remote.backup.local_files import device_of
from hesiod_watch.remote.backup.manifests import MANIFEST, read_manifest, result_facts
from hesiod_watch.remote.backup.minknow_hashes import OutputHashes, read_output_hashes
from hesiod_watch.remote.backup.store import opened
from hesiod_watch.rules.copies import CopyPlace
from hesiod_watch.rules.deletion_proof import CopyEvidence
from hesiod_watch.runs import cell_files

CHUNK = 1 << 20
Copies = dict[str, CopyEvidence]
"""Copies at one place, by the name of the raw file that each copy can restore."""


@dataclass
class LocalCopy:
    """Entries in landing, and the result of reading each file.

    `why` says why a file could not be read. `readings` has the files that outputs were made from:
    each is read once, for its MD5 and for its text.
    """

    device: str
    path: Path
    found: dict[str, FileEntry] = field(default_factory=dict)
    readings: dict[str, ContentReading] = field(default_factory=dict)
    read_at: dict[str, datetime] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    # MinKNOW's own checksums, as found in landing
    hashes: OutputHashes = field(default_factory=OutputHashes)
    # SHA-256 of the files that MinKNOW's checksums name, computed in the same pass
    sha256: dict[str, str] = field(default_factory=dict)

    def copies(self) -> Copies:
        return {
            name: CopyEvidence(
                "landing",
                self.device,
                str(self.path / name),
                entry.inode_name,
                entry.md5,
                self.read_at.get(name),
                self.why.get(name, ""),
            )
            for name, entry in self.found.items()
            if entry.kind == "f"
        }


@dataclass
class BackupCopy:
    """MD5 of raw files and of results by name, as read at a backup."""

    place: CopyPlace
    device: str = ""
    raw: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)  # by path below the backup
    read_at: datetime | None = None
    why: str = ""  # why nothing is known about this backup


@dataclass
class CopySurvey:
    """One survey of all the places that store copies of a cell."""

    job: Job
    directory: OpenDirectory
    cell_output: Path
    raw: Entries
    stop: Callable[[], bool]

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """Manifest of the cell's outputs; empty if it is missing, damaged or cannot be read."""
        try:
            return read_manifest(self.cell_output)
        except HesiodError:
            return {}

    def of_landing(self) -> LocalCopy:
        """Read every file in landing."""
        job = self.job
        sources = {str(source.get("name")) for source in self.manifest.get("sources", [])}
        entries = cell_files.entries(self.directory, job.the_cell)
        here = LocalCopy(device_of(job.run_dir), job.cell_dir.path.resolve(), entries)
        here.hashes = read_output_hashes(self.directory, job.the_cell, file_sizes(entries))
        for name, entry in sorted(entries.items()):
            if self.stop():
                raise TemporaryError(f"{job.run_dir.name} {job.the_cell}: stopped")
            if entry.kind != "f":
                continue
            here.read_at[name] = datetime.now(UTC)
            try:
                sha256 = hashlib.sha256() if name in here.hashes.sha256 else None
                reading, opened_entry = _read(
                    self.directory, job, entry, text=name in sources, sha256=sha256
                )
                here.found[name] = replace(opened_entry, md5=reading.md5)
                if sha256:
                    here.sha256[name] = sha256.hexdigest()
                if name in sources:
                    here.readings[name] = reading
            except OSError as error:
                here.why[name] = f"cannot be read: {error.strerror}"
        return here

    def of_outputs(self, here: LocalCopy) -> Copies:
        """Our outputs, as copies of the raw files of reads that they were made from."""
        copies: Copies = {}
        if not self.manifest:
            return copies  # the cell may have no output directory
        device = device_of(self.cell_output)
        wrong = {
            name: why
            for name in sorted(_outputs(self.manifest))
            if (why := self._output_problem(name))
        }
        for source in self.manifest.get("sources", []):
            name = str(source.get("name"))
            output = str(source.get("output"))
            read_at = datetime.now(UTC)
            why = wrong.get(output) or self._text_difference(here, name, source)
            path = self.cell_output / output
            copies[name] = CopyEvidence(
                "output",
                device,
                str(path.resolve()),
                _inode_of(path),
                "" if why else here.found[name].md5,
                read_at,
                why,
            )
        return copies

    def _output_problem(self, name: str) -> str:
        """Why an output differs from the manifest; "" if it agrees."""
        expected = next(
            (entry.get("md5") for entry in self.manifest["files"] if entry.get("name") == name),
            None,
        )
        if Path(name).name != name or not expected:
            return f"is not in {MANIFEST}"
        try:
            return (
                ""
                if readback.md5_of(self.cell_output / name) == expected
                else f"differs from {MANIFEST}: {name}"
            )
        except HesiodError as error:
            return f"cannot be read: {error}"

    def _text_difference(self, here: LocalCopy, name: str, source: Mapping[str, Any]) -> str:
        """Why a piece of an output is no copy of its source; "" if both have the same text."""
        reading = here.readings.get(name)
        if reading is None:
            return "cannot be compared with the file, which is not in landing"
        offset, length = source.get("offset"), source.get("length")
        if not isinstance(offset, int) or not isinstance(length, int):
            if is_bam(name):
                return "has the reads of this file sorted among those of others"
            return "does not say which part of it is this file: it was made by an earlier version"
        try:
            return difference(reading, self.cell_output / str(source["output"]), offset, length)
        except HesiodError as error:
            return f"cannot be compared with the file: {error}"

    def of_backup(self, backup: BackupPlaceSettings) -> BackupCopy:
        """Read the files that a backup has of the cell; a failure is in the result, not raised."""
        places = self.job.places_on_backups
        found = BackupCopy(places[0], read_at=datetime.now(UTC))
        try:
            with opened(backup, stop=self.stop) as store:
                found.device = store.device
                facts = result_facts(self.cell_output)
                found.place = find_copy(store, places, facts)
                for place, names in (
                    (found.place.results, list(filter(holds_reads, facts))),
                    (found.place.raw, list(self.raw)),
                ):
                    before = store.entries(place)
                    checksums = store.checksums(place, file_sizes(before, names))
                    for name in changed_names(before, store.entries(place)):
                        found.problems[f"{place}/{name}"] = "changed while it was read"
                    if place == found.place.raw:
                        found.raw = checksums
                    else:
                        found.results = checksums
        except (HesiodError, OSError) as error:
            found.why = f"cannot be read: {error}"
        return found

    def with_outputs(
        self, backup: BackupPlaceSettings, there: BackupCopy, outputs: Copies
    ) -> Copies:
        """Copies at a backup: its raw files, else the text in its copy of a proven output."""
        place = f"backup {backup.name}"
        facts = result_facts(self.cell_output)
        copies: Copies = {}
        for name in self.raw.keys() | outputs.keys():
            path = f"{there.place.raw}/{name}"
            md5 = there.raw.get(name, "")
            why = there.why or there.problems.get(path, "") or ("" if md5 else "has no such file")
            output = outputs.get(name)
            if (why or md5 != self._recorded(name)) and output and not output.why and not there.why:
                # A proof about our output holds for every file with the same bytes.
                last = Path(output.path).name
                path = f"{there.place.results}/{last}"
                same = last in facts and there.results.get(last) == facts[last].md5
                why = there.problems.get(path, "") or (
                    "" if same else f"has no sound copy of {last}"
                )
                md5 = output.md5 if same else ""
            copies[name] = CopyEvidence(
                place,
                there.device,
                f"{backup.location}/{path}",
                _inode_at(backup, path),
                md5,
                there.read_at,
                why,
            )
        return copies

    def _recorded(self, name: str) -> str:
        fact = self.raw.get(name)
        return fact.md5 if fact else ""


# Reading.


def _read(
    directory: OpenDirectory,
    job: Job,
    listed: FileEntry,
    *,
    text: bool,
    sha256: hashlib._Hash | None,
) -> tuple[ContentReading, FileEntry]:
    """Read a file in landing once from its disk; returns the reading and the file as opened.

    With `text`, the text of the reads is read too. All bytes are also added to `sha256`, if given.

    Raises OSError, also if the file changed since it was listed: then nothing is known about it.
    """
    with cell_files.opened(directory, job.the_cell, listed.name) as descriptor:
        before = FileEntry.of_status(listed.name, os.fstat(descriptor))
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

        def readinto(part: memoryview) -> int:
            count = os.readv(descriptor, [part])
            if sha256:
                sha256.update(part[:count])
            return count

        if text:
            path = job.cell_dir / listed.name
            reading = read_source(readinto, path, gzipped=is_compressed(listed.name))
        else:
            reading = ContentReading(_md5_of(readinto), None)
        after = FileEntry.of_status(listed.name, os.fstat(descriptor))
        if before.identity != listed.identity or not after.same_file(before):
            raise OSError(errno.EBUSY, "it changed while it was read")
    return reading, before


def _md5_of(readinto: ReadInto) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    buffer = memoryview(bytearray(CHUNK))
    while count := readinto(buffer):
        digest.update(buffer[:count])
    return digest.hexdigest()


def _outputs(manifest: Mapping[str, Any]) -> set[str]:
    return {str(source.get("output")) for source in manifest.get("sources", [])}


def _inode_of(path: Path) -> str:
    try:
        return FileEntry.of_status(path.name, path.lstat()).inode_name
    except OSError:
        return ""


def _inode_at(backup: BackupPlaceSettings, path: str) -> str:
    """Inode of a mounted backup's file, to compare with ours; "" for a backup on another host."""
    return "" if backup.place.over_ssh else _inode_of(Path(backup.place.path) / path)
