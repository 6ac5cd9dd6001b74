"""Layout of MinKNOW's data files in each of its versions, and the names that count.

    fastq_pass/[barcode/]NAME.fastq[.gz]    likewise fastq_fail, fastq_skip, fast5_*, pod5_*, bam_*
    fast5/NAME.fast5   pod5/NAME.pod5       not divided: basecalling off, or MinKNOW 24.02 and later

A person may choose the name of a barcode's directory. Files that other programs basecalled are in
other directories (basecalling/, dorado/, fast5/guppy_out/) and never count; `UnknownData` has them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator

from hesiod_watch.core.cell_contents import DataKind
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import DUPLEX
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs.minknow.unknown_data import UnknownData

ALL_KINDS = frozenset(DataKind)
READS = frozenset({DataKind.FASTQ, DataKind.BAM})
"""Kinds of files from which outputs are made."""

# Duplex reads have a directory `_pass_duplex` beside `_pass`. Other names (basecalling/, dorado/)
# are not MinKNOW's output.
_DATA_DIRECTORY = re.compile(r"(fastq|fast5|pod5|bam)(?:_(pass|fail|skip))?(?:_(duplex|simplex))?")
# Undivided directories (pod5/, fast5/) are not split by barcode. fast5/guppy_out is made by people
# who call bases again.
_PLAIN_BARCODE = re.compile(r"barcode[0-9]+[a-z]?|unclassified|mixed")
_SUFFIXES: dict[DataKind, tuple[str, ...]] = {
    DataKind.FASTQ: (".fastq", ".fastq.gz", ".fq", ".fq.gz"),
    DataKind.FAST5: (".fast5",),
    DataKind.POD5: (".pod5",),
    DataKind.BAM: (".bam",),
}
INDEX_SUFFIX = ".bam.bai"


def is_data_directory_name(name: str) -> bool:
    """Whether MinKNOW gives this name to a directory of data files: `fastq_pass`, `pod5`."""
    return _DATA_DIRECTORY.fullmatch(name) is not None


def holds_data(path: str) -> bool:
    """Whether data files in this directory, given relative to its cell, count as the cell's."""
    top, _, inner = path.partition("/")
    match = _DATA_DIRECTORY.fullmatch(top)
    if match is None or "/" in inner:
        return False
    return not inner or match[2] is not None or _PLAIN_BARCODE.fullmatch(inner) is not None


def kind_of(name: str) -> DataKind | None:
    """Kind of a data file, by its name relative to the cell; None for any other file."""
    parts = name.split("/")
    match = _DATA_DIRECTORY.fullmatch(parts[0])
    if match is None or len(parts) not in (2, 3):
        return None
    kind = DataKind(match[1])
    return kind if parts[-1].endswith(_SUFFIXES[kind]) else None


@frozen
class DataFile:
    """One data file, named relative to the cell.

    `part` is pass, fail or skip, for duplex reads `pass_duplex` and so on; "none" for raw data that
    MinKNOW did not divide.
    """

    kind: DataKind
    part: str
    barcode: str | None  # name of its directory: barcode01, unclassified, a person's alias
    entry: FileEntry


@frozen
class DataDirectory:
    """Directory of a cell that contains data files, such as `fastq_pass`."""

    kind: DataKind
    part: str
    divided: bool  # into pass, fail and skip; only then any sub-directory may be a barcode's
    opened: OpenDirectory

    @property
    def name(self) -> str:
        return self.opened.path.name


def data_directories(
    cell_dir: OpenDirectory,
    kinds: Collection[DataKind],
    left_out: list[str],
    unknown: UnknownData | None = None,
) -> list[DataDirectory]:
    """Directories of a cell in which MinKNOW writes data, sorted by name.

    Appends to `left_out` the names of links and files in place of such a directory. `unknown` gets
    the other directories and files. Raises OSError.
    """
    found = []
    for entry in cell_dir.entries():
        match = _DATA_DIRECTORY.fullmatch(entry.name)
        if match is None:
            if unknown is not None:
                unknown.entry("", entry)
            continue
        if (kind := DataKind(match[1])) not in kinds:
            continue
        if not entry.is_dir(follow_symlinks=False):
            left_out.append(entry.name)
            continue
        # Reads that MinKNOW did not divide have not failed its filter, and each output belongs
        # to pass, fail or skip.
        part = match[2] or ("pass" if kind in READS else "none")
        if match[3] == "duplex" and kind in READS:
            part += DUPLEX
        opened = cell_dir.open(entry.name)
        found.append(DataDirectory(kind, part, match[2] is not None, opened))
    return sorted(found, key=lambda directory: directory.name)


def data_entries(
    directory: DataDirectory,
    left_out: list[str],
    unknown: UnknownData | None = None,
    *,
    indexes: bool = False,
) -> Iterator[tuple[str | None, os.DirEntry[str]]]:
    """Data files in `directory` and in its barcode directories, with the barcode; unsorted.

    With `indexes`, also the index of each BAM file.

    Hidden names never count; this excludes the temporary files of copying programs. Links and
    special files do not count either; their names are appended to `left_out`. `unknown` gets the
    other files, and the directories that are no barcode's. Raises OSError.
    """
    suffixes = _SUFFIXES[directory.kind]
    if indexes and directory.kind is DataKind.BAM:
        suffixes += (INDEX_SUFFIX,)
    barcodes = []
    for entry in directory.opened.entries():
        name = entry.name
        if name[0] == ".":
            continue
        if name.endswith(suffixes) and entry.is_file(follow_symlinks=False):
            yield None, entry
        elif entry.is_dir(follow_symlinks=False):
            if directory.divided or _PLAIN_BARCODE.fullmatch(name):
                barcodes.append(name)
            elif unknown is not None:
                unknown.entry(directory.name, entry)
        elif name.endswith(suffixes) or entry.is_symlink():
            left_out.append(f"{directory.name}/{name}")
        elif unknown is not None:
            unknown.entry(directory.name, entry)
    for barcode in sorted(barcodes):
        with directory.opened.open(barcode) as inner:
            for entry in inner.entries():
                name = entry.name
                if not name.endswith(suffixes) or name[0] == ".":
                    if unknown is not None:
                        unknown.entry(f"{directory.name}/{barcode}", entry)
                    continue
                if entry.is_file(follow_symlinks=False):
                    yield barcode, entry
                elif not entry.is_dir(follow_symlinks=False):
                    left_out.append(f"{directory.name}/{barcode}/{name}")


def data_file(directory: DataDirectory, barcode: str | None, found: os.DirEntry[str]) -> DataFile:
    """One of `data_entries` with its size and times. Raises OSError."""
    name = "/".join(filter(None, (directory.name, barcode, found.name)))
    status = found.stat(follow_symlinks=False)
    location = f"{directory.opened.path.parent}/{name}"
    entry = FileEntry.of_status(name, status, location=location)
    return DataFile(directory.kind, directory.part, barcode, entry)


def data_files(
    cell_dir: OpenDirectory, kinds: Collection[DataKind] = ALL_KINDS
) -> Iterator[DataFile]:
    """Every data file of a cell, unsorted; sort by `naming.natural_key` of the name if needed.

    Raises OSError when the cell or one of its data directories cannot be listed.
    """
    for directory in data_directories(cell_dir, kinds, []):
        for barcode, found in data_entries(directory, []):
            yield data_file(directory, barcode, found)
