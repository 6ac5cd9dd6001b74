"""Read and create one small file: read it whatever it is, create it whole or not at all.

`create` decides everything that may happen only once. The server of the file system is the judge: a
finished temporary file gets its final name with link(2), and one process of any number succeeds.
The return code is only a hint, because a network file system may perform the operation and lose the
response. The verdict is the content of the flag when it is read back.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hesiod_watch.core import naming
from hesiod_watch.core.errors import FlagExists, FlagUnknown, PermanentError
from hesiod_watch.core.ownership import Owner
from hesiod_watch.core.records import record_in
from hesiod_watch.core.system_errors import NotRegularFile, translated
from hesiod_watch.host.files import (
    TEMPORARY,
    OpenDirectory,
    chunks,
    regular,
    sync_directory,
    write_new,
)
from hesiod_watch.rules.liveness import describe

LARGEST = 64 * 1024
"""Bytes of a flag that are read; a larger file is not a flag."""

READ_BACK_DELAYS = (0.0, 0.05, 0.5)
"""Seconds before each read of a flag that the file system may not show yet."""

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
"""Errors of link(2) without hard links, or without links across the servers of a directory."""
_NOT_SHOWN_YET = frozenset({errno.ENOENT, errno.EIO, errno.ESTALE})
_REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG})
"""Errors of link(2) that are decisions, not accidents on the way: no file was created."""


@dataclass(frozen=True, slots=True)
class FlagContent:
    """Content of a path. `text` is None if it is not regular, too large or unreadable."""

    regular: bool
    mtime: float
    text: str | None

    @property
    def owner(self) -> Owner | None:
        return parse_owner(self.text)


def read(parent: int | None, name: str | Path) -> FlagContent:
    """Read `name` in the directory `parent`; opens only regular files. Raises OSError."""
    try:
        with regular(name, parent) as descriptor:
            found = os.fstat(descriptor)
            body = b"".join(chunks(descriptor, LARGEST + 1))
    except NotRegularFile as error:
        return FlagContent(False, error.status.st_mtime_ns / 1e9, None)
    if len(body) > LARGEST:
        return FlagContent(True, found.st_mtime, None)
    return FlagContent(True, found.st_mtime, body.decode("utf-8", errors="surrogateescape"))


def parse_owner(text: str | None) -> Owner | None:
    """Owner in a flag's text; None if none. A field of the wrong type counts as missing."""
    return owner_of(record_in(text))


def owner_of(record: Mapping[str, object]) -> Owner | None:
    """Owner in a record; None if it names none."""
    known: dict[str, Any] = {}
    for key, default in asdict(Owner(token="")).items():
        value = record.get(key)
        if type(value) is not type(default) or (isinstance(value, int) and not 0 < value < 2**63):
            continue
        known[key] = value
    return Owner(**{"token": "", **known}) if known else None


def create(place: OpenDirectory, name: str, record: Mapping[str, object] | Owner) -> None:
    """Create the flag `name` in `place` with `record` as one line of JSON, or raise.

    On return it is fsynced and visible to every process. If it raises, no flag was made, except for
    FlagUnknown. A mapping without a `token` gets a random one. The same `Owner` may be used again
    after FlagUnknown: it wins if the earlier attempt had won.

    Raises FlagExists (names the owner of the existing flag), FlagUnknown (sent, without a verdict:
    not ours until there is one), TemporaryError (no space, read-only, a server that does not
    answer, another directory at the path of `place`) or PermanentError.
    """
    create_file(place, name, line(record))


def create_file(place: OpenDirectory, name: str, body: bytes) -> None:
    """Create the file `name` with `body`, in the same way and with the same errors as `create`."""
    if name in {"", ".", ".."} or name.startswith(".") or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is no name for a flag")
    path = place / name
    if len(body) > LARGEST:
        raise PermanentError(f"{path}: a flag of {len(body)} bytes is too large to be read back")
    with translated(f"cannot create {path}"):
        parent = place.descriptor
        place.require_in_place()
        refusal = publish(parent, name, body)
        _read_back(parent, path, body, refusal)
        try:
            sync_directory(parent)
        except OSError as error:
            raise FlagUnknown(
                f"{path}: created, but perhaps not on disk: {error.strerror}"
            ) from error


def line(record: Mapping[str, object] | Owner) -> bytes:
    """Encode a record as the one line of a flag, always with a token."""
    if isinstance(record, Owner):
        record = {key: value for key, value in asdict(record).items() if value or key == "token"}
    token = record.get("token") or secrets.token_hex(16)
    return (
        json.dumps({"token": token, **{k: v for k, v in record.items() if k != "token"}}).encode()
        + b"\n"
    )


def publish(parent: int, name: str, body: bytes) -> OSError | None:
    """Create a file of ours whole, unless its name is taken.

    Returns the error of the file system at the last step, if any. Raises OSError if an earlier step
    failed.
    """
    temporary = TEMPORARY + secrets.token_hex(16)
    write_new(parent, temporary, body)
    try:
        os.link(temporary, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
    except OSError as refusal:
        if refusal.errno not in _NO_LINKS:
            return refusal
    else:
        return None
    finally:
        # A leftover is hidden and harmless. The verdict on the file must not depend on it.
        with suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
    # The file system has no hard links. Readers may see this file empty for a moment, and read
    # that as "claimed, owner unknown".
    try:
        write_new(parent, name, body)
    except OSError as refusal:
        return refusal
    return None


def _read_back(parent: int, path: Path, body: bytes, refusal: OSError | None) -> None:
    """Return when the flag is ours.

    Raises FlagExists, FlagUnknown or, where no flag was made, `refusal`.
    """
    for delay in READ_BACK_DELAYS:
        time.sleep(delay)
        try:
            content = read(parent, path.name)
        except OSError as error:
            if (
                refusal
                and refusal.errno in _REFUSED
                and error.errno in {errno.ENOENT, refusal.errno}
            ):
                raise refusal from None
            if error.errno not in _NOT_SHOWN_YET:
                raise FlagUnknown(
                    f"{path}: created, but cannot be read back: {error.strerror}"
                ) from error
            continue
        # Compare the whole line, not the token alone: a Slurm job that is started twice has one
        # token in two processes.
        if (
            content.text is not None
            and content.text.encode("utf-8", errors="surrogateescape") == body
        ):
            return
        raise FlagExists(f"{path}: already there, {_holder(content)}")
    answer = refusal.strerror if refusal else "success"
    raise FlagUnknown(
        f"{path}: the file system answered {answer!r}, but shows no such flag; retry follows"
    )


def _holder(content: FlagContent) -> str:
    if not content.regular:
        return "and not a regular file"
    if content.owner is None:
        return "and does not name its owner"
    return f"made by {naming.display(describe(content.owner))}"
