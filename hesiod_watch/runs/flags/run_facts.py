"""Facts of a run: its `upstream`, its `type`, its `output`; and how a run is registered."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import yaml

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.system_errors import CIRCLE, translated
from hesiod_watch.core.text import quoted
from hesiod_watch.host.files import OpenDirectory, directory, make_link, sync_directory, write_new
from hesiod_watch.runs.flags import names, output_owner
from hesiod_watch.runs.flags.flag_files import publish
from hesiod_watch.runs.flags.output_owner import ForeignOwner
from hesiod_watch.runs.flags.pipeline import Pipeline

PIPELINE = names.PIPELINE
_PREPARED = ".pipeline.tmp."
_MODE = 0o775
LONGEST_TYPE = 100
"""Characters in the name of a type."""


def adopt(run: OpenDirectory, upstream: str, output: Path, run_type: str = "") -> bool:
    """Create `pipeline/` in the run, with upstream, type and output link, whole or not at all.

    True: this process created it. False: something of that name exists already, even if it is an
    empty directory that a person made; then the run is not ours. Raises TemporaryError or
    PermanentError.
    """
    if not upstream.strip() or len(upstream.strip().splitlines()) != 1:
        raise PermanentError(
            f"{run}: {upstream!r} cannot be recorded as its upstream: it must be one line"
        )
    prepared = _PREPARED + os.urandom(16).hex()
    with translated(f"cannot take up {run}"):
        run.require_in_place()
        parent = run.descriptor
        if _exists(parent, PIPELINE):
            return False
        os.mkdir(prepared, _MODE, dir_fd=parent)
        try:
            made = _fill(parent, prepared, upstream.strip(), output, run_type)
            won = _move_into_place(parent, prepared, made)
        except OSError:
            _remove(parent, prepared)
            # Another process may have been first, and may have removed our directory.
            if _exists(parent, PIPELINE):
                return False
            raise
        if won:
            sync_directory(parent)
        _remove_leftovers(parent)
        return won


def _exists(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _fill(parent: int, prepared: str, upstream: str, output: Path, run_type: str) -> os.stat_result:
    """Write these facts into the prepared directory, durably; returns its identity."""
    with directory(prepared, parent) as descriptor:
        write_new(descriptor, names.UPSTREAM, os.fsencode(upstream) + b"\n")
        make_link(output, names.OUTPUT, descriptor)
        # empty: every event from the beginning is reported
        os.mkdir(names.MESSAGES, _MODE, dir_fd=descriptor)
        if run_type:
            write_new(descriptor, names.TYPE, _type_file(run_type))
        sync_directory(descriptor)
        return os.fstat(descriptor)


def _move_into_place(parent: int, prepared: str, made: os.stat_result) -> bool:
    """Rename, then check which directory is there: a network file system may answer wrongly."""
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
    """Remove directories that others prepared; `pipeline` exists, so they are useless now."""
    with os.scandir(parent) as entries:
        prepared = [entry.name for entry in entries if entry.name.startswith(_PREPARED)]
    for name in prepared:
        _remove(parent, name)


def _remove(parent: int, prepared: str) -> None:
    """Remove a prepared directory with the content of `_fill`; one with other content stays."""
    with suppress(OSError):  # a leftover is hidden, unused and harmless
        with directory(prepared, parent) as descriptor:
            with suppress(FileNotFoundError):
                os.rmdir(names.MESSAGES, dir_fd=descriptor)
            for name in (names.UPSTREAM, names.OUTPUT, names.TYPE):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=descriptor)
        os.rmdir(prepared, dir_fd=parent)


def read_upstream(pipeline: Pipeline) -> str | None:
    """Source of the run: the one line in `upstream`, without blanks around it, and `/` for `//`.

    None if the file is missing or does not contain exactly one line: then no process touches the
    run. Bytes that are not UTF-8 are decoded as by `os.fsdecode`.
    """
    return upstream_or_why(pipeline)[0]


def upstream_or_why(pipeline: Pipeline) -> tuple[str | None, str]:
    """Source of the run, and why a file `upstream` that is there does not say it."""
    try:
        text = pipeline.read(names.UPSTREAM).text
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"pipeline/{names.UPSTREAM} cannot be read: {error.strerror}"
    lines = (text or "").strip().splitlines()
    if len(lines) == 1:
        # Hesiod appends "/RUN" to its setting as that is spelled.
        return re.sub("//+", "/", lines[0]), ""
    return None, f"pipeline/{names.UPSTREAM} must have one line, and has {len(lines)}"


def _type_file(run_type: str) -> bytes:
    comment = "# Type of this run, one of those in the configuration. You may change it."
    return f"{comment}\ntype: {run_type}\n".encode()


def write_type(pipeline: Pipeline, run_type: str) -> bool:
    """Record the type of a run, unless one is recorded: then False. Raises HesiodError."""
    with translated(f"cannot write {pipeline / names.TYPE}"):
        parent = pipeline.descriptor
        refusal = publish(parent, names.TYPE, _type_file(run_type))
        if refusal and not isinstance(refusal, FileExistsError):
            raise refusal
        sync_directory(parent)
        return refusal is None


def read_type(pipeline: Pipeline) -> tuple[str, str]:
    """Type of a run from `type.yaml`, and the reason if the file exists without a type.

    The file is a mapping with a key `type`, as Hesiod writes it.
    """
    try:
        content = pipeline.read(names.TYPE)
    except FileNotFoundError:
        return "", ""
    except OSError as error:
        return "", f"cannot be read: {error.strerror}"
    return ("", "is no small regular file") if content.text is None else _type_in(content.text)


@lru_cache(maxsize=64)
def _type_in(text: str) -> tuple[str, str]:
    """Type and problem in the text of `type.yaml`; cached, because many runs have the same text."""
    try:
        # Whatever tags the text has, the loader makes only text, lists and mappings of it.
        document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 -- BaseLoader makes no objects
    except (yaml.YAMLError, RecursionError, ValueError):
        return "", "is not YAML"
    word = document.get("type") if isinstance(document, dict) else None
    if not isinstance(word, str) or not word.strip() or len(word) > LONGEST_TYPE:
        return "", "has no line `type: NAME`"
    return display(word.strip()), ""


@frozen
class RunOutput:
    """Output directory of a run: `path`, or the reason why nothing can be written."""

    path: Path | None
    problem: str = ""
    foreign: bool = False  # the link leads to a directory that is not this run's


def own_output(pipeline: Pipeline, output_root: Path) -> Path:
    """Output directory as `find_output` finds it, before a write: it then records its owner.

    Raises HesiodError.
    """
    found = find_output(pipeline, output_root)
    if found.path:
        with translated(f"cannot read {pipeline.run}"):
            run = output_owner.identity_of(pipeline)
        output_owner.record_owner(found.path, pipeline.run.path, run)
        found = find_output(pipeline, output_root)  # another run may have been first
    if found.path is None:
        raise PermanentError(f"{display(pipeline.run.path.name)}: {found.problem}")
    return found.path


def log_directory(pipeline: Pipeline, output_root: Path) -> Path | None:
    """Directory of a run's log: its output directory, or the one of its name if the link fails.

    None if that is missing or belongs to another run.
    """
    if found := find_output(pipeline, output_root).path:
        return found
    run_dir = pipeline.run.path
    named = output_root / run_dir.name
    try:
        run = output_owner.identify(pipeline.run)
        return None if output_owner.foreign_owner(named, run_dir, run, output_root) else named
    except OSError:
        return None


def find_output(pipeline: Pipeline, output_root: Path) -> RunOutput:
    """Real directory that `output` leads to, or the reason, for a person, why there is none.

    It must be below `output_root`, whatever links are on the way, and belong to this run.
    """
    link = pipeline / names.OUTPUT
    try:
        run = output_owner.identity_of(pipeline)
        if not stat.S_ISLNK(pipeline.status(names.OUTPUT).st_mode):
            return RunOutput(None, f"{link} is not a symlink")
        text = os.readlink(names.OUTPUT, dir_fd=pipeline.descriptor)
    except FileNotFoundError:
        return RunOutput(None, f"{link} is missing")
    except OSError as error:
        return RunOutput(None, f"{link} cannot be read: {error.strerror}")
    try:
        target = (pipeline / text).resolve(strict=True)
    except FileNotFoundError:
        return RunOutput(None, f"{link} leads to {text}, which does not exist")
    except RuntimeError:  # Path raises this for a circle before Python 3.13
        return RunOutput(None, f"{link} leads in a circle")
    except OSError as error:
        if error.errno == CIRCLE:
            return RunOutput(None, f"{link} leads in a circle")
        return RunOutput(None, f"{link} cannot be followed: {error.strerror}")
    try:
        root = output_root.resolve(strict=True)
    except (OSError, RuntimeError):
        return RunOutput(None, f"the output directory {output_root} does not exist")
    if root not in target.parents:
        return RunOutput(
            None, f"{link} leads to {target}, which is outside the output directory {output_root}"
        )
    if not target.is_dir():
        return RunOutput(None, f"{link} leads to {target}, which is not a directory")
    try:
        other = output_owner.foreign_owner(target, pipeline.run.path, run, root)
    except OSError as error:
        return RunOutput(
            None, f"{link} leads to {target}, whose run cannot be determined: {error.strerror}"
        )
    return (
        RunOutput(None, _foreign(link, target, root, other), foreign=True)
        if other
        else RunOutput(target)
    )


def _foreign(link: Path, target: Path, root: Path, other: ForeignOwner) -> str:
    """Sentence about a link to another run's output directory, with the command that helps."""
    run_dir = link.parent.parent
    own = root / run_dir.name
    if target == own:
        step = "rename this run, and link it to a new output directory of that name"
    else:
        step = f"mkdir -p {quoted(str(own))} && ln -sfn {quoted(str(own))} {quoted(str(link))}"
    back = f"ln -sfn {quoted(str(run_dir))} {quoted(str(target / output_owner.BACK_LINK))}"
    return (
        f"{link} leads to {target}, which does not belong to this run: {other.why}; "
        f"to give this run a directory of its own: {step}"
    ) + (f"; if the results there are from this run: {back}" if other.may_be_ours else "")
