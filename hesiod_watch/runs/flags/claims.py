"""Claims: claim a cell, record its worker, and release the claim.

The docstring of the package describes the protocol.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from hesiod_watch.core.action_kinds import PROCESS
from hesiod_watch.core.errors import FlagExists, FlagUnknown, HesiodError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.system_errors import translated
from hesiod_watch.host import process
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.flags.flag_files import create, remove_prepared
from hesiod_watch.runs.flags.listing import FlagListing, read_flags
from hesiod_watch.runs.flags.pipeline import Pipeline

logger = logging.getLogger(__name__)


def claim_cell(pipeline: Pipeline, stem: str, owner: Owner, *, judge: Judge) -> None:
    """Claim a cell for processing under `owner.epoch`; a worker may be started on return.

    Lists the flags before, to avoid claims that cannot succeed. Lists them again after, because
    only that listing decides.

    Raises FlagExists when another process has this or a later epoch, when the cell is done, failed
    or aborted, when the run is not to be processed, and when the worker of an earlier epoch is not
    proven dead. If the claim exists by then, it is released first. Raises what `create` and
    `read_flags` raise.
    """

    def refuse(listing: FlagListing) -> None:
        _refuse(listing, pipeline, stem, owner.epoch)
        _refuse_beside_a_worker(listing, pipeline, stem, owner.epoch, judge)

    _create_unless(refuse, pipeline, stem, owner, names.started(stem, owner.epoch))


def record_worker(pipeline: Pipeline, stem: str, owner: Owner) -> None:
    """Record this process as the worker of the claim `owner.epoch`; it may begin on return.

    Call it once, before anything else is done for the cell. Raises FlagExists when a worker exists
    already (a job that was started twice), when the claim is missing or was given up, when a later
    claim exists, when the cell is done, failed or aborted, and when its run is not to be processed.
    Raises what `create` and `read_flags` raise. After any error: do not work.

    On return no earlier attempt can make `done` or `failed` any more; if it has just made one,
    `reason_to_stop` says so (`flag_files` has the proof).
    """

    def refuse(listing: FlagListing) -> None:
        _refuse(listing, pipeline, stem, owner.epoch)
        _refuse_without_claim(listing, pipeline, stem, owner.epoch)

    def take(listing: FlagListing) -> None:
        refuse(listing)
        if listing.has_prepared(stem):
            with translated(f"cannot change {pipeline}"):
                remove_prepared(pipeline.descriptor, stem)
            refuse(read_flags(pipeline))

    _create_unless(refuse, pipeline, stem, owner, names.worker(stem, owner.epoch), take)


def _create_unless(
    refuse: Callable[[FlagListing], None],
    pipeline: Pipeline,
    stem: str,
    owner: Owner,
    name: str,
    take: Callable[[FlagListing], None] | None = None,
) -> None:
    """Create one flag of a claim, unless `refuse` raises for a listing before or after that.

    `take` replaces `refuse` for the listing after that. If the flag exists by then, the claim is
    released. The second listing must show the new flag: a listing without it is older, and proves
    nothing.
    """
    refuse(read_flags(pipeline))
    made = False
    try:
        create(pipeline, name, owner)
        made = True
        listing = read_flags(pipeline)
        if not listing.has(name):
            raise FlagUnknown(f"{pipeline / name}: created, but a listing does not show it (yet)")
        (take or refuse)(listing)
    except (HesiodError, OSError) as error:
        # An unknown claim may turn out to be ours. It would then block the cell for as long as
        # this process lives.
        if made or isinstance(error, FlagUnknown):
            _release_if_possible(pipeline, stem, owner, why=str(error))
        raise


def release_claim(pipeline: Pipeline, stem: str, owner: Owner, *, why: str = "") -> None:
    """Record that this process does not work, or no longer works, under `owner.epoch`.

    Two callers use it: a decider whose worker cannot have begun (it was not started, or ended
    before it recorded itself), and a worker that stops without a result. The flag counts only if
    the process of `owner` made the claim or the worker's record. Safe to repeat. Raises what
    `create` raises, except FlagExists.
    """
    try:
        create(
            pipeline, names.yielded(stem, owner.epoch), replace(owner, reason=why or owner.reason)
        )
    except FlagExists as error:
        logger.debug("claim is released already", extra=fields(cell=stem, why=error))


def record_death(
    pipeline: Pipeline, stem: str, owner: Owner, end: str, code: int | None = None
) -> str:
    """Record that the worker of a claim ended without a result; returns the sentence about it.

    `end` says how it ended (`worker_exit`); `code` is None for a job. `owner` made the claim: this
    process, or one whose job is proven dead. Returns "" and records nothing if a flag explains the
    end: the cell has a result, a person stopped it, or the claim was given up, overtaken or
    withdrawn. Raises what `create` and `read_flags` raise.
    """
    listing = read_flags(pipeline)
    try:
        _refuse(listing, pipeline, stem, owner.epoch)
    except FlagExists:
        return ""
    claimed = {epoch.number: epoch.decider for epoch in listing.epochs(stem)}.get(owner.epoch)
    if claimed is None or claimed.token != owner.token:
        return ""
    reason = f"attempt {owner.epoch} {end}"
    record = {
        "token": owner.token,
        "reason": reason,
        **({} if code is None else {"signal": -code} if code < 0 else {"code": code}),
        "host": owner.host,
        "time": process.iso_now(),
    }
    create(pipeline, names.died(stem, owner.epoch), record)
    return reason


def reason_to_stop(pipeline: Pipeline, stem: str, owner: Owner) -> str:
    """Reason why the worker of `owner.epoch` must not publish; "" if it may.

    A worker asks this before it publishes and, with the flag prepared, before it makes `done` or
    `failed`. One new listing decides. A later claim alone is no reason: its decider sees this
    worker, and then releases that claim. Raises what `read_flags` raises.
    """
    listing = read_flags(pipeline)
    epochs = {epoch.number: epoch for epoch in listing.epochs(stem)}
    if later := [n for n, epoch in epochs.items() if epoch.may_work and n > owner.epoch]:
        return f"attempt {max(later)} has taken this cell over"
    recorded = epochs[owner.epoch].worker if owner.epoch in epochs else None
    if recorded is None or _process_of(recorded) != _process_of(owner):
        return "a person has withdrawn this attempt's claim"
    if ended := [name for name in (names.done(stem), names.failed(stem)) if listing.has(name)]:
        return f"another process or a person has made {ended[0]}"
    stopped = listing.stop_flag(PROCESS, stem)
    return f"a person has flagged it {stopped}" if stopped else ""


def _process_of(owner: Owner) -> tuple[str, str, int]:
    return owner.token, owner.host, owner.pid


def _refuse(listing: FlagListing, pipeline: Pipeline, stem: str, epoch: int) -> None:
    """Raise FlagExists for any flag that forbids every process to claim or begin this epoch."""
    if listing.stripped(stem):
        raise FlagExists(
            f"{pipeline}: raw data of {stem} were removed, so it is not to be processed"
        )
    stop = listing.stop_flag(PROCESS, stem, begun=False)
    for name in (stop, names.done(stem), names.failed(stem)):
        if listing.has(name):
            raise FlagExists(f"{pipeline / name}: exists, so {stem} is not to be processed")
    for attempt in listing.epochs(stem):
        if attempt.number > epoch:
            raise FlagExists(
                f"{pipeline}: {stem}: attempt {attempt.number} has been claimed, so {epoch} is over"
            )
        if attempt.number == epoch and (attempt.decider_yielded or attempt.worker_yielded):
            raise FlagExists(f"{pipeline}: {stem}: attempt {epoch} was given up")


def _refuse_beside_a_worker(
    listing: FlagListing, pipeline: Pipeline, stem: str, epoch: int, judge: Judge
) -> None:
    for attempt in listing.epochs(stem):
        if attempt.may_work:
            liveness, evidence = judge(attempt.worker)
            if attempt.number == epoch or liveness is not Liveness.DEAD:
                raise FlagExists(
                    f"{pipeline}: {stem}: attempt {attempt.number} has a worker: {evidence}"
                )


def _refuse_without_claim(listing: FlagListing, pipeline: Pipeline, stem: str, epoch: int) -> None:
    name = names.started(stem, epoch)
    if not listing.has(name):
        raise FlagExists(f"{pipeline / name}: missing; a person has withdrawn this attempt")


def _release_if_possible(pipeline: Pipeline, stem: str, owner: Owner, *, why: str) -> None:
    try:
        release_claim(pipeline, stem, owner, why=why)
    except (HesiodError, OSError) as error:
        # The caller raises an error that says more. Without this flag the claim ends with the
        # process.
        extra = fields(cell=stem, epoch=owner.epoch, why=error)
        logger.warning("cannot release the claim", extra=extra)
