"""Create one flag: whole or not at all, by one process, with a true error for every refusal."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from open_runs import pipeline_at

from hesiod_watch.core.errors import (
    FlagExists,
    FlagUnknown,
    HesiodError,
    PermanentError,
    TemporaryError,
)
from hesiod_watch.host import process
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags import flag_files

OWNER = process.this_owner("process", "local")
NAME = "X.started"


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the number of read-backs, without the delays between them."""
    monkeypatch.setattr(flag_files, "READ_BACK_DELAYS", (0.0, 0.0, 0.0))


def answer(
    monkeypatch: pytest.MonkeyPatch, call: str, *errors: int | None, after: bool = False
) -> None:
    """Make a system call fail with these errors, one per call, and then work as usual.

    `after`: it fails after doing its work.
    """
    real: Callable[..., Any] = getattr(os, call)
    left = list(errors)

    def answering(*arguments: Any, **options: Any) -> Any:
        number = left.pop(0) if left else None
        result = real(*arguments, **options) if number is None or after else None
        if number is not None:
            raise OSError(number, os.strerror(number))
        return result

    monkeypatch.setattr(os, call, answering)


def visible(pipeline: Path) -> list[str]:
    return sorted(os.listdir(pipeline))


def test_flag_is_read_back_without_a_pause(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that is shown at once costs no sleep, which gives the processor to other processes."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    flags.create(pipeline_at(pipeline), NAME, OWNER)
    assert visible(pipeline) == [NAME]
    assert slept == []


def test_a_flag_is_whole(pipeline: Path) -> None:
    """A flag contains its record as one line of JSON, and no other file is left."""
    flags.create(pipeline_at(pipeline), NAME, OWNER)
    text = (pipeline / NAME).read_text()
    assert text.endswith("}\n")
    assert text.count("\n") == 1
    assert json.loads(text)["token"] == OWNER.token
    assert flag_files.parse_owner(text) == OWNER
    assert visible(pipeline) == [NAME]


def test_mapping(pipeline: Path) -> None:
    """Any record can be stored; a missing token is added, and odd text stays on its line."""
    flags.create(
        pipeline_at(pipeline), "X.done", {"why": "line\nbreak \x1b[31m \udcff", "reads": 12}
    )
    text = (pipeline / "X.done").read_text(encoding="ascii")
    record = json.loads(text)
    assert record["token"]
    assert record["reads"] == 12
    assert text.count("\n") == 1
    assert "\x1b" not in text


def test_the_later_process_loses(pipeline: Path) -> None:
    """The second process gets the name of the first, and the flag is unchanged."""
    flags.create(pipeline_at(pipeline), NAME, OWNER)
    before = (pipeline / NAME).read_bytes()
    with pytest.raises(FlagExists, match=f"process \\(local\\) of .*, pid {os.getpid()} on"):
        flags.create(pipeline_at(pipeline), NAME, process.this_owner("process", "local"))
    assert (pipeline / NAME).read_bytes() == before
    assert visible(pipeline) == [NAME]


def test_the_same_record_wins_again(pipeline: Path) -> None:
    """The same record finds its own flag and wins again; this resolves an unknown outcome."""
    flags.create(pipeline_at(pipeline), NAME, OWNER)
    flags.create(pipeline_at(pipeline), NAME, OWNER)


def test_a_job_started_twice(pipeline: Path) -> None:
    """One token in two processes makes two records: the second does not win the first's flag."""
    flags.create(pipeline_at(pipeline), NAME, OWNER)
    with pytest.raises(FlagExists):
        flags.create(pipeline_at(pipeline), NAME, replace(OWNER, pid=OWNER.pid + 1))


def plant_fifo(path: Path) -> None:
    os.mkfifo(path)


def plant_link_to_file(path: Path) -> None:
    path.with_name("other").write_text("x")
    path.symlink_to("other")


def plant_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # the path of a socket must be short
        server.bind(path.name)


PLANTED: dict[str, Callable[[Path], object]] = {
    "fifo": plant_fifo,
    "socket": plant_socket,
    "directory": Path.mkdir,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to a device": lambda path: path.symlink_to("/dev/null"),
    "link to a file": plant_link_to_file,
    "link to a directory": lambda path: path.symlink_to(".."),
    "empty file": Path.touch,
    "rubbish": lambda path: path.write_bytes(b"\xff\x00{"),
    "large file": lambda path: path.write_bytes(b"x" * (flag_files.LARGEST + 1)),
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("refusal", [None, errno.EPERM])
def test_planted(
    kind: str, refusal: int | None, pipeline: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Any file of the flag's name counts as existing, is not changed, and blocks no process."""
    monkeypatch.chdir(tmp_path)
    PLANTED[kind](pipeline / NAME)
    before = (pipeline / NAME).lstat()
    if refusal:
        answer(monkeypatch, "link", refusal)
    with pytest.raises(FlagExists, match="already there"):
        flags.create(pipeline_at(pipeline), NAME, OWNER)
    after = (pipeline / NAME).lstat()
    assert (before.st_ino, before.st_mode, before.st_size) == (
        after.st_ino,
        after.st_mode,
        after.st_size,
    )
    assert not [name for name in visible(pipeline) if name.startswith(".")]


@pytest.mark.parametrize(
    "refusal", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV]
)
def test_without_links(refusal: int, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links one process still creates the flag."""
    answer(monkeypatch, "link", refusal, refusal)
    flags.create(pipeline_at(pipeline), NAME, OWNER)
    assert flag_files.parse_owner((pipeline / NAME).read_text()) == OWNER
    with pytest.raises(FlagExists):
        flags.create(pipeline_at(pipeline), NAME, process.this_owner("process", "local"))
    assert visible(pipeline) == [NAME]


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.ESTALE, errno.EEXIST, errno.ETIMEDOUT, errno.ENOSPC]
)
def test_lost_response(number: int, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A successful link counts, whatever error the file system reports."""
    answer(monkeypatch, "link", number, after=True)
    flags.create(pipeline_at(pipeline), NAME, OWNER)
    assert visible(pipeline) == [NAME]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EEXIST])
def test_unknown_outcome(number: int, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link without a flag and without a clear refusal is unknown, and does not count as won."""
    answer(monkeypatch, "link", number)
    with pytest.raises(FlagUnknown):
        flags.create(pipeline_at(pipeline), NAME, OWNER)
    assert visible(pipeline) == []


def test_flag_visible_late(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that the file system does not show at once is read again."""
    answer(monkeypatch, "stat", errno.ENOENT, errno.ESTALE)
    flags.create(pipeline_at(pipeline), NAME, OWNER)


def test_flag_never_visible(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that cannot be read back is not ours, although its link succeeded."""
    answer(monkeypatch, "stat", *[errno.ENOENT] * 3)
    with pytest.raises(FlagUnknown):
        flags.create(pipeline_at(pipeline), NAME, OWNER)


@pytest.mark.parametrize(
    ("call", "number", "kind"),
    [
        ("link", errno.ENOSPC, TemporaryError),
        ("link", errno.EDQUOT, TemporaryError),
        ("link", errno.EROFS, TemporaryError),
        ("link", errno.EACCES, PermanentError),
        ("open", errno.ENOSPC, TemporaryError),
        ("open", errno.EACCES, PermanentError),
        ("open", errno.ENOTCONN, TemporaryError),
        ("open", errno.ESTALE, TemporaryError),
        ("fsync", errno.EIO, TemporaryError),
        ("fsync", errno.EDQUOT, TemporaryError),
    ],
)
def test_refused(
    call: str, number: int, kind: type[HesiodError], pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal of the file system leaves no file, and says whether a retry can help."""
    answer(monkeypatch, call, number)
    with pytest.raises(kind, match=os.strerror(number)) as raised:
        flags.create(pipeline_at(pipeline), NAME, OWNER)
    assert not isinstance(raised.value, FlagUnknown)
    assert str(pipeline / NAME) in str(raised.value)
    assert visible(pipeline) == []


def test_full_disk_without_links(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links a full disk leaves no empty flag."""
    answer(monkeypatch, "link", errno.EPERM)
    answer(monkeypatch, "fsync", None, errno.ENOSPC)
    with pytest.raises(TemporaryError, match=os.strerror(errno.ENOSPC)):
        flags.create(pipeline_at(pipeline), NAME, OWNER)
    assert visible(pipeline) == []


def test_directory_cannot_be_synced(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EINVAL for the fsync of a directory is ignored; any other error means: do not start work."""
    answer(monkeypatch, "fsync", None, errno.EINVAL)
    flags.create(pipeline_at(pipeline), "X.synced", OWNER)
    answer(monkeypatch, "fsync", None, errno.EIO)
    with pytest.raises(FlagUnknown):
        flags.create(pipeline_at(pipeline), NAME, OWNER)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../x", "a\0b"])
def test_no_name_for_a_flag(name: str, pipeline: Path) -> None:
    """A name outside the directory, or an invisible one, is an error of the caller."""
    with pytest.raises(ValueError, match="no name for a flag"):
        flags.create(pipeline_at(pipeline), name, OWNER)
    assert visible(pipeline) == []


def test_name_too_long(pipeline: Path) -> None:
    """A name that the file system cannot store is refused permanently."""
    with pytest.raises(PermanentError, match="too long"):
        flags.create(pipeline_at(pipeline), "x" * 255 + ".done", OWNER)
    assert visible(pipeline) == []


def test_record_too_large(pipeline: Path) -> None:
    """A record that is too large to be read back is not written."""
    with pytest.raises(PermanentError, match="bytes"):
        flags.create(pipeline_at(pipeline), "X.done", {"why": "x" * flag_files.LARGEST})


def test_no_pipeline(tmp_path: Path) -> None:
    """A missing pipeline may return with its file system; a symlink of its name never counts."""
    with pytest.raises(TemporaryError):
        flags.create(pipeline_at(tmp_path / "pipeline"), NAME, OWNER)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pipeline").symlink_to("elsewhere")
    with pytest.raises(PermanentError):
        flags.create(pipeline_at(tmp_path / "pipeline"), NAME, OWNER)
    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="no text"),
        "",
        "\n",
        "LOCAL",
        "[1]",
        '"text"',
        "{",
        "{}",
        '{"token": 5}',
        pytest.param("[" * 60_000, id="nested without end"),
        pytest.param('{"pid": ' + "9" * 10_000 + "}", id="huge number"),
    ],
)
def test_names_no_owner(text: str | None) -> None:
    """Anything but a record with a field of an owner names no owner."""
    assert flag_files.parse_owner(text) is None


@pytest.mark.parametrize("pid", [0, -1, True, 1.5, "1", 2**63, None], ids=repr)
def test_fields_of_the_wrong_kind(pid: object) -> None:
    """A field of the wrong type counts as missing; above all a pid that would address a group."""
    owner = flag_files.parse_owner(json.dumps({"token": "t", "host": "h", "pid": pid, "more": {}}))
    assert owner is not None
    assert (owner.token, owner.host, owner.pid) == ("t", "h", 0)
