"""Copies of MinKNOW's sequencing summaries among the results: compressed, with their MD5.

A cell has one table of all its reads for each acquisition. It is optional: a table that is missing
or damaged is named in a note, and the reads do not wait for it. A table that changes while the cell
is being processed is copied again, like a changed file of reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.sources import recent_damage_waits
from hesiod_watch.core.cell_contents import CellContents
from hesiod_watch.core.errors import BadSource, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.minknow_checksums import twin_of
from hesiod_watch.core.naming import display
from hesiod_watch.core.system_errors import translated
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq.text_copy import TextCopy, copy_text
from hesiod_watch.runs.minknow import extras

MOST = 16
"""Number of tables that are copied; a cell has one for each acquisition."""

_NAME = re.compile(r"sequencing_summary(?:_[0-9]+)?\.txt\.gz")


@frozen
class SummaryCopies:
    """Copies of a cell's sequencing summaries in a staging directory."""

    listed: tuple[FileEntry, ...] = ()  # the tables in the cell when they were copied
    copies: tuple[TextCopy, ...] = ()
    problems: tuple[str, ...] = ()  # sentences about tables that are missing, damaged or cut off

    @property
    def sources(self) -> dict[str, FileEntry]:
        """The table of each copy, by the name of the copy."""
        return {copy.name: copy.source for copy in self.copies}

    def record(self) -> list[dict[str, object]]:
        """Entries of `qc.json`."""
        return [
            {
                "file": copy.name,
                "bytes": copy.size,
                "md5": copy.md5,
                "source": copy.source.name,
                "source_bytes": copy.source.size,
                "source_md5": copy.source.md5,
                "rows": _rows(copy),
            }
            for copy in self.copies
        ]

    def notes(self, reads: int) -> Iterator[str]:
        """Sentences for a person; `reads` is the number of reads in the results."""
        yield from self.problems
        rows = sum(_rows(copy) for copy in self.copies)
        if self.copies and not self.problems and rows < reads:
            found, expected = number_of(rows, "row"), number_of(reads, "read")
            yield f"the sequencing summary has {found} for {expected} in the results"


NO_COPIES = SummaryCopies()


def is_summary_copy(name: str) -> bool:
    """Whether a result of this name may be a copy of a sequencing summary."""
    return _NAME.fullmatch(name) is not None


def copy_summaries(job: Job, place: Path, contents: CellContents) -> SummaryCopies:
    """Copy the sequencing summaries of the cell into the directory `place`, fsynced.

    A table that is damaged or cut off and changed within the last minute may still be being
    written: raises TemporaryError. Raises PermanentError if the copy cannot be written.
    """
    listed = _listed(job)
    copies, problems = list[TextCopy](), list(_missing(contents, listed))
    for source in listed[:MOST]:
        number = len(copies) + 1
        name = f"sequencing_summary{f'_{number}' if copies else ''}.txt.gz"
        shown = display(source.name)
        try:
            with recent_damage_waits(job):
                copy = _copied(job, source, place / name, contents)
        except BadSource as error:
            (place / name).unlink(missing_ok=True)
            if _listed(job) != listed:
                raise TemporaryError(f"{error}; it is copied again") from error
            problems.append(f"{shown}: {error.said}: the results have no copy of it")
            continue
        copies.append(copy)
        if not _has_columns(copy):
            problems.append(f"{shown} does not begin with the names of its columns")
        elif copy.cut:
            problems.append(f"{shown} ends in the middle of a line: it is cut off")
    if (more := len(listed) - MOST) > 0:
        problems.append(
            f"{MOST} sequencing summaries were copied: the results have no copy of {more} more"
        )
    return SummaryCopies(tuple(listed), tuple(copies), tuple(problems))


def require_unchanged(job: Job, copied: SummaryCopies) -> None:
    """Raise TemporaryError if a sequencing summary has come or changed since they were copied."""
    if tuple(_listed(job)) != copied.listed:
        raise TemporaryError(
            f"{job.run_dir.name} {job.the_cell}: its sequencing summary changed while it was copied"
        )


def _listed(job: Job) -> list[FileEntry]:
    with translated(job.cell_dir.path):
        return extras.sequencing_summaries(job.cell_dir)


def _copied(job: Job, source: FileEntry, path: Path, contents: CellContents) -> TextCopy:
    """Copy one table. Raises TemporaryError for one that is cut off and may still be written."""
    copy = copy_text(
        source,
        job.cell_dir,
        path,
        threads=job.config.processing.processes,
        with_sha256=contents.output_hashes,
    )
    if copy.cut and _has_columns(copy):
        with suppress(BadSource), recent_damage_waits(job):
            raise BadSource(source.path, "ends in the middle of a line")
    return copy


def _missing(contents: CellContents, listed: Sequence[FileEntry]) -> Iterator[str]:
    """Sentences about tables that a final_summary names and that are not in the cell."""
    here = {entry.name for entry in listed}
    for summary in contents.summaries:
        name = summary.values.get("sequencing_summary_file", "").rpartition("/")[2]
        if name and here.isdisjoint((name, twin_of(name))):
            yield (
                f"{display(name)}, which {display(summary.name)} names, is not in the cell:"
                " the results have no copy of it"
            )


def _has_columns(copy: TextCopy) -> bool:
    return b"read_id" in copy.head.rstrip(b"\r").split(b"\t")


def _rows(copy: TextCopy) -> int:
    """Number of reads in a table: its lines without the first one."""
    return max(0, copy.lines + copy.cut - 1)
