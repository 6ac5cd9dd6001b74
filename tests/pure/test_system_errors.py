"""Errors of the system: for each, whether the work waits or a person is needed, and why."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hesiod_watch.core.errors import BadSource, HesiodError, NoSpace, PermanentError, TemporaryError
from hesiod_watch.core.system_errors import NotRegularFile, translate, translated

SPACE = "a person frees space, and the work continues"
MOUNT = "a file system comes back, or a server answers again"
LOAD = "the host has too much to do"
RIGHTS = "a person grants the right, or renames a thing"
LINK = "a name is not what it should be, until a person repairs it"
DISK = "data may be lost; a person examines the disk before anything is written again"
WAY = "a person removes the thing of this name"

WAIT, FULL, PERSON = TemporaryError, NoSpace, PermanentError
DECISIONS: list[tuple[int, type[HesiodError], type[HesiodError], str]] = [
    # error, for a source or a flag, for our own results, reason
    (errno.ENOSPC, FULL, FULL, SPACE),
    (errno.EDQUOT, FULL, FULL, SPACE),
    (errno.ESTALE, WAIT, WAIT, MOUNT),
    (errno.ENOENT, WAIT, WAIT, MOUNT),
    (errno.ENOTCONN, WAIT, WAIT, MOUNT),
    (errno.ETIMEDOUT, WAIT, WAIT, MOUNT),
    (errno.EHOSTDOWN, WAIT, WAIT, MOUNT),
    (errno.EHOSTUNREACH, WAIT, WAIT, MOUNT),
    (errno.ENETDOWN, WAIT, WAIT, MOUNT),
    (errno.ENETUNREACH, WAIT, WAIT, MOUNT),
    (errno.ESHUTDOWN, WAIT, WAIT, MOUNT),
    (errno.EAGAIN, WAIT, WAIT, LOAD),
    (errno.EINTR, WAIT, WAIT, LOAD),
    (errno.ENOMEM, WAIT, WAIT, LOAD),
    (errno.EMFILE, WAIT, WAIT, LOAD),
    (errno.ENFILE, WAIT, WAIT, LOAD),
    (errno.EACCES, PERSON, PERSON, RIGHTS),
    (errno.EPERM, PERSON, PERSON, RIGHTS),
    (errno.ENAMETOOLONG, PERSON, PERSON, RIGHTS),
    (errno.ENOTDIR, PERSON, PERSON, LINK),
    (errno.ELOOP, PERSON, PERSON, LINK),
    (errno.EISDIR, PERSON, PERSON, LINK),
    (errno.EINVAL, PERSON, PERSON, LINK),
    # A flag can be made when the landing area is writable again, and the claim is still ours. Our
    # results could have been written until now, so a file system has failed.
    (errno.EROFS, WAIT, PERSON, DISK),
    (errno.EIO, WAIT, PERSON, DISK),
    (errno.EUCLEAN, WAIT, PERSON, DISK),
    (errno.EBADMSG, WAIT, PERSON, DISK),
    (errno.EEXIST, WAIT, PERSON, WAY),
    (errno.EREMOTEIO, WAIT, WAIT, "an unknown error is waited for, and shown"),
]


@pytest.mark.parametrize("own_output", [False, True], ids=["source or flag", "own output"])
@pytest.mark.parametrize(
    ("number", "source", "output", "reason"),
    DECISIONS,
    ids=[errno.errorcode[row[0]] for row in DECISIONS],
)
def test_decision(
    number: int,
    source: type[HesiodError],
    output: type[HesiodError],
    reason: str,
    own_output: bool,
) -> None:
    """Each error either ends by itself or needs a person, for one reason."""
    error = translate(OSError(number, os.strerror(number)), "x: writing", own_output=own_output)
    assert type(error) is (output if own_output else source), reason
    assert str(error).startswith("x: writing: ")
    if isinstance(error, PermanentError):
        assert error.errno == number


def test_things_that_are_no_files(tmp_path: Path) -> None:
    """A FIFO in place of a file is named, with its kind."""
    os.mkfifo(tmp_path / "x")
    error = translate(NotRegularFile(tmp_path / "x", (tmp_path / "x").lstat()), "reading")
    assert type(error) is BadSource
    assert str(error) == f"{tmp_path}/x: not a regular file but a FIFO; it was not opened"


@pytest.mark.parametrize(
    ("name", "shown"), [("a", "/data/a"), ("/other/a", "/other/a"), (None, "/data")]
)
def test_the_place_is_the_one_in_the_error(name: str | None, shown: str) -> None:
    """The name in the error completes the path of the directory, or replaces it."""
    with pytest.raises(TemporaryError, match=f"^{shown}: lost$"), translated(Path("/data")):
        raise OSError(errno.ESTALE, "lost", name)
