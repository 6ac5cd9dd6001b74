"""Archive old flags in `pipeline/attic/{time}/`, so that a cell or run can be tried again.

This follows a person's decision. It is the only place where a flag loses its name. Call it when no
worker works: the person has checked what the program cannot check.

`failed` keeps every other process away meanwhile. It is created first if it is missing, and moved
last. `.started` is the last of the claims to move. Then the prepared flags of the cell are removed:
an attempt that wakes up later makes neither `done` nor `failed` (`flag_files`). If the call is
interrupted, the cell stays failed, and the same call moves the rest.
"""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from hesiod_watch.core.errors import FlagExists
from hesiod_watch.core.ownership import Owner
from hesiod_watch.core.system_errors import translated
from hesiod_watch.host import process
from hesiod_watch.host.files import directory, sync_directory, write_new
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.flags.flag_files import create, line, remove_prepared
from hesiod_watch.runs.flags.listing import FlagListing, read_flags
from hesiod_watch.runs.flags.pipeline import Pipeline

WHY = "why"


def archive_flags(
    pipeline: Pipeline,
    stem: str | None,
    *,
    why: str,
    keep: frozenset[str] = frozenset(),
    aborted: bool = False,
    recount: bool = False,
    done: bool = False,
) -> Path | None:
    """Archive a cell's claims and failures, or those of the run itself where `stem` is None.

    `done` and `aborted` stay, unless requested, and so does every name in `keep`. With `recount`
    the program's own `synced` is archived too, so that the cell's files are counted again. A
    person's `synced` stays, except with `done`: the person accepted other data.

    Returns the new directory, which has a file `why` that says who, where and when; None when there
    was nothing to move. Raises FileNotFoundError without a pipeline directory, TemporaryError or
    PermanentError.
    """
    listing = read_flags(pipeline)
    moving = [name for name in _movable(listing, stem, aborted) if name not in keep]
    if stem is not None and done and listing.has(names.done(stem)):
        moving.insert(0, names.done(stem))
    if not moving:
        return None
    synced = names.synced(stem) if stem is not None and recount else ""
    if stem is not None and listing.has(synced) and (done or not listing.accepted(stem)):
        # Move it before `failed`, which is last: no pass in between may find the cell ready.
        moving.insert(0, synced)
    owner = process.this_owner("move to attic", "person", reason=why)
    lock = names.failed(stem) if stem is not None else "failed"
    try:
        create(pipeline, lock, owner)
    except FlagExists:
        pass  # an existing flag keeps other processes away just as well
    else:
        moving = [*(name for name in moving if name != lock), lock]
    return _move(pipeline, moving, owner, prepared=(lock, stem) if stem is not None else None)


def archive_attempt(pipeline: Pipeline, work: str, *, why: str) -> Path | None:
    """Archive the flags of the last attempt at a repeatable work, so that it is due at once.

    An attempt under way has lost its flag, and cannot end any more. Returns and raises as
    `archive_flags`.
    """
    listing = read_flags(pipeline)
    ends = (f"{work}.{end}" for end in ("started", "done", "failed"))
    moving = [*listing.take_over_flags(work), *filter(listing.has, ends)]
    if not moving:
        return None
    owner = process.this_owner("move to attic", "person", reason=why)
    return _move(pipeline, moving, owner)


def _move(
    pipeline: Pipeline,
    moving: list[str],
    owner: Owner,
    prepared: tuple[str, str] | None = None,
) -> Path:
    """Move flags to a new directory of the attic, in their order; returns that directory.

    `prepared` is a flag, before which the prepared flags of a cell are removed, and the cell.
    """
    with translated(f"cannot move flags of {pipeline} to the attic"):
        parent = pipeline.descriptor
        with suppress(FileExistsError):
            os.mkdir(names.ATTIC, 0o775, dir_fd=parent)
        with directory(names.ATTIC, parent) as attic:
            archive = _make_archive(attic)
            with directory(archive, attic) as destination:
                write_new(destination, WHY, line(owner))
                for name in moving:
                    if prepared and name == prepared[0]:
                        remove_prepared(parent, prepared[1])
                    with suppress(FileNotFoundError):  # another person was quicker
                        os.rename(name, name, src_dir_fd=parent, dst_dir_fd=destination)
                sync_directory(destination)
            sync_directory(attic)
        sync_directory(parent)
    return pipeline.path / names.ATTIC / archive


def _make_archive(attic: int) -> str:
    """Make a new directory named after the time; `-2`, `-3`, … for more than one in a second."""
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for name in itertools.chain([time], (f"{time}-{number}" for number in itertools.count(2))):
        with suppress(FileExistsError):
            os.mkdir(name, 0o775, dir_fd=attic)
            break
    return name


def _movable(listing: FlagListing, stem: str | None, aborted: bool) -> list[str]:
    """Names of the claims, then of the failures; the flag that blocks other processes is last."""
    if stem is None:
        overs = listing.take_over_flags(names.SYNC)
        wanted = [
            *overs,
            "sync.started",
            "sync.failed",
            *(["aborted"] if aborted else []),
            "failed",
        ]
        return [name for name in wanted if listing.has(name)]
    facts = listing.facts(stem)
    claims = sorted((key for key in facts if key[0] in names.OF_A_CLAIM), key=_last_first)
    stages = sorted(
        key for key in facts if key[0].endswith((".started", ".failed")) or ".over." in key[0]
    )
    ends = [("aborted", 1)] if aborted else []
    return [facts[key] for key in [*claims, *stages, *ends, ("failed", 1)] if key in facts]


def _last_first(key: tuple[str, int]) -> tuple[int, bool]:
    """Sort key: the highest epoch first, and within an epoch the claim last."""
    fact, epoch = key
    return -epoch, fact == "started"
