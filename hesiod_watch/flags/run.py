"""A run's own facts: whose it is (`upstream`), where its results go (`output`), and how it is taken up."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from hesiod_watch.errors import PermanentError
from hesiod_watch.flags import names
from hesiod_watch.flags.files import directory, read, sync_directory, translate, write_new

PIPELINE = "pipeline"
_PREPARED = ".pipeline.tmp."
_MODE = 0o775


def adopt(run_dir: Path, upstream: str, output: Path) -> bool:
    """Make `run_dir/pipeline` with `upstream` and the link `output`, whole or not at all. True: it was us.

    False when something of that name is there already, be it an empty directory that a person has made: that run
    is not ours to take. Raises TemporaryError or PermanentError.
    """
    if not upstream.strip() or len(upstream.strip().splitlines()) != 1:
        raise PermanentError(f"{run_dir}: {upstream!r} cannot be kept as its upstream: it must be one line")
    prepared = _PREPARED + secrets.token_hex(16)
    try:
        with directory(run_dir) as parent:
            if _exists(parent, PIPELINE):
                return False
            os.mkdir(prepared, _MODE, dir_fd=parent)
            try:
                made = _fill(parent, prepared, upstream.strip(), output)
                won = _move_into_place(parent, prepared, made)
            except OSError:
                _remove(parent, prepared)
                if _exists(parent, PIPELINE):  # somebody was first, and has tidied ours away already
                    return False
                raise
            if won:
                sync_directory(parent)
            _remove_leftovers(parent)
            return won
    except OSError as error:
        raise translate(error, f"cannot take up {run_dir}") from error


def _exists(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _fill(parent: int, prepared: str, upstream: str, output: Path) -> os.stat_result:
    """Write both facts into the prepared directory and make it durable; the directory's identity."""
    with directory(prepared, parent=parent) as descriptor:
        write_new(descriptor, names.UPSTREAM, os.fsencode(upstream) + b"\n")
        os.symlink(output, names.OUTPUT, dir_fd=descriptor)
        sync_directory(descriptor)
        return os.fstat(descriptor)


def _move_into_place(parent: int, prepared: str, made: os.stat_result) -> bool:
    """Rename, and judge by what lies there then: the answer of a network file system may be wrong."""
    refusal: OSError | None = None
    try:
        os.rename(prepared, PIPELINE, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as error:
        refusal = error
    try:
        found = os.stat(PIPELINE, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if refusal:
            raise refusal from None
        raise
    return (found.st_dev, found.st_ino) == (made.st_dev, made.st_ino)


def _remove_leftovers(parent: int) -> None:
    """Remove what others have prepared and can no longer move into place, since `pipeline` is there."""
    with os.scandir(parent) as entries:
        prepared = [entry.name for entry in entries if entry.name.startswith(_PREPARED)]
    for name in prepared:
        _remove(parent, name)


def _remove(parent: int, prepared: str) -> None:
    """Remove a prepared directory with just what `_fill` puts into it; what holds anything else stays."""
    with suppress(OSError):  # hidden and without meaning to anybody: a leftover harms nothing
        with directory(prepared, parent=parent) as descriptor:
            for name in (names.UPSTREAM, names.OUTPUT):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=descriptor)
        os.rmdir(prepared, dir_fd=parent)


def read_upstream(pipeline: Path) -> str | None:
    """Where the run comes from: the one line in `upstream`, without blanks around it.

    None where there is no such file, or nothing that can be one location in it: a run nobody touches. Bytes that
    are no UTF-8 come as `os.fsdecode` gives them.
    """
    try:
        text = read(None, pipeline / names.UPSTREAM).text
    except OSError:
        return None
    lines = (text or "").strip().splitlines()
    return lines[0] if len(lines) == 1 else None


def read_output(pipeline: Path, output_root: Path) -> tuple[Path | None, str]:
    """Where results go: the real directory that `output` leads to, or None and the reason to tell a person.

    It must lie below `output_root`, whatever links are on the way.
    """
    link = pipeline / names.OUTPUT
    try:
        if not stat.S_ISLNK(link.lstat().st_mode):
            return None, f"{link} is not a symlink"
    except FileNotFoundError:
        return None, f"{link} is missing"
    except OSError as error:
        return None, f"{link} cannot be read: {error.strerror}"
    try:
        target = link.resolve(strict=True)
    except FileNotFoundError:
        return None, f"{link} leads to {_target(link)}, which does not exist"
    except RuntimeError:  # how Path says it before Python 3.13
        return None, f"{link} leads in a circle"
    except OSError as error:
        return None, f"{link} cannot be followed: {error.strerror}"
    try:
        root = output_root.resolve(strict=True)
    except (OSError, RuntimeError):
        return None, f"the output directory {output_root} does not exist"
    if root not in target.parents:
        return None, f"{link} leads to {target}, which is outside the output directory {output_root}"
    if not target.is_dir():
        return None, f"{link} leads to {target}, which is not a directory"
    return target, ""


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return "a place"
