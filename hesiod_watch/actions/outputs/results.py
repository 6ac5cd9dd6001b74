"""Result files of a processed cell beside its FASTQ: checksums, QC, facts, manifest, report.

All files are made in a directory of the worker's own, fsynced, and then published by renames. The
manifest lists a cell's results; `verify` and `backup` compare the files with it.

An attempt that was overtaken may wake up between any two renames. Three rules keep its files out of
the results:

1. Every rename that publishes comes from the attempt's own staging directory, FASTQ included.
2. Before each rename the attempt checks that it still owns the cell.
3. An attempt withdraws the staging directories of all others before it begins, and again after its
   own renames. Then it compares what is published with what it renamed. A later rename by an
   overtaken attempt finds no source.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import yaml

from hesiod_watch import __version__
from hesiod_watch.actions import Job, output_error
from hesiod_watch.actions.outputs.ingest_dir import give_back
from hesiod_watch.core import naming
from hesiod_watch.core.errors import HesiodError, TemporaryError
from hesiod_watch.core.file_entry import Entries, FileEntry
from hesiod_watch.core.minknow_checksums import KEY, NO_CHECKSUMS, MinknowChecksums
from hesiod_watch.core.model import CellContents, Completeness, Owner
from hesiod_watch.core.records import loads
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq import readback
from hesiod_watch.fastq.model import Piece, Written
from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.host.process import iso_now
from hesiod_watch.remote.backup.minknow_hashes import compare
from hesiod_watch.report.cell import render_cell
from hesiod_watch.report.multiqc import multiqc_files
from hesiod_watch.rules import completeness
from hesiod_watch.runs import minknow
from hesiod_watch.runs.observe import INGEST_FILE

MANIFEST = "manifest.json"
CHECKSUMS = "md5sums.txt"
QC = "qc.json"
CELL_INFO = "cell_info.yaml"
REPORT = "report.html"
SUPERSEDED = "superseded"
_PLACE = ("output", "offset", "length", "crc32", "reads", "bases")
_SOURCES = b' "sources": [\n'
"""Line of a manifest after which only sources follow."""
COMPARED_AT_ONCE = 4 << 30
"""Limit in bytes for comparing files with MinKNOW's checksums while processing.

Reading this much takes seconds.
"""
STAGING = ".staging."
"""Prefix of directories where result files wait to be published."""


@dataclass(frozen=True)
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

    @property
    def manifest_md5(self) -> str:
        return self.md5s[MANIFEST]

    @property
    def sentence(self) -> str:
        reads, bases, n50 = (self.headline[key] for key in ("reads", "bases", "n50"))
        numbers = f"{number_of(reads, 'read')}, {number_of(bases, 'base')}, N50 {n50}"
        return "; ".join(
            filter(None, (numbers, self.completeness.by_hand, self.checksums.sentence))
        )

    def record(self, owner: Owner) -> dict[str, object]:
        """Content of `{cell}.done`."""
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
    ) -> CellResults:
        """Write all results except the FASTQ into `directory`, fsynced.

        Raises as `output_error`.
        """
        groups = [
            (output.output.barcode, output.output.part, output.statistics) for output in written
        ]
        all_notes = [*notes, *(note for output in written for note in output.notes)]
        checksums = compare(job.config.landing, job.run_dir, job.the_cell, at_most=COMPARED_AT_ONCE)
        qc = qc_document(
            job,
            groups,
            counted,
            notes=all_notes,
            state="complete",
            written=written,
            checksums=checksums,
        )
        texts = {
            QC: _json(qc),
            CELL_INFO: yaml.safe_dump(cell_info(qc), sort_keys=False, allow_unicode=True),
            REPORT: render_cell(qc),
        }
        texts |= {name: _json(content) for name, content in multiqc_files(qc).items()}
        md5s = {output.output.name: output.md5 for output in written}
        md5s |= {name: _md5(text) for name, text in texts.items()}
        # md5sum's own format: two blanks. Names contain neither newline nor backslash (`naming`
        # ensures that).
        listed = [*sorted(name for name in md5s if name.endswith(".gz")), QC, CELL_INFO]
        texts[CHECKSUMS] = "".join(f"{md5s[name]}  {name}\n" for name in listed)
        md5s[CHECKSUMS] = _md5(texts[CHECKSUMS])
        sizes = {output.output.name: output.bytes for output in written}
        sizes |= {name: len(_encoded(text)) for name, text in texts.items()}
        try:
            for name, text in texts.items():
                _write(directory / name, [text])
            md5s[MANIFEST] = _write(directory / MANIFEST, manifest_text(job, written, md5s, sizes))
            fsync_directory(directory)
        except OSError as error:
            raise output_error(error, f"{error.filename or directory}") from error
        total = qc["total"]
        passed = qc["pass"]
        headline = {key: total[key] for key in ("reads", "bases", "n50", "mean_q")}
        headline |= {
            "passed_reads": passed["reads"] if passed else 0,
            "passed_bases": passed["bases"] if passed else 0,
        }
        files = {name: directory / name for name in (*texts, MANIFEST)} | {
            output.output.name: output.path for output in written
        }
        return cls(files, md5s, headline, str(job.the_cell), counted[1], checksums)


Group = tuple[str | None, str, ReadStatistics]
"""Barcode, part (pass, fail, skip), and statistics of their reads."""


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
    """QC document for one cell, as docs/qc-json.md describes it.

    `counted`: the cell's contents, and the verdict on them.
    """
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
        "PassedReads": (qc["pass"] or {}).get("reads", 0),
        "PassedBases": (qc["pass"] or {}).get("bases", 0),
        "N50": qc["total"]["n50"],
        "MeanQ": qc["total"]["mean_q"],
        "Files": [output["file"] for output in qc["outputs"]],
    }


def manifest_text(
    job: Job, written: Sequence[Written], md5s: Mapping[str, str], sizes: Mapping[str, int]
) -> Iterator[str]:
    """JSON manifest in parts: every result file with size and MD5, and every source.

    A cell may have a hundred thousand sources. As one document they would take as much memory as
    everything else.
    """
    gz = {output.output.name: output for output in written}
    files = []
    for name in sorted(md5s):
        entry = FileEntry(name, size=sizes[name], md5=md5s[name]).record(times=False)
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
        **replace(piece.entry, ctime_ns=0).record(),
        # Bytes of the output that are this source: for restoring it, and for comparing it.
        **{key: getattr(piece, key) for key in _PLACE},
    }


@contextmanager
def staging_directory(cell_output: Path, owner: Owner) -> Iterator[Path]:
    """Make a new directory of our own beside the results, and remove it at the end.

    The directories of all other attempts are withdrawn: our claim proves that those attempts have
    ended.

    Raises as `output_error` if the directory cannot be made.
    """
    place = _staging_of(cell_output, owner)
    try:
        cell_output.mkdir(parents=True, exist_ok=True)
        _withdraw(cell_output, owner, cell_output.glob(f"{STAGING}*"))
        place.mkdir()
    except OSError as error:
        raise output_error(error, f"{error.filename or cell_output}") from error
    try:
        yield place
    finally:
        with suppress(OSError, HesiodError):  # the next attempt clears what is left
            _clear(place, cell_output, owner)


def withdraw_others(cell_output: Path, owner: Owner) -> None:
    """Withdraw the staging directories of all other attempts, so that none of them can publish.

    Only the owner of the cell may call this. Raises as `output_error`.
    """
    ours = _staging_of(cell_output, owner)
    try:
        others = [place for place in cell_output.glob(f"{STAGING}*") if place != ours]
        _withdraw(cell_output, owner, others)
    except OSError as error:
        raise output_error(error, f"{error.filename or cell_output}") from error


def _staging_of(cell_output: Path, owner: Owner) -> Path:
    return cell_output / f"{STAGING}{owner.token[:12]}"


def _withdraw(cell_output: Path, owner: Owner, places: Iterable[Path]) -> None:
    for place in list(places):
        if place.is_dir() and not place.is_symlink():
            # Rename first to a name unknown to the attempt: from now on it can publish nothing.
            hidden = cell_output / f"{STAGING}{secrets.token_hex(6)}"
            with suppress(FileNotFoundError):  # the attempt has just ended
                place.rename(hidden)
                _clear(hidden, cell_output, owner)


def _clear(place: Path, cell_output: Path, owner: Owner) -> None:
    """Remove a staging directory, after saving former results and an ingest to continue."""
    if (place / SUPERSEDED).is_dir():
        _move_to_superseded(place / SUPERSEDED, cell_output)
    give_back(place, cell_output, owner)
    shutil.rmtree(place, ignore_errors=True)


def publish_results(
    files: Mapping[str, Path], cell_output: Path, still_ours: Callable[[], None] = lambda: None
) -> dict[str, FileEntry]:
    """Move finished files to their final place, the manifest last.

    Returns each moved file, as it was before the rename. If an earlier processing of the cell left
    other results, those are kept under `superseded/`. Safe to repeat after a crash in the middle.

    `still_ours` is called before each rename, and raises if this attempt must not publish. Raises
    as `output_error`.
    """
    place = files[MANIFEST].parent
    try:
        published = {name: FileEntry.of_status(name, path.lstat()) for name, path in files.items()}
        former = _checksums(cell_output)
        if former is not None and former != _checksums(place):
            _supersede_former(cell_output, place, [*former, *files], still_ours)
        for name in sorted(files, key=lambda name: name == MANIFEST):
            still_ours()
            files[name].rename(cell_output / name)
        still_ours()
        (cell_output / INGEST_FILE).unlink(missing_ok=True)
        fsync_directory(cell_output)
        fsync_directory(cell_output.parent)
    except OSError as error:
        raise output_error(error, f"{error.filename or cell_output}") from error
    return published


def require_published(results: CellResults, published: Entries, cell_output: Path) -> None:
    """Check that each published file is the one that this attempt renamed.

    An overtaken attempt may have renamed a file of its own over ours. A file whose identity differs
    is read, because not every file system keeps inode numbers and times.

    Raises TemporaryError if a file was replaced or removed.
    """
    for name, before in published.items():
        path = cell_output / name
        try:
            now = FileEntry.of_status(name, path.lstat())
        except FileNotFoundError:
            raise TemporaryError(
                f"{path}: removed while it was published; it is made again"
            ) from None
        except OSError as error:
            raise output_error(error, str(path)) from error
        # A rename changes the change time.
        same = now.looks_like(before) and now.inode_name == before.inode_name
        if not same and readback.md5_of(path) != results.md5s[name]:
            raise TemporaryError(
                f"{path}: replaced by an attempt that was overtaken; it is made again"
            )


def read_manifest(directory: Path) -> dict[str, Any]:
    """Manifest in a directory; empty if it is missing or unreadable."""
    try:
        return _manifest((directory / MANIFEST).read_bytes())
    except OSError:
        return {}


def _manifest(text: bytes) -> dict[str, Any]:
    try:
        manifest = loads(text.decode("utf-8", "surrogateescape"))
    except ValueError:
        return {}
    return (
        manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), list) else {}
    )


def _checksums(directory: Path) -> dict[str, str] | None:
    """Checksums of the FASTQ in a manifest; None without a manifest.

    Other results contain the time at which they were made, so they always differ. The sources come
    last, may be a hundred thousand, and are not read.
    """
    try:
        with (directory / MANIFEST).open("rb") as file:
            text = b"".join(takewhile(lambda line: line != _SOURCES, file))
    except OSError:
        return None
    if not (manifest := _manifest(text if text.endswith(b"}\n") else text.rstrip(b",\n") + b"}")):
        return None
    return {
        entry["name"]: entry["md5"] for entry in manifest["files"] if entry["name"].endswith(".gz")
    }


def _supersede_former(
    cell_output: Path, place: Path, names: Collection[str], still_ours: Callable[[], None]
) -> None:
    """Move former results into `place`, and then all of them at once to `superseded/`.

    The manifest is moved last: while it is there, the next attempt after a crash keeps the
    remaining files.
    """
    former = place / SUPERSEDED
    former.mkdir()
    for name in sorted({*names, MANIFEST}, key=lambda name: (name == MANIFEST, name)):
        if Path(name).name == name and (cell_output / name).is_file():
            still_ours()
            (cell_output / name).rename(former / name)
    _move_to_superseded(former, cell_output)


def _move_to_superseded(former: Path, cell_output: Path) -> None:
    (cell_output / SUPERSEDED).mkdir(exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    former.rename(cell_output / SUPERSEDED / moment)


def fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, parts: Iterable[str]) -> str:
    """Write and fsync a file; returns its MD5."""
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
    r"""Bytes of a text as they are written to files.

    Bytes of names that are not UTF-8 become `\udcXX`, which JSON reads back as the original bytes.
    """
    return text.encode("utf-8", "backslashreplace")


def _md5(text: str) -> str:
    return hashlib.md5(_encoded(text), usedforsecurity=False).hexdigest()
