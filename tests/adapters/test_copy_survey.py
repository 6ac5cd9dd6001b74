"""Survey of a cell's files in landing after each was read once."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest
from open_runs import opened

from hesiod_watch.actions import Job
from hesiod_watch.actions.copies.survey import CopySurvey, LocalCopy
from hesiod_watch.config import Config
from hesiod_watch.core.model import LOCAL, CellId
from hesiod_watch.host import process
from hesiod_watch.runs import flags

RUN, CELL = "20261122_TEST_alpha", CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
TEXT = b"@r\nACGT\n+\nIIII\n" * 1000
PACKED, PIECE = gzip.compress(TEXT, 1, mtime=0), gzip.compress(TEXT, 9, mtime=0)
FILES = {
    "fastq_pass/a.fastq.gz": PACKED,
    "fastq_pass/b.fastq": TEXT,
    "pod5/a.pod5": b"signal" * 1000,
}


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A processed cell with two FASTQ of one text and a file of signal.

    The two FASTQ have become two pieces of one output.
    """
    landing, output = tmp_path / "landing", tmp_path / "output"
    cell, results = (place / RUN / CELL.library / CELL.name for place in (landing, output))
    for name, data in FILES.items():
        (cell / name).parent.mkdir(parents=True, exist_ok=True)
        (cell / name).write_bytes(data)
    results.mkdir(parents=True)
    (results / "o.fastq.gz").write_bytes(PIECE * 2)
    sources = [
        {"name": name, "output": "o.fastq.gz", "offset": number * len(PIECE), "length": len(PIECE)}
        for number, name in enumerate(list(FILES)[:2])
    ]
    manifest = {"files": [{"name": "o.fastq.gz", "md5": md5(PIECE * 2)}], "sources": sources}
    (results / "manifest.json").write_text(json.dumps(manifest))
    flags.adopt(opened(landing / RUN), LOCAL, output / RUN)
    return Job(
        "strip", landing / RUN, Config(landing, output), process.this_owner("strip", "inline"), CELL
    )


def look(job: Job) -> tuple[LocalCopy, dict[str, str]]:
    """The files in landing, and the reason why outputs do not contain each source, or ""."""
    with job.run as directory:
        looking = CopySurvey(
            job, directory, job.output / CELL.library / CELL.name, {}, lambda: False
        )
        here = looking.of_landing()
        return here, {name: copy.why for name, copy in looking.of_outputs(here).items()}


def test_undamaged_files(job: Job) -> None:
    """Every file has the MD5 of its bytes, and every source is in its output."""
    here, why = look(job)
    assert {name: entry.md5 for name, entry in here.found.items() if entry.kind == "f"} == {
        name: md5(data) for name, data in FILES.items()
    }
    assert why == dict.fromkeys(list(FILES)[:2], "")


@pytest.mark.parametrize("name", FILES)
def test_changed_while_it_is_read(job: Job, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes while it is read has no known content, and no output is its copy."""
    path = job.cell_dir / name
    reading = {"readv": os.readv, "read": os.read}

    def touching(call: str, descriptor: int, *rest: object) -> object:
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            os.utime(path, ns=(1, path.stat().st_mtime_ns))  # changes only its change time
        return reading[call](descriptor, *rest)  # type: ignore[operator]  # one of two with other arguments

    for call in reading:
        monkeypatch.setattr(os, call, lambda *given, call=call: touching(call, *given))
    here, why = look(job)
    assert here.found[name].md5 == ""
    assert here.why == {name: "cannot be read: it changed while it was read"}
    assert why == {each: "" if each != name else why[name] for each in list(FILES)[:2]}
    assert name.endswith("pod5") or "cannot be compared with the file" in why[name]


def test_damaged_source(job: Job) -> None:
    """A gzipped source damaged in landing has the MD5 of its bytes; no output is its copy."""
    name, damaged = "fastq_pass/a.fastq.gz", PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:]
    (job.cell_dir / name).write_bytes(damaged)
    here, why = look(job)
    assert here.found[name].md5 == md5(damaged)
    assert "corrupt gzip" in why[name]
    assert why["fastq_pass/b.fastq"] == ""


def test_another_text(job: Job) -> None:
    """A source whose text differs from its piece is not in the output."""
    (job.cell_dir / "fastq_pass/b.fastq").write_bytes(TEXT.replace(b"A", b"C", 1))
    _, why = look(job)
    assert why == {
        "fastq_pass/a.fastq.gz": "",
        "fastq_pass/b.fastq": "does not contain the exact text of the file",
    }
