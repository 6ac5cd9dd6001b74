"""Outputs that grow in rounds end as those of one run, whatever comes late, changes, or is in the way."""

from __future__ import annotations

import errno
import gzip
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from disks import Disk
from growing import LIMITS, SETTINGS, cell, directory_in_memory, expected, put, reads, some, written
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from hesiod_watch.errors import BadSource, PermanentError, TemporaryError
from hesiod_watch.fastq import backlog, bgzf, checkpoint, durable, ingest, md5, recheck
from hesiod_watch.fastq.files import look
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Settings, Source, Tally, Written
from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.fastq.verify import verify
from hesiod_watch.fastq.wire import Limits


def opened(
    directory: Path, settings: Settings = SETTINGS, *, check_all: bool = True, limits: Limits = LIMITS
) -> Ingest:
    return Ingest.open(directory, settings, owner={"who": "me"}, check_all=check_all, limits=limits)


def in_one_go(directory: Path, outputs: Sequence[Output], settings: Settings = SETTINGS) -> list[Written]:
    with opened(directory, settings) as one:
        return one.finish(outputs)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    with directory_in_memory(tmp_path) as directory:
        yield directory


@pytest.fixture
def outputs(tmp_path: Path) -> list[Output]:
    return cell(tmp_path / "sources")


@pytest.fixture
def many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are started for little work, too."""
    monkeypatch.setattr(ingest, "BYTES_PER_WORKER", 1)
    monkeypatch.setattr(backlog, "SMALLEST_SHARE", 1)


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.usefixtures("many_workers")
def test_rounds_give_what_one_run_gives(processes: int, outputs: list[Output], tmp_path: Path) -> None:
    """Sources in order over several sessions: same bytes, statistics and checksums, and no note."""
    a, b, c, _ = outputs
    settings = Settings(level="small", processes=processes)
    rounds = [[some(a, 0), some(b, 0)], [some(a, 0, 1), some(b, 0, 1), c], [some(a, 0, 1, 2), some(b, 0, 1), c]]
    for number, listed in enumerate(rounds):
        with opened(tmp_path / "out", settings) as one:
            assert one.take(listed) == [2, 4, 1][number]
            assert one.take(listed) == 0
            assert one.sources == [2, 6, 7][number]
    with opened(tmp_path / "out", settings) as one:
        finished = one.finish(outputs)
        assert one.notes == ()
        assert (one.sources, one.reads, one.bases) == (9, 20, sum(w.bases for w in finished))
    alone = in_one_go(tmp_path / "alone", outputs)
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)
    for grown, whole in zip(finished, alone, strict=True):
        assert grown.path == tmp_path / "out" / grown.output.name
        assert (grown.bytes, grown.md5, grown.pieces, grown.notes) == (
            whole.bytes, whole.md5, whole.pieces, whole.notes,
        )  # fmt: skip
        assert grown.statistics == whole.statistics
        verify(grown.path, md5=grown.md5, reads=grown.reads, bases=grown.bases)


def test_figures_of_a_running_cell(outputs: list[Output], tmp_path: Path) -> None:
    """At any time the groups are those of what was taken so far, and QC can be made of them."""
    with opened(tmp_path / "out") as one:
        assert one.groups == []
        one.take([some(outputs[0], 0, 1)])
        [(barcode, part, statistics)] = one.groups
        assert (barcode, part, statistics.reads) == ("barcode01", "pass", 6)
    with opened(tmp_path / "out") as one:
        assert one.groups == [(barcode, part, statistics)]
        one.take(outputs)
        qc = qc_groups(one.groups)
        assert qc["total"]["reads"] == one.reads == 20
        assert qc["total"]["bases"] == one.bases
        assert qc["fail"]["reads"] == 4


def changed(source: Source, text: bytes) -> Source:
    """The source after somebody has written it anew."""
    source.path.write_bytes(text)
    os.utime(source.path, ns=(0, source.mtime_ns + 10**9))
    return look(source.path, source.name)


def with_sources(output: Output, sources: Sequence[Source]) -> Output:
    return Output(output.name, output.barcode, output.part, tuple(sources))


# What happens to an output of four plain sources after three were taken, how many are taken then, and what is said.
CHANGES: list[tuple[str, Callable[[Output], Output], int, str]] = [
    ("more", lambda a: a, 1, ""),
    (
        "changed",
        lambda a: with_sources(a, [a.sources[0], changed(a.sources[1], reads(5, 77)), *a.sources[2:]]),
        3,
        "a1.fastq has changed since it was taken; 2 of 3 files are taken again",
    ),
    (
        "touched",
        lambda a: with_sources(a, [changed(a.sources[0], a.sources[0].path.read_bytes()), *a.sources[1:]]),
        4,
        "a0.fastq has changed since it was taken; 3 of 3 files are taken again",
    ),
    (
        "missing",
        lambda a: with_sources(a, a.sources[:2]),
        0,
        "a2.fastq was taken and is not there any more; 1 of 3 files are taken again",
    ),
    (
        "missing in the middle",
        lambda a: with_sources(a, [a.sources[0], a.sources[2], a.sources[3]]),
        2,
        "a1.fastq was taken and is not there any more; 2 of 3 files are taken again",
    ),
    (
        "late",
        lambda a: with_sources(
            a, [a.sources[0], put(a.sources[0].path.parent, "a01.fastq", reads(1, 5)), *a.sources[1:]]
        ),
        4,
        "a01.fastq belongs before a1.fastq, which was taken before it came; 2 of 3 files are taken again",
    ),
    (
        "gzipped among plain",
        lambda a: with_sources(a, [*a.sources, put(a.sources[0].path.parent, "a4.fastq.gz", reads(1, 5))]),
        2,
        "",
    ),
    ("another barcode", lambda a: Output(a.name, "barcode09", a.part, a.sources), 4, "of another barcode or part"),
]


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(("change", "taken", "note"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_what_was_taken_is_contradicted(
    change: Callable[[Output], Output], taken: int, note: str, finished: bool, outputs: list[Output], tmp_path: Path
) -> None:
    """The output goes back to the last source that is still right, says so, and ends as one run would."""
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
        assert all(note in said for said in one.notes)
    [alone] = in_one_go(tmp_path / "alone", [now])
    assert (result.md5, result.statistics, result.pieces) == (alone.md5, alone.statistics, alone.pieces)
    assert result.path.read_bytes() == alone.path.read_bytes()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_plain_and_gzipped_sources_meet(order: tuple[int, int], outputs: list[Output], tmp_path: Path) -> None:
    """An output of verbatim members becomes BGZF throughout when a plain source comes, and the other way round."""
    a, b, *_ = outputs
    lists = [with_sources(b, b.sources), with_sources(b, [*b.sources, a.sources[0]])]
    first, second = (lists[number] for number in order)
    with opened(tmp_path / "out") as one:
        one.take([first])
    with opened(tmp_path / "out") as one:
        one.finish([second])
        assert one.notes == ("b.fastq.gz: gzipped and plain sources are mixed otherwise now; all are taken again",)
    assert written(tmp_path / "out", [second]) == expected(tmp_path / "expected", [second])


def test_an_output_without_sources_is_dropped(outputs: list[Output], tmp_path: Path) -> None:
    """An output that is not listed any more is removed, also from the figures, and said; its name can be used again."""
    with opened(tmp_path / "out") as one:
        one.take(outputs)
        one.take(outputs[1:])
        assert one.notes == ("a.fastq.gz: has no sources any more; dropped",)
        assert len(one.groups) == 2
        assert not (tmp_path / "out" / "a.fastq.gz").exists()
        one.finish(outputs)
    with opened(tmp_path / "out") as one:
        one.finish(outputs)
        assert one.notes == ()
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)


@pytest.mark.parametrize("settings", [Settings(level="default"), Settings(level="small", recompress=True)])
def test_other_settings_begin_afresh(settings: Settings, outputs: list[Output], tmp_path: Path) -> None:
    """Nothing that was compressed otherwise is kept; what the settings do not touch gives the same text."""
    with opened(tmp_path / "out") as one:
        one.finish(outputs)
    with opened(tmp_path / "out", settings) as one:
        assert one.sources == 0
        assert one.notes == ("the settings of compression have changed; everything is taken again",)
        one.finish(outputs)
    in_one_go(tmp_path / "alone", outputs, settings)
    found, right = written(tmp_path / "out", outputs), written(tmp_path / "alone", outputs)
    assert {name: gzip.decompress(data) for name, data in found.items()} == {
        name: gzip.decompress(data) for name, data in right.items()
    }
    assert bgzf.is_block(found["b.fastq.gz"]) == settings.recompress
    with opened(tmp_path / "out", settings) as one:
        assert (one.sources, one.notes) == (9, ())


def test_who_wrote_last(outputs: list[Output], tmp_path: Path) -> None:
    """The record of the last session can be read while it is open, after it ended, and after it died."""
    directory = tmp_path / "out"
    assert Ingest.last_owner(directory) == (None, True)
    one = Ingest.open(directory, SETTINGS, owner={"pid": 1, "name": "é\udcff"}, check_all=False)
    assert Ingest.last_owner(directory) == ({"pid": 1, "name": "é\udcff"}, False)
    one.take(outputs)
    one.close()
    one.close()
    assert Ingest.last_owner(directory) == ({"pid": 1, "name": "é\udcff"}, True)
    with Ingest.open(directory, SETTINGS, owner={}, check_all=False):
        assert Ingest.last_owner(directory) == ({}, False)
    journal = directory / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-1])  # the last line, the clean end, is torn
    assert Ingest.last_owner(directory) == ({}, False)
    journal.write_bytes(b"")
    assert Ingest.last_owner(directory) == (None, False)


def test_one_writer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one is told to try again, and can when the first has gone."""
    monkeypatch.setattr(durable, "LOCK_SECONDS", 0.0)
    with opened(tmp_path / "out"), pytest.raises(TemporaryError, match="another process is writing"):
        opened(tmp_path / "out")
    opened(tmp_path / "out").close()


def test_stop(outputs: list[Output], tmp_path: Path) -> None:
    """Asked to stop, it ends after the source it is at; what it has is kept, and `finish` says that it is not all."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with opened(tmp_path / "out", limits=Limits()) as one:
        assert one.take(outputs, stop=stop) == 3
        with pytest.raises(TemporaryError, match=r"a\.fastq\.gz: stopped with 1 of 4 files left"):
            one.finish(outputs, stop=lambda: True)
        one.finish(outputs)
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)


@pytest.mark.slow
def test_stop_reaches_workers(tmp_path: Path) -> None:
    """Workers in the middle of a batch stop after the source that they are at."""
    source = put(tmp_path, "0.fastq", reads(500, longest=6000))
    sources = tuple(Source(source.location, str(number), source.size, source.mtime_ns) for number in range(80))
    outputs = [Output(f"o{part}", None, "pass", sources) for part in range(2)]
    seen: list[Tally] = []
    with opened(tmp_path / "out", Settings(processes=2), limits=Limits(files=20)) as one:
        # Progress is told ten times a second, and a batch takes half a second.
        assert 0 < one.take(outputs, on_progress=seen.append, stop=lambda: bool(seen)) < 40


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.usefixtures("many_workers")
def test_a_bad_source_keeps_what_is_before_it(processes: int, outputs: list[Output], tmp_path: Path) -> None:
    """A source that is no FASTQ is named; others count; when it was put right the same ingest goes on."""
    a, b, *_ = outputs
    good = a.sources[2].path.read_bytes()
    bad = with_sources(a, [*a.sources[:2], changed(a.sources[2], b"no FASTQ\n"), a.sources[3]])
    with opened(tmp_path / "out", Settings(level="small", processes=processes)) as one:
        with pytest.raises(BadSource, match=r"a2\.fastq"):
            one.finish([bad, b])
        assert one.sources >= 2
        better = with_sources(a, [*a.sources[:2], changed(a.sources[2], good), a.sources[3]])
        one.finish([better, b])
        assert one.notes == ()
    assert written(tmp_path / "out", [better, b]) == expected(tmp_path / "expected", [better, b])


def test_a_source_that_is_bad_at_its_end(outputs: list[Output], tmp_path: Path) -> None:
    """What was written of it before that was seen is in no output, and in no checksum."""
    b = outputs[1]
    whole = b.sources[2].path.read_bytes()
    bad = with_sources(b, [*b.sources[:2], changed(b.sources[2], whole[:-9])])
    with opened(tmp_path / "out", limits=Limits()) as one:
        with pytest.raises(BadSource, match="truncated gzip"):
            one.finish([bad])
        assert one.sources == 2
        assert (tmp_path / "out" / b.name).stat().st_size == b.sources[0].size
        better = with_sources(b, [*b.sources[:2], changed(b.sources[2], whole)])
        [result] = one.finish([better])
    verify(result.path, md5=result.md5, reads=result.reads, bases=result.bases)
    assert written(tmp_path / "out", [better]) == expected(tmp_path / "expected", [better])


def test_a_full_disk_gets_back_what_was_in_vain(
    outputs: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for the journal's lines, what was written for them is cut off at once: others need the space."""

    class Full(Disk):
        """Has no room for a longer journal."""

        full = False

        def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().pwrite(descriptor, data, offset)

    disk = Full(tmp_path / "out")
    monkeypatch.setattr(durable, "os", disk)
    with opened(tmp_path / "out", limits=Limits(files=1)) as one:
        one.take([some(outputs[0], 0, 1)])
        before = (tmp_path / "out" / outputs[0].name).stat().st_size
        disk.full = True
        with pytest.raises(TemporaryError, match="journal"):
            one.take(outputs[:1])
        assert (tmp_path / "out" / outputs[0].name).stat().st_size == before
        disk.full = False


@pytest.mark.parametrize("split", [False, True])
def test_members_behind_bgzf_are_made_bgzf(split: bool, outputs: list[Output], tmp_path: Path) -> None:
    """Where the first of only gzipped sources happens to be BGZF the others become it, in a later session, too."""
    text = reads(4)
    first = tmp_path / "0.fastq.gz"
    first.write_bytes(b"".join(bgzf.compress(memoryview(text), [], "small")) + bgzf.END_OF_FILE)
    output = Output("o.gz", None, "pass", (look(first, first.name), *outputs[1].sources))
    if split:
        with opened(tmp_path / "out") as one:
            one.take([some(output, 0)])
    with opened(tmp_path / "out") as one:
        one.finish([output])
    data = (tmp_path / "out" / "o.gz").read_bytes()
    while data:
        assert bgzf.is_block(data[: bgzf.HEAD_BYTES])
        data = data[int.from_bytes(data[16:18], "little") + 1 :]


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: os.utime(path, (1, 1))])
def test_sources_are_looked_at_again_at_the_end(
    change: Callable[[Path], None], outputs: list[Output], tmp_path: Path
) -> None:
    """A source that changed or went away after it was taken is noticed by `finish`, with nothing left to read."""
    with opened(tmp_path / "out") as one:
        one.take(outputs)
        change(outputs[1].sources[2].path)
        with pytest.raises(TemporaryError, match=r"b2\.fastq\.gz"):
            one.finish(outputs)
        assert one.sources == 9


def test_progress(outputs: list[Output], tmp_path: Path) -> None:
    """What was taken in earlier rounds counts, so the last word is the size of the cell."""
    told: list[Tally] = []
    with opened(tmp_path / "out") as one:
        one.take(outputs[:1], on_progress=told.append)
        assert told[-1].bytes_done == outputs[0].size
        one.finish(outputs, on_progress=told.append)
        assert told[-1] == Tally(sum(output.size for output in outputs), one.reads, one.bases, "compressing")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\0b", "journal.jsonl", "checkpoint.bin", "checkpoint.bin.new"]
)
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    """An output's name is a name, and not one of ours."""
    with opened(tmp_path / "out") as one, pytest.raises(PermanentError, match="name of an output"):
        one.take([Output(name, None, "pass", ())])


def test_names_that_are_there_twice(outputs: list[Output], tmp_path: Path) -> None:
    """Two outputs, or two sources of one, cannot have the same name."""
    a = outputs[0]
    with opened(tmp_path / "out") as one:
        with pytest.raises(PermanentError, match="two outputs"):
            one.take([a, a])
        with pytest.raises(PermanentError, match="two of its sources"):
            one.take([with_sources(a, [a.sources[0], a.sources[0]])])
        one.finish(outputs)


def test_outputs_without_data(outputs: list[Output], tmp_path: Path) -> None:
    """No sources, or only empty ones: a valid gzip file of nothing."""
    empty = put(tmp_path, "e.fastq.gz", b"")
    listed = [Output("none.gz", None, "fail", ()), Output("empty.gz", None, "skip", (empty,))]
    with opened(tmp_path / "out") as one:
        one.take(listed)
    with opened(tmp_path / "out") as one:
        none, nothing = one.finish(listed)
    assert none.path.read_bytes() == nothing.path.read_bytes() == bgzf.END_OF_FILE
    assert (none.reads, nothing.reads, nothing.notes) == (0, 0, ("e.fastq.gz: empty file",))


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)


# What somebody does to a finished output of four pieces, and from which piece on it is taken again.
DAMAGE: list[tuple[str, Callable[[Path], None], int]] = [
    ("first byte", lambda path: flip(path, 0), 0),
    ("last piece", lambda path: flip(path, path.stat().st_size - 40), 3),
    ("cut in the last piece", lambda path: os.truncate(path, path.stat().st_size - 40), 3),
    ("cut at its end", lambda path: os.truncate(path, path.stat().st_size - 4), 4),
    ("other end", lambda path: flip(path, path.stat().st_size - 1), 4),
    ("nothing left", lambda path: os.truncate(path, 0), 0),
    ("gone", lambda path: path.unlink(), 0),
    ("longer", lambda path: append(path, b"more"), 4),
]


@pytest.mark.parametrize(("damage", "kept"), [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE])
def test_outputs_that_are_not_as_they_were_written(
    damage: Callable[[Path], None], kept: int, outputs: list[Output], tmp_path: Path
) -> None:
    """Checking all, what is wrong is found, said, and made again from the sources."""
    with opened(tmp_path / "out") as one:
        one.finish(outputs)
    damage(tmp_path / "out" / "a.fastq.gz")
    with opened(tmp_path / "out") as one:
        assert one.sources == 5 + kept
        assert len(one.notes) == (kept < 4)
        results = one.finish(outputs)
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)
    alone = in_one_go(tmp_path / "alone", outputs)
    assert [w.statistics for w in results] == [w.statistics for w in alone]
    assert [w.md5 for w in results] == [w.md5 for w in alone]


def test_without_checking_all_the_last_batch_is_checked(outputs: list[Output], tmp_path: Path) -> None:
    """The cheap opening looks at what was written last, which is what a crash may have touched."""
    with opened(tmp_path / "out") as one:
        one.take(outputs[:1])
    flip(tmp_path / "out" / "a.fastq.gz", (tmp_path / "out" / "a.fastq.gz").stat().st_size - 40)
    with opened(tmp_path / "out", check_all=False) as one:
        assert one.sources == 3
        one.finish(outputs)
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)


def test_a_link_in_place_of_an_output(outputs: list[Output], tmp_path: Path) -> None:
    """What is not a regular file is not written through, and needs a person."""
    with opened(tmp_path / "out") as one:
        one.take(outputs)
    path = tmp_path / "out" / "a.fastq.gz"
    path.rename(tmp_path / "precious")
    path.symlink_to(tmp_path / "precious")
    before = (tmp_path / "precious").read_bytes()
    with pytest.raises(BadSource, match="symbolic link"):
        opened(tmp_path / "out")
    assert (tmp_path / "precious").read_bytes() == before


# What becomes of the checkpoint between two sessions.
CHECKPOINTS: list[Callable[[Path, bytes], object]] = [
    lambda path, older: path.unlink(),
    lambda path, older: path.write_bytes(b""),
    lambda path, older: path.write_bytes(path.read_bytes()[:-1]),
    lambda path, older: flip(path, path.stat().st_size // 2),
    lambda path, older: path.write_bytes(older),
]


def test_the_checkpoint_of_another_history(tmp_path: Path) -> None:
    """A checkpoint that goes with a journal of the same length, and other lines, is not used."""
    histories: dict[int, tuple[Path, Output]] = {}
    for seed in range(100):
        output = Output("o.gz", None, "pass", (put(tmp_path / f"s{seed:02}", "a.fastq", reads(1, seed % 10 + 40)),))
        with opened(tmp_path / f"{seed:02}") as one:
            one.take([output])
            alike = histories.setdefault(
                (tmp_path / f"{seed:02}" / "journal.jsonl").stat().st_size, (tmp_path / f"{seed:02}", output)
            )
        if alike[1].sources[0].path.read_bytes() != output.sources[0].path.read_bytes():
            break
    directory = tmp_path / f"{seed:02}"
    (directory / checkpoint.NAME).write_bytes((alike[0] / checkpoint.NAME).read_bytes())
    with opened(directory) as one:
        [result] = one.finish([output])
    [alone] = in_one_go(tmp_path / "alone", [output])
    assert (result.md5, result.statistics) == (alone.md5, alone.statistics)


@pytest.mark.parametrize("lose", CHECKPOINTS)
def test_the_checkpoint_is_only_a_cache(
    lose: Callable[[Path, bytes], object], outputs: list[Output], tmp_path: Path
) -> None:
    """Lost, damaged or older: statistics and checksums are had from the outputs."""
    path = tmp_path / "out" / checkpoint.NAME
    with opened(tmp_path / "out") as one:
        one.take([some(outputs[0], 0, 1)])
        older = path.read_bytes()
        one.take(outputs)
        groups = one.groups
    lose(path, older)
    with opened(tmp_path / "out", check_all=False) as one:
        assert one.groups == groups
        assert one.notes == ()
        results = one.finish(outputs)
    alone = in_one_go(tmp_path / "alone", outputs)
    assert [(w.md5, w.statistics) for w in results] == [(w.md5, w.statistics) for w in alone]


@pytest.mark.parametrize(("name", "place"), [("a.fastq.gz", 1000), ("a.fastq.gz", 4), ("b.fastq.gz", 4)])
def test_damage_is_found_while_measuring(name: str, place: int, outputs: list[Output], tmp_path: Path) -> None:
    """Without a checkpoint outputs are read anyway; what is wrong in them is found even where nobody asked for it."""
    with opened(tmp_path / "out") as one:
        one.take(outputs)
    (tmp_path / "out" / checkpoint.NAME).unlink()
    flip(tmp_path / "out" / name, place)  # 4: the time in the head of a member, which changes no text
    with opened(tmp_path / "out", check_all=False) as one:
        assert one.sources < 9
        results = one.finish(outputs)
    alone = in_one_go(tmp_path / "alone", outputs)
    assert [(w.md5, w.statistics) for w in results] == [(w.md5, w.statistics) for w in alone]


@pytest.mark.parametrize("without", ["always", "first", "later"])
def test_hosts_that_cannot_save_an_md5(
    without: str, outputs: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checksum is the same, also where some sessions ran on such a host and some did not."""
    state = md5.EMPTY
    monkeypatch.setattr(md5, "EMPTY", None if without in ("always", "first") else state)
    with opened(tmp_path / "out") as one:
        one.take([some(outputs[0], 0, 1)])
    monkeypatch.setattr(md5, "EMPTY", None if without in ("always", "later") else state)
    with opened(tmp_path / "out") as one:
        results = one.finish(outputs)
    for result in results:
        verify(result.path, md5=result.md5, reads=result.reads, bases=result.bases)


def test_a_disk_that_lies(outputs: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not read back as it was written never counts; on a better disk the work goes on."""

    class Liar(Disk):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            spoilt = bytearray(data)
            if len(self.changes) > 20:
                spoilt[len(spoilt) // 2] ^= 1
            return super().write(descriptor, bytes(spoilt))

    monkeypatch.setattr(durable, "os", Liar(tmp_path / "out"))
    with opened(tmp_path / "out") as one:
        with pytest.raises(PermanentError, match="just written"):
            one.finish(outputs)
        with pytest.raises(PermanentError, match="opened anew"):
            one.take(outputs)
    monkeypatch.setattr(durable, "os", os)
    with opened(tmp_path / "out") as one:
        one.finish(outputs)
        assert one.notes == ()
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)


def test_an_end_that_is_not_as_it_was_written(
    outputs: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end-of-file block is read back, too."""

    class Liar(Disk):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            return super().write(descriptor, bytes(data).replace(bgzf.END_OF_FILE, bytes(len(bgzf.END_OF_FILE))))

    monkeypatch.setattr(durable, "os", Liar(tmp_path / "out"))
    with opened(tmp_path / "out") as one, pytest.raises(PermanentError, match="reading back its end"):
        one.finish(outputs)


def test_what_does_not_inflate_to_the_source_is_refused(outputs: list[Output], tmp_path: Path) -> None:
    """Sound gzip of another text, as a wrong compressor would make it, is not taken for the source's."""
    [result, *_] = in_one_go(tmp_path / "out", outputs)
    piece = result.pieces[0]
    text = outputs[0].sources[0].path.read_bytes()
    right = recheck.Text(0, 0).followed_by(memoryview(text))
    recheck.confirm(result.path, [piece], [right], blocks=True)
    with pytest.raises(PermanentError, match="gives other bytes"):
        recheck.confirm(result.path, [replace(piece, crc32=piece.crc32 ^ 1)], [right], blocks=True)
    for wrong in (text[:-1], text[:-2] + b"A\n", b""):
        with pytest.raises(PermanentError, match="does not inflate to its text"):
            recheck.confirm(result.path, [piece], [recheck.Text(0, 0).followed_by(memoryview(wrong))], blocks=True)


def test_a_very_long_read(tmp_path: Path) -> None:
    """A read of five million bases, several times the size of a unit, goes the same way."""
    rng = random.Random(5)
    text = (
        reads(3)
        + b"@long\n%s\n+\n%s\n"
        % (
            rng.randbytes(5_000_000)
            .hex()
            .upper()
            .translate({ord(c): "ACGT"[n % 4] for n, c in enumerate("0123456789ABCDEF")})[:5_000_000]
            .encode(),
            b"5" * 5_000_000,
        )
        + reads(2, 1)
    )
    output = Output("long.gz", None, "pass", (put(tmp_path, "0.fastq", reads(1)), put(tmp_path, "1.fastq", text)))
    with opened(tmp_path / "out", Settings()) as one:
        one.take([some(output, 0)])
    with opened(tmp_path / "out", Settings()) as one:
        [result] = one.finish([output])
        assert max(result.statistics.lengths) == 5_000_000
    assert gzip.decompress(result.path.read_bytes()) == reads(1) + text


def test_batches_end_by_each_limit(tmp_path: Path) -> None:
    """A commit comes after so many files, so many bytes, or so many seconds."""
    text = reads(3)
    output = Output("o.gz", None, "pass", tuple(put(tmp_path, f"{number}.fastq", text) for number in range(12)))
    for number, (limits, commits) in enumerate(
        [(Limits(), 1), (Limits(files=5), 3), (Limits(bytes=4 * len(text)), 3), (Limits(seconds=0), 12)]
    ):
        with opened(tmp_path / str(number), limits=limits) as one:
            one.finish([output])
        lines = (tmp_path / str(number) / "journal.jsonl").read_bytes().splitlines()
        pieces = [line for line in lines if b'"k":"piece"' in line]
        assert len(pieces) == 12
        assert len({line.rpartition(b'"j":')[2].partition(b",")[0] for line in pieces}) == commits


def test_a_checkpoint_is_made_on_the_way(
    outputs: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While there is work, a checkpoint is made from time to time, not only at the end of a round."""
    monkeypatch.setattr(ingest, "CHECKPOINT_SECONDS", 0.0)
    seen = []

    def stop() -> bool:
        seen.append((tmp_path / "out" / checkpoint.NAME).exists())
        return False

    with opened(tmp_path / "out") as one:
        one.take(outputs, stop=stop)
    assert seen[0] is False
    assert seen[-1] is True


TEXTS = [reads(1 + number % 3, 300 + number, 60) for number in range(12)]


@examples(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_history_ends_the_same(data: st.DataObject) -> None:
    """Sources that come in any order, late, changed, removed, plain or gzipped, with stops and kills in between."""
    with (
        TemporaryDirectory() as otherwise,
        directory_in_memory(Path(otherwise)) as place,
        pytest.MonkeyPatch.context() as patch,
    ):
        names = [f"{number}.fastq{data.draw(st.sampled_from(['', '.gz', '.gz']))}" for number in range(8)]
        present: dict[str, Source] = {}
        for _ in range(data.draw(st.integers(1, 5))):
            for name in data.draw(st.lists(st.sampled_from(names), max_size=4)):
                text = data.draw(st.sampled_from(TEXTS))
                present[name] = changed(put(place, name, text), (place / name).read_bytes())
            for name in data.draw(st.lists(st.sampled_from(names), max_size=1)):
                present.pop(name, None)
            budget = data.draw(st.integers(0, 9))

            def stop(left: list[int] = [budget]) -> bool:  # noqa: B006  each round has its own
                left[0] -= 1
                return left[0] < 0

            disk = Disk(place / "out")
            patch.setattr(durable, "os", disk)
            one = Ingest.open(
                place / "out",
                SETTINGS,
                owner={},
                check_all=data.draw(st.booleans()),
                limits=Limits(files=data.draw(st.integers(1, 4))),
            )
            one.take(listing(present), stop=stop)
            if data.draw(st.booleans()):
                one.close()
            else:
                disk.die()
            patch.setattr(durable, "os", os)
        outputs = listing(present)
        with opened(place / "out") as one:
            results = one.finish(outputs)
        alone = in_one_go(place / "alone", outputs)
        assert written(place / "out", outputs) == written(place / "alone", outputs)
        assert [(w.md5, w.statistics, w.pieces) for w in results] == [(w.md5, w.statistics, w.pieces) for w in alone]


def listing(present: dict[str, Source]) -> list[Output]:
    """Two outputs, by even and odd names, of what is there, in order."""
    chosen = [sorted(name for name in present if int(name[0]) % 2 == rest) for rest in range(2)]
    return [
        Output(f"out{rest}.gz", None, "pass", tuple(present[name] for name in names))
        for rest, names in enumerate(chosen)
        if names
    ]
