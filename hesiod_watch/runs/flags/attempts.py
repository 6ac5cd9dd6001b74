"""Attempts: repeatable work such as `ingest` of a cell or `sync` of a run, one at a time.

`{work}.started` is created like a claim. At the end its owner replaces it by `.done` or `.failed`,
and the flag of the attempt before disappears. So the number of flags does not grow with the number
of attempts.

A process may be overtaken between its last check and the end of its attempt, and all attempts have
the same `started`. So an attempt ends by a file that only this attempt has (`_end`), as in the
fence of `flag_files`:

1. Write the final flag under a hidden name.
2. Read `started`, and stop if it is another attempt's.
3. Rename the hidden file to the final name.
4. Remove `started`. Until then, the final flag with its token shows that it has ended.

The next attempt creates `started`, then removes the hidden files, then the final flags.

An attempt whose owner is proven dead is ended by the process that wants the next one, or by the
process that had started the worker. More than one process may have that proof, and on one host or
in two containers. A slow one must not rename the `started` of an attempt that began later. So the
right to end an attempt is a flag of its own, which the file system gives to one process:

1. Create `{work}.over.{key}`, where `key` names the dead attempt. If that flag exists and its owner
   is proven dead too, create the flag named after that owner, and so on.
2. Read `started` again. It must be the dead attempt still: it may have ended, and the flag of step
   1 been deleted, after this process had listed the flags.
3. End it as failed.
4. Delete the flags of step 1. The attempt that they name does not come back, so a process that
   makes one of them later stops at step 2.

The lock (`lock`) among the processes of one host only saves work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal

from hesiod_watch.core.errors import FlagExists, FlagUnknown, TemporaryError
from hesiod_watch.core.model import CellId
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.records import record_in
from hesiod_watch.core.results import AttemptEnd
from hesiod_watch.core.system_errors import translated
from hesiod_watch.host import process
from hesiod_watch.host.files import TEMPORARY, sync_directory, write_new
from hesiod_watch.host.locks import alone_on_this_host
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.flags.flag_files import (
    create,
    line,
    parse_owner,
    put_back,
    read,
    remove_prepared,
)
from hesiod_watch.runs.flags.listing import FlagListing, read_flags
from hesiod_watch.runs.flags.pipeline import Pipeline

AttemptOutcome = Literal["done", "failed"]


def attempt_lock(
    landing: Path, run_dir: Path, cell: CellId | None, locks: Path | None = None
) -> Callable[[], AbstractContextManager[None]]:
    """Lock for the processes of this host that begin or end attempts of one cell or one run."""
    return partial(alone_on_this_host, landing, f"{run_dir.name}/{cell or ''}", locks)


def begin_attempt(
    pipeline: Pipeline,
    work: str,
    owner: Owner,
    *,
    lock: Callable[[], AbstractContextManager[None]],
    judge: Judge,
    record: Mapping[str, object] | None = None,
    unneeded: Callable[[FlagListing], bool] | None = None,
) -> None:
    """Begin an attempt at `work` (`names.ingest(stem)`, `names.SYNC`); returns when it is ours.

    `record` is stored beside the owner. It holds facts of the attempt before that must survive if
    this attempt is killed. `unneeded` gets the flags while no other process can begin or end an
    attempt, with the end of the attempt before: if it returns True, this attempt is withdrawn, and
    FlagExists raised. So work that must not be repeated is not repeated by two processes that
    decided at the same time.

    Raises FlagExists, with the evidence, while the owner of the current attempt is not proven dead,
    or another process is ending that attempt; and what `create` and `read_flags` raise. `lock()`
    admits one process of this host at a time.
    """
    name = f"{work}.started"
    content = {**(record or {}), **_owner_record(owner)}
    try:
        create(pipeline, name, content)
    except FlagExists:
        with lock():
            _take_over(pipeline, work, owner, judge)
            create(pipeline, name, content)
    # Other readers take `started` beside `done` or `failed` for an attempt that has ended. The
    # attempt before is over and this one is ours, so the flag of that attempt is deleted, after the
    # file by which an overtaken process might still make one.
    with translated(f"cannot begin {pipeline / name}"):
        remove_prepared(pipeline.descriptor, work)
        if unneeded and unneeded(read_flags(pipeline)):
            with suppress(FileNotFoundError):  # an attempt that was withdrawn, and then killed
                os.unlink(f"{work}.failed", dir_fd=pipeline.descriptor)
            _remove(pipeline.descriptor, name, pipeline.read(name).text)
            raise FlagExists(f"{pipeline / work}: another process has done it")
    for outcome in ("done", "failed"):
        with suppress(OSError):
            os.unlink(f"{work}.{outcome}", dir_fd=pipeline.descriptor)


def _take_over(pipeline: Pipeline, work: str, owner: Owner, judge: Judge) -> None:
    """Make room for the next attempt after one that ended or whose owner is proven dead."""
    name = f"{work}.started"
    with translated(f"cannot read {pipeline}"):
        listing = read_flags(pipeline)
    if not listing.has(name):
        return  # the attempt ended meanwhile
    liveness, evidence = judge(listing.owner(name))
    # Hesiod leaves an empty `sync.started` beside the flag that says how it ended. A live owner
    # that has made that flag is about to remove `started` itself.
    left = listing.has_ended(work) and liveness is not Liveness.ALIVE
    if liveness is not Liveness.DEAD and not left:
        raise FlagExists(f"{pipeline / name}: under way: {evidence}")
    with _right_to_end(pipeline, work, listing, owner, judge) as still_there:
        text = listing.text(name)
        body = (text or "").encode("utf-8", "surrogateescape") or line({})
        if still_there and not _end(pipeline, work, text, "failed", body):
            raise FlagExists(f"{pipeline / name}: another process has ended it")


@contextmanager
def _right_to_end(
    pipeline: Pipeline, work: str, listing: FlagListing, owner: Owner, judge: Judge
) -> Iterator[bool]:
    """Right to end the attempt in `listing`; False if its flag has disappeared.

    Raises FlagExists if another process has the right, or has begun the next attempt.
    """
    started, right = f"{work}.started", listing.take_over(work, judge)
    if right.liveness is not Liveness.DEAD:
        raise FlagExists(f"{pipeline / started}: another process ends it: {right.evidence}")
    used = {right.flag}
    try:
        try:
            create(pipeline, right.flag, owner)
        except FlagUnknown:
            # Another process may have made the flag and deleted it when it had ended the attempt.
            if _is_there(pipeline, started, listing.text(started)):
                raise
            raise FlagExists(f"{pipeline / started}: another process has ended it") from None
        yield _is_there(pipeline, started, listing.text(started))
        used = {right.flag, *listing.take_over_flags(work)}
    finally:
        if _ours(pipeline, right.flag, owner):
            for name in used:
                with suppress(OSError):
                    os.unlink(name, dir_fd=pipeline.descriptor)


def _is_there(pipeline: Pipeline, name: str, text: str | None) -> bool:
    """Whether the attempt whose flag had this text is still under way.

    Raises FlagExists if another attempt is; TemporaryError, PermanentError.
    """
    with translated(f"cannot read {pipeline / name}"):
        try:
            found = pipeline.read(name)
        except FileNotFoundError:
            return False
    if found.text != text:
        raise FlagExists(f"{pipeline / name}: another process has begun the next attempt")
    return True


def require_attempt(pipeline: Pipeline, work: str, owner: Owner) -> None:
    """Check that the owner's attempt is the one under way. Raises TemporaryError if not."""
    if not _ours(pipeline, f"{work}.started", owner):
        raise TemporaryError(
            f"{pipeline / work}: another attempt has begun, or a person removed this one; this one"
            " changes nothing any more"
        )


def end_attempt(
    pipeline: Pipeline,
    work: str,
    owner: Owner,
    outcome: AttemptOutcome,
    record: Mapping[str, object] | None = None,
) -> bool:
    """End the attempt that `owner` began; store `record` beside the owner in the final flag.

    A `reason` in `record` says how the attempt ended. It replaces the owner's reason, which says
    why the attempt began.

    Returns False if the attempt is missing or not ours: a person withdrew it. Raises
    TemporaryError, PermanentError.
    """
    started, ended = f"{work}.started", f"{work}.{outcome}"
    try:
        text = pipeline.read(started).text
    except OSError:
        text = None
    found = parse_owner(text)
    if text is None or found is None or found.token != owner.token:
        return _ours(pipeline, ended, owner)  # a rename whose response was lost
    body = text.encode("utf-8", "surrogateescape")
    if record:
        reason = {"reason": record["reason"]} if "reason" in record else {}
        body = line({**record, **_owner_record(owner), **reason})
    return _end(pipeline, work, text, outcome, body)


def end_dead_attempt(
    pipeline: Pipeline,
    work: str,
    pid: int,
    reason: str,
    *,
    lock: Callable[[], AbstractContextManager[None]],
    judge: Judge,
) -> bool:
    """End the attempt of a child of this process that has died, with the reason.

    What the attempt had taken over from the one before stays recorded. Returns False if the child
    has no attempt under way. Raises TemporaryError, PermanentError.
    """
    name, me = f"{work}.started", process.this_owner("end an attempt", "")
    with lock(), suppress(FileNotFoundError, FlagExists):
        listing = read_flags(pipeline)
        owner = listing.owner(name)
        if owner is None or judge(owner)[0] is not Liveness.DEAD:
            return False
        if (owner.boot_id, owner.pid_namespace, owner.pid) != (me.boot_id, me.pid_namespace, pid):
            return False
        end = AttemptEnd(reason, needs_person=False, ended=process.iso_now(), died=True)
        with _right_to_end(pipeline, work, listing, me, judge):
            record = {**record_in(pipeline.read(name).text), **end.record()}
            return end_attempt(pipeline, work, owner, "failed", record)
    return False


def _owner_record(owner: Owner) -> dict[str, object]:
    content: dict[str, object] = json.loads(line(owner))
    return content


def _ours(pipeline: Pipeline, name: str, owner: Owner) -> bool:
    try:
        found = parse_owner(pipeline.read(name).text)
    except OSError:
        return False
    return found is not None and found.token == owner.token


def _end(
    pipeline: Pipeline, work: str, text: str | None, outcome: AttemptOutcome, body: bytes
) -> bool:
    """End the attempt whose `started` has this text; False if another process has ended it.

    The order of the steps is above, at the top of the module.
    """
    started, ended = f"{work}.started", f"{work}.{outcome}"
    own = names.prepared(ended, os.urandom(16).hex())
    with translated(f"cannot end {pipeline / started} as {outcome}"):
        parent = pipeline.descriptor
        write_new(parent, own, body)
        try:
            if not _has_text(parent, started, text):
                return False
            os.rename(own, ended, src_dir_fd=parent, dst_dir_fd=parent)
        except FileNotFoundError:
            # Removed by the next attempt, or a rename whose response was lost.
            if not _has_text(parent, ended, body.decode("utf-8", "surrogateescape")):
                return False
        finally:
            with suppress(OSError):
                os.unlink(own, dir_fd=parent)
        sync_directory(parent)  # else a power loss could keep only the removal of `started`
        _remove(parent, started, text)
    return True


def _has_text(parent: int, name: str, text: str | None) -> bool:
    """Whether a flag is there and has this text; None: it is unreadable. Raises OSError."""
    try:
        return read(parent, name).text == text
    except FileNotFoundError:
        return False


def _remove(parent: int, started: str, text: str | None) -> None:
    """Remove the `started` of an attempt that has ended, and not that of a later one.

    No system call compares and removes. So the flag is moved aside, read, and put back if it is
    another attempt's. Raises OSError.
    """
    if not _has_text(parent, started, text):
        return
    aside = TEMPORARY + os.urandom(16).hex()
    try:
        os.rename(started, aside, src_dir_fd=parent, dst_dir_fd=parent)
    except FileNotFoundError:
        return
    if not _has_text(parent, aside, text):
        put_back(parent, aside, started)
    with suppress(OSError):
        os.unlink(aside, dir_fd=parent)
