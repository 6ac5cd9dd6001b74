"""Simulated cell, written file by file, with the final_summary and its true counts last."""

from __future__ import annotations

import hashlib
import html
import os
import random
import shutil
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from hesiod_watch.cli.simulator.bam import BamForm, write_bam
from hesiod_watch.cli.simulator.eras import ERAS, SUMMARY_COLUMNS, Acquisition
from hesiod_watch.cli.simulator.reads import ReadBatch, make_batch
from hesiod_watch.core.cell_contents import DataKind
from hesiod_watch.core.errors import UsageError
from hesiod_watch.core.model import CellName
from hesiod_watch.core.naming import DUPLEX, display, parse_cell
from hesiod_watch.core.pooled import acquisition_in

Arrival = Literal["rename", "write", "link"]
"""How a data file appears: renamed from, written in place, or linked from a temporary file."""

BATCH_HOURS = 1.0
CHANNELS = 2675  # of a PromethION flow cell
QUEUE = ".queued_reads"
_RAW_CONTENT = {DataKind.POD5: b"\x8bPOD\r\n\x1a\n", DataKind.FAST5: b"\x89HDF\r\n\x1a\n"}


@dataclass(slots=True)
class ReadAmount:
    """Reads and bases."""

    reads: int = 0
    bases: int = 0


@dataclass
class SimulatedCell:
    """Simulated cell at `landing/run/library/cell`; `write` writes it, `steps` file by file.

    Equal arguments give equal files. `expected` counts the reads and bases written so far, by
    barcode (None if the cell is not barcoded) and part. When all files are written, a reader of the
    cell must find exactly these.
    """

    landing: Path
    run: str
    library: str
    cell: str
    _: KW_ONLY
    barcodes: Sequence[str] = ("barcode01", "barcode02", "unclassified")  # empty: not barcoded
    files_per_barcode: int = 2  # batches, each with a file of passed and one of failed reads
    reads_per_file: int = 100  # reads of a batch, passed and failed together
    fail_fraction: float = 0.15
    mean_length: float = 2000.0
    era: str = "2024"
    gz: bool = False
    fastq: bool = True  # write FASTQ
    bam: BamForm | None = None  # write BAM, too
    duplex: bool = False  # write duplex reads, too, one for ten passed ones
    pod5: bool = True  # write raw data: tiny pod5 files, or fast5 in the older eras
    seed: int = 0
    arrival: Arrival = "rename"
    pooled: bool = False  # write into the library's directory, as MinKNOW does with data pooling
    output_hash: bool = False  # write MinKNOW's checksums of the data files
    expected: dict[tuple[str | None, str], ReadAmount] = field(default_factory=dict, init=False)
    acquisition: Acquisition = field(init=False)

    def __post_init__(self) -> None:
        name = parse_cell(self.cell)
        if name is None:
            raise UsageError(f"{display(self.cell)} is not the name of a cell")
        if self.era not in ERAS:
            raise UsageError(f"there is no era {self.era}; there are {', '.join(ERAS)}")
        if self.pooled and self.era == "2019":
            raise UsageError("in 2019, files had no names that tell pooled acquisitions apart")
        if (
            not 0 <= self.fail_fraction <= 1
            or self.mean_length < 1
            or min(self.files_per_barcode, self.reads_per_file) < 0
        ):
            raise UsageError(
                "fail_fraction must be between 0 and 1, mean_length 1 or more, counts not negative"
            )
        if self.bam and DataKind.BAM not in ERAS[self.era].announces:
            raise UsageError(f"MinKNOW wrote no BAM in the era {self.era}")
        self.acquisition = self._make_acquisition(name)

    def _make_acquisition(self, name: CellName) -> Acquisition:
        generator = self._generator("acquisition")
        digits = f"{generator.getrandbits(96):024x}"
        label = datetime.strptime(name.date + name.time, "%Y%m%d%H%M").replace(tzinfo=UTC)
        return Acquisition(
            self.era,
            self.run,
            self.library,
            name,
            f"{name.short_id}-{digits[:4]}-4{digits[5:8]}-8{digits[9:12]}-{digits[12:]}",
            f"{generator.getrandbits(160):040x}",
            label
            + timedelta(minutes=5),  # the directory is made before the flow cell has warmed up
            BATCH_HOURS * self.files_per_barcode,
        )

    def _generator(self, purpose: str) -> random.Random:
        """Random generator for one purpose: a file does not depend on the files before it."""
        return random.Random(f"{self.seed} {self.run}/{self.library}/{self.cell} {purpose}")

    @property
    def path(self) -> Path:
        """The directory that has the cell's files."""
        library = self.landing / self.run / self.library
        return library if self.pooled else library / self.cell

    @property
    def name(self) -> str:
        """Name that the cell has for hesiod-watch."""
        if not self.pooled:
            return self.cell
        found = acquisition_in(self.acquisition.table_name("final_summary", "txt"))
        return found.name if found else ""

    @property
    def step_count(self) -> int:
        """Number of files that `steps` writes."""
        failed = self._failed_reads
        each = len(self.barcodes or (None,)) * self.files_per_barcode
        parts = each * ((failed > 0) + (failed < self.reads_per_file))
        per_part = self.fastq + bool(self.bam) + (self.bam == "aligned")
        raw = (
            0
            if not self.pod5
            else self.files_per_barcode
            if ERAS[self.era].raw is DataKind.POD5
            else parts
        )
        reads = (parts + each * (self._duplex_reads > 0)) * per_part
        return reads + raw + 4 + self.output_hash

    @property
    def _failed_reads(self) -> int:
        return round(self.reads_per_file * self.fail_fraction)

    @property
    def _duplex_reads(self) -> int:
        return (self.reads_per_file - self._failed_reads) // 10 if self.duplex else 0

    def write(self) -> Path:
        """Write the whole cell without pauses; returns its directory."""
        for _ in self.steps():
            pass
        return self.path

    def steps(self) -> Generator[Path, None, None]:
        """Write one file per step and yield its path.

        Order: sample sheet, data batch by batch, tables, final_summary. Data files and the summary
        of reads are first written to a hidden directory of the landing area; MinKNOW uses another
        directory of its disk. The hidden directory is removed at the end, also if the iterator is
        closed earlier.
        """
        acquisition = self.acquisition
        queue = self.landing / QUEUE / acquisition.id
        queue.mkdir(parents=True, exist_ok=True)  # a killed simulation may have left it
        try:
            self.path.mkdir(parents=True, exist_ok=self.pooled)
            yield self._put(acquisition.report_name("csv"), acquisition.sample_sheet().encode())
            counts: Counter[DataKind] = Counter()
            written: list[Path] = []
            with (queue / "sequencing_summary.txt").open("w") as table:
                table.write("\t".join(SUMMARY_COLUMNS) + "\n")
                for batch in range(self.files_per_barcode):
                    for kind, path, rows in self._batch(batch, queue):
                        counts[kind] += 1
                        written.append(path)
                        table.writelines(row + "\n" for row in rows)
                        yield path
            table_name = acquisition.table_name("sequencing_summary", "txt")
            yield (queue / "sequencing_summary.txt").rename(self.path / table_name)
            yield self._put(acquisition.report_name(ERAS[self.era].report), self._report())
            if self.output_hash:
                hashes = {
                    str(path.relative_to(self.path)): hashlib.sha256(path.read_bytes()).hexdigest()
                    for path in written
                }
                name = acquisition.report_name("csv", "output_hash")
                yield self._put(name, acquisition.output_hash(hashes).encode())
            yield self._put(
                acquisition.table_name("final_summary", "txt"),
                acquisition.final_summary(counts).encode(),
            )
        finally:
            shutil.rmtree(queue, ignore_errors=True)
            try:
                queue.parent.rmdir()
            except OSError:
                pass  # another cell is being written

    def _batch(self, batch: int, queue: Path) -> Iterator[tuple[DataKind, Path, list[str]]]:
        """Write the files of one batch; yields kind, path and sequencing_summary rows of each."""
        raw = ERAS[self.era].raw
        for barcode in self.barcodes or (None,):
            for part, count in (
                ("pass", self.reads_per_file - self._failed_reads),
                ("fail", self._failed_reads),
                ("pass_duplex", self._duplex_reads),
            ):
                if not count:
                    continue
                stem = self.acquisition.stem(part.removesuffix(DUPLEX), barcode, batch)
                where = Path(f"fastq_{part}", barcode or "")
                name = f"{stem}.fastq.gz" if self.gz else f"{stem}.fastq"
                made, rows = self._reads(name, part, barcode, batch, count)
                if self.fastq:
                    content = self._packed(made.fastq)
                    yield DataKind.FASTQ, self._arrive(where / name, content, queue), rows
                if self.bam:
                    yield from self._bam(stem, part, barcode, (made, rows), queue)
                if self.pod5 and raw is DataKind.FAST5 and part != "pass_duplex":
                    where = Path(f"fast5_{part}", barcode or "", f"{stem}.fast5")
                    yield raw, self._arrive(where, _RAW_CONTENT[raw], queue), []
        if self.pod5 and raw is DataKind.POD5:
            where = Path("pod5", self.acquisition.stem("", None, batch) + ".pod5")
            yield raw, self._arrive(where, _RAW_CONTENT[raw], queue), []

    def _bam(
        self,
        stem: str,
        part: str,
        barcode: str | None,
        reads: tuple[ReadBatch, list[str]],
        queue: Path,
    ) -> Iterator[tuple[DataKind, Path, list[str]]]:
        """Write reads as BAM; an aligned file and its index."""
        made, rows = reads
        assert self.bam  # noqa: S101  the caller has checked it
        made_at, where = queue / f"{stem}.made", Path(f"bam_{part}", barcode or "")
        generator = self._generator(f"places {stem}")
        write_bam(made_at, made, self.acquisition, barcode, self.bam, generator)
        content = made_at.read_bytes()
        yield (
            DataKind.BAM,
            self._arrive(where / f"{stem}.bam", content, queue),
            [] if self.fastq else rows,
        )
        made_at.unlink()
        if self.bam == "aligned":
            index = made_at.with_name(f"{made_at.name}.bai")
            content = index.read_bytes()
            index.unlink()
            yield DataKind.BAI, self._arrive(where / f"{stem}.bam.bai", content, queue), []

    def _packed(self, fastq: bytes) -> bytes:
        if not self.gz:
            return fastq
        from isal import igzip  # late: the command line must start without it

        return igzip.compress(fastq, 1, mtime=0)

    def _reads(
        self, name: str, part: str, barcode: str | None, batch: int, count: int
    ) -> tuple[ReadBatch, list[str]]:
        """Make the reads of one file, with their rows of the sequencing_summary."""
        made = make_batch(
            self._generator(f"{barcode} {part} {batch}"),
            count,
            passing=part != "fail",
            mean_length=self.mean_length,
            first_number=batch * count,
            hours=(batch * BATCH_HOURS, (batch + 1) * BATCH_HOURS),
            channels=CHANNELS,
            header=lambda read: self.acquisition.header(read, barcode),
        )
        amount = self.expected.setdefault((barcode, part), ReadAmount())
        amount.reads += len(made.reads)
        amount.bases += sum(read.length for read in made.reads)
        part = part.removesuffix(DUPLEX)
        rows = [self.acquisition.summary_row(read, name, part, barcode) for read in made.reads]
        return made, rows

    def _arrive(self, where: Path, content: bytes, queue: Path) -> Path:
        """Make a data file appear at `where` in the cell, in the way of `arrival`."""
        path = self.path / where
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.arrival == "write":
            return self._put(where, content)
        waiting = queue / path.name
        waiting.write_bytes(content)
        if self.arrival == "rename":
            return waiting.rename(path)
        os.link(waiting, path)
        waiting.unlink()
        return path

    def _put(self, where: str | Path, content: bytes) -> Path:
        path = self.path / where
        with path.open("xb") as file:
            file.write(content)
        return path

    def _report(self) -> bytes:
        total = ReadAmount(
            sum(amount.reads for amount in self.expected.values()),
            sum(amount.bases for amount in self.expected.values()),
        )
        if ERAS[self.era].report == "pdf":
            return b"%PDF-1.4\n%%EOF\n"
        title = html.escape(f"{self.run} {self.library}")
        text = f"<h1>{title}</h1><p>Simulated: {total.reads} reads, {total.bases} bases.</p>"
        return f"<!doctype html><meta charset=utf-8><title>{title}</title>{text}\n".encode()
