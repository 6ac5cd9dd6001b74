"""MinKNOW's sequencing summary among the results of a cell, on its backups, and in `verify`."""

from __future__ import annotations

import gzip
import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from backup_mount import BackupMount
from sites import Site

from hesiod_watch.fastq.bgzf import END_OF_FILE, is_block

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NAME = f"{LIBRARY}/{CELL}"
COLUMNS = "filename\tread_id\trun_id\tchannel\n"
COPY = "sequencing_summary.txt.gz"


def table_of(reads: int) -> str:
    return COLUMNS + "".join(f"a_0.fastq\t{number:08}\trun\t7\n" for number in range(reads))


def write_cell(landing: Path, final: str = "", **tables: str | bytes) -> Path:
    """Write a finished cell of two reads with these sequencing summaries (`__` is a dot)."""
    cell = landing / RUN / LIBRARY / CELL
    (cell / "fastq_pass").mkdir(parents=True)
    for number in range(2):
        (cell / "fastq_pass" / f"a_{number}.fastq").write_text(f"@r{number}\nACGT\n+\n5555\n")
    for name, table in tables.items():
        data = table.encode() if isinstance(table, str) else table
        (cell / f"sequencing_summary{name.replace('__', '.')}").write_bytes(data)
    (cell / "final_summary.txt").write_text(f"{final}fastq_files_in_final_dest=2\n")
    return cell


def results(site: Site) -> Path:
    return site.output / RUN / LIBRARY / CELL


def qc_of(site: Site) -> dict[str, Any]:
    qc = json.loads((results(site) / "qc.json").read_text())
    assert isinstance(qc, dict)
    return qc


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_a_copy(site: Site) -> None:
    """The copy is BGZF with the text of the table; checksums, manifest and page name it."""
    text = table_of(100_000)
    write_cell(site.landing, _PAW00001_0a1b2c3d__txt=text)
    site.run("poll")
    data = (results(site) / COPY).read_bytes()
    assert gzip.decompress(data).decode() == text
    assert is_block(data)
    assert data.endswith(END_OF_FILE)
    qc = qc_of(site)
    source = "sequencing_summary_PAW00001_0a1b2c3d.txt"
    assert qc["sequencing_summaries"] == [
        {
            "file": COPY,
            "bytes": len(data),
            "md5": md5(data),
            "source": source,
            "source_bytes": len(text),
            "source_md5": md5(text.encode()),
            "rows": 100_000,
        }
    ]
    assert qc["notes"] == []
    assert f"{md5(data)}  {COPY}\n" in (results(site) / "md5sums.txt").read_text()
    manifest = json.loads((results(site) / "manifest.json").read_text())
    copy_of = {"name": source, "bytes": len(text), "md5": md5(text.encode())}
    entry = {"name": COPY, "bytes": len(data), "md5": md5(data), "copy_of": copy_of}
    assert entry in manifest["files"]
    assert f'href="{COPY}"' in (results(site) / "report.html").read_text()
    site.run("verify", RUN)
    assert not list(results(site).glob("superseded/*"))


@pytest.mark.parametrize(
    ("tables", "rows"),
    [
        ({"__txt": table_of(2)}, [2]),
        ({"_a__txt__gz": gzip.compress(table_of(2).encode())}, [2]),
        ({"_a__txt": table_of(2), "_a__txt__gz": b"\0"}, [2]),
        ({"_b_10__txt": table_of(3), "_b_2__txt": table_of(1)}, [1, 3]),
    ],
    ids=["name of 2019", "gzipped", "plain and gzipped", "two acquisitions"],
)
def test_tables_of_every_kind(site: Site, tables: dict[str, str], rows: list[int]) -> None:
    """Each table has one copy, in the order of their names."""
    write_cell(site.landing, **tables)
    site.run("poll")
    copies = qc_of(site)["sequencing_summaries"]
    assert [copy["rows"] for copy in copies] == rows
    assert [copy["file"] for copy in copies] == [COPY, "sequencing_summary_2.txt.gz"][: len(rows)]
    for copy in copies:
        text = gzip.decompress((results(site) / copy["file"]).read_bytes()).decode()
        assert text == table_of(copy["rows"])
    assert qc_of(site)["notes"] == []


def test_what_is_missing_is_named(site: Site) -> None:
    """A table that a final_summary names and that is not there, and missing rows, are notes."""
    final = "sequencing_summary_file=/data/sequencing_summary_x.txt\n"
    cell = write_cell(site.landing, final)
    site.run("poll")
    assert "sequencing_summaries" not in qc_of(site)
    [note] = qc_of(site)["notes"]
    assert "sequencing_summary_x.txt, which final_summary.txt names, is not in the cell" in note
    (cell / "sequencing_summary_x.txt").write_text(table_of(1))
    (cell / "final_summary.txt").touch()
    (site.landing / RUN / "pipeline" / f"{CELL}.done").unlink()
    site.run("poll")
    assert qc_of(site)["notes"] == ["the sequencing summary has 1 row for 2 reads in the results"]
    assert not (results(site) / "superseded").exists()
    (cell / "sequencing_summary_x.txt").unlink()
    (site.landing / RUN / "pipeline" / f"{CELL}.done").unlink()
    site.run("poll")
    assert not (results(site) / COPY).exists()
    assert len(list(results(site).glob(f"superseded/*/{COPY}"))) == 1


def test_a_table_that_changes_after_the_copy(site: Site) -> None:
    """`verify` names a table that is not the one that was copied, and a copy that is damaged."""
    cell = write_cell(site.landing, _a__txt=table_of(2))
    site.configure(processing="workers: 2, ingest: false")
    site.run("perform", "new-run", RUN)
    site.run("perform", "synced", RUN, NAME)
    site.run("perform", "process", RUN, NAME)
    with (cell / "sequencing_summary_a.txt").open("a") as file:
        file.write("more\n")
    site.run("perform", "verify", RUN, NAME, check=1)  # the first reading, which makes raw.json
    found = site.run("verify", RUN, check=1).stdout
    assert "landing: sequencing_summary_a.txt: its MD5 is" in found
    (cell / "sequencing_summary_a.txt").write_text(table_of(2))
    data = bytearray((results(site) / COPY).read_bytes())
    data[30] ^= 1
    (results(site) / COPY).write_bytes(data)
    assert f"output: {COPY}: md5" in site.run("verify", RUN, check=1).stdout


def test_a_kill_while_it_is_copied(site: Site) -> None:
    """The next attempt copies the whole table, and nothing else is left."""
    text = table_of(2_000_000)  # its copy takes much longer than a look at the directory
    write_cell(site.landing, _a__txt=text)
    site.run("perform", "new-run", RUN)
    site.run("perform", "synced", RUN, NAME)
    worker = subprocess.Popen(
        site.command("perform", "process", RUN, NAME),
        env=site.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while worker.poll() is None and not any(results(site).glob(f".staging.*/{COPY}")):
        pass  # without a pause, because the copy must be seen while it is made
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    site.run("poll")
    site.eventually(lambda: f"{CELL}.done" in site.flags(RUN), "the cell is done")
    assert gzip.decompress((results(site) / COPY).read_bytes()).decode() == text
    assert not list(results(site).glob(".staging.*"))


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """A copy of 300 MB needs less than 60 MB of memory."""
    with (tmp_path / "table").open("wb") as file:
        for _ in range(300):
            file.write(b"x\t1234567\n" * 100_000)
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from hesiod_watch.fastq.sources import look\n"
        "from hesiod_watch.fastq.text_copy import copy_text\n"
        "from hesiod_watch.host.files import OpenDirectory\n"
        "place = Path(sys.argv[1])\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before, source = peak(), look(place / 'table', 'table')\n"
        "cell = OpenDirectory(place)\n"
        "copy = copy_text(source, cell, place / 'copy', threads=4, with_sha256=True)\n"
        "assert copy.lines == 30_000_000\n"
        "print(peak() - before)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 60_000  # kB


def test_the_backup_has_it(site: Site, mounted: BackupMount) -> None:
    """A backup has the copy among the results, and a verification there reads it."""
    site.configure(more=f"backups: {{second: {{location: {mounted.place}, timeout: 10s}}}}\n")
    site.run("backup-init", "second")
    write_cell(site.landing, _a__txt=table_of(2))
    site.run("poll")
    [copy] = mounted.place.rglob(COPY)
    assert copy.read_bytes() == (results(site) / COPY).read_bytes()
    copy.write_bytes(b"x" * copy.stat().st_size)
    assert COPY in site.run("verify", RUN, "--backup", check=1).stdout
