"""What is kept of a processed cell beside its FASTQ: checksums, QC, facts, manifest and report.

Everything is made in a directory of the worker's own, fsynced, and then published by renames. The manifest is
the list of what a cell's results are; `verify` and the backup hold the files against it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import yaml

from hesiod_watch import __version__, completeness, minknow, naming
from hesiod_watch.actions import Job
from hesiod_watch.amounts import number_of
from hesiod_watch.backups.hashes import compare
from hesiod_watch.errors import TemporaryError
from hesiod_watch.fastq.model import Piece, Written
from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.fastq.statistics import Statistics
from hesiod_watch.machine import iso_now
from hesiod_watch.minknow_checksums import KEY, NO_CHECKSUMS, MinknowChecksums
from hesiod_watch.model import CellContents, Completeness, Owner
from hesiod_watch.observe import INGEST_FILE
from hesiod_watch.report.cell import render_cell
from hesiod_watch.report.multiqc import multiqc_files

MANIFEST = "manifest.json"
CHECKSUMS = "md5sums.txt"
QC = "qc.json"
CELL_INFO = "cell_info.yaml"
REPORT = "report.html"
SUPERSEDED = "superseded"
_SOURCES = b' "sources": [\n'
"""The line of a manifest behind which there are only sources."""
COMPARED_AT_ONCE = 4 << 30
"""Bytes of files with checksums by MinKNOW up to which processing compares them: in seconds."""
STAGING = ".staging."
"""Begins the name of a directory where the files of results wait to be published."""


@dataclass(frozen=True)
class Results:
    """The files of a processed cell, by name, and the numbers people ask for first."""

    files: Mapping[str, Path]  # where each of them lies, ready to be published
    manifest_md5: str
    headline: Mapping[str, Any]
    cell: str
    completeness: Completeness
    """The verdict on the cell's contents; its sentence also says what was left out: links, pipes."""
    checksums: MinknowChecksums
    """What MinKNOW's own say of the cell's files."""

    @property
    def sentence(self) -> str:
        reads, bases, n50 = (self.headline[key] for key in ("reads", "bases", "n50"))
        numbers = f"{number_of(reads, 'read')}, {number_of(bases, 'base')}, N50 {n50}"
        return "; ".join(filter(None, (numbers, self.completeness.by_hand, self.checksums.sentence)))

    def record(self, owner: Owner) -> dict[str, object]:
        """What `{cell}.done` says."""
        return {
            "cell": self.cell,
            "epoch": owner.epoch,
            "host": owner.host,
            "version": owner.version,
            "time": iso_now(),
            "manifest_md5": self.manifest_md5,
            "results": dict(self.headline),
            "counted": self.completeness.why,
            "completeness": self.completeness.record(),
            **self.checksums.finding(iso_now()),
        }

    @classmethod
    def make(
        cls,
        job: Job,
        written: Sequence[Written],
        counted: tuple[CellContents, Completeness],
        *,
        notes: Sequence[str],
        directory: Path,
    ) -> Results:
        """Write everything but the FASTQ into `directory`, fsynced. Raises TemporaryError when it cannot be written."""
        groups = [(output.output.barcode, output.output.part, output.statistics) for output in written]
        told = [*notes, *(note for output in written for note in output.notes)]
        checksums = compare(job.config.landing, job.run_dir, job.the_cell, at_most=COMPARED_AT_ONCE)
        qc = qc_document(job, groups, counted, notes=told, state="complete", written=written, checksums=checksums)
        texts = {
            QC: _json(qc),
            CELL_INFO: yaml.safe_dump(cell_info(qc), sort_keys=False, allow_unicode=True),
            REPORT: render_cell(qc),
        }
        texts |= {name: _json(content) for name, content in multiqc_files(qc).items()}
        md5s = {output.output.name: output.md5 for output in written}
        md5s |= {name: _md5(text) for name, text in texts.items()}
        # md5sum's own format: two blanks, and names hold neither newline nor backslash (naming sees to that).
        listed = [*sorted(name for name in md5s if name.endswith(".gz")), QC, CELL_INFO]
        texts[CHECKSUMS] = "".join(f"{md5s[name]}  {name}\n" for name in listed)
        md5s[CHECKSUMS] = _md5(texts[CHECKSUMS])
        sizes = {output.output.name: output.bytes for output in written}
        sizes |= {name: len(_encoded(text)) for name, text in texts.items()}
        try:
            for name, text in texts.items():
                _write(directory / name, [text])
            manifest_md5 = _write(directory / MANIFEST, manifest_text(job, written, md5s, sizes))
            fsync_directory(directory)
        except OSError as error:
            raise TemporaryError(f"{error.filename or directory}: {error.strerror}") from error
        total = qc["total"]
        passed = qc["pass"]
        headline = {key: total[key] for key in ("reads", "bases", "n50", "mean_q")}
        headline |= {"passed_reads": passed["reads"] if passed else 0, "passed_bases": passed["bases"] if passed else 0}
        files = {name: directory / name for name in (*texts, MANIFEST)} | {
            output.output.name: output.path for output in written
        }
        return cls(files, manifest_md5, headline, str(job.the_cell), counted[1], checksums)


Group = tuple[str | None, str, Statistics]
"""Barcode, part (pass, fail, skip), and what is known about their reads."""


def qc_document(
    job: Job,
    groups: Sequence[Group],
    counted: tuple[CellContents, Completeness],
    *,
    notes: Sequence[str],
    state: Literal["complete", "running"],
    written: Sequence[Written] = (),
    checksums: MinknowChecksums = NO_CHECKSUMS,
) -> dict[str, Any]:
    """The document of docs/qc-json.md for one cell. `counted`: its contents, and the verdict on them."""
    cell = job.the_cell
    contents, verdict = counted
    parsed = naming.parse_cell(cell.name)
    facts = minknow.facts(contents.summaries)
    models = sorted({model for _, _, statistics in groups for model in statistics.models})
    if models:
        facts["basecall_models"] = models
    page = minknow.ont_report(job.cell_dir)
    return {
        "format": "hesiod-watch qc 1",
        "program": f"hesiod-watch {__version__}",
        "made_at": iso_now(),
        "run": job.run_dir.name,
        "library": cell.library,
        "cell": cell.name,
        "flow_cell_id": facts.get("flow_cell_id") or (parsed.flow_cell_id if parsed else ""),
        "position": facts.get("position") or (parsed.position if parsed else ""),
        "short_id": parsed.short_id if parsed else "",
        "state": state,
        "facts": facts,
        "completeness": verdict.record(),
        "counts": _counts(contents),
        KEY: checksums.record() or None,
        **qc_groups(groups),
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
            }
            for output in written
        ],
        "links": {"ont_report": str(job.cell_dir / page) if page else None},
        "notes": list(notes),
    }


def _counts(contents: CellContents) -> dict[str, Any]:
    announced = completeness.announced(contents.summaries)
    kinds = sorted({*contents.files, *announced})
    return {str(kind): {"announced": announced.get(kind), "found": contents.files.get(kind, 0)} for kind in kinds}


def cell_info(qc: Mapping[str, Any]) -> dict[str, Any]:
    """The few facts that scripts of a facility ask for, under the names that Hesiod gives them."""
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
        "PassedReads": (qc["pass"] or {}).get("reads", 0),
        "PassedBases": (qc["pass"] or {}).get("bases", 0),
        "N50": qc["total"]["n50"],
        "MeanQ": qc["total"]["mean_q"],
        "Files": [output["file"] for output in qc["outputs"]],
    }


def manifest_text(
    job: Job, written: Sequence[Written], md5s: Mapping[str, str], sizes: Mapping[str, int]
) -> Iterator[str]:
    """Every file of the results with size and md5, and every source with what became of it, as JSON in parts.

    A cell may have a hundred thousand sources; as one document they would take as much memory as all the rest.
    """
    gz = {output.output.name: output for output in written}
    files = []
    for name in sorted(md5s):
        entry: dict[str, Any] = {"name": name, "bytes": sizes[name], "md5": md5s[name]}
        if name in gz:
            entry |= {"reads": gz[name].reads, "bases": gz[name].bases}
        files.append(entry)
    head = {
        "format": "hesiod-watch manifest 1",
        "program": f"hesiod-watch {__version__}",
        "made_at": iso_now(),
        "run": job.run_dir.name,
        "cell": str(job.the_cell),
        "epoch": job.owner.epoch,
        "files": files,
    }
    yield _json(head).removesuffix("\n}\n") + ',\n "sources": ['
    separator = ""
    for piece in (piece for output in written for piece in output.pieces):
        yield separator + ("\n" + _json(_manifest_source(piece)).rstrip("\n")).replace("\n", "\n  ")
        separator = ","
    yield "\n ]\n}\n" if separator else "]\n}\n"


def _manifest_source(piece: Piece) -> dict[str, Any]:
    return {
        "name": piece.source,
        "bytes": piece.size,
        "mtime_ns": piece.mtime_ns,
        "output": piece.output,
        # Which bytes of the output are this source: so it can be had back from there, and be held against it.
        "offset": piece.offset,
        "length": piece.length,
        "crc32": piece.crc32,
        "reads": piece.reads,
        "bases": piece.bases,
    }


@contextmanager
def staging(cell_output: Path, owner: Owner) -> Iterator[Path]:
    """A new directory of our own beside the results; it goes at the end, and so do those of attempts that have ended.

    Raises TemporaryError when it cannot be made.
    """
    try:
        cell_output.mkdir(parents=True, exist_ok=True)
        for other in cell_output.glob(f"{STAGING}*"):  # our claim is the proof that whoever made it has ended
            if other.is_dir() and not other.is_symlink():
                shutil.rmtree(other, ignore_errors=True)
        place = cell_output / f"{STAGING}{owner.token[:12]}"
        place.mkdir()
    except OSError as error:
        raise TemporaryError(f"{error.filename}: {error.strerror}") from error
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def publish(files: Mapping[str, Path], cell_output: Path) -> None:
    """Move finished files to where people look for them. The manifest goes last.

    Other results of an earlier processing of the same cell are kept under `superseded/`. May be done again
    after a crash in the middle. Raises TemporaryError.
    """
    try:
        former = _checksums(cell_output)
        if former is not None and former != _checksums(files[MANIFEST].parent):
            _keep(cell_output, [*former, *files])
        for name in sorted(files, key=lambda name: name == MANIFEST):
            files[name].rename(cell_output / name)
        (cell_output / INGEST_FILE).unlink(missing_ok=True)
        fsync_directory(cell_output)
        fsync_directory(cell_output.parent)
    except OSError as error:
        raise TemporaryError(f"{error.filename or cell_output}: {error.strerror}") from error


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest in a directory; empty where there is none that can be read."""
    try:
        return _manifest((directory / MANIFEST).read_bytes())
    except OSError:
        return {}


def _manifest(text: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(text.decode("utf-8", "surrogateescape"))
    except ValueError:
        return {}
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), list) else {}


def _checksums(directory: Path) -> dict[str, str] | None:
    """Checksums of the FASTQ in a manifest, None without one: what else there is carries the time at which it was made.

    The sources come last, may be a hundred thousand, and are not read.
    """
    try:
        with (directory / MANIFEST).open("rb") as file:
            text = b"".join(takewhile(lambda line: line != _SOURCES, file))
    except OSError:
        return None
    if not (manifest := _manifest(text if text.endswith(b"}\n") else text.rstrip(b",\n") + b"}")):
        return None
    return {entry["name"]: entry["md5"] for entry in manifest["files"] if entry["name"].endswith(".gz")}


def _keep(cell_output: Path, names: Collection[str]) -> None:
    place = cell_output / SUPERSEDED / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    place.mkdir(parents=True)
    for name in sorted({*names, MANIFEST}):
        if Path(name).name == name and (cell_output / name).is_file():
            (cell_output / name).rename(place / name)


def fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, parts: Iterable[str]) -> str:
    """Write and fsync a file; the MD5 of it."""
    md5 = hashlib.md5(usedforsecurity=False)
    with path.open("wb") as file:
        for part in parts:
            data = _encoded(part)
            md5.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return md5.hexdigest()


def _json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _encoded(text: str) -> bytes:
    """How a text is written. Bytes of names that are no UTF-8 become `\\udcXX`, which JSON reads as they were."""
    return text.encode("utf-8", "backslashreplace")


def _md5(text: str) -> str:
    return hashlib.md5(_encoded(text), usedforsecurity=False).hexdigest()
