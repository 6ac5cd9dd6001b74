"""Completed outputs of BAM: all read groups, sorted and indexed if aligned, and no read lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bam_files import (
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

from hesiod_watch.bam import complete as completing
from hesiod_watch.bam.complete import complete
from hesiod_watch.core.errors import NoSpace, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.fastq.content_equality import difference, read_source
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Written
from hesiod_watch.fastq.verify import verify
from hesiod_watch.host.files import md5

NAME = "run_pass.bam"
REGION = "chr2:1000-20000"


def appended(root: Path, *sources: FileEntry) -> Written:
    with Ingest.open(
        root / "ingest", ANYWHERE, SETTINGS, owner={}, check_all=True, limits=LIMITS
    ) as ingest:
        (written,) = ingest.finish([Output(NAME, None, "pass", sources)])
    return written


def completed(root: Path, *sources: FileEntry, threads: int = 1) -> Written:
    place = root / "staging"
    place.mkdir(exist_ok=True)
    written = complete(appended(root, *sources), place, "small", threads)
    assert (written.bytes, written.md5) == (
        written.path.stat().st_size,
        md5(written.path.read_bytes()),
    )
    verify(written.path, md5=written.md5, reads=written.reads, bases=written.bases)
    return written


def aligned(root: Path, count: int = 3) -> list[FileEntry]:
    """Sources of aligned reads, each sorted."""
    return [
        put_bam(
            root,
            f"bam_pass/{number}.bam",
            header(references=REFERENCES, order="coordinate")
            + records(40, number, references=REFERENCES),
        )
        for number in range(count)
    ]


def test_sources_of_one_header_need_nothing_more(tmp_path: Path) -> None:
    """Unaligned sources with one header are complete as soon as they have been appended."""
    sources = [put_bam(tmp_path, f"bam_pass/{n}.bam", header() + records(3, n)) for n in range(2)]
    written = completed(tmp_path, *sources)
    assert written.path.parent == tmp_path / "ingest"


@needs_samtools
@pytest.mark.parametrize("threads", [1, 3])
def test_aligned_reads_are_sorted_and_indexed(tmp_path: Path, threads: int) -> None:
    """The output is in order, every read is there once, and its index finds each by its place."""
    sources = aligned(tmp_path)
    paths = [source.path for source in sources]
    written = completed(tmp_path, *sources, threads=threads)
    samtools("quickcheck", written.path)
    assert reads_in(written.path) == reads_in(*paths)
    places = [line.split("\t")[2:4] for line in samtools("view", written.path).splitlines()]
    order = {name: number for number, (name, _) in enumerate(REFERENCES)} | {"*": len(REFERENCES)}
    keys = [(order[name], int(place)) for name, place in places]
    assert keys == sorted(keys)
    assert "SO:coordinate" in samtools("view", "-H", written.path)
    index = written.index
    assert index is not None
    assert index.name == f"{NAME}.bai"
    assert (index.bytes, index.md5) == (index.path.stat().st_size, md5(index.path.read_bytes()))
    here = tmp_path / "published"
    here.mkdir()
    written.path.rename(here / NAME)
    index.path.rename(here / index.name)
    merged = tmp_path / "merged.bam"
    samtools("merge", "-c", "-p", "--no-PG", "-o", merged, *paths)
    samtools("index", merged)
    for command in ("idxstats", "flagstat"):
        assert samtools(command, here / NAME) == samtools(command, merged)
    # `samtools merge` changes the order of the tags.
    there, expected = (
        sorted(line.split("\t")[:11] for line in samtools("view", path, REGION).splitlines())
        for path in (here / NAME, merged)
    )
    assert there == expected != []


@needs_samtools
def test_sources_that_are_not_sorted(tmp_path: Path) -> None:
    """Aligned sources in the order of sequencing are sorted, too."""
    lines = records(60, 1, references=REFERENCES).splitlines(keepends=True)
    text = header(references=REFERENCES) + "".join(reversed(lines))
    source = put_bam(tmp_path, "bam_pass/one.bam", text)
    written = completed(tmp_path, source)
    assert reads_in(written.path) == reads_in(source.path)
    samtools("index", written.path)  # refuses a file that is not sorted


@needs_samtools
def test_long_references_have_another_index(tmp_path: Path) -> None:
    """A reference that is too long for `.bai` gets `.csi`, which samtools reads."""
    references = (("chr1", 600_000_000),)
    text = header(references=references) + records(20, references=references)
    written = completed(tmp_path, put_bam(tmp_path, "bam_pass/one.bam", text))
    assert written.index is not None
    assert written.index.name == f"{NAME}.csi"
    written.index.path.rename(f"{written.path}.csi")
    assert int(samtools("view", "-c", written.path, "chr1")) > 10


@needs_samtools
@pytest.mark.parametrize("references", [(), REFERENCES], ids=["unaligned", "aligned"])
def test_read_groups_of_all_sources_are_in_the_header(
    tmp_path: Path, references: tuple[tuple[str, int], ...]
) -> None:
    """No read names a group that the header lacks, and the sources stay restorable."""
    groups = ["first", "second", "third"]
    sources = [
        put_bam(
            tmp_path,
            f"bam_pass/{number}.bam",
            header(read_group(group), references=references)
            + records(4, number, group=group, references=references),
        )
        for number, group in enumerate(groups)
    ]
    written = completed(tmp_path, *sources)
    head = samtools("view", "-H", written.path)
    assert [line for line in head.splitlines() if line.startswith("@RG")] == [
        read_group(group) for group in groups
    ]
    assert reads_in(written.path) == reads_in(*(source.path for source in sources))
    for piece, source in zip(written.pieces, sources, strict=True):
        if not written.placed:
            continue
        with source.path.open("rb") as file:
            reading = read_source(file.readinto, source.path, gzipped=True)
        assert difference(reading, written.path, piece.offset, piece.length) == ""
        other = written.pieces[1 if source is sources[0] else 0]
        assert difference(reading, written.path, other.offset, other.length)
    if references:
        assert not written.placed
    else:
        samtools("quickcheck", "-u", written.path)


def test_a_header_that_is_missing_is_no_copy(tmp_path: Path) -> None:
    """An output is no copy of a source if it lacks a line of the source's header."""
    text = header() + records(3)
    written = completed(tmp_path, put_bam(tmp_path, "bam_pass/one.bam", text))
    other = tmp_path / "other.bam"
    bam(other, header(read_group(), "@CO\tanother comment") + records(3))
    with other.open("rb") as file:
        reading = read_source(file.readinto, other, gzipped=True)
    piece = written.pieces[0]
    assert difference(reading, written.path, piece.offset, piece.length) == (
        "does not contain the header of the file"
    )


def test_an_unaligned_source_before_aligned_ones(tmp_path: Path) -> None:
    """Sources without references and with them become one sorted output."""
    plain = put_bam(tmp_path, "bam_pass/plain.bam", header() + records(5, 50))
    sources = [plain, *(aligned(tmp_path, 4)[1:])]
    written = completed(tmp_path, *sources)
    assert reads_in(written.path) == reads_in(*(source.path for source in sources))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", TemporaryError),
        pytest.param("import sys; sys.exit('x: No space left on device')", NoSpace),
        pytest.param("import sys; sys.exit('a bug')", PermanentError),
    ],
    ids=["killed", "full disk", "bug"],
)
def test_a_sort_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[Exception]
) -> None:
    """A process that sorts may be killed or find no space; the appended file stays as it is."""
    written = appended(tmp_path, *aligned(tmp_path))
    before = written.path.read_bytes()
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    (tmp_path / "staging").mkdir()
    with pytest.raises(kind):
        complete(written, tmp_path / "staging", "small", 1)
    assert written.path.read_bytes() == before


def test_no_record_is_lost_unnoticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sorted file that lacks a read, or has one twice or changed, is not accepted."""
    written = appended(tmp_path, *aligned(tmp_path, 1))
    text = header(references=REFERENCES, order="coordinate")
    lines = records(40, 0, references=REFERENCES).splitlines(keepends=True)
    (tmp_path / "staging").mkdir()
    wrong = {
        "lost": lines[1:],
        "twice": [lines[0], *lines],
        "exchanged": [lines[0], lines[0], *lines[2:]],
        "order": lines[::-1],
        "changed": [lines[0].replace("pi:Z:parent", "pi:Z:Parent"), *lines[1:]],
    }
    for name, changed in wrong.items():
        made = tmp_path / "wrong.bam"
        bam(made, text + "".join(changed))

        def sort(source: Path, path: Path, index: Path, *_: object, made: Path = made) -> None:
            path.write_bytes(made.read_bytes())
            index.write_bytes(b"")

        monkeypatch.setattr(completing, "_sort", sort)
        with pytest.raises(PermanentError, match=r"not the same|not in order"):
            complete(written, tmp_path / "staging", "small", 1)
        assert name
