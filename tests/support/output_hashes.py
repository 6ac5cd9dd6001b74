"""MinKNOW's own checksums for a cell of a test, and a way to damage a file that they name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

HEADER = "runid,protocol_group_id,flow_cell_id,sample_id,file_hash,file_path,barcode,barcode_alias"
DATA = (".fastq", ".fastq.gz", ".pod5", ".bam")
NAME = "output_hash_PAW00001_0a1b2c3d.csv"


def write_output_hash(cell: Path, more: Mapping[str, str] | None = None, name: str = NAME) -> Path:
    """List the present SHA-256 of every data file of a cell, and `more`: SHA-256 by name."""
    hashes = {
        str(path.relative_to(cell)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(cell.rglob("*"))
        if path.name.endswith(DATA)
    }
    rows = [
        f"x,alpha,PAW00001,sample_A,{sha256},{path},,"
        for path, sha256 in (hashes | dict(more or {})).items()
    ]
    (cell / name).write_text("\n".join([HEADER, *rows]) + "\n")
    return cell / name


def spoil(path: Path) -> None:
    """Replace the content of a file by another of the same size."""
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
