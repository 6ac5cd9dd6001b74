"""Files: links are refused, small files are written whole, and a checksum covers what was read."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.system_errors import DirectoryExchanged, NotRegularFile
from hesiod_watch.host.files import (
    OpenDirectory,
    checksums,
    directory,
    read_head,
    regular,
    replace_whole,
    sync_directory,
    write_new,
)

OBSTACLES: dict[str, Callable[[Path], None]] = {
    "link": lambda path: path.symlink_to(path.parent / "real"),
    "directory": lambda path: path.mkdir(),
    "FIFO": os.mkfifo,
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "real").write_bytes(b"content")
    return tmp_path


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("kind", OBSTACLES)
def test_only_regular_files_are_opened(kind: str, place: Path) -> None:
    """A link, a directory or a FIFO in place of a file is refused and does not block."""
    OBSTACLES[kind](place / "x")
    with pytest.raises(NotRegularFile), regular(place / "x"):
        pass
    with directory(place) as parent, pytest.raises(NotRegularFile):
        read_head("x", 10, parent)


def test_a_link_is_followed_only_on_request(place: Path) -> None:
    """A file that the administrator chose may be a link."""
    (place / "x").symlink_to("real")
    assert read_head(place / "x", 4, follow=True) == b"cont"


def test_no_link_below_the_trusted_directory(place: Path) -> None:
    """Links above a trusted directory are followed, and below it none is."""
    (place / "landing" / "run").mkdir(parents=True)
    (place / "link").symlink_to("landing")
    (place / "landing" / "elsewhere").symlink_to("run")
    with OpenDirectory(place / "link" / "run" / "new", place / "link", make=True) as new:
        assert os.listdir(new.descriptor) == []
    with (
        pytest.raises(PermanentError, match="is a link or not a directory"),
        OpenDirectory(place / "link" / "elsewhere" / "x", place / "link", make=True).opened(),
    ):
        pass
    assert os.listdir(place / "landing" / "run") == ["new"]
    with pytest.raises(NotADirectoryError):
        OpenDirectory(place / "landing").open("elsewhere").descriptor  # noqa: B018 -- opens it


def test_an_open_directory_stays_the_same(place: Path) -> None:
    """What is put in the place of an open directory is not used, and is noticed."""
    run = place / "landing" / "run"
    (run / "cell" / "data").mkdir(parents=True)
    cell = OpenDirectory(run, place).open("cell")
    cell.require_in_place()
    run.rename(place / "aside")
    assert not cell.is_in_place()
    (run / "cell").mkdir(parents=True)
    with pytest.raises(DirectoryExchanged, match="another directory is in its place"):
        cell.require_in_place()
    (run / "cell").rmdir()
    run.rmdir()
    run.symlink_to(place / "aside")
    with pytest.raises(NotADirectoryError):
        cell.require_in_place()
    assert os.listdir(cell.descriptor) == ["data"]


def test_a_missing_directory_is_temporary(place: Path) -> None:
    """A directory that is missing may be on a file system that is not mounted."""
    with (
        pytest.raises(TemporaryError, match="run cannot be opened"),
        OpenDirectory(place / "run", place).opened(),
    ):
        pass


@pytest.mark.parametrize("temporary", ["", "file.new"], ids=["new name", "name of this process"])
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_replaced_whole_or_not_at_all(
    call: str, temporary: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error the file has its former content, and no other file is left."""
    (place / "file.new").write_bytes(b"leftover of a killed process")
    with directory(place) as parent:
        replace_whole(parent, "file", b"first", temporary="file.new")
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing(errno.ENOSPC))
            with pytest.raises(OSError, match="No space"):
                replace_whole(parent, "file", b"second", temporary=temporary)
        assert sorted(os.listdir(place)) == ["file", "real"]
        assert (place / "file").read_bytes() == b"first"
        replace_whole(parent, "file", b"second", temporary=temporary)
    assert (place / "file").read_bytes() == b"second"


def test_short_writes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is complete although each call writes only a few bytes; its parts keep their order."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data[:3])))
    with directory(place) as parent:
        write_new(parent, "x", iter([b"abcdefgh", b"", b"ij"]))
        with pytest.raises(FileExistsError):
            write_new(parent, "x", b"other")
    assert (place / "x").read_bytes() == b"abcdefghij"


@pytest.mark.parametrize("from_disk", [False, True], ids=["cache", "disk"])
def test_checksums(from_disk: bool, place: Path) -> None:
    """Each kind of checksum covers the same bytes, all of them or the first ones."""
    with regular(place / "real") as descriptor:
        assert checksums(descriptor, "md5", "sha256", size=4, from_disk=from_disk) == [
            hashlib.md5(b"cont", usedforsecurity=False).hexdigest(),
            hashlib.sha256(b"cont").hexdigest(),
        ]
        assert checksums(descriptor, "md5") == [
            hashlib.md5(b"ent", usedforsecurity=False).hexdigest()
        ]


def test_a_stopped_checksum_is_none(place: Path) -> None:
    """A checksum of a part is never returned as that of the file."""
    with regular(place / "real") as descriptor, pytest.raises(InterruptedError):
        checksums(descriptor, "md5", stop=lambda: True)


def test_directories_that_cannot_be_synced(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EINVAL of a file system without fsync of directories is ignored; EIO is not."""
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    sync_directory(place)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        sync_directory(place)
