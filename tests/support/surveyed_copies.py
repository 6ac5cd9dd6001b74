"""Complete copies of a cell's raw files, counted by their bytes without help of the program.

An output counts for a FASTQ file if it contains the whole text. The places are those of the
program's layout: landing, output, backups.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Truth = Mapping[str, bytes]
"""Content that the sequencer wrote, by name relative to the cell."""


def truth_of(cell: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(cell)): path.read_bytes()
        for path in sorted(cell.rglob("*"))
        if path.is_file()
    }


@dataclass
class Places:
    """Copies of one cell: directories of its raw files and of its outputs, by place."""

    raw: Mapping[str, Path]
    outputs: Mapping[str, Path] = field(default_factory=dict)

    def holding(self, truth: Truth, *, but: Iterable[str] = ()) -> dict[str, set[str]]:
        """Places that have a file, for each file of `truth`, without the places in `but`."""
        raw = {place: path for place, path in self.raw.items() if place not in but}
        texts = {place: _texts(path) for place, path in self.outputs.items() if place not in but}
        return {
            name: {place for place, path in raw.items() if _same(path / name, content)}
            | {
                place
                for place, held in texts.items()
                if name.startswith("fastq_") and _text(name, content) in held
            }
            for name, content in truth.items()
        }


def _same(path: Path, content: bytes) -> bool:
    try:
        return path.is_file() and path.read_bytes() == content
    except OSError:
        return False


def _text(name: str, content: bytes) -> str:
    return hashlib.sha256(gzip.decompress(content) if name.endswith(".gz") else content).hexdigest()


_KNOWN: dict[tuple[str, str], frozenset[str]] = {}


def _texts(directory: Path) -> frozenset[str]:
    """Hashes of the texts of all sequences of complete gzip members, for each output."""
    found: set[str] = set()
    for path in directory.glob("*.fastq.gz") if directory.is_dir() else ():
        data = path.read_bytes()
        key = (path.name, hashlib.sha256(data).hexdigest())
        if key not in _KNOWN:
            _KNOWN[key] = _runs(data)
        found |= _KNOWN[key]
    return frozenset(found)


def _runs(data: bytes) -> frozenset[str]:
    members = []
    while data:
        inflating = zlib.decompressobj(wbits=31)
        try:
            text = inflating.decompress(data)
        except zlib.error:
            break
        if not inflating.eof:
            break
        members.append(text)
        data = inflating.unused_data
    found = set()
    for start in range(len(members)):
        run = hashlib.sha256()
        for member in members[start:]:
            run.update(member)
            found.add(run.hexdigest())
    return frozenset(found)
