"""Documents about a cell's files, byte by byte: older and other programs read them for ever."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest
from open_runs import opened, pipeline_at

from hesiod_watch import actions
from hesiod_watch.actions import Job
from hesiod_watch.config import Config
from hesiod_watch.core.model import CellId
from hesiod_watch.host import process
from hesiod_watch.remote.backup.manifests import publish_raw, read_raw, read_raw_data
from hesiod_watch.runs import flags

RUN = "20261122_TEST_alpha"
CELL = CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
GOLDEN = Path(__file__).parent / "golden_documents"
READ = b"@%s runid=aaaaaaaa start_time=2026-11-22T22:11:00Z\nACGTACGT\n+\nIIIIIIII\n"
SUMMARY = b"""instrument=P2S-00581
acquisition_run_id=aaaaaaaabbbbbbbbccccccccddddddddeeeeeeee
fastq_files_in_final_dest=6
pod5_files_in_final_dest=1
fastq_files_in_fallback=0
pod5_files_in_fallback=0
"""


def packed(text: bytes) -> bytes:
    """Text as a gzip file with one header; Python 3.13 writes another one than 3.11."""
    return bytes.fromhex("1f8b0800000000000203") + gzip.compress(text, mtime=0)[10:]


FILES = {
    "fastq_pass/barcode01/PAW00001_pass_barcode01_aaaaaaaa_0.fastq": READ % b"a",
    "fastq_pass/barcode01/PAW00001_pass_barcode01_aaaaaaaa_1.fastq": READ % b"b" + READ % b"c",
    "fastq_pass/barcode02/PAW00001_pass_barcode02_aaaaaaaa_0.fastq.gz": packed(READ % b"d"),
    "fastq_pass/barcode02/PAW00001_pass_barcode02_aaaaaaaa_1.fastq.gz": packed(READ % b"e"),
    "fastq_fail/ä \udcff_0.fastq": READ % b"f",
    "fastq_fail/ä \udcff_1.fastq": b"",
    "pod5/PAW00001_aaaaaaaa_0.pod5": b"signal",
    "#odd\n name": b"odd",
    "report_PAW00001.html": b"<html>",
    "output_hash_x.csv": b"file_hash,file_path\n"
    b"0bd79d2d0a32c0f6d8d8b0a56ec4ac1fa47b8bd93dca9d3a72a5cf3dda3ecb1e,report_PAW00001.html\n",
    "final_summary.txt": SUMMARY,
}
# Values that differ with the moment, the place and the version of the compressor.
VARYING = (
    (rb'("(?:made_at|program|~)": ?)"[^"]*"', rb'\1"-"'),
    (rb'("owner": ?)\{[^}]*\}', rb'\1"-"'),
    (rb'("(?:ctime_ns|inode|crc32|offset|length|j)": ?)[0-9]+', rb"\g<1>0"),
)
RESULT = (rb'("bytes": )[0-9]+(,\n *"md5": )"[0-9a-f]*"', rb'\g<1>0\2"-"')
HISTOGRAM = (rb"\[[0-9,\n ]*\]", rb"[]")
MORE = {"manifest.json": [RESULT], "qc.json": [RESULT, HISTOGRAM]}


def job(action: str, config: Config) -> Job:
    return Job(action, config.landing / RUN, config, process.this_owner(action, "test"), CELL)


def constant(name: str, data: bytes, root: Path) -> bytes:
    """The document of this name with its varying values replaced."""
    data = data.replace(str(root).encode(), b"ROOT")
    for pattern, value in (*VARYING, *MORE.get(name, ())):
        data = re.sub(pattern, value, data)
    return data


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The documents of a small cell that was ingested, processed and read for its backup."""
    root = tmp_path_factory.mktemp("documents")
    config = Config(root / "landing", root / "output")
    config.output.mkdir()
    cell = config.landing / RUN / str(CELL)
    for number, (name, data) in enumerate(FILES.items()):
        (cell / name).parent.mkdir(parents=True, exist_ok=True)
        (cell / name).write_bytes(data)
        os.utime(cell / name, ns=(0, 1_795_000_000_123_456_789 + number))
    (cell / "link").symlink_to("final_summary.txt")
    output = config.output / RUN / str(CELL)
    actions.perform(job("new-run", config))
    actions.perform(job("ingest", config))
    found = {"journal.jsonl": (output / ".ingest" / "journal.jsonl").read_bytes()}
    actions.perform(job("synced", config))
    owner = job("process", config)
    flags.claim_cell(
        pipeline_at(config.landing / RUN / "pipeline"),
        CELL.stem,
        owner.owner,
        judge=process.judge_here,
    )
    actions.perform(owner)
    publish_raw(
        output, read_raw_data(opened(config.landing / RUN), CELL, read_raw(output)), lambda: None
    )
    found |= {name: (output / name).read_bytes() for name in ("manifest.json", "qc.json")}
    found["raw.json"] = (output / "raw.json").read_bytes()
    return {name: constant(name, data, root) for name, data in found.items()}


@pytest.mark.parametrize("name", ["journal.jsonl", "manifest.json", "qc.json", "raw.json"])
def test_a_document_keeps_its_bytes(documents: dict[str, bytes], name: str) -> None:
    """The layout, the names and the keys of a document are those of the golden file."""
    assert documents[name] == (GOLDEN / name).read_bytes()


def test_raw_data_keep_their_checksums(documents: dict[str, bytes]) -> None:
    """`raw.json` states the times of every regular file, and SHA-256 where MinKNOW wrote one."""
    assert documents["raw.json"].count(b'"ctime_ns"') == len(FILES)
    assert documents["raw.json"].count(b'"sha256"') == 1
