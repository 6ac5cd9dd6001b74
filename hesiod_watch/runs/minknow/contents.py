"""Contents of a cell's directory: counts of data files, and the final_summary files.

Data without a final_summary are reported, too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from hesiod_watch.core.cell_contents import NOT_FOLLOWED, CellContents, DataKind, FinalSummary
from hesiod_watch.core.naming import display, is_final_summary, natural_key
from hesiod_watch.core.system_errors import NotRegularFile
from hesiod_watch.host.files import OpenDirectory, read_head
from hesiod_watch.rules.completeness import announced
from hesiod_watch.runs.minknow.file_numbers import FileNumbers
from hesiod_watch.runs.minknow.layout import (
    ALL_KINDS,
    INDEX_SUFFIX,
    READS,
    DataFile,
    data_directories,
    data_entries,
    data_file,
    kind_of,
)
from hesiod_watch.runs.minknow.output_hash import ListedNames, is_output_hash, read_listed_names
from hesiod_watch.runs.minknow.summary import SUMMARY_MAX_BYTES, parse_summary
from hesiod_watch.runs.minknow.unknown_data import UnknownData


def _summary_entries(cell_dir: OpenDirectory) -> list[tuple[str, os.stat_result]]:
    """Names of final_summary files with their lstat, oldest first. Raises OSError."""
    found = [
        (entry.name, entry.stat(follow_symlinks=False))
        for entry in cell_dir.entries()
        if is_final_summary(entry.name)
    ]
    return sorted(found, key=lambda item: (item[1].st_mtime_ns, natural_key(item[0])))


def newest_summary_time(cell_dir: OpenDirectory) -> float | None:
    """Time of arrival of the newest final_summary, in seconds since the epoch; None without one.

    The change time (ctime) counts, by the clock of this file system. The mtime is by the clock of
    the sequencer, which may be wrong, and a copy keeps it. So the files of an old run that is being
    copied here have as much time to arrive as those of a new run. Never before the epoch.

    If the directory exists but cannot be listed, returns the directory's own time. The caller then
    examines it, and `read_contents` reports the error.
    """
    try:
        return max((_arrived(status) for _, status in _summary_entries(cell_dir)), default=None)
    except OSError:
        try:
            return _arrived(cell_dir.status())
        except OSError:
            return None


def changed_after_summary(cell_dir: OpenDirectory) -> float | None:
    """Time of the last change of data younger than the newest final_summary; None if all are older.

    In seconds since the epoch, by the change times (ctime) of this file system, which no copying
    program can set. Directories of data count too, except in a pooled directory, where other cells
    change them. It needs a stat per file, so it is only for cells that seem to be complete. Never
    raises: `read_contents` reports an unreadable cell.
    """
    newest = summary = 0
    with suppress(OSError):
        summary = max((found.st_ctime_ns for _, found in _summary_entries(cell_dir)), default=0)
        for directory in data_directories(cell_dir, ALL_KINDS, []):
            if not cell_dir.owner:
                newest = max(newest, os.fstat(directory.opened.descriptor).st_ctime_ns)
            barcodes = set()
            for barcode, entry in data_entries(directory, []):
                newest = max(newest, entry.stat(follow_symlinks=False).st_ctime_ns)
                barcodes.add(barcode)
            for barcode in filter(None, () if cell_dir.owner else barcodes):
                newest = max(newest, directory.opened.open(barcode).status().st_ctime_ns)
    return newest / 1e9 if newest > summary else None


def _arrived(status: os.stat_result) -> float:
    return max(0.0, status.st_ctime)


def reads_changed(cell_dir: OpenDirectory) -> int:
    """Time of the last change in a cell's directories of reads: newest mtime in ns; 0 if none.

    It needs one stat per directory and none per file, so it does not notice a file that grows.
    Never raises.
    """
    newest = 0
    try:
        for directory in data_directories(cell_dir, READS, []):
            descriptor = directory.opened.descriptor
            found = os.fstat(descriptor)
            newest = max(newest, found.st_mtime_ns)
            if found.st_nlink == 2:
                # Where the file system counts links, 2 means: no sub-directories.
                continue
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        newest = max(newest, entry.stat(follow_symlinks=False).st_mtime_ns)
    except OSError:
        return newest  # `read_contents` reports a cell that cannot be read
    return newest


def last_change(cell_dir: OpenDirectory) -> tuple[float | None, bool]:
    """Time of the last new file of a cell, and whether it has a data directory.

    The time is the newest change time (ctime) of the cell's directory and its data directories, in
    seconds since the epoch. It needs one stat per directory and none per file. None: unreadable.
    """
    try:
        times = [cell_dir.status().st_ctime]
        directories = data_directories(cell_dir, ALL_KINDS, [])
        for directory in directories:
            descriptor = directory.opened.descriptor
            found = os.fstat(descriptor)
            times.append(found.st_ctime)
            if found.st_nlink == 2:
                continue  # no sub-directories
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        times.append(entry.stat(follow_symlinks=False).st_ctime)
    except OSError:
        return None, True  # `read_contents` reports a cell that cannot be read
    return max(times), bool(directories)


def _read_summary(cell_dir: OpenDirectory, name: str) -> FinalSummary:
    """Read and parse one final_summary; special files are never opened."""
    try:
        return parse_summary(read_head(name, SUMMARY_MAX_BYTES + 1, cell_dir.descriptor), name)
    except NotRegularFile:
        return FinalSummary(name, problem=f"{display(name)} is not a regular file and is not read")
    except OSError as error:
        return FinalSummary(name, problem=f"{display(name)} cannot be read: {error.strerror}")


def read_summaries(cell_dir: OpenDirectory) -> tuple[FinalSummary, ...]:
    """Read every final_summary of a cell, oldest first. Raises OSError if listing fails."""
    return tuple(_read_summary(cell_dir, name) for name, _ in _summary_entries(cell_dir))


def read_contents(
    cell_dir: OpenDirectory, on_reads: Callable[[DataFile], None] | None = None
) -> CellContents:
    """Count the data files of a cell and read its final_summary files, in one look.

    `summaries` are sorted by time, oldest first. If something cannot be listed, `readable` is
    False. If names that look like data are links or special files, `problem` says so and the counts
    exclude them.

    `on_reads` gets each file of FASTQ or BAM; only for these a stat per file is made. With it,
    raises OSError if the cell or its reads cannot be listed. Without it, never raises.
    """
    counts: Counter[DataKind] = Counter()
    left_out: list[str] = []
    numbers = FileNumbers()
    summaries: tuple[FinalSummary, ...] = ()
    problem = ""
    try:
        # Summaries first: MinKNOW writes them last, so the announced files exist before the count.
        summaries = read_summaries(cell_dir)
        unknown = UnknownData() if summaries else None  # a running cell is looked at too often
        directories = data_directories(cell_dir, ALL_KINDS, left_out, unknown)
        hash_files = (
            sorted(entry.name for entry in cell_dir.entries() if is_output_hash(entry.name))
            if summaries
            else []
        )
    except OSError as error:
        if on_reads:
            raise
        return CellContents(
            summaries, readable=False, problem=_unreadable(cell_dir, cell_dir, error)
        )
    unstated = set(DataKind) - {DataKind.BAI} - announced(summaries).keys()
    listed = read_listed_names(cell_dir, hash_files, unstated) if hash_files and unstated else None
    indexes = any("bai_files_in_final_dest" in summary.values for summary in summaries)
    for directory in directories:
        seen = on_reads if directory.kind in READS else None
        try:
            for barcode, entry in data_entries(directory, left_out, unknown, indexes=indexes):
                kind = DataKind.BAI if entry.name.endswith(INDEX_SUFFIX) else directory.kind
                counts[kind] += 1
                numbers.add(kind, directory.name, barcode, entry.name)
                if listed:
                    place = f"{directory.name}/{barcode}" if barcode else directory.name
                    listed.see(kind, f"{place}/{entry.name}")
                if seen and kind is not DataKind.BAI:
                    seen(data_file(directory, barcode, entry))
        except OSError as error:
            if seen:
                raise
            problem = problem or _unreadable(cell_dir, directory.opened, error)
    if problem:
        return CellContents(summaries, dict(counts), readable=False, problem=problem)
    if unknown:
        unknown.list_directories(cell_dir)
    found = numbers.judge(cell_dir.path.name, summaries)
    return CellContents(
        summaries,
        dict(counts),
        found.names,
        listed.result() if listed else {},
        found.unsummarised,
        found.strangers,
        bool(hash_files),
        unknown.result() if unknown else (),
        problem=_left_out_sentence(left_out),
    )


def contents_of(
    names: Iterable[str], summaries: Sequence[FinalSummary], listed_names: Iterable[str]
) -> CellContents:
    """Contents of a cell with files of these names, relative to it, some of them listed by MinKNOW.

    Only the number of files counts here; the names are not compared with each other.
    """
    counts: Counter[DataKind] = Counter()
    listed = ListedNames(listed_names, set(DataKind) - announced(summaries).keys())
    for name in names:
        if kind := kind_of(name):
            counts[kind] += 1
            listed.see(kind, name)
    return CellContents(tuple(summaries), dict(counts), listed=listed.result())


def _unreadable(cell_dir: OpenDirectory, listed: OpenDirectory, error: OSError) -> str:
    path = listed.path / error.filename if isinstance(error.filename, str) else listed.path
    where = display(os.path.relpath(path, cell_dir.path.parent))
    return f"{where} cannot be read: {error.strerror}"


def _left_out_sentence(left_out: Sequence[str]) -> str:
    if not left_out:
        return ""
    shown = ", ".join(display(name) for name in sorted(left_out, key=natural_key)[:3])
    more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    return f"not counted, because {NOT_FOLLOWED}: {shown}{more}"
