"""Owner of an output directory: its back link `rundata`, and the record `.owner.json`.

A run's link `pipeline/output` proves nothing: every account that may write in the landing area can
make one that leads to the results of another run. The output directory itself is the evidence,
because only this program and its operators write there. It belongs to a run if one of these holds:

1. Its `rundata` leads to this very run.
2. Its `.owner.json` names this very run. That survives a rename of the run within its file system.
3. It is `{output}/{name of the run}`, there is no record, and `rundata` is missing or leads to
   something that does not exist. A person or an earlier Hesiod has prepared it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.records import record_in
from hesiod_watch.core.system_errors import translate
from hesiod_watch.host.files import (
    TEMPORARY,
    OpenDirectory,
    directory,
    make_link,
    replace_whole,
    sync_directory,
)
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.flags.flag_files import publish, read
from hesiod_watch.runs.flags.pipeline import Pipeline

BACK_LINK = "rundata"
OWNER_FILE = ".owner.json"
_ABOUT = "Made by hesiod-watch: the run whose results are in this directory."


@frozen
class RunIdentity:
    """Identity of a run, different from that of every other run, independent of its name."""

    device: int  # of the run's directory; another host, or another mount, may see another number
    inode: int  # of the run's directory; may be used again after the run is deleted
    linked: int  # nanoseconds: change time of `pipeline/output`, which no user can set; 0: no link

    @property
    def lasting(self) -> tuple[int, int]:
        """Part of the identity that every host sees at every time; this part is recorded."""
        return self.inode, self.linked


def identify(run: OpenDirectory) -> RunIdentity | None:
    """Identity of a run; None if there is no directory. Raises OSError."""
    try:
        return identity_of(Pipeline(run))
    except FileNotFoundError:
        return None


def identity_of(pipeline: Pipeline) -> RunIdentity:
    """Identity of the run with this `pipeline/`, which may be missing. Raises OSError."""
    found = os.fstat(pipeline.run.descriptor)
    try:
        linked = pipeline.status(names.OUTPUT).st_ctime_ns
    except (FileNotFoundError, NotADirectoryError):
        linked = 0
    return RunIdentity(found.st_dev, found.st_ino, linked)


@frozen
class ForeignOwner:
    """Reason why an output directory does not belong to a run."""

    why: str  # names the other run, if it is known
    may_be_ours: bool  # no other run is visible: a person may know that it belongs to this run


def foreign_owner(
    output: Path, run_dir: Path, run: RunIdentity | None, output_root: Path
) -> ForeignOwner | None:
    """Reason why `output` does not belong to the run at `run_dir`; None if it does.

    `run` is None for a run that does not exist yet. Raises OSError when the evidence cannot be
    read.
    """
    link = output / BACK_LINK
    leads = _leads_to(link)
    if leads and run and leads == (run.device, run.inode):
        return None
    if not leads and not run and _target(link) == run_dir:
        return None
    recorded, name = read_record(output)
    if recorded and run and recorded == run.lasting:
        return None
    if leads:
        target = _target(link)
        return ForeignOwner(
            f"{link} {f'leads to {display(str(target))}' if target else 'is not a link'}", False
        )
    if name:
        return ForeignOwner(f"{output / OWNER_FILE} names the run {name}", True)
    if output != output_root / run_dir.name:
        around = _enclosing_owner(output, output_root)
        return ForeignOwner(around or f"{link} does not lead to this run", not around)
    inner = _inner_output(output)
    return (
        ForeignOwner(f"it contains the output directory {inner} of another run", False)
        if inner
        else None
    )


def record_owner(output: Path, run_dir: Path, run: RunIdentity) -> None:
    """Write `.owner.json` and repair `rundata` if they do not name the run that owns `output`.

    A directory without a record gets one only if no other process writes it first, so the caller
    checks again. Raises TemporaryError or PermanentError, but not if `rundata` is proof enough.
    """
    proven = False
    try:
        proven = _leads_to(output / BACK_LINK) == (run.device, run.inode)
        recorded, name = read_record(output)
        if proven and recorded == run.lasting and name == display(run_dir.name):
            return
        with directory(output) as parent:
            # A record of another run, made since the caller looked, stays: two runs may race.
            ours = proven or recorded == run.lasting
            _write_record(parent, run_dir.name, run, replace=bool(name) and ours)
            if not proven and read_record(output)[0] == run.lasting:
                link = TEMPORARY + os.urandom(16).hex()
                make_link(run_dir, link, parent)
                os.rename(link, BACK_LINK, src_dir_fd=parent, dst_dir_fd=parent)
            sync_directory(parent)
    except OSError as error:
        if not proven:
            raise translate(error, f"cannot write {display(str(output / OWNER_FILE))}") from error


def _write_record(parent: int, name: str, run: RunIdentity, *, replace: bool) -> None:
    """Write the record whole; without `replace` an earlier record stays. Raises OSError."""
    record = {"about": _ABOUT, "run": name, "inode": run.inode, "linked": run.linked}
    body = json.dumps(record).encode() + b"\n"
    if replace:
        replace_whole(parent, OWNER_FILE, body)
    elif (refusal := publish(parent, OWNER_FILE, body)) and not isinstance(
        refusal, FileExistsError
    ):
        raise refusal


def _leads_to(link: Path) -> tuple[int, int] | None:
    """Device and inode that a back link leads to; None if it leads to nothing."""
    try:
        found = link.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _target(link: Path) -> Path | None:
    try:
        return link.readlink()
    except OSError:
        return None


def read_record(output: Path) -> tuple[tuple[int, int] | None, str]:
    """Lasting identity of the recorded run, and its name; None and "" without a record.

    Raises OSError.
    """
    try:
        record = record_in(read(None, output / OWNER_FILE).text)
    except FileNotFoundError:
        return None, ""
    inode, linked, name = record.get("inode"), record.get("linked"), record.get("run")
    lasting = (inode, linked) if isinstance(inode, int) and isinstance(linked, int) else None
    return lasting, display(name) if isinstance(name, str) and name else "?"


def _enclosing_owner(output: Path, output_root: Path) -> str:
    """Sentence about the run whose output directory contains `output`; "" if there is none."""
    for above in output.parents:
        if above == output_root:
            break
        if target := _target(above / BACK_LINK):
            leads = f"{BACK_LINK} leads to {display(str(target))}"
            return f"it is within {display(str(above))}, where {leads}"
    return ""


def _inner_output(output: Path) -> str:
    """Name of a directory in `output` that is itself a run's output; "" if there is none."""
    with os.scandir(output) as entries:
        return next(
            (
                display(entry.name)
                for entry in entries
                if os.path.lexists(f"{entry.path}/{BACK_LINK}")
            ),
            "",
        )
