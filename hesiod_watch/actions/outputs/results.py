"""Result files of a processed cell beside its reads: checksums, QC, facts, manifest, report.

All files are made in a directory of the worker's own and fsynced; `publication` moves them to their
place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.documents import (
    cell_info,
    has_simplex,
    json_text,
    manifest_text,
    passed_group,
    qc_document,
)
from hesiod_watch.actions.outputs.summary_copies import SummaryCopies
from hesiod_watch.core.cell_contents import CellContents, Completeness
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.minknow_checksums import LONGEST, MinknowChecksums
from hesiod_watch.core.naming import DUPLEX_PARTS, holds_reads
from hesiod_watch.core.ownership import Owner
from hesiod_watch.core.qc_verdict import QcVerdict
from hesiod_watch.core.results import DoneRecord
from hesiod_watch.core.system_errors import translated
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq.model import Written
from hesiod_watch.host.files import directory, md5, sync_directory, write_new
from hesiod_watch.host.process import iso_now
from hesiod_watch.remote.backup.manifests import MANIFEST
from hesiod_watch.remote.backup.minknow_hashes import compare
from hesiod_watch.report.cell import render_cell
from hesiod_watch.report.multiqc import multiqc_files
from hesiod_watch.runs.cell_directories import DIRECTORIES
from hesiod_watch.runs.minknow import extras

CHECKSUMS = "md5sums.txt"
QC = "qc.json"
CELL_INFO = "cell_info.yaml"
REPORT = "report.html"
ONT_REPORTS = frozenset({"ont_report.html", "ont_report.pdf", "ont_report.md"})
"""Names of the copy of MinKNOW's own report. Its own name may be anything."""
COMPARED_AT_ONCE = 4 << 30
"""Limit in bytes for reading files only to compare them with MinKNOW's checksums.

Reading this much takes seconds. The reads were read anyway.
"""


@frozen
class CellResults:
    """Result files of a processed cell, by name, with the most important numbers."""

    files: Mapping[str, Path]  # path of each file, ready to be published
    md5s: Mapping[str, str]  # MD5 of each file
    headline: Mapping[str, Any]
    cell: str
    completeness: Completeness
    """Verdict on the cell's contents; its sentence also names what was left out: links, pipes."""
    checksums: MinknowChecksums
    """Result of comparing the cell's files with MinKNOW's checksums."""
    no_reads: str
    """Why the cell has no reads; "" if it has some."""
    qc_verdict: str
    """Sentence with the verdict by the facility's limits; "" without limits."""
    hook_due: bool
    """Whether a command is configured that is run for each processed cell."""

    @property
    def manifest_md5(self) -> str:
        return self.md5s[MANIFEST]

    @property
    def sentence(self) -> str:
        reads, bases, n50 = (self.headline[key] for key in ("reads", "bases", "n50"))
        numbers = f"{number_of(reads, 'read')}, {number_of(bases, 'base')}, N50 {n50}"
        if self.no_reads:
            numbers = f"without reads: {self.no_reads}"
        return "; ".join(
            filter(
                None, (numbers, self.completeness.by_hand, self.checksums.sentence, self.qc_verdict)
            )
        )

    def record(self, owner: Owner) -> DoneRecord:
        """Content of `{cell}.done`."""
        return DoneRecord(
            self.cell,
            owner.epoch,
            owner.host,
            owner.version,
            iso_now(),
            self.manifest_md5,
            self.headline,
            self.completeness.why,
            self.completeness,
            self.checksums.finding(iso_now()),
            self.checksums.sentence[:LONGEST],
            no_reads=self.no_reads,
            qc_verdict=self.qc_verdict[:LONGEST],
            raw_due=True,
            hook_due=self.hook_due,
        )

    @classmethod
    def make(
        cls,
        job: Job,
        written: Sequence[Written],
        counted: tuple[CellContents, Completeness],
        *,
        notes: Sequence[str],
        removed: Mapping[str, str],
        summaries: SummaryCopies,
        place: Path,
        directories: str,
    ) -> CellResults:
        """Write all results except reads and `summaries` into the directory `place`, fsynced.

        `directories`: the content of `.directories.json`, which no manifest lists. Raises
        TemporaryError, PermanentError.
        """
        groups = [
            (output.output.barcode, output.output.part, output.statistics) for output in written
        ]
        all_notes = [*notes, *(note for output in written for note in output.notes)]
        checksums = compare(
            job.run,
            job.the_cell,
            already_read=[
                *(piece.entry for output in written for piece in output.pieces),
                *(copy.source for copy in summaries.copies),
            ],
            at_most=COMPARED_AT_ONCE,
        )
        ont_report = extras.read_ont_report(job.cell_dir)
        copied = {f"ont_report.{ont_report[0]}": ont_report[1]} if ont_report else {}
        qc = qc_document(
            job,
            groups,
            counted,
            notes=all_notes,
            state="complete",
            written=written,
            checksums=checksums,
            removed=removed,
            ont_report=next(iter(copied), None),
            summaries=summaries,
        )
        texts = {
            QC: json_text(qc),
            CELL_INFO: yaml.safe_dump(cell_info(qc), sort_keys=False, allow_unicode=True),
            REPORT: render_cell(qc),
        }
        texts |= {name: json_text(content) for name, content in multiqc_files(qc).items()}
        entries = {name: _entry(name, text) for name, text in texts.items()}
        entries |= {
            name: FileEntry(name, size=len(content), md5=md5(content))
            for name, content in copied.items()
        }
        entries |= {copy.name: copy.entry for copy in summaries.copies}
        for output in written:
            name = output.output.name
            entries[name] = FileEntry(name, size=output.bytes, md5=output.md5)
            if index := output.index:
                entries[index.name] = FileEntry(index.name, size=index.bytes, md5=index.md5)
        # md5sum's own format: two blanks. Names contain neither newline nor backslash (`naming`
        # ensures that).
        listed = [*sorted(filter(holds_reads, entries)), QC, CELL_INFO, *copied]
        listed += [copy.name for copy in summaries.copies]
        texts[CHECKSUMS] = "".join(f"{entries[name].md5}  {name}\n" for name in listed)
        entries[CHECKSUMS] = _entry(CHECKSUMS, texts[CHECKSUMS])
        md5s = {name: entry.md5 for name, entry in entries.items()}
        with (
            translated(place, own_output=True),
            directory(place) as descriptor,
        ):
            for name, text in texts.items():
                write_new(descriptor, name, _encoded(text))
            for name, content in copied.items():
                write_new(descriptor, name, content)
            write_new(descriptor, DIRECTORIES, _encoded(directories))
            md5s[DIRECTORIES] = md5(_encoded(directories))
            md5s[MANIFEST] = _write_manifest(
                descriptor, manifest_text(job, written, entries, removed, summaries.sources)
            )
            sync_directory(descriptor)
        total = qc["total"]
        passed = passed_group(qc)
        headline = {key: total[key] for key in ("reads", "bases", "n50", "mean_q")}
        headline |= {
            "passed_reads": passed.get("reads", 0),
            "passed_bases": passed.get("bases", 0),
        }
        if bam := total.get("bam"):
            headline |= {
                "bam_reads": bam["reads"],
                "aligned_reads": bam["aligned"],
                "duplex_reads": bam["duplex"],
                "modified_reads": bam["modified"],
            }
        duplex = [qc[part] for part in DUPLEX_PARTS if part in qc]
        if duplex and has_simplex(qc):
            headline |= {
                f"duplex_part_{key}": sum(group[key] for group in duplex)
                for key in ("reads", "bases")
            }
        if removed:
            headline["removed_files"] = len(removed)
        files = {name: place / name for name in (*texts, *copied, DIRECTORIES, MANIFEST)}
        files |= {copy.name: copy.path for copy in summaries.copies}
        files |= {output.output.name: output.path for output in written}
        files |= {index.name: index.path for output in written if (index := output.index)}
        verdict = QcVerdict.from_record(qc.get("qc_verdict"))
        return cls(
            files,
            md5s,
            headline,
            str(job.the_cell),
            counted[1],
            checksums,
            qc.get("no_reads", ""),
            verdict.sentence if verdict else "",
            bool(job.config.on_done.command),
        )


def _entry(name: str, text: str) -> FileEntry:
    data = _encoded(text)
    return FileEntry(name, size=len(data), md5=md5(data))


def _write_manifest(directory: int, parts: Iterable[str]) -> str:
    """Write the manifest; returns its MD5."""
    digest = hashlib.md5(usedforsecurity=False)

    def digested() -> Iterator[bytes]:
        for part in parts:
            data = _encoded(part)
            digest.update(data)
            yield data

    write_new(directory, MANIFEST, digested())
    return digest.hexdigest()


def _encoded(text: str) -> bytes:
    r"""Bytes of a text as they are written to files.

    Bytes of names that are not UTF-8 become `\udcXX`, which JSON reads back as the original bytes.
    """
    return text.encode("utf-8", "backslashreplace")
