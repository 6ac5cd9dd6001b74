"""Where MinKNOW of each era puts data files, and which names count.

    fastq_pass/[barcode/]NAME.fastq[.gz]    likewise fastq_fail, fastq_skip, fast5_*, pod5_*, bam_*
    fast5/NAME.fast5   pod5/NAME.pod5       not divided: basecalling off, or MinKNOW 24.02 and later

The barcode's directory may be a person's alias. Files of basecalling done by other programs lie
elsewhere (basecalling/, dorado/, fast5/guppy_out/) and never count.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from hesiod_watch.core.model import DataKind

ALL_KINDS = frozenset(DataKind)

# `_duplex` reads are apart from their `_pass`; what MinKNOW names otherwise (basecalling/, dorado/)
# is not its output.
_DATA_DIRECTORY = re.compile(
    r"(fastq|fast5|pod5|bam)(?:_(pass|fail|skip))?(?:_(?:duplex|simplex))?"
)
# Undivided directories (pod5/, fast5/) are not split by barcode; in fast5/guppy_out people call
# bases again.
_PLAIN_BARCODE = re.compile(r"barcode[0-9]+[a-z]?|unclassified|mixed")
_SUFFIXES: dict[DataKind, tuple[str, ...]] = {
    # Not .fq: MinKNOW never writes it, so such a file beside these is somebody's copy of the same
    # reads.
    DataKind.FASTQ: (".fastq", ".fastq.gz"),
    DataKind.FAST5: (".fast5",),
    DataKind.POD5: (".pod5",),
    DataKind.BAM: (".bam",),
}


def is_data_directory_name(name: str) -> bool:
    """Whether MinKNOW gives this name to a directory of data files: `fastq_pass`, `pod5`."""
    return _DATA_DIRECTORY.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file. `part` is pass, fail or skip; "none" for raw data that MinKNOW did not divide."""

    kind: DataKind
    part: str
    barcode: (
        str | None
    )  # name of the barcode's directory: barcode01, unclassified, a person's alias
    path: Path
    name: str  # relative to the cell's directory


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """One of the directories of a cell that hold data files, such as `fastq_pass`."""

    kind: DataKind
    part: str
    divided: bool  # into pass, fail and skip; only then may any sub-directory be a barcode's
    name: str
    path: str


def data_directories(
    cell_dir: Path, kinds: Collection[DataKind], left_out: list[str]
) -> list[DataDirectory]:
    """Directories of a cell that MinKNOW writes data into, in order of their names.

    Appends to `left_out` the names of links and files in such a directory's place. Raises OSError.
    """
    found = []
    with os.scandir(cell_dir) as entries:
        for entry in entries:
            match = _DATA_DIRECTORY.fullmatch(entry.name)
            if match is None or (kind := DataKind(match[1])) not in kinds:
                continue
            if not entry.is_dir(follow_symlinks=False):
                left_out.append(entry.name)
                continue
            # Reads that MinKNOW did not divide have not failed its filter, and outputs are of pass,
            # fail or skip.
            part = match[2] or ("pass" if kind is DataKind.FASTQ else "none")
            found.append(DataDirectory(kind, part, match[2] is not None, entry.name, entry.path))
    return sorted(found, key=lambda directory: directory.name)


def data_entries(
    directory: DataDirectory, left_out: list[str]
) -> Iterator[tuple[str | None, os.DirEntry[str]]]:
    """Data files directly in `directory` and in its barcodes' directories, with the barcode; in no
    order.

    Hidden names never count, which leaves out the temporary files of copying programs. Links and
    special files do not count either; their names are appended to `left_out`. Raises OSError.
    """
    suffixes = _SUFFIXES[directory.kind]
    barcodes = []
    with os.scandir(directory.path) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == ".":
                continue
            if name.endswith(suffixes) and entry.is_file(follow_symlinks=False):
                yield None, entry
            elif entry.is_dir(follow_symlinks=False):
                if directory.divided or _PLAIN_BARCODE.fullmatch(name):
                    barcodes.append(name)
            elif name.endswith(suffixes) or entry.is_symlink():
                left_out.append(f"{directory.name}/{name}")
    for barcode in sorted(barcodes):
        with os.scandir(f"{directory.path}/{barcode}") as entries:
            for entry in entries:
                name = entry.name
                if not name.endswith(suffixes) or name[0] == ".":
                    continue
                if entry.is_file(follow_symlinks=False):
                    yield barcode, entry
                elif not entry.is_dir(follow_symlinks=False):
                    left_out.append(f"{directory.name}/{barcode}/{name}")


def data_files(cell_dir: Path, kinds: Collection[DataKind] = ALL_KINDS) -> Iterator[DataFile]:
    """Every data file of a cell, in no particular order; sort by `naming.natural_key(file.name)`
    where it matters.

    Raises OSError when the cell or one of its data directories cannot be listed.
    """
    for directory in data_directories(cell_dir, kinds, []):
        for barcode, entry in data_entries(directory, []):
            parts = (
                (directory.name, barcode, entry.name) if barcode else (directory.name, entry.name)
            )
            yield DataFile(
                directory.kind, directory.part, barcode, Path(entry.path), "/".join(parts)
            )
