"""Outputs of BAM: every source is checked, and none of its reads and header lines is lost."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bam_files import (
    MODEL,
    MODIFIED,
    REFERENCES,
    bam,
    header,
    needs_samtools,
    put_bam,
    read_group,
    reads_in,
    records,
    samtools,
)
from growing import LIMITS, SETTINGS
from open_runs import ANYWHERE

from hesiod_watch.core.errors import BadSource, PermanentError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.fastq import backlog, bgzf
from hesiod_watch.fastq import ingest as ingesting
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Written
from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.verify import verify
from hesiod_watch.host.files import md5

NAME = "run_pass.bam"


def opened(directory: Path) -> Ingest:
    return Ingest.open(directory, ANYWHERE, SETTINGS, owner={}, check_all=True, limits=LIMITS)


def output(*sources: FileEntry) -> Output:
    return Output(NAME, None, "pass", sources)


def write(directory: Path, *sources: FileEntry) -> Written:
    with opened(directory) as ingest:
        (written,) = ingest.finish([output(*sources)])
    return written


def several(place: Path, count: int = 4) -> list[FileEntry]:
    """Sources with one header."""
    return [
        put_bam(place / "bam_pass", f"s_{n}.bam", header() + records(3, n)) for n in range(count)
    ]


@needs_samtools
def test_an_output_has_every_read_of_its_sources(tmp_path: Path) -> None:
    """samtools reads the same records from the output as from the sources, in the same order."""
    sources = several(tmp_path)
    written = write(tmp_path / "out", *sources)
    samtools("quickcheck", "-u", written.path)
    in_order = "".join(samtools("view", source.path) for source in sources)
    assert samtools("view", written.path) == in_order
    assert samtools("view", "-c", written.path) == f"{written.reads}\n" == "12\n"
    assert written.md5 == md5(written.path.read_bytes())
    verify(written.path, md5=written.md5, reads=written.reads, bases=written.bases)


@needs_samtools
def test_samtools_cat_writes_the_same_file(tmp_path: Path) -> None:
    """The records of an output are in the same blocks as after `samtools cat`."""
    sources = several(tmp_path)
    written = write(tmp_path / "out", *sources)
    samtools("cat", "--no-PG", "-o", tmp_path / "cat.bam", *(source.path for source in sources))
    assert gzip.decompress(written.path.read_bytes()) == gzip.decompress(
        (tmp_path / "cat.bam").read_bytes()
    )


@needs_samtools
def test_numbers_agree_with_those_of_fastq(tmp_path: Path) -> None:
    """The same reads have the same numbers as BAM and as FASTQ that samtools makes of it."""
    text = header(references=REFERENCES) + records(60, 3, references=REFERENCES)
    source = put_bam(tmp_path, "bam_pass/one.bam", text)
    fastq = tmp_path / "one.fastq"
    fastq.write_text(samtools("fastq", "-T", "qs,ch,st,RG", source.path))
    as_fastq = Output("run_pass.fastq.gz", None, "pass", (look(fastq, "one.fastq"),))
    with opened(tmp_path / "out") as ingest:
        written = ingest.finish([output(source), as_fastq])
    of_bam, of_fastq = (qc_groups([(None, "pass", one.statistics)]) for one in written)
    counts = of_bam["total"].pop("bam")
    of_bam["pass"].pop("bam")
    of_bam["barcodes"][0]["total"].pop("bam")
    of_bam["barcodes"][0]["pass"].pop("bam")
    assert of_bam == of_fastq
    assert written[0].statistics.models == written[1].statistics.models == {MODEL}
    mapped = int(samtools("view", "-c", "-F", "4", source.path))
    assert counts == {
        "reads": 60,
        "records": 60,
        "aligned": mapped,
        "duplex": 12,
        "modified": 60,
        "modified_base_models": [MODIFIED],
    }


def test_further_alignments_are_no_reads(tmp_path: Path) -> None:
    """A secondary or supplementary record is kept, and its read counts once."""
    line = records(1, 5, references=REFERENCES).rstrip("\n").split("\t")
    further = [[*line[:1], flag, *line[2:]] for flag in ("256", "2048")]
    text = "".join("\t".join(fields) + "\n" for fields in (line, *further))
    source = put_bam(tmp_path, "bam_pass/one.bam", header(references=REFERENCES) + text)
    written = write(tmp_path / "out", source)
    assert (written.reads, written.bases) == (1, len(line[9]))
    assert written.statistics.bam.records == 3


@needs_samtools
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_killed_ingest_continues_after_each_source(tmp_path: Path, count: int) -> None:
    """After every number of sources, another session writes the same bytes and numbers."""
    sources = several(tmp_path)
    whole = write(tmp_path / "whole", *sources)
    with opened(tmp_path / "out") as ingest:
        ingest.take([output(*sources[:count])])
    (tmp_path / "out" / "checkpoint.bin").unlink()
    again = write(tmp_path / "out", *sources)
    assert again.path.read_bytes() == whole.path.read_bytes()
    assert (again.md5, again.statistics) == (whole.md5, whole.statistics)


def _cut(data: bytes) -> bytes:
    return data[: len(data) - len(bgzf.END_OF_FILE)]


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "empty file: it has not even a header"),
    "without its end block": (_cut, "truncated: the end-of-file block of BGZF is missing"),
    "cut in a block": (lambda data: data[: len(data) - 100], "truncated: the file ends in the mid"),
    "cut in the frame of a block": (lambda data: _cut(data) + data[:5], "truncated: the file ends"),
    "one bit": (_flipped, "corrupt BGZF: the block"),
    "zeros": (lambda data: bytes(len(data)), "not BAM: it begins with zeros"),
    "zeros after it": (lambda data: data + bytes(100), "corrupt BGZF: the block is not a BGZF"),
    "gzip": (lambda data: gzip.compress(b"@r\nA\n+\n#\n"), "not BAM: gzip, but not BGZF"),
    "FASTQ in BGZF": (
        lambda data: (
            b"".join(bgzf.compress(memoryview(b"@r\nA\n+\n#\n"), (), "small")) + bgzf.END_OF_FILE
        ),
        "not BAM: it does not begin with BAM's magic number",
    ),
    "only an end block": (lambda data: bgzf.END_OF_FILE, "not BAM: the file ends in its header"),
    "CRAM": (lambda data: b"CRAM\3\0" + bytes(40), "not BAM: CRAM"),
    "SAM": (lambda data: header().encode(), "not BAM: SAM, which is text"),
    "two files joined": (lambda data: data + data, "not BAM: another BAM file begins here"),
    "not compressed": (gzip.decompress, "not BAM: it is not compressed"),
    "a page": (lambda data: b"<!DOCTYPE html>", "not BAM: it begins with '<!DOCTYP'"),
}


@pytest.mark.parametrize("damage", BAD)
def test_a_bad_source_is_named_with_the_reason(tmp_path: Path, damage: str) -> None:
    """Each kind of bad file has its own words, and the sources before it stay."""
    make, reason = BAD[damage]
    good, bad, later = several(tmp_path, 3)
    bad.path.write_bytes(make(bad.path.read_bytes()))
    bad = look(bad.path, bad.name)
    with opened(tmp_path / "out") as ingest:
        with pytest.raises(BadSource) as error:
            ingest.finish([output(good, bad, later)])
        assert str(error.value).startswith(f"{bad.path}: {reason}")
        assert ingest.names == {good.name, later.name}
        assert ingest.reads == 6


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        pytest.param(0, b"\xff\xff\xff\x7f", "a record claims 2147483647 bytes", id="size"),
        pytest.param(0, b"\x01\0\0\0", "a record claims 1 bytes", id="small size"),
        pytest.param(4, b"\5\0\0\0", "names a reference that the header lacks", id="reference"),
        pytest.param(12, b"\0", "the parts of a record are longer", id="no name"),
        pytest.param(20, b"\xff\xff\xff\x7f", "the parts of a record are longer", id="bases"),
        pytest.param(36, b"xxxxxxxxx", "the name of a read has no end", id="name"),
        pytest.param(-1, b"!", "not BAM: a tag of the unknown type", id="tag"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, at: int, value: bytes, reason: str) -> None:
    """A record whose fields contradict each other is found, with its number."""
    text = gzip.decompress(bam(tmp_path / "x.bam", header() + records(1)))
    start = text.index(b"read0-0") - 36
    change = start + at if at >= 0 else text.index(b"MLBC") + 2
    text = text[:change] + value + text[change + len(value) :]
    path = tmp_path / "bam_pass" / "bad.bam"
    path.parent.mkdir()
    path.write_bytes(b"".join(bgzf.compress(memoryview(text), (), "small")) + bgzf.END_OF_FILE)
    with opened(tmp_path / "out") as ingest, pytest.raises(BadSource, match=reason) as error:
        ingest.take([output(look(path, "bad.bam"))])
    assert error.value.where == "record 1"


def test_sources_of_other_references_are_refused(tmp_path: Path) -> None:
    """Records that name references by number are never put behind another list of references."""
    one, other = (
        put_bam(
            tmp_path,
            f"bam_pass/{number}.bam",
            header(references=references) + records(2, number, references=references),
        )
        for number, references in enumerate((REFERENCES, REFERENCES[::-1]))
    )
    with (
        opened(tmp_path / "out") as ingest,
        pytest.raises(BadSource, match="other reference sequences"),
    ):
        ingest.take([output(one, other)])


def test_a_changed_output_is_not_verified(tmp_path: Path) -> None:
    """An output that was cut off or changed after it was written does not pass its check."""
    written = write(tmp_path / "out", *several(tmp_path))
    data = written.path.read_bytes()
    for changed in (data[: len(data) // 2], _cut(data), _flipped(data)):
        written.path.write_bytes(changed)
        with pytest.raises(PermanentError):
            verify(written.path, md5=written.md5, reads=written.reads, bases=written.bases)


def test_a_replaced_source_is_taken_again(tmp_path: Path) -> None:
    """A source that was replaced by one with other reads is read again; after chmod it is not."""
    sources = several(tmp_path)
    with opened(tmp_path / "out") as ingest:
        ingest.take([output(*sources)])
        sources[1].path.chmod(0o600)
        sources = [look(source.path, source.name) for source in sources]
        assert ingest.take([output(*sources)]) == 0
        bam(sources[2].path, header() + records(5, 77))
        ingest.take([output(*(look(source.path, source.name) for source in sources))])
        assert (ingest.sources, ingest.reads) == (4, 14)


@needs_samtools
def test_read_groups_of_every_source_are_known(tmp_path: Path) -> None:
    """The journal keeps header lines that later sources bring; a cut gives up those of its own."""
    texts = [
        header(read_group("first")) + records(2, 1, group="first"),
        header(read_group("second", modified="")) + records(2, 2, group="second"),
        header(read_group("first", model="other@v1.0.0"), program="another") + records(2, 3),
        header(read_group("first"), read_group("second", modified="")) + records(2, 4),
    ]
    sources = [
        put_bam(tmp_path, f"bam_pass/{number}.bam", text) for number, text in enumerate(texts)
    ]
    with opened(tmp_path / "out") as ingest:
        ingest.take([output(*sources[:2])])
    with opened(tmp_path / "out") as ingest:
        (written,) = ingest.finish([output(*sources)])
        added = [piece.header for piece in written.pieces]
    assert added == [
        (),
        (read_group("second", modified=""),),
        (
            "@CO\t@PG\tID:basecaller\tPN:dorado\tVN:1.1.0\tCL:another",
            f"@CO\t{read_group('first', model='other@v1.0.0')}",
        ),
        (),
    ]
    assert written.statistics.bam.modified_models == {MODIFIED, "C+h", "C+m"}
    with opened(tmp_path / "out") as ingest:
        (written,) = ingest.finish([output(sources[0], sources[3])])
    assert [piece.header for piece in written.pieces] == [(), (read_group("second", modified=""),)]


@needs_samtools
def test_both_formats_of_the_same_reads_count_once(tmp_path: Path) -> None:
    """Where MinKNOW wrote FASTQ and BAM, a read counts once, with what only BAM shows."""
    source = put_bam(tmp_path, "bam_pass/one.bam", header() + records(10))
    fastq = tmp_path / "one.fastq"
    fastq.write_text(samtools("fastq", "-T", "qs", source.path))
    as_fastq = Output("run_pass.fastq.gz", None, "pass", (look(fastq, "one.fastq"),))
    with opened(tmp_path / "out") as ingest:
        ingest.take([output(source), as_fastq])
        total = qc_groups(ingest.groups)["total"]
    assert (total["reads"], total["bam"]["reads"], total["bam"]["modified"]) == (10, 10, 10)


def test_reads_in_is_a_judge_of_its_own(tmp_path: Path) -> None:
    """The helper of these tests sees a lost and a doubled read."""
    one, two = several(tmp_path, 2)
    assert reads_in(one.path) != reads_in(two.path)
    assert len(reads_in(one.path, two.path, two.path)) == 9


def test_no_bytes_cause_an_unforeseen_error(tmp_path: Path) -> None:
    """Whatever the inflated bytes are, a source is taken or refused as a bad one."""
    rng = random.Random(1)
    text = gzip.decompress(
        bam(tmp_path / "x.bam", header(references=REFERENCES) + records(2, references=REFERENCES))
    )
    path = tmp_path / "bad.bam"
    refused = 0
    with opened(tmp_path / "out") as ingest:
        for _ in range(400):
            changed = bytearray(text)
            for _ in range(rng.choice((1, 1, 3))):
                place = rng.randrange(len(changed))
                changed[place : place + rng.choice((0, 1, 1, 4))] = rng.randbytes(rng.randrange(5))
            packed = b"".join(bgzf.compress(memoryview(changed), (), "small"))
            path.write_bytes(packed + bgzf.END_OF_FILE)
            try:
                ingest.take([output(look(path, "bad.bam"))])
            except BadSource:
                refused += 1
    assert 100 < refused < 400


def test_several_processes_write_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker processes write the same bytes and numbers as this one."""
    outputs = [
        Output(f"run_{name}.bam", name, "pass", tuple(several(tmp_path / name)))
        for name in ("barcode01", "barcode02")
    ]
    with opened(tmp_path / "alone") as ingest:
        alone = ingest.finish(outputs)
    monkeypatch.setattr(ingesting, "BYTES_PER_WORKER", 1)
    monkeypatch.setattr(backlog, "SMALLEST_SHARE", 1)
    settings = replace(SETTINGS, processes=2)
    with Ingest.open(
        tmp_path / "out", ANYWHERE, settings, owner={}, check_all=True, limits=LIMITS
    ) as ingest:
        together = ingest.finish(outputs)
    for one, other in zip(alone, together, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()
        assert (one.md5, one.statistics, one.pieces) == (other.md5, other.statistics, other.pieces)
