"""SHA-256 of each source, computed in the reading that appends it and kept in the journal."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from growing import SETTINGS, expected, opened, put, reads, with_sources, written

from hesiod_watch.fastq.journal import Journal
from hesiod_watch.fastq.model import Output, Settings
from hesiod_watch.fastq.sources import look


def on_disk(outputs: Sequence[Output]) -> dict[str, str]:
    """SHA-256 of the bytes of every source, by name."""
    return {
        source.name: hashlib.sha256(source.path.read_bytes()).hexdigest()
        for output in outputs
        for source in output.sources
    }


def recorded(
    directory: Path, outputs: list[Output], settings: Settings = SETTINGS
) -> dict[str, str]:
    """SHA-256 of every source by name, as an opened journal knows it."""
    with opened(directory, settings) as one:
        done = one.finish(outputs)
    return {piece.source: piece.sha256 for each in done for piece in each.pieces}


def unusual(directory: Path) -> list[Output]:
    """Outputs whose sources are repaired, empty, converted to BGZF, or of several members."""
    text = reads(3, 30)
    repaired = [
        put(directory, "e0.fastq.gz", text),
        put(directory, "e1.fastq.gz", text.replace(b"\n", b"\r\n")),
        put(directory, "e2.fastq.gz", reads(2, 31)[:-1]),
        put(directory, "e3.fastq.gz", b""),
    ]
    path = directory / "f0.fastq.gz"
    path.write_bytes(gzip.compress(text, 1) + gzip.compress(reads(2, 33), 9))
    several = [look(path, path.name), put(directory, "f1.fastq", b"")]
    return [
        Output("e.fastq.gz", "barcode05", "pass", tuple(repaired)),
        Output("f.fastq.gz", "barcode06", "fail", tuple(several)),
    ]


@pytest.mark.parametrize("recompress", [False, True])
def test_every_source(recompress: bool, outputs: list[Output], tmp_path: Path) -> None:
    """The checksum is that of the file on disk, whatever is done with its text."""
    every = [*outputs, *unusual(tmp_path / "sources")]
    settings = replace(SETTINGS, recompress=recompress)
    with opened(tmp_path / "out", settings) as one:
        one.take(every)
    assert recorded(tmp_path / "out", every, settings) == on_disk(every)


def other_compression(path: Path) -> None:
    """Put another gzip file of the same text, size and time in place of a file."""
    before, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:4] + b"\1\2\3\4" + data[8:])  # the time in the header of its member
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [other_compression, lambda path: path.chmod(0o600)])
def test_a_file_with_the_same_text(
    change: Callable[[Path], None], outputs: list[Output], tmp_path: Path
) -> None:
    """A source that is only read again gets the checksum of its present bytes."""
    b = outputs[1]
    with opened(tmp_path / "out") as one:
        one.finish([b])
    change(b.sources[2].path)
    now = with_sources(b, [look(source.path, source.name) for source in b.sources])
    assert recorded(tmp_path / "out", [now]) == on_disk([now])  # read again
    assert recorded(tmp_path / "out", [now]) == on_disk([now])  # from the journal


def test_a_journal_without_checksums_stays_valid(outputs: list[Output], tmp_path: Path) -> None:
    """The pieces of a journal that has none are kept, and their checksums are unknown.

    So is that of a source that a version without checksums has read again.
    """
    with opened(tmp_path / "new") as one:
        one.take(outputs)
    facts = [
        json.loads(line) for line in (tmp_path / "new/journal.jsonl").read_bytes().splitlines()
    ]
    first = next(fact for fact in facts if fact["k"] == "piece")
    ignored = shutil.ignore_patterns("journal*", "checkpoint*")
    shutil.copytree(tmp_path / "new", tmp_path / "out", ignore=ignored)
    again = {"k": "seen", "out": first["out"], "piece": 0}
    again |= {key: first[key] for key in ("ctime_ns", "inode")}
    for fact in facts:
        if fact is not first:
            fact.pop("sha256", None)
        for key in ("n", "j", "~"):
            del fact[key]
    journal = Journal(tmp_path / "out", facts[0], lambda fact, length, crc32: None)
    for fact in [*facts[1:], again]:
        journal.append([fact])
    journal.close()
    with opened(tmp_path / "out") as one:
        assert one.take(outputs) == 0
    assert set(recorded(tmp_path / "out", outputs).values()) == {""}
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)
