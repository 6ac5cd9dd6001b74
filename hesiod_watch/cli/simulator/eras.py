"""Versions of MinKNOW by era: names of files, contents of headers, final_summary and tables.

| era  | MinKNOW         | raw data         | FASTQ headers        |
|------|-----------------|------------------|----------------------|
| 2019 | core 3.3 to 3.5 | fast5_pass, fail | key=value, few       |
| 2021 | core 3.6 to 4.x | fast5_pass, fail | key=value            |
| 2024 | 24.02 and later | pod5, undivided  | key=value, no `read` |
| 2026 | 26.01           | pod5, undivided  | SAM tags, with `qs`  |

| era        | names of data files                                      |
|------------|----------------------------------------------------------|
| 2019       | {flow cell}_{40 digits}_{n}                              |
| 2021       | {flow cell}_{part}_[{barcode}_]{acq 8}_{n}               |
| 2024, 2026 | {flow cell}_{part}_[{barcode}_]{protocol 8}_{acq 8}_{n}  |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from hesiod_watch.cli.simulator.reads import SimulatedRead
from hesiod_watch.core.cell_contents import DataKind
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import CellName

MODEL = "dna_r10.4.1_e8.2_400bps_sup@v5.0.0"

SUMMARY_COLUMNS = (
    *("filename_fastq", "read_id", "run_id", "channel", "mux", "start_time", "passes_filtering"),
    *(
        "sequence_length_template",
        "mean_qscore_template",
        "experiment_id",
        "sample_id",
        "barcode_arrangement",
    ),
)


@frozen
class MinknowEra:
    """Differences between versions of MinKNOW."""

    raw: DataKind
    announces: tuple[DataKind, ...]  # kinds in the final_summary, in order
    report: str  # suffix of MinKNOW's own report


ERAS: dict[str, MinknowEra] = {
    "2019": MinknowEra(DataKind.FAST5, (DataKind.FAST5, DataKind.FASTQ), "pdf"),
    "2021": MinknowEra(DataKind.FAST5, (DataKind.FAST5, DataKind.FASTQ), "pdf"),
    "2024": MinknowEra(
        DataKind.POD5, (DataKind.FAST5, DataKind.POD5, DataKind.FASTQ, DataKind.BAM), "html"
    ),
    "2026": MinknowEra(
        DataKind.POD5, (DataKind.FAST5, DataKind.POD5, DataKind.FASTQ, DataKind.BAM), "html"
    ),
}


@frozen
class Acquisition:
    """Names, ids and times of one cell, as MinKNOW writes them in names, headers and tables."""

    era: str
    run: str
    library: str
    cell: CellName
    protocol_run_id: str
    id: str  # 40 hex digits
    started: datetime
    hours: float

    def stem(self, part: str, barcode: str | None, number: int) -> str:
        """Name of a data file without its suffix.

        `part` is pass or fail, or "" for raw data that are not divided.
        """
        if self.era == "2019":
            return f"{self.cell.flow_cell_id}_{self.id}_{number}"
        ids = self._short_ids()
        return "_".join(
            piece for piece in (self.cell.flow_cell_id, part, barcode, *ids, str(number)) if piece
        )

    def _short_ids(self) -> list[str]:
        return [self.id[:8]] if self.era == "2021" else [self.protocol_run_id[:8], self.id[:8]]

    def table_name(self, kind: str, suffix: str) -> str:
        """Name of a table such as `sequencing_summary`, or of the final_summary."""
        if self.era == "2019":
            return f"{kind}.{suffix}"
        return "_".join([kind, self.cell.flow_cell_id, *self._short_ids()]) + f".{suffix}"

    def report_name(self, suffix: str, kind: str = "") -> str:
        """Name of a file with the time of the acquisition, not that of the cell's directory."""
        kind = kind or ("sample_sheet" if suffix == "csv" else "report")
        return (
            f"{kind}_{self.cell.flow_cell_id}_{self.started:%Y%m%d_%H%M}"
            f"_{self.protocol_run_id[:8]}.{suffix}"
        )

    def header(self, read: SimulatedRead, barcode: str | None) -> str:
        """The header of a read, without its `@`."""
        start = self.started + timedelta(seconds=read.start)
        if self.era == "2026":
            group = f"{self.protocol_run_id}_{MODEL}" + (f"_{barcode}" if barcode else "")
            return (
                f"{read.id}\tRG:Z:{group}\tDT:Z:{self.started.isoformat()}\tch:i:{read.channel}"
                f"\tst:Z:{start.isoformat(timespec='milliseconds')}"
                f"\tPU:Z:{self.cell.flow_cell_id}\tLB:Z:{self.library}"
                f"\tSM:Z:{barcode or ''}\tal:Z:{barcode or ''}\tpi:Z:{read.id}"
                f"\tDS:Z:gpu:none\tqs:f:{read.mean_q:.4f}"
                f"\tmx:i:{read.mux}\trn:i:{read.number}\tts:i:10\tpt:i:0"
            )
        called = f" barcode={barcode} barcode_alias={barcode}" if barcode else ""
        if self.era == "2024":
            return (
                f"{read.id} runid={self.id} ch={read.channel}"
                f" start_time={start.isoformat(timespec='microseconds')}"
                f" flow_cell_id={self.cell.flow_cell_id} protocol_group_id={self.run}"
                f" sample_id={self.library}{called}"
                f" parent_read_id={read.id} basecall_model_version_id={MODEL}"
            )
        seconds = f"{start:%Y-%m-%dT%H:%M:%SZ}"
        text = (
            f"{read.id} runid={self.id} read={read.number} ch={read.channel} start_time={seconds}"
        )
        if self.era == "2021":
            text += (
                f" flow_cell_id={self.cell.flow_cell_id} protocol_group_id={self.run}"
                f" sample_id={self.library}"
            )
        return text + called

    def summary_row(self, read: SimulatedRead, file: str, part: str, barcode: str | None) -> str:
        """One line of the sequencing_summary."""
        return "\t".join(
            [
                *(file, read.id, self.id, str(read.channel), str(read.mux), f"{read.start:.6f}"),
                *(str(part == "pass").upper(), str(read.length), f"{read.mean_q:.6f}"),
                *(self.run, self.library, barcode or "unclassified"),
            ]
        )

    def sample_sheet(self) -> str:
        """Sample sheet that the user gives to the sequencer at the start."""
        return (
            "protocol_run_id,position_id,flow_cell_id,sample_id,experiment_id,flow_cell_product_code,kit\n"
            f"{self.protocol_run_id},{self.cell.position},{self.cell.flow_cell_id},{self.library},{self.run},"
            "FLO-PRO114M,SQK-NBD114-24\n"
        )

    def output_hash(self, hashes: Mapping[str, str]) -> str:
        """Table of the SHA-256 of files, by their paths relative to the directory of the cell."""
        ids = f"{self.id},{self.run},{self.cell.flow_cell_id},{self.library}"
        rows = "".join(f"{ids},{sha256},{path},,\n" for path, sha256 in hashes.items())
        return (
            "runid,protocol_group_id,flow_cell_id,sample_id,file_hash,file_path,barcode,"
            f"barcode_alias\n{rows}"
        )

    def final_summary(self, counts: Mapping[DataKind, int]) -> str:
        """Content of the last file of an acquisition, with the number of files of each kind."""
        stopped = self.started + timedelta(hours=self.hours)
        lines = {
            "instrument": "PCA100000",
            "position": self.cell.position,
            "flow_cell_id": self.cell.flow_cell_id,
            "sample_id": self.library,
            "protocol_group_id": self.run,
            "protocol": "sequencing/sequencing_PRO114_DNA_e8_2_400K:FLO-PRO114M:SQK-NBD114-24:400",
            "protocol_run_id": self.protocol_run_id,
            "acquisition_run_id": self.id,
            "started": self.started.isoformat(timespec="microseconds"),
            "acquisition_stopped": stopped.isoformat(timespec="microseconds"),
            "processing_stopped": (stopped + timedelta(seconds=4)).isoformat(
                timespec="microseconds"
            ),
            "basecalling_enabled": "1",
            "sequencing_summary_file": self.table_name("sequencing_summary", "txt"),
        }
        for kind in ERAS[self.era].announces:
            lines[f"{kind}_files_in_final_dest"] = str(counts.get(kind, 0))
            lines[f"{kind}_files_in_fallback"] = "0"
        return "".join(f"{key}={value}\n" for key, value in lines.items())
