"""Sources replaced by others of equal size and time, or with changed file attributes only."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from growing import expected, opened, with_sources, written

from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.fastq.journal import Journal
from hesiod_watch.fastq.model import Output
from hesiod_watch.fastq.sources import look


def other_bases(path: Path) -> bytes:
    """The bytes of a file with one base exchanged; of equal size if it is not compressed."""
    text = path.read_bytes()
    start = text.index(b"\n") + 1
    return text[:start] + (b"C" if text[start : start + 1] != b"C" else b"G") + text[start + 1 :]


def replace_by_rename(path: Path) -> None:
    """Replace the file as `rsync -a` does: another file with the earlier times."""
    before = path.stat()
    new = path.with_name("new")
    new.write_bytes(other_bases(path))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(path)


def rewrite_in_place(path: Path) -> None:
    before = path.stat()
    path.write_bytes(other_bases(path))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def copy_over(path: Path) -> None:
    """Replace the file by another file with the same bytes."""
    new = path.with_name("new")
    shutil.copy2(path, new)
    new.rename(path)


def link(path: Path) -> None:
    os.link(path, path.with_name("linked by a backup"))


def listed(output: Output) -> Output:
    """An output with its sources as they are now."""
    return with_sources(output, [look(source.path, source.name) for source in output.sources])


@pytest.mark.parametrize("finished", [False, True], ids=["unfinished", "finished"])
@pytest.mark.parametrize("change", [replace_by_rename, rewrite_in_place])
def test_another_text_is_taken_again(
    change: Callable[[Path], None], finished: bool, outputs: list[Output], tmp_path: Path
) -> None:
    """A source with other reads, of the same size and modification time, counts as changed."""
    a = outputs[0]
    with opened(tmp_path / "out") as one:
        one.finish([a]) if finished else one.take([a])
    change(a.sources[1].path)
    now = listed(a)
    assert [(s.size, s.mtime_ns) for s in now.sources] == [(s.size, s.mtime_ns) for s in a.sources]
    with opened(tmp_path / "out") as one:
        assert one.take([now]) == 3
        one.finish([now])
        assert (
            "a1.fastq has changed since it was taken; 3 of 4 files are taken again" in one.notes[0]
        )
    assert written(tmp_path / "out", [now]) == expected(tmp_path / "expected", [now])


@pytest.mark.parametrize(
    "change",
    [copy_over, link, lambda path: path.chmod(0o600)],
    ids=["copy over", "hard link", "chmod"],
)
@pytest.mark.parametrize("number", [0, 1, 2], ids=["plain", "gzipped", "both"])
def test_the_same_text_is_only_read_again(
    number: int, change: Callable[[Path], None], outputs: list[Output], tmp_path: Path
) -> None:
    """After chmod, a hard link or a copy of the same bytes, a source is only read again, once.

    Nothing is discarded.
    """
    output = outputs[number]  # plain, gzipped, and both
    with opened(tmp_path / "out") as one:
        one.finish([output])
    change(output.sources[1].path)
    now = listed(output)
    with opened(tmp_path / "out") as one:
        one.finish([now])
        assert one.notes == ()
    journal = (tmp_path / "out" / "journal.jsonl").read_bytes()
    assert journal.count(b'"k":"seen"') == 1
    with opened(tmp_path / "out") as one:
        [result] = one.finish([now])
    assert (tmp_path / "out" / "journal.jsonl").read_bytes().count(b'"k":"seen"') == 1
    assert result.pieces[1].inode == now.sources[1].inode
    assert written(tmp_path / "out", [now]) == expected(tmp_path / "expected", [now])


def test_replaced_between_listing_and_end(outputs: list[Output], tmp_path: Path) -> None:
    """`finish` detects a replacement after the last listing; the next listing takes it."""
    a = outputs[0]
    with opened(tmp_path / "out") as one:
        one.take([a])
        replace_by_rename(a.sources[3].path)
        with pytest.raises(TemporaryError, match=r"a3\.fastq: changed after it was taken"):
            one.finish([a])
        now = listed(a)
        one.finish([now])
    assert written(tmp_path / "out", [now]) == expected(tmp_path / "expected", [now])


def test_a_replacement_that_is_damaged(outputs: list[Output], tmp_path: Path) -> None:
    """A damaged gzipped source of equal size counts as changed, and is refused when taken."""
    b = outputs[1]
    with opened(tmp_path / "out") as one:
        one.take([b])
    path = b.sources[2].path
    before, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-8] + bytes(8))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(path.read_bytes())
    with opened(tmp_path / "out") as one:
        with pytest.raises(Exception, match=r"b2\.fastq\.gz"):
            one.finish([listed(b)])
        assert one.sources == 2


LATER = ("ctime_ns", "inode", "text_bytes", "text_crc32")


def test_a_journal_of_010_stays_valid(outputs: list[Output], tmp_path: Path) -> None:
    """A journal whose pieces have no hints is continued; nothing is read again."""
    with opened(tmp_path / "new") as one:
        one.take(outputs)
    facts = []
    for line in (tmp_path / "new" / "journal.jsonl").read_bytes().splitlines():
        fact = json.loads(line)
        facts.append(
            {key: value for key, value in fact.items() if key not in {"n", "j", "~", *LATER}}
        )
    shutil.copytree(
        tmp_path / "new", tmp_path / "out", ignore=shutil.ignore_patterns("journal*", "checkpoint*")
    )
    journal = Journal(tmp_path / "out", facts[0], lambda fact, length, crc32: None)
    for fact in facts[1:]:
        journal.append([fact])
    journal.close()
    with opened(tmp_path / "out") as one:
        assert one.take(outputs) == 0
        one.finish(outputs)
        assert one.notes == ()
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)
