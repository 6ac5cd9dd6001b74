"""Read and create one small file: read it whatever it is, create it whole or not at all.

`create` decides everything that may happen only once. The server of the file system is the judge: a
finished temporary file gets its final name with link(2), and one process of any number succeeds.
The return code is only a hint, because a network file system may perform the operation and lose the
response. The verdict is the content of the flag when it is read back.

Fence
-----

`done` and `failed` end a claim; `attempts` ends repeatable work in a similar way. A worker that was
stopped after its last check may wake up when another attempt works on the cell. So these two flags
are made in three steps (`fence`):

1. Write the flag under a hidden name in `pipeline/` (`names.prepared`).
2. List the flags, and stop if this attempt was overtaken.
3. Link the hidden file to the flag's name.

A worker that begins records itself first. Then it lists the directory, removes the prepared flags
of the cell, lists again, and stops if the cell is done or failed (`claims.record_worker`). Compare
step 1 of the earlier attempt with the beginning of that first listing:

- Step 1 came later. Then step 2 came after the worker's record, sees it, and stops.
- Step 1 came earlier, and the listing shows the prepared flag. It is removed. Step 3 came before
  that, so that the second listing shows the flag and the new worker stops; or step 3 finds no file.
- Step 1 came earlier, and the listing does not show the prepared flag: the earlier attempt has
  linked it, and then removed the hidden name. The flag appeared before the end of the listing. If
  the listing missed it, the new worker's check before it publishes (`claims.reason_to_stop`) shows
  it, and the new worker stops.

So either the earlier attempt ends the cell and the later one publishes nothing, or the reverse.
If the new worker gives up again, for example because the cell is aborted, the earlier attempt finds
no file in step 3, and tries again or ends without a result.

Where the file system has no hard links, step 3 is rename(2): it needs the hidden file just the
same. But it replaces a flag of that name which a person makes in the same moment.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hesiod_watch.core import naming
from hesiod_watch.core.errors import FlagExists, FlagUnknown, PermanentError
from hesiod_watch.core.frozen import frozen
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
from hesiod_watch.runs.flags import names

LARGEST = 64 * 1024
"""Bytes of a flag that are read; a larger file is not a flag."""

READ_BACK_DELAYS = (0.0, 0.05, 0.5)
"""Seconds before each read of a flag that the file system may not show yet."""

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
"""Errors of link(2) without hard links, or without links across the servers of a directory."""
_NOT_SHOWN_YET = frozenset({errno.ENOENT, errno.EIO, errno.ESTALE})
_REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG})
"""Errors of link(2) that are decisions, not accidents on the way: no file was created."""


@frozen
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


_OWNER_KEYS = {key: type(value) for key, value in asdict(Owner(token="")).items()}


def parse_owner(text: str | None) -> Owner | None:
    """Owner in a flag's text; None if none. A field of the wrong type counts as missing."""
    return owner_of(record_in(text))


def owner_of(record: Mapping[str, object]) -> Owner | None:
    """Owner in a record; None if it names none."""
    known: dict[str, Any] = {}
    for key, kind in _OWNER_KEYS.items():
        value: Any = record.get(key)
        if type(value) is kind and (kind is str or 0 < value < 2**63):
            known[key] = value
    return Owner(**{"token": "", **known}) if known else None


Fence = Callable[[], None]
"""Check that raises an error if this process must not make the flag that it has prepared."""


def create(
    place: OpenDirectory,
    name: str,
    record: Mapping[str, object] | Owner,
    *,
    fence: Fence | None = None,
) -> None:
    """Create the flag `name` in `place` with `record` as one line of JSON, or raise.

    On return it is fsynced and visible to every process. If it raises, no flag was made, except for
    FlagUnknown. A mapping without a `token` gets a random one. The same `Owner` may be used again
    after FlagUnknown: it wins if the earlier attempt had won.

    `fence` is called when the flag is prepared. A flag that ends a claim (`done`, `failed`) needs
    it: an attempt that is overtaken after this call makes no flag. It gets FlagUnknown or
    FlagExists.

    Raises FlagExists (names the owner of the existing flag), FlagUnknown (sent, without a verdict:
    not ours until there is one), TemporaryError (no space, read-only, a server that does not
    answer, another directory at the path of `place`) or PermanentError.
    """
    create_file(place, name, line(record), fence)


def create_file(place: OpenDirectory, name: str, body: bytes, fence: Fence | None = None) -> None:
    """Create the file `name` with `body`, in the same way and with the same errors as `create`."""
    if name in {"", ".", ".."} or name.startswith(".") or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is no name for a flag")
    path = place / name
    if len(body) > LARGEST:
        raise PermanentError(f"{path}: a flag of {len(body)} bytes is too large to be read back")
    with translated(f"cannot create {path}"):
        parent = place.descriptor
        place.require_in_place()
        refusal = publish(parent, name, body, fence)
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
    token = record.get("token") or os.urandom(16).hex()
    return (
        json.dumps({"token": token, **{k: v for k, v in record.items() if k != "token"}}).encode()
        + b"\n"
    )


def publish(
    parent: int, name: str, body: bytes, fence: Fence | None = None, *, replace: bool = False
) -> OSError | None:
    """Create a file of ours whole, unless its name is taken; with `replace`, take the name.

    Returns the error of the file system at the last step, if any. Raises OSError if an earlier step
    failed, and what `fence` raises.
    """
    token = os.urandom(16).hex()
    temporary = names.prepared(name, token) if fence else TEMPORARY + token
    write_new(parent, temporary, body)
    try:
        if fence:
            fence()
        try:
            if replace:
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
                return None
            os.link(temporary, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
        except OSError as refusal:
            if replace or refusal.errno not in _NO_LINKS:
                return refusal
        else:
            return None
        if fence:
            return _rename_new(parent, temporary, name)
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


def _rename_new(parent: int, temporary: str, name: str) -> OSError | None:
    """Rename a file, unless its new name is taken; returns the error of the file system."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        pass
    except OSError as refusal:
        return refusal
    else:
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    try:
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as refusal:
        return refusal
    return None


def put_back(parent: int, aside: str, name: str) -> None:
    """Name a flag that was moved aside as before, unless there is another one. Raises OSError."""
    try:
        os.link(aside, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
    except FileExistsError:
        return
    except OSError as refusal:
        if refusal.errno not in _NO_LINKS:
            raise
        _rename_new(parent, aside, name)


def remove_prepared(parent: int, stem: str) -> None:
    """Remove the prepared flags of a cell or a work, so that no process makes flags of them.

    Raises OSError.
    """
    found = [name for name in os.listdir(parent) if names.is_prepared(name, stem)]
    for name in found:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
    if found:
        sync_directory(parent)


def _read_back(parent: int, path: Path, body: bytes, refusal: OSError | None) -> None:
    """Return when the flag is ours.

    Raises FlagExists, FlagUnknown or, where no flag was made, `refusal`.
    """
    for delay in READ_BACK_DELAYS:
        if delay:  # a sleep of 0 s gives the processor up, for milliseconds on a busy host
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
