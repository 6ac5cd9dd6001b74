"""Sources that come late, change, vanish or are not FASTQ: outputs match the final sources."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from disks import Disk, install
from growing import (
    SETTINGS,
    directory_in_memory,
    expected,
    in_one_go,
    opened,
    put,
    reads,
    some,
    with_sources,
    written,
)
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from open_runs import ANYWHERE

from hesiod_watch.core.errors import BadSource, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Settings
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.tasks import TaskLimits
from hesiod_watch.fastq.verify import verify


def changed(source: FileEntry, text: bytes) -> FileEntry:
    """The source after its file was written again."""
    source.path.write_bytes(text)
    os.utime(source.path, ns=(0, source.mtime_ns + 10**9))
    return look(source.path, source.name)


# A change of an output of four plain sources after three were taken, the number taken then, and
# the note.
CHANGES: list[tuple[str, Callable[[Output], Output], int, str]] = [
    ("more", lambda a: a, 1, ""),
    (
        "changed",
        lambda a: with_sources(
            a, [a.sources[0], changed(a.sources[1], reads(5, 77)), *a.sources[2:]]
        ),
        3,
        "a1.fastq has changed since it was taken; 2 of 3 files are taken again",
    ),
    (
        "touched",
        lambda a: with_sources(
            a, [changed(a.sources[0], a.sources[0].path.read_bytes()), *a.sources[1:]]
        ),
        4,
        "a0.fastq has changed since it was taken; 3 of 3 files are taken again",
    ),
    (
        "missing",
        lambda a: with_sources(a, a.sources[:2]),
        0,
        "a2.fastq was taken and is now missing; 1 of 3 files is taken again",
    ),
    (
        "missing in the middle",
        lambda a: with_sources(a, [a.sources[0], a.sources[2], a.sources[3]]),
        2,
        "a1.fastq was taken and is now missing; 2 of 3 files are taken again",
    ),
    (
        "late",
        lambda a: with_sources(
            a,
            [a.sources[0], put(a.sources[0].path.parent, "a01.fastq", reads(1, 5)), *a.sources[1:]],
        ),
        4,
        "a01.fastq belongs before a1.fastq, which was already taken; 2 of 3 files are taken again",
    ),
    (
        "gzipped among plain",
        lambda a: with_sources(
            a, [*a.sources, put(a.sources[0].path.parent, "a4.fastq.gz", reads(1, 5))]
        ),
        2,
        "",
    ),
    (
        "another barcode",
        lambda a: Output(a.name, "barcode09", a.part, a.sources),
        4,
        "now belongs to another barcode or part",
    ),
]


@pytest.mark.parametrize("finished", [False, True], ids=["unfinished", "finished"])
@pytest.mark.parametrize(
    ("change", "taken", "note"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_sources_change_after_they_were_taken(
    change: Callable[[Output], Output],
    taken: int,
    note: str,
    finished: bool,
    outputs: list[Output],
    tmp_path: Path,
) -> None:
    """The output returns to the last valid source, reports it, and ends as in one run."""
    a = outputs[0]
    with opened(tmp_path / "out") as one:
        one.take([some(a, 0, 1, 2)])
        if finished:
            one.finish([some(a, 0, 1, 2)])
    now = change(a)
    with opened(tmp_path / "out") as one:
        assert one.take([now]) == taken
        [result] = one.finish([now])
        assert len(one.notes) == bool(note)
        assert all(note in found for found in one.notes)
    [alone] = in_one_go(tmp_path / "alone", [now])
    assert (result.md5, result.statistics, result.pieces) == (
        alone.md5,
        alone.statistics,
        alone.pieces,
    )
    assert result.path.read_bytes() == alone.path.read_bytes()


@pytest.mark.parametrize(
    "order", [(0, 1), (1, 0)], ids=["gzipped, then both", "both, then gzipped"]
)
def test_plain_and_gzipped_sources_meet(
    order: tuple[int, int], outputs: list[Output], tmp_path: Path
) -> None:
    """An output of verbatim members becomes BGZF when a plain source comes, and vice versa."""
    a, b, *_ = outputs
    lists = [with_sources(b, b.sources), with_sources(b, [*b.sources, a.sources[0]])]
    first, second = (lists[number] for number in order)
    with opened(tmp_path / "out") as one:
        one.take([first])
    with opened(tmp_path / "out") as one:
        one.finish([second])
        assert one.notes == (
            "b.fastq.gz: the mix of gzipped and plain sources has changed; all are taken again",
        )
    assert written(tmp_path / "out", [second]) == expected(tmp_path / "expected", [second])


def test_an_unlisted_output_is_removed(outputs: list[Output], tmp_path: Path) -> None:
    """An unlisted output is removed, also from the figures, and reported; its name is free."""
    with opened(tmp_path / "out") as one:
        one.take(outputs)
        one.take(outputs[1:])
        assert one.notes == ("a.fastq.gz: no longer has sources; dropped",)
        assert len(one.groups) == 2
        assert not (tmp_path / "out" / "a.fastq.gz").exists()
        one.finish(outputs)
    with opened(tmp_path / "out") as one:
        one.finish(outputs)
        assert one.notes == ()
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.usefixtures("many_workers")
def test_a_bad_source_keeps_what_is_before_it(
    processes: int, outputs: list[Output], tmp_path: Path
) -> None:
    """A source that is not FASTQ is named, others count; after its repair the ingest continues."""
    a, b, *_ = outputs
    good = a.sources[2].path.read_bytes()
    bad = with_sources(a, [*a.sources[:2], changed(a.sources[2], b"no FASTQ\n"), a.sources[3]])
    with opened(tmp_path / "out", Settings(level="small", processes=processes)) as one:
        with pytest.raises(BadSource, match=r"a2\.fastq"):
            one.finish([bad, b])
        assert one.sources == 6
        better = with_sources(a, [*a.sources[:2], changed(a.sources[2], good), a.sources[3]])
        one.finish([better, b])
        assert len(one.notes) == 1  # the sources after the mended one were taken again
    assert written(tmp_path / "out", [better, b]) == expected(tmp_path / "expected", [better, b])


def test_a_source_that_is_bad_at_its_end(outputs: list[Output], tmp_path: Path) -> None:
    """The part written before the fault was found is in no output and in no checksum."""
    b = outputs[1]
    whole = b.sources[2].path.read_bytes()
    bad = with_sources(b, [*b.sources[:2], changed(b.sources[2], whole[:-9])])
    with opened(tmp_path / "out", limits=TaskLimits()) as one:
        with pytest.raises(BadSource, match="truncated gzip"):
            one.finish([bad])
        assert one.sources == 2
        assert (tmp_path / "out" / b.name).stat().st_size == b.sources[1].size
        better = with_sources(b, [*b.sources[:2], changed(b.sources[2], whole)])
        [result] = one.finish([better])
    verify(result.path, md5=result.md5, reads=result.reads, bases=result.bases)
    assert written(tmp_path / "out", [better]) == expected(tmp_path / "expected", [better])


@pytest.mark.parametrize(
    "change",
    [lambda path: path.unlink(), lambda path: os.utime(path, (1, 1))],
    ids=["vanished", "new time"],
)
def test_finish_checks_the_sources_again(
    change: Callable[[Path], None], outputs: list[Output], tmp_path: Path
) -> None:
    """`finish` detects a source that changed or vanished later, with nothing left to read."""
    with opened(tmp_path / "out") as one:
        one.take(outputs)
        change(outputs[1].sources[2].path)
        with pytest.raises(TemporaryError, match=r"b2\.fastq\.gz"):
            one.finish(outputs)
        assert one.sources == 9


TEXTS = [reads(1 + number % 3, 300 + number, 60) for number in range(12)]


@examples(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_history_ends_the_same(data: st.DataObject) -> None:
    """Sources in any order, late, changed, removed, plain or gzipped, with stops and kills."""
    with (
        TemporaryDirectory() as otherwise,
        directory_in_memory(Path(otherwise)) as place,
        pytest.MonkeyPatch.context() as patch,
    ):
        names = [
            f"{number}.fastq{data.draw(st.sampled_from(['', '.gz', '.gz']))}" for number in range(8)
        ]
        present: dict[str, FileEntry] = {}
        for _ in range(data.draw(st.integers(1, 5))):
            for name in data.draw(st.lists(st.sampled_from(names), max_size=4)):
                text = data.draw(st.sampled_from(TEXTS))
                present[name] = changed(put(place, name, text), (place / name).read_bytes())
            for name in data.draw(st.lists(st.sampled_from(names), max_size=1)):
                present.pop(name, None)
            budget = data.draw(st.integers(0, 9))

            def stop(left: list[int] = [budget]) -> bool:  # noqa: B006  a new list for each call
                left[0] -= 1
                return left[0] < 0

            disk = Disk(place / "out")
            install(patch, disk)
            one = Ingest.open(
                place / "out",
                ANYWHERE,
                SETTINGS,
                owner={},
                check_all=data.draw(st.booleans()),
                limits=TaskLimits(files=data.draw(st.integers(1, 4))),
            )
            one.take(listing(present), stop=stop)
            if data.draw(st.booleans()):
                one.close()
            else:
                disk.die()
            install(patch, os)
        outputs = listing(present)
        with opened(place / "out") as one:
            results = one.finish(outputs)
        alone = in_one_go(place / "alone", outputs)
        assert written(place / "out", outputs) == written(place / "alone", outputs)
        assert [(w.md5, w.statistics, w.pieces) for w in results] == [
            (w.md5, w.statistics, w.pieces) for w in alone
        ]


def listing(present: dict[str, FileEntry]) -> list[Output]:
    """Two outputs, by even and odd names, of the present sources, in order."""
    chosen = [sorted(name for name in present if int(name[0]) % 2 == rest) for rest in range(2)]
    return [
        Output(f"out{rest}.gz", None, "pass", tuple(present[name] for name in names))
        for rest, names in enumerate(chosen)
        if names
    ]
