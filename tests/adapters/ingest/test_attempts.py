"""Outputs that grow in several calls end as after one call, and can report at any time."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from growing import (
    SETTINGS,
    expected,
    in_one_go,
    opened,
    put,
    reads,
    some,
    with_sources,
    written,
)
from open_runs import ANYWHERE

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.fastq import bgzf, checkpoint, durable, ingest, md5
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Settings, Tally
from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.tasks import TaskLimits
from hesiod_watch.fastq.verify import verify


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.usefixtures("many_workers")
def test_several_sessions_give_the_bytes_of_one(
    processes: int, outputs: list[Output], tmp_path: Path
) -> None:
    """Sources in order over several sessions: same bytes, statistics and checksums, and no note."""
    a, b, c, _ = outputs
    settings = Settings(level="small", processes=processes)
    attempts = [
        [some(a, 0), some(b, 0)],
        [some(a, 0, 1), some(b, 0, 1), c],
        [some(a, 0, 1, 2), some(b, 0, 1), c],
    ]
    for number, listed in enumerate(attempts):
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
    """At any time the groups cover the sources taken so far, and QC can be computed from them."""
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


@pytest.mark.parametrize(
    "settings",
    [Settings(level="default"), Settings(level="small", recompress=True)],
    ids=["level default", "level small, recompressed"],
)
def test_other_settings_discard_the_outputs(
    settings: Settings, outputs: list[Output], tmp_path: Path
) -> None:
    """Outputs compressed with other settings are discarded; the text is the same."""
    with opened(tmp_path / "out") as one:
        one.finish(outputs)
    with opened(tmp_path / "out", settings) as one:
        assert one.sources == 0
        assert one.notes == ("the compression settings have changed; everything is taken again",)
        one.finish(outputs)
    in_one_go(tmp_path / "alone", outputs, settings)
    found, right = written(tmp_path / "out", outputs), written(tmp_path / "alone", outputs)
    assert {name: gzip.decompress(data) for name, data in found.items()} == {
        name: gzip.decompress(data) for name, data in right.items()
    }
    assert bgzf.is_block(found["b.fastq.gz"]) == settings.recompress
    with opened(tmp_path / "out", settings) as one:
        assert (one.sources, one.notes) == (9, ())


def test_last_writer_is_readable(outputs: list[Output], tmp_path: Path) -> None:
    """The owner of the last session is readable while it is open, after it, and after a kill."""
    directory = tmp_path / "out"
    assert Ingest.last_owner(directory) == (None, True)
    one = Ingest.open(
        directory, ANYWHERE, SETTINGS, owner={"pid": 1, "name": "é\udcff"}, check_all=False
    )
    assert Ingest.last_owner(directory) == ({"pid": 1, "name": "é\udcff"}, False)
    one.take(outputs)
    one.close()
    one.close()
    assert Ingest.last_owner(directory) == ({"pid": 1, "name": "é\udcff"}, True)
    with Ingest.open(directory, ANYWHERE, SETTINGS, owner={}, check_all=False):
        assert Ingest.last_owner(directory) == ({}, False)
    journal = directory / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-1])  # the last line, the clean end, is torn
    assert Ingest.last_owner(directory) == ({}, False)
    journal.write_bytes(b"")
    assert Ingest.last_owner(directory) == (None, False)


def test_one_writer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second writer gets a temporary error, and can open after the first has closed."""
    monkeypatch.setattr(durable, "LOCK_SECONDS", 0.0)
    with (
        opened(tmp_path / "out"),
        pytest.raises(TemporaryError, match="another process is writing"),
    ):
        opened(tmp_path / "out")
    opened(tmp_path / "out").close()


def test_stop(outputs: list[Output], tmp_path: Path) -> None:
    """After a stop request it ends after the current source, and `finish` reports the rest."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with opened(tmp_path / "out", limits=TaskLimits()) as one:
        assert one.take(outputs, stop=stop) == 3
        with pytest.raises(TemporaryError, match=r"a\.fastq\.gz: stopped with 1 of 4 files left"):
            one.finish(outputs, stop=lambda: True)
        one.finish(outputs)
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)


@pytest.mark.slow
def test_stop_reaches_workers(tmp_path: Path) -> None:
    """Workers in the middle of a batch stop after their current source."""
    source = put(tmp_path, "0.fastq", reads(500, longest=6000))
    sources = tuple(
        FileEntry(str(number), size=source.size, mtime_ns=source.mtime_ns, location=source.location)
        for number in range(80)
    )
    outputs = [Output(f"o{part}", None, "pass", sources) for part in range(2)]
    seen: list[Tally] = []
    with opened(tmp_path / "out", Settings(processes=2), limits=TaskLimits(files=20)) as one:
        # Progress is reported ten times a second, and a batch takes half a second.
        assert 0 < one.take(outputs, on_progress=seen.append, stop=lambda: bool(seen)) < 40


@pytest.mark.parametrize("split", [False, True], ids=["one session", "two sessions"])
def test_members_after_bgzf_become_bgzf(split: bool, outputs: list[Output], tmp_path: Path) -> None:
    """If the first of gzipped sources is BGZF, the others become BGZF, also in a later session."""
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


def test_progress(outputs: list[Output], tmp_path: Path) -> None:
    """Sources taken in earlier calls count, so the last total is the size of the cell."""
    seen: list[Tally] = []
    with opened(tmp_path / "out") as one:
        one.take(outputs[:1], on_progress=seen.append)
        assert seen[-1].bytes_done == outputs[0].size
        one.finish(outputs, on_progress=seen.append)
        assert seen[-1] == Tally(
            sum(output.size for output in outputs), one.reads, one.bases, "compressing"
        )


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\0b", "journal.jsonl", "checkpoint.bin", "checkpoint.bin.new"]
)
def test_invalid_output_names(name: str, tmp_path: Path) -> None:
    """An output's name is a file name, and not a reserved one."""
    with opened(tmp_path / "out") as one, pytest.raises(PermanentError, match="name of an output"):
        one.take([Output(name, None, "pass", ())])


def test_duplicate_names(outputs: list[Output], tmp_path: Path) -> None:
    """Two outputs, or two sources of one output, cannot have the same name."""
    a = outputs[0]
    with opened(tmp_path / "out") as one:
        with pytest.raises(PermanentError, match="two outputs"):
            one.take([a, a])
        with pytest.raises(PermanentError, match="two of its sources"):
            one.take([with_sources(a, [a.sources[0], a.sources[0]])])
        one.finish(outputs)


@pytest.mark.parametrize("check_all", [False, True])
@pytest.mark.parametrize("sessions", [0, 1, 2, 3])
def test_outputs_without_data(sessions: int, check_all: bool, tmp_path: Path) -> None:
    """No sources, or only empty ones, give a valid empty gzip file after any number of sessions."""
    empty = put(tmp_path, "e.fastq.gz", b"")
    listed = [Output("none.gz", None, "fail", ()), Output("empty.gz", None, "skip", (empty,))]
    for _ in range(sessions):
        with opened(tmp_path / "out", check_all=check_all) as one:
            one.take(listed)
    with opened(tmp_path / "out", check_all=check_all) as one:
        none, nothing = one.finish(listed)
    assert none.path.read_bytes() == nothing.path.read_bytes() == bgzf.END_OF_FILE
    assert (none.reads, nothing.reads, nothing.notes) == (0, 0, ("e.fastq.gz: empty file",))


@pytest.mark.parametrize("without", ["always", "first", "later"])
def test_hosts_without_saved_md5_state(
    without: str, outputs: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checksum is the same even if some or all sessions ran on such a host."""
    state = md5.EMPTY
    monkeypatch.setattr(md5, "EMPTY", None if without in ("always", "first") else state)
    with opened(tmp_path / "out") as one:
        one.take([some(outputs[0], 0, 1)])
    monkeypatch.setattr(md5, "EMPTY", None if without in ("always", "later") else state)
    with opened(tmp_path / "out") as one:
        results = one.finish(outputs)
    for result in results:
        verify(result.path, md5=result.md5, reads=result.reads, bases=result.bases)


def test_a_very_long_read(tmp_path: Path) -> None:
    """A read of five million bases, several times the size of a unit, is handled the same way."""
    rng = random.Random(5)
    text = (
        reads(3)
        + b"@long\n%s\n+\n%s\n"
        % (
            rng.randbytes(5_000_000)
            .hex()
            .upper()
            .translate({ord(c): "ACGT"[n % 4] for n, c in enumerate("0123456789ABCDEF")})[
                :5_000_000
            ]
            .encode(),
            b"5" * 5_000_000,
        )
        + reads(2, 1)
    )
    output = Output(
        "long.gz",
        None,
        "pass",
        (put(tmp_path, "0.fastq", reads(1)), put(tmp_path, "1.fastq", text)),
    )
    with opened(tmp_path / "out", Settings()) as one:
        one.take([some(output, 0)])
    with opened(tmp_path / "out", Settings()) as one:
        [result] = one.finish([output])
        assert max(result.statistics.lengths) == 5_000_000
    assert gzip.decompress(result.path.read_bytes()) == reads(1) + text


def test_batches_end_by_each_limit(tmp_path: Path) -> None:
    """A commit comes after the limit of files, of bytes, or of seconds."""
    text = reads(3)
    output = Output(
        "o.gz", None, "pass", tuple(put(tmp_path, f"{number}.fastq", text) for number in range(12))
    )
    for number, (limits, commits) in enumerate(
        [
            (TaskLimits(), 1),
            (TaskLimits(files=5), 3),
            (TaskLimits(bytes=4 * len(text)), 3),
            (TaskLimits(seconds=0), 12),
        ]
    ):
        with opened(tmp_path / str(number), limits=limits) as one:
            one.finish([output])
        lines = (tmp_path / str(number) / "journal.jsonl").read_bytes().splitlines()
        pieces = [line for line in lines if b'"k":"piece"' in line]
        assert len(pieces) == 12
        assert len({line.rpartition(b'"j":')[2].partition(b",")[0] for line in pieces}) == commits


def test_a_checkpoint_is_made_during_work(
    outputs: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During work a checkpoint is made from time to time, not only at the end."""
    monkeypatch.setattr(ingest, "CHECKPOINT_SECONDS", 0.0)
    seen = []

    def stop() -> bool:
        seen.append((tmp_path / "out" / checkpoint.NAME).exists())
        return False

    with opened(tmp_path / "out") as one:
        one.take(outputs, stop=stop)
    assert seen[0] is False
    assert seen[-1] is True
