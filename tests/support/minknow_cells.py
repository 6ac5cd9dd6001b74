"""Directories and final_summary files in MinKNOW's form, with empty data files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from hesiod_watch.fastq import bgzf

A, B = "a" * 40, "b" * 40
"""Ids of two acquisitions."""
CELL = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"

BAM_WITHOUT_READS = (
    b"".join(bgzf.compress(memoryview(b"BAM\1" + bytes(8)), (), "small")) + bgzf.END_OF_FILE
)

Make = Callable[[Iterable[str]], Path]
"""Function that makes the cell with files of these names."""


def cell_with(root: Path, names: Iterable[str]) -> Path:
    """The single cell in a directory, with these additional empty files."""
    directory = root / "run" / "library" / CELL
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return directory


def summary_text(acquisition: str = A, era: int = 2024, **counts: int) -> str:
    """Text of a final_summary of that year; counts are `fastq=3` or `fastq_fallback=1`."""
    lines = [
        "instrument=PCA100290",
        "position=1C",
        "flow_cell_id=PAW00001",
        "sample_id=s",
        "protocol_group_id=g",
        "protocol=sequencing/sequencing_PRO114_DNA_e8_2_400K:FLO-PRO114M:SQK-LSK114:400",
        "protocol_run_id=c6ded78b-0000-4000-8000-000000000000",
        f"acquisition_run_id={acquisition}",
        "started=2024-07-17T17:36:44.188174+01:00",
        "acquisition_stopped=2024-07-18T05:36:44.188174+01:00",
        "processing_stopped=2024-07-18T05:47:07.094144+01:00",
        "basecalling_enabled=1",
        "sequencing_summary_file=sequencing_summary.txt",
    ]
    kinds = ["fast5"] + ["pod5"] * (era >= 2023) + ["fastq"] + ["bam"] * (era >= 2024)
    for kind in kinds:
        lines.append(f"{kind}_files_in_final_dest={counts.get(kind, 0)}")
        lines.append(f"{kind}_files_in_fallback={counts.get(kind + '_fallback', 0)}")
    return "\n".join(lines) + "\n"


def without_a_number(cell: Path) -> None:
    """Leave the number of BAM files out of the final_summary, as MinKNOW did before 2024."""
    (summary,) = cell.glob("final_summary*.txt")
    summary.write_text(re.sub(r"(?m)^bam_.*\n", "", summary.read_text()))
    (cell / "bam_pass").mkdir()
    (cell / "bam_pass" / "PAW00001_pass_0a1b2c3d_0.bam").write_bytes(BAM_WITHOUT_READS)
