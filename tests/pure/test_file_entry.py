"""One file from its listing to its manifest: records, hints, and what counts as the same."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hesiod_watch.core.file_entry import FileEntry, changed_names

MD5 = "0" * 32
FILE = FileEntry("a\udcff", "f", 3, 10**18 + 1, 10**18 + 2, device=5, inode=6, md5=MD5)


def test_a_record_is_read_back() -> None:
    """A record contains what a manifest states about a file, and no hint of one file system."""
    stated = replace(FILE, device=0, inode=0)
    for entry in (stated, replace(stated, ctime_ns=0), replace(stated, sha256="1" * 64)):
        assert FileEntry.from_record(entry.record()) == entry
    assert FILE.record(times=False) == {"name": "a\udcff", "bytes": 3, "md5": MD5}


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"name": "../a"}, id="a name outside the directory"),
        pytest.param({"name": 1}, id="a number as a name"),
        pytest.param({"bytes": -1}, id="a negative size"),
        pytest.param({"md5": "0"}, id="a short checksum"),
        pytest.param({"mtime_ns": "x"}, id="a time that is no number"),
    ],
)
def test_a_wrong_record_is_refused(wrong: dict[str, object]) -> None:
    """A damaged record is an error, never another file."""
    with pytest.raises((ValueError, TypeError)):
        FileEntry.from_record(FILE.record() | wrong)


@pytest.mark.parametrize(
    ("former", "differs"),
    [
        pytest.param(FILE, False, id="the same"),
        pytest.param(replace(FILE, ctime_ns=1), True, id="another change time"),
        pytest.param(replace(FILE, inode=1), True, id="another inode"),
        pytest.param(replace(FILE, ctime_ns=0, inode=0), False, id="no hints"),
        pytest.param(replace(FILE, ctime_ns=1, inode=0), True, id="a change time alone"),
    ],
)
def test_hints_are_compared_if_both_are_known(former: FileEntry, differs: bool) -> None:
    """A hint that is not known says nothing; one that differs may mean another file."""
    assert FILE.may_differ(former) is differs
    assert former.may_differ(FILE) is differs


def test_an_entry_of_a_status(tmp_path: Path) -> None:
    """Kind, size and times come from the status; an entry that was touched has changed."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    (tmp_path / "link").symlink_to("x")
    os.mkfifo(tmp_path / "fifo")
    kinds = {
        name: FileEntry.of_status(name, (tmp_path / name).lstat()).kind
        for name in (".", "x", "link", "fifo")
    }
    assert kinds == {".": "d", "x": "f", "link": "l", "fifo": "o"}
    before = FileEntry.of_status("x", path.lstat())
    assert (before.size, before.inode) == (3, path.stat().st_ino)
    os.utime(path, ns=(1, 1))
    after = FileEntry.of_status("x", path.lstat())
    assert not after.same_file(before)
    assert changed_names({"x": before, "y": before}, {"x": after, "z": after}) == ("x", "y", "z")
