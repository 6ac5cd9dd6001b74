"""What sequencers write, tree by tree: state, outputs, checksums, copies and deletion of each.

ONT's specification and the programs of others have the trees; each is built here by the simulator
and some changes by hand. The same checks are made on every tree.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from bam_files import needs_samtools
from mounts import in_memory, needs_mounts
from output_hashes import spoil, write_output_hash
from simulated_cells import CELL, LIBRARY, RUN, simulated
from sites import Site
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.fastq import bgzf

pytestmark = [
    *(pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)),
    *(needs_mounts, needs_samtools),
]

DATA = (".fastq", ".fastq.gz", ".bam", ".pod5")

Make = Callable[[Path], SimulatedCell]


@dataclass(frozen=True)
class Tree:
    """A tree and what becomes of its cell."""

    make: Make
    outputs: str  # such as "4 fastq.gz, 2 bam"; "": the cell has no results
    stage: str = "processed"
    said: str = ""  # part of what `explain` says
    whole: bool = True  # whether every copy is good, so that a strip may remove the data


def plain(**options: Any) -> Make:
    """A tree as the simulator writes it."""

    def make(landing: Path) -> SimulatedCell:
        made = simulated(landing, **options)
        made.write()
        return made

    return make


def changed(change: Callable[[SimulatedCell], None], **options: Any) -> Make:
    """A tree with a change by hand, before the final_summary."""

    def make(landing: Path) -> SimulatedCell:
        made = plain(**options)(landing)
        change(made)
        end_with_summaries(made.landing)
        return made

    return make


def count(made: SimulatedCell, key: str, number: int | None) -> None:
    """Write a count of the final_summary anew; None: leave its line out."""
    (summary,) = made.path.glob("final_summary*.txt")
    lines = [line for line in summary.read_text().splitlines() if not line.startswith(f"{key}=")]
    summary.write_text("\n".join(lines if number is None else [*lines, f"{key}={number}"]) + "\n")


def first(made: SimulatedCell, pattern: str) -> Path:
    return min(made.path.glob(pattern))


def uncalled(made: SimulatedCell) -> None:
    (summary,) = made.path.glob("final_summary*.txt")
    text = summary.read_text().replace("basecalling_enabled=1", "basecalling_enabled=0")
    summary.write_text(text)


def raw_data_by_barcode(made: SimulatedCell) -> None:
    for number, path in enumerate(sorted((made.path / "pod5").glob("*.pod5"))):
        place = made.path / "pod5" / f"barcode{number + 1:02}"
        place.mkdir()
        path.rename(place / path.name)


def wrong_hash(made: SimulatedCell) -> None:
    name = str(first(made, "fastq_pass/*/*").relative_to(made.path))
    write_output_hash(made.path, {name: "0" * 64})


def hash_of_an_absent_file(made: SimulatedCell) -> None:
    write_output_hash(made.path, {"bam_pass/barcode01/gone.bam": "1" * 64})


def cut_raw_data(made: SimulatedCell) -> None:
    write_output_hash(made.path)
    spoil(first(made, "pod5/*.pod5"))


def cut_bam(made: SimulatedCell) -> None:
    path = first(made, "bam_pass/*/*.bam")
    path.write_bytes(path.read_bytes()[: -len(bgzf.END_OF_FILE)])


def called_again_inside(made: SimulatedCell) -> None:
    (made.path / "dorado").mkdir()
    shutil.copy(first(made, "fastq_pass/*/*"), made.path / "dorado" / "calls.fastq")


def called_again_beside(made: SimulatedCell) -> None:
    place = made.path.with_name("20261122_2210_0_PAW00001_1a2b3c4d") / "bam_pass"
    place.mkdir(parents=True)
    (place / "calls.bam").write_bytes(b"x")


def many_empty(made: SimulatedCell) -> None:
    """Barcodes with an empty directory, an empty file and an empty archive."""
    for number in range(3, 25):
        place = made.path / "fastq_pass" / f"barcode{number:02}"
        place.mkdir()
        if number % 3 == 1:
            (place / "empty.fastq").touch()
        elif number % 3 == 2:
            (place / "empty.fastq.gz").write_bytes(gzip.compress(b""))
    files = sum(1 for part in made.path.glob("fastq_*") for _ in part.rglob("*.fastq*"))
    count(made, "fastq_files_in_final_dest", files)


def files_of_the_run(made: SimulatedCell) -> None:
    run = made.landing / RUN
    (run / "SampleSheet.csv").write_text("flow_cell_id\nPAW00001\n")
    (run / LIBRARY / "analysis").mkdir()
    (run / LIBRARY / "analysis" / "notes.txt").write_text("kept")


def link_among_the_data(made: SimulatedCell) -> None:
    path = first(made, "fastq_pass/barcode01/*")
    path.with_name("again.fastq").symlink_to(path.name)


def fewer_bam_than_were_written(made: SimulatedCell) -> None:
    write_output_hash(made.path)
    count(made, "bam_files_in_final_dest", None)
    for path in sorted(made.path.glob("bam_pass/barcode01/*.bam")):
        path.unlink()


def undivided(made: SimulatedCell) -> None:
    """Reads in `fastq/ALIAS`, without a division into passed and failed ones."""
    shutil.rmtree(made.path / "fastq_fail")
    (made.path / "fastq_pass").rename(made.path / "fastq")
    count(made, "fastq_files_in_final_dest", len(list(made.path.glob("fastq/*/*"))))


def all_skipped(made: SimulatedCell) -> None:
    (made.path / "pod5").rename(made.path / "pod5_skip")


def pooled(landing: Path) -> SimulatedCell:
    other = SimulatedCell(
        *(landing, RUN, LIBRARY, CELL.replace("PAW00001_0a", "PAW00002_1a")),
        pooled=True,
        reads_per_file=10,
    )
    other.write()
    return plain(pooled=True)(landing)


def without_library(landing: Path) -> SimulatedCell:
    made = plain()(landing)
    made.path.rename(landing / RUN / CELL)
    (landing / RUN / LIBRARY).rmdir()
    return replace(made, pooled=True)  # its name comes from its files


BAM_ONLY = {"fastq": False, "bam": "unaligned"}
TREES = {
    "FASTQ": Tree(plain(), "4 fastq.gz"),
    "FASTQ, compressed": Tree(plain(gz=True), "4 fastq.gz"),
    "BAM, aligned, no FASTQ": Tree(plain(fastq=False, bam="aligned"), "4 bam"),
    "BAM, unaligned, no FASTQ": Tree(plain(**BAM_ONLY), "4 bam"),
    "BAM and FASTQ": Tree(plain(bam="unaligned"), "4 bam, 4 fastq.gz"),
    "with checksums": Tree(plain(bam="aligned", output_hash=True), "4 bam, 4 fastq.gz"),
    "raw data only": Tree(changed(uncalled, fastq=False), "", said="basecalling was off"),
    "duplex": Tree(plain(duplex=True), "6 fastq.gz"),
    "aliases": Tree(plain(barcodes=("Jörg", "lab-3.2")), "4 fastq.gz"),
    "raw data by barcode": Tree(changed(raw_data_by_barcode), "4 fastq.gz"),
    "wrong checksum": Tree(changed(wrong_hash), "4 fastq.gz", said="1 file differs", whole=False),
    "absent file in the checksums": Tree(
        changed(hash_of_an_absent_file), "4 fastq.gz", said="gone.bam", whole=False
    ),
    "raw data cut": Tree(changed(cut_raw_data), "4 fastq.gz", said="1 file differs", whole=False),
    "BAM cut": Tree(changed(cut_bam, **BAM_ONLY), "", "failed", "truncated", whole=False),
    "pooled": Tree(pooled, "4 fastq.gz"),
    "without the level of libraries": Tree(without_library, "4 fastq.gz"),
    "called again inside": Tree(changed(called_again_inside), "4 fastq.gz", said="dorado/calls"),
    "called again beside": Tree(changed(called_again_beside), "4 fastq.gz"),
    "24 barcodes, most empty": Tree(changed(many_empty), "18 fastq.gz"),
    "files of the run": Tree(changed(files_of_the_run), "4 fastq.gz"),
    "a link among the data": Tree(changed(link_among_the_data), "4 fastq.gz", said="again.fastq"),
    "BAM of which some are gone": Tree(
        changed(fewer_bam_than_were_written, **BAM_ONLY), "", "incomplete", "2 of 8", whole=False
    ),
    "undivided": Tree(changed(undivided), "2 fastq.gz"),
    "all raw data skipped": Tree(changed(all_skipped, fastq=False), "", said="no reads"),
}


@pytest.fixture
def backed_up(site: Site, tmp_path: Path) -> Iterator[list[Path]]:
    """Two backups of the site, on file systems of their own."""
    with in_memory(tmp_path / "one") as one, in_memory(tmp_path / "two") as two:
        places = {place.name: {"location": str(place), "raw": True} for place in (one, two)}
        site.configure(
            processing="workers: 2, ingest: false", more=f"backups: {json.dumps(places)}\n"
        )
        for name in places:
            site.run("backup-init", name)
        yield [one, two]


def data_of(run: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in run.rglob("*")
        if path.name.endswith(DATA) and path.is_file() and not path.is_symlink()
    }


@pytest.mark.parametrize("tree", TREES)
def test_tree(site: Site, backed_up: list[Path], tree: str) -> None:
    """State, outputs, checksums, copies and deletion are those of the table."""
    wanted = TREES[tree]
    made = wanted.make(site.landing)
    (subject,) = [key for key in polled(site, wanted.stage) if key.endswith(made.name)]
    _, library, name = subject.split("/")
    assert wanted.said in site.run("explain", RUN, f"{library}/{name}").stdout.replace("\n", " ")
    results = site.output / RUN / library / name
    if wanted.stage == "processed":
        assert_outputs(results, wanted.outputs)
        for place in backed_up:
            copies = next(place.glob(f"{RUN}/results/{library}/{name}"))
            for path in results.glob("*.gz"):
                assert (copies / path.name).read_bytes() == path.read_bytes()
    if wanted.stage == "processed":
        site.run("verify", RUN, "--backup", check=0 if wanted.whole else 1)
    before = data_of(site.landing / RUN)
    site.run("strip", RUN, f"{library}/{name}", "--yes", check=None)
    removed = before.keys() - data_of(site.landing / RUN).keys()
    assert bool(removed) is wanted.whole
    for path in removed:
        assert_kept(before[path], path, results, backed_up)


def polled(site: Site, stage: str) -> dict[str, str]:
    """Poll until a cell has this stage; returns the stages of all cells."""

    def look() -> bool:
        site.run("poll", check=None)
        return stage in site.stages().values()

    site.eventually(look, f"a cell is {stage}", 120)
    site.run("poll", check=None)
    return site.stages()


def assert_outputs(results: Path, outputs: str) -> None:
    """Check the number of outputs by suffix, their checksums, and the sum of their reads."""
    qc = json.loads((results / "qc.json").read_text())
    suffixes = Counter(
        "bam" if each["file"].endswith(".bam") else "fastq.gz" for each in qc["outputs"]
    )
    assert ", ".join(f"{suffixes[each]} {each}" for each in sorted(suffixes)) == outputs
    checked = subprocess.run(
        ["md5sum", "--check", "--quiet", "md5sums.txt"], cwd=results, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout
    parts = {"pass", "fail"} if "pass" in qc or "fail" in qc else set()
    fastq = sum(each["reads"] for each in qc["outputs"] if each["part"] in parts)
    assert fastq in (qc["total"]["reads"], 2 * qc["total"]["reads"])  # in two formats


def assert_kept(data: bytes, path: Path, results: Path, backups: list[Path]) -> None:
    """Check that a file that was removed is in each backup, as it was or in an output."""
    for place in backups:
        if not any(copy.read_bytes() == data for copy in place.rglob(path.name)):
            outputs = [copy for copy in place.rglob("*") if copy.name in os.listdir(results)]
            assert reads_in_file(path.name, data) <= set().union(
                *(reads_in_file(copy.name, copy.read_bytes()) for copy in outputs)
            ), f"{path} is not in {place}"


def reads_in_file(name: str, data: bytes) -> set[bytes]:
    """Names of the reads in a file of reads; none in another file."""
    if name.endswith(".bam"):
        shown = subprocess.run(["samtools", "view"], input=data, capture_output=True, check=True)
        return {line.split(b"\t")[0] for line in shown.stdout.splitlines()}
    text = gzip.decompress(data) if name.endswith(".gz") else data
    fastq = name.endswith((".fastq", ".fastq.gz"))
    return {line.split()[0][1:] for line in text.splitlines()[::4]} if fastq else set()
