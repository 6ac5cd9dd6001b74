"""Taking a cell, working under the claim, and stepping back. The protocol is told in the package's
docstring.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from hesiod_watch.core.errors import FlagExists, FlagUnknown, HesiodError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import Liveness, Owner
from hesiod_watch.host import process
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.flags.files import create
from hesiod_watch.runs.flags.listing import FlagListing, read_flags

logger = logging.getLogger(__name__)


def claim_cell(
    pipeline: Path, stem: str, owner: Owner, *, judge: Judge = process.judge_here
) -> None:
    """Claim a cell for processing under `owner.epoch`; returns when a worker may be started for it.

    Looks before, so as not to leave claims that come to nothing, and again after, because only what
    is seen then counts. Raises FlagExists when somebody else has this or a later epoch, when the
    cell is done, failed or aborted or the run is not to be worked on, and when the worker of an
    earlier epoch is not proven dead; if the claim has been made by then it steps back first. Raises
    what `create` and `read_flags` raise.
    """
    listing = read_flags(pipeline)
    _refuse(listing, pipeline, stem, owner.epoch)
    _refuse_beside_a_worker(listing, pipeline, stem, owner.epoch, judge)
    name = names.started(stem, owner.epoch)
    made = False
    try:
        create(pipeline, name, owner)
        made = True
        listing = _listing_with(pipeline, name)
        _refuse(listing, pipeline, stem, owner.epoch)
        _refuse_beside_a_worker(listing, pipeline, stem, owner.epoch, judge)
    except (HesiodError, OSError) as error:
        # Unknown may turn out to be ours, and then the claim would be held as long as this process
        # lives.
        if made or isinstance(error, FlagUnknown):
            _step_back_if_possible(pipeline, stem, owner, why=str(error))
        raise


def record_worker(pipeline: Path, stem: str, owner: Owner) -> None:
    """Say that this process works under the claim of `owner.epoch`; returns when it may begin.

    To be called once, before anything else is done for the cell. Raises FlagExists when there is a
    worker already (a job that was started twice), when the claim is gone or was given up, when
    there is a later one, and when the cell is done, failed or aborted or its run is not to be
    worked on. Raises what `create` and `read_flags` raise. After any error: do not work.
    """
    listing = read_flags(pipeline)
    _refuse(listing, pipeline, stem, owner.epoch)
    _refuse_without_claim(listing, pipeline, stem, owner.epoch)
    name = names.worker(stem, owner.epoch)
    made = False
    try:
        create(pipeline, name, owner)
        made = True
        listing = _listing_with(pipeline, name)
        _refuse(listing, pipeline, stem, owner.epoch)
        _refuse_without_claim(listing, pipeline, stem, owner.epoch)
    except (HesiodError, OSError) as error:
        if made or isinstance(error, FlagUnknown):
            _step_back_if_possible(pipeline, stem, owner, why=str(error))
        raise


def release_claim(pipeline: Path, stem: str, owner: Owner, *, why: str = "") -> None:
    """Say that this process will not work, or works no longer, under the claim of `owner.epoch`.

    For a decider whose worker cannot have begun (it was not started, or ended before it recorded
    itself), and for a worker that stops without a result. Counts only where `owner` is of the
    process that made the claim or the worker's record. May be called again. Raises what `create`
    raises, except FlagExists.
    """
    try:
        create(
            pipeline, names.yielded(stem, owner.epoch), replace(owner, reason=why or owner.reason)
        )
    except FlagExists as error:
        logger.debug("stepped back already", extra=fields(cell=stem, why=error))


def overtaken(pipeline: Path, stem: str, owner: Owner) -> int:
    """The later epoch that has a worker of its own; 0: none. For a worker, before it publishes.

    A later claim alone is not enough: who made it has seen this worker, or will, and steps back.
    """
    later = [epoch.number for epoch in read_flags(pipeline).epochs(stem) if epoch.may_work]
    return max((number for number in later if number > owner.epoch), default=0)


def holds_worker(pipeline: Path, stem: str, owner: Owner) -> bool:
    """Whether the worker's record of `owner.epoch` is there and is `owner`'s. A person may have
    moved it away.
    """
    epochs = {epoch.number: epoch for epoch in read_flags(pipeline).epochs(stem)}
    recorded = epochs[owner.epoch].worker if owner.epoch in epochs else None
    if recorded is None:
        return False
    return (recorded.token, recorded.host, recorded.pid) == (owner.token, owner.host, owner.pid)


def stops(pipeline: Path, stem: str) -> str:
    """The flag by which a person stops a worker that has begun: aborted or stripped; "" where there
    is none.
    """
    listing = read_flags(pipeline)
    stopping = ["aborted", *(["stripped"] if listing.stripped_by_hand else []), names.aborted(stem)]
    return next((name for name in stopping if listing.has(name)), "")


def _listing_with(pipeline: Path, name: str) -> FlagListing:
    """A listing that shows the flag we have just made. One that does not is older, and proves
    nothing.
    """
    listing = read_flags(pipeline)
    if not listing.has(name):
        raise FlagUnknown(f"{pipeline / name}: created, but gone or not shown yet in a listing")
    return listing


def _refuse(listing: FlagListing, pipeline: Path, stem: str, epoch: int) -> None:
    """Raise FlagExists for whatever keeps anybody from claiming or beginning this epoch."""
    if listing.stripped(stem):
        raise FlagExists(
            f"{pipeline}: raw data of {stem} were stripped, so it is not to be processed"
        )
    blockers = ["aborted", "failed", names.done(stem), names.aborted(stem), names.failed(stem)]
    if listing.stripped_by_hand:  # ours says nothing about cells that have come since
        blockers.append("stripped")
    for name in blockers:
        if listing.has(name):
            raise FlagExists(f"{pipeline / name}: there, so {stem} is not to be processed")
    for attempt in listing.epochs(stem):
        if attempt.number > epoch:
            raise FlagExists(
                f"{pipeline}: {stem}: attempt {attempt.number} has been claimed, so {epoch} is over"
            )
        if attempt.number == epoch and (attempt.decider_yielded or attempt.worker_yielded):
            raise FlagExists(f"{pipeline}: {stem}: attempt {epoch} was given up")


def _refuse_beside_a_worker(
    listing: FlagListing, pipeline: Path, stem: str, epoch: int, judge: Judge
) -> None:
    for attempt in listing.epochs(stem):
        if attempt.may_work:
            liveness, evidence = judge(attempt.worker)
            if attempt.number == epoch or liveness is not Liveness.DEAD:
                raise FlagExists(
                    f"{pipeline}: {stem}: attempt {attempt.number} has a worker: {evidence}"
                )


def _refuse_without_claim(listing: FlagListing, pipeline: Path, stem: str, epoch: int) -> None:
    name = names.started(stem, epoch)
    if not listing.has(name):
        raise FlagExists(f"{pipeline / name}: not there; a person has withdrawn this attempt")


def _step_back_if_possible(pipeline: Path, stem: str, owner: Owner, *, why: str) -> None:
    try:
        release_claim(pipeline, stem, owner, why=why)
    except (HesiodError, OSError) as error:
        # What is raised already says more; without this flag the claim ends with the process.
        logger.warning("could not step back", extra=fields(cell=stem, epoch=owner.epoch, why=error))
