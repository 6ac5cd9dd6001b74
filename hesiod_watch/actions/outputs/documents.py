"""Documents about a cell's results: `qc.json`, `cell_info.yaml` and `manifest.json`.

The manifest lists every result file with size and MD5, and every source with its place in an
output; `verify` and `backup` compare the files with it. It is written in parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from hesiod_watch import __version__
from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.source_check import source_record
from hesiod_watch.actions.outputs.summary_copies import NO_COPIES, SummaryCopies
from hesiod_watch.config.qc import limits_of
from hesiod_watch.core import naming
from hesiod_watch.core.cell_contents import CellContents, Completeness
from hesiod_watch.core.file_entry import Entries
from hesiod_watch.core.minknow_checksums import KEY, NO_CHECKSUMS, MinknowChecksums
from hesiod_watch.core.naming import display, holds_reads
from hesiod_watch.core.qc_verdict import QcVerdict
from hesiod_watch.core.records import loads
from hesiod_watch.core.sample_sheet import SampleSheet
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq.model import Written
from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.host.process import iso_now
from hesiod_watch.remote.backup.manifests import COPY_OF, MANIFEST
from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.limits import limited_figures
from hesiod_watch.rules import completeness
from hesiod_watch.rules.no_reads import why_no_reads
from hesiod_watch.rules.qc_judgement import judge_qc
from hesiod_watch.runs import flags, minknow
from hesiod_watch.runs.minknow import extras

_SOURCES = b' "sources": [\n'
"""Line of a manifest after which only sources follow."""

_NONE: Mapping[str, str] = MappingProxyType({})

TINY = 0.0001
"""Smallest share of the reads of an unexpected barcode that a note names."""

Group = tuple[str | None, str, ReadStatistics]
"""Barcode, part (pass, fail, skip), and statistics of their reads."""


def qc_document(
    job: Job,
    groups: Sequence[Group],
    counted: tuple[CellContents, Completeness],
    *,
    notes: Sequence[str],
    state: Literal["complete", "running", "failed"],
    written: Sequence[Written] = (),
    checksums: MinknowChecksums = NO_CHECKSUMS,
    damaged: Mapping[str, str] = _NONE,
    removed: Mapping[str, str] = _NONE,
    ont_report: str | None = None,
    summaries: SummaryCopies = NO_COPIES,
) -> dict[str, Any]:
    """QC document for one cell, as docs/qc-json.md describes it.

    `counted`: the cell's contents, and the verdict on them. `damaged` and `removed`: names of
    sources whose reads are in no number, with the reason. `ont_report`: name of the copy of
    MinKNOW's report among the results. `summaries`: copies of its sequencing summaries.
    """
    cell = job.the_cell
    contents, verdict = counted
    parsed = naming.parse_cell(cell.name)
    report = extras.minknow_report(job.cell_dir)
    facts = minknow.facts(contents.summaries) | dict(report.facts)
    models = sorted({model for _, _, statistics in groups for model in statistics.models})
    if models:
        facts["basecall_models"] = models
    numbers = qc_groups(groups)
    flow_cell_id = facts.get("flow_cell_id") or (parsed.flow_cell_id if parsed else "")
    sheet = extras.sample_sheet(job.cell_dir, flow_cell_id)
    reads = {entry["barcode"]: entry["total"]["reads"] for entry in numbers["barcodes"]}
    document = {
        "format": "hesiod-watch qc 1",
        "program": f"hesiod-watch {__version__}",
        "made_at": iso_now(),
        "run": job.run_dir.name,
        "library": cell.library,
        "cell": cell.name,
        "flow_cell_id": flow_cell_id,
        "position": facts.get("position") or (parsed.position if parsed else ""),
        "short_id": parsed.short_id if parsed else "",
        "state": state,
        **_named("damaged", damaged),
        **_named("removed", removed),
        "facts": facts,
        "completeness": verdict.record(),
        "counts": _counts(contents),
        KEY: checksums.record() or None,
        **_no_reads(state, groups, contents),
        **numbers,
        "barcodes": [_named_by(sheet, entry) for entry in numbers["barcodes"]],
        **_sheet_record(sheet, reads),
        **({"pores": [scan.record() for scan in report.scans]} if report.scans else {}),
        "outputs": [
            {
                "file": output.output.name,
                "barcode": output.output.barcode,
                "part": output.output.part,
                "reads": output.reads,
                "bases": output.bases,
                "bytes": output.bytes,
                "md5": output.md5,
                "sources": len(output.output.sources),
                **({"index": output.index.name} if output.index else {}),
            }
            for output in written
        ],
        "links": {"ont_report": ont_report},
        **({"sequencing_summaries": summaries.record()} if summaries.copies else {}),
        "notes": [
            *(f"{display(name)}: damaged: {why}" for name, why in damaged.items()),
            *(
                f"{display(name)}: removed before the cell was finished: {why}"
                for name, why in removed.items()
            ),
            *notes,
            *summaries.notes(numbers["total"]["reads"]),
            *_duplex(groups),
            *(_differences(groups) if state == "complete" else ()),
            *(
                sheet.notes(reads, TINY)
                if sheet and state == "complete" and any(reads.values())
                else ()
            ),
        ],
    }
    graded = _verdict(job, document) if state == "complete" else None
    return document | ({"qc_verdict": graded.record()} if graded else {})


def _verdict(job: Job, document: Mapping[str, Any]) -> QcVerdict | None:
    """Verdict on a finished cell by the limits of its type of run; None without limits."""
    if not job.config.qc:
        return None
    named, _ = flags.read_type(job.pipeline)
    limits = limits_of(job.config.qc, named or job.config.type_of(job.run_dir.name).name)
    if limits is None:
        return None
    cell = QcDocument(document)
    return judge_qc(
        limits,
        limited_figures(cell),
        reads=cell.total.reads,
        basecalled=not cell.basecalling_off,
    )


def has_simplex(qc: Mapping[str, Any]) -> bool:
    """Whether a cell has other reads than duplex ones; then the totals are theirs alone."""
    return any(qc[part] for part in naming.PARTS)


def passed_group(qc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Numbers of the passed reads in the totals; empty if there are none."""
    return qc.get("pass" if has_simplex(qc) else f"pass{naming.DUPLEX}") or {}


def _duplex(groups: Sequence[Group]) -> Iterator[str]:
    """Sentence about duplex reads beside other reads."""
    parts = {part for _, part, _ in groups}
    if parts.intersection(naming.PARTS) and parts.intersection(naming.DUPLEX_PARTS):
        yield (
            "duplex reads have outputs and numbers of their own; the totals do not include them,"
            " because they include both strands of each"
        )


def _differences(groups: Sequence[Group]) -> Iterator[str]:
    """Sentences about barcodes of which FASTQ and BAM have different numbers of reads."""
    counts: dict[tuple[str | None, str], dict[str, int]] = {}
    for barcode, part, statistics in groups:
        form = "BAM" if statistics.bam.records else "FASTQ"
        counts.setdefault((barcode, part), {})[form] = statistics.reads
    for (barcode, part), found in counts.items():
        if len(found) == 2 and found["FASTQ"] and found["FASTQ"] != found["BAM"]:
            which = f"{display(barcode)}, {part}" if barcode else part
            yield (
                f"{which}: {number_of(found['FASTQ'], 'read')} in FASTQ and {found['BAM']} in BAM;"
                " the numbers are those of FASTQ"
            )


def _no_reads(state: str, groups: Sequence[Group], contents: CellContents) -> dict[str, str]:
    """Entry of a document: why a finished cell has no reads; empty for any other cell."""
    if state != "complete" or any(statistics.reads for _, _, statistics in groups):
        return {}
    return {"no_reads": why_no_reads(contents)}


def _named_by(sheet: SampleSheet | None, entry: dict[str, Any]) -> dict[str, Any]:
    """Entry of a barcode, with its row in the sample sheet if there is one."""
    row = sheet.row_of(entry["barcode"]) if sheet else None
    return entry | {"sample_sheet": row.record()} if row else entry


def _sheet_record(sheet: SampleSheet | None, reads: Mapping[str | None, int]) -> dict[str, Any]:
    """The sample sheet in a document; empty if it names no barcode."""
    if not sheet or not sheet.rows:
        return {}
    return {
        "sample_sheet": {
            "file": sheet.name,
            "samples": [row.record() for row in sheet.rows],
            "without_reads": [row.record() for row in sheet.without_reads(reads)],
            "unexpected": sheet.unexpected(reads),
        }
    }


def _named(key: str, files: Mapping[str, str]) -> dict[str, Any]:
    """Entry of a document that names files, each with a reason; empty without a file."""
    return {key: [{"name": name, "reason": why} for name, why in files.items()]} if files else {}


def _counts(contents: CellContents) -> dict[str, Any]:
    announced = completeness.announced(contents.summaries)
    kinds = sorted({*contents.files, *announced})
    return {
        str(kind): {"announced": announced.get(kind), "found": contents.files.get(kind, 0)}
        for kind in kinds
    }


def cell_info(qc: Mapping[str, Any]) -> dict[str, Any]:
    """The few facts that a facility's scripts need, under the names that Hesiod uses."""
    facts = qc["facts"]
    return {
        "Experiment": qc["run"],
        "Cell": f"{qc['library']}/{qc['cell']}",
        "Library": qc["library"],
        "FlowCell": qc["flow_cell_id"],
        "Position": qc["position"],
        "Barcodes": sorted({barcode["barcode"] or "." for barcode in qc["barcodes"]}),
        "Instrument": facts.get("instrument", ""),
        "Kit": facts.get("kit", ""),
        "StartTime": facts.get("started", ""),
        "EndTime": facts.get("acquisition_stopped", ""),
        "RunHours": facts.get("run_hours"),
        "Reads": qc["total"]["reads"],
        "Bases": qc["total"]["bases"],
        "PassedReads": passed_group(qc).get("reads", 0),
        "PassedBases": passed_group(qc).get("bases", 0),
        "N50": qc["total"]["n50"],
        "MeanQ": qc["total"]["mean_q"],
        "Completeness": qc["completeness"]["why"],
        "Files": [output["file"] for output in qc["outputs"]],
    }


def manifest_text(
    job: Job,
    written: Sequence[Written],
    entries: Entries,
    removed: Mapping[str, str] = _NONE,
    copy_of: Entries = MappingProxyType({}),
) -> Iterator[str]:
    """JSON manifest in parts: every result file with size and MD5, and every source.

    `copy_of`: the raw file that a result is a copy of, by the name of the result.

    A cell may have a hundred thousand sources. As one document they would take as much memory as
    everything else.
    """
    outputs = {output.output.name: output for output in written}
    files = []
    for name in sorted(entries):
        entry = entries[name].record(times=False)
        if name in outputs:
            entry |= {"reads": outputs[name].reads, "bases": outputs[name].bases}
        if name in copy_of:
            entry |= {COPY_OF: copy_of[name].record(times=False)}
        files.append(entry)
    head = {
        "format": "hesiod-watch manifest 1",
        "program": f"hesiod-watch {__version__}",
        "made_at": iso_now(),
        "run": job.run_dir.name,
        "cell": str(job.the_cell),
        "epoch": job.owner.epoch,
        "files": files,
        **_named("removed", removed),
    }
    yield json_text(head).removesuffix("\n}\n") + ',\n "sources": ['
    separator = ""
    for piece, placed in ((piece, one.placed) for one in written for piece in one.pieces):
        source = json_text(source_record(piece, placed=placed))
        yield separator + ("\n" + source.rstrip("\n")).replace("\n", "\n  ")
        separator = ","
    yield "\n ]\n}\n" if separator else "]\n}\n"


def reads_checksums(directory: Path) -> dict[str, str] | None:
    """Checksums of the files of reads in a manifest; None without a manifest.

    Other results contain the time at which they were made, so they always differ. The sources come
    last, may be a hundred thousand, and are not read.
    """
    try:
        with (directory / MANIFEST).open("rb") as file:
            text = b"".join(takewhile(lambda line: line != _SOURCES, file))
        files = loads(text if text.endswith(b"}\n") else text.rstrip(b",\n") + b"}")["files"]
        return {entry["name"]: entry["md5"] for entry in files if holds_reads(entry["name"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def json_text(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
