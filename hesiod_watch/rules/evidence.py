"""Evidence about runs and cells, in sentences for people: flags, owners, counts, copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from hesiod_watch.core.model import Cell, Policy, Snapshot, Stage
from hesiod_watch.core.ownership import Owner
from hesiod_watch.core.results import DoneRecord, StripRecord
from hesiod_watch.core.text import number_of, span_text
from hesiod_watch.core.times import time_at, time_of
from hesiod_watch.rules.backup_schedule import copy_locations
from hesiod_watch.rules.checksum_findings import finding_of, other_damage
from hesiod_watch.rules.delivery import delivery_failures, rests, sentences
from hesiod_watch.rules.overdue import summary_time
from hesiod_watch.rules.run_types import type_of, type_problem
from hesiod_watch.rules.stages import by_hand, stage_of


def owner_words(owner: Owner | None) -> str:
    """Describe the owner of a claim in a few words."""
    if owner is None or not owner.host:
        return "an unknown owner (an empty flag, made by hand or by an older program)"
    who = f"{owner.action or 'a process'} on {owner.host}, process {owner.pid}"
    return f"{who}, Slurm job {owner.slurm_job}" if owner.slurm_job else who


def _amounts(results: Mapping[str, object]) -> Iterator[str]:
    for key, one in (("reads", "read"), ("bases", "base")):
        number = results.get(key)
        yield number_of(number, one) if isinstance(number, int) else f"no number of {key}"


def cell_evidence(cell: Cell, now: datetime) -> Iterator[str]:
    """Yield what flags, counts and workers say about a cell."""
    yield (
        "its directory is in the landing area"
        if cell.present
        else "its directory is not in the landing area"
    )
    flags = cell.flags
    for name, flag in (("done", flags.done), ("failed", flags.failed), ("aborted", flags.aborted)):
        if flag:
            reason = f": {flag.why}" if flag.why else ""
            yield f"flag {name}, {span_text(now.timestamp() - flag.mtime)} old{reason}"
    # The owners of claims on a finished cell do not matter.
    claims = () if flags.done else flags.claims
    if unasked := sum(not claim.asked for claim in claims):
        yield f"{number_of(unasked, 'earlier claim')}, which a later one has ended"
    for claim in filter(lambda claim: claim.asked, claims):
        owner = owner_words(claim.worker or claim.owner)
        released = ", released" if claim.yielded else ""
        evidence = f" ({claim.evidence})" if claim.evidence else ""
        yield f"claim {claim.epoch} by {owner}: {claim.liveness}{released}{evidence}"
    if counted := DoneRecord.of(flags.done).counted:
        yield f"counted: {counted}"
    if compared := DoneRecord.of(flags.done).compared:
        yield f"compared when it was processed: {compared}"
    if flags.synced and (flags.accepted or by_hand(cell)):
        yield "flag synced: accepted as complete by a person"
    elif flags.synced:
        yield "flag synced: its data were recorded as complete"
    if arrived := summary_time(cell):
        yield f"final_summary arrived {span_text((now - arrived).total_seconds())} ago"
    if changed := time_at(cell.changed or 0.0):
        what = "last new file" if cell.has_data else "no data file; its directory changed"
        yield f"{what} {span_text((now - changed).total_seconds())} ago"
    if cell.completeness and not flags.done:
        yield f"counted: {cell.completeness.why}"
        for summary in cell.completeness.summaries:
            yield f"{summary.name}: {summary.problem or 'read in full'}"
    for each in cell.completeness.evidence if cell.completeness else ():
        yield f"seen in its files: {each}"
    arriving = cell.arriving
    if cell.results and stage_of(cell) is Stage.INCOMPLETE:
        yield f"ingested so far: {', '.join(_amounts(cell.results))}"
    if arriving and arriving.last_attempt:
        how = arriving.last_attempt.outcome or f"under way, {arriving.last_attempt.liveness}"
        yield f"last ingest: {how} ({owner_words(arriving.last_attempt.owner)})"
    progress = cell.progress
    if progress:
        share = f" {progress.bytes_done / progress.bytes_total:.0%}" if progress.bytes_total else ""
        age = span_text(now.timestamp() - progress.updated)
        yield f"worker reported {age} ago: {progress.phase}{share} {progress.note}".rstrip()


def copy_evidence(snapshot: Snapshot, cell: Cell, now: datetime) -> Iterator[str]:
    """Yield the copies of a processed cell, when each was last read in full, and problems found."""
    for copy in copy_locations(snapshot, cell):
        read = time_of(copy.verified_at)
        when = (
            f"read in full {span_text((now - read).total_seconds())} ago"
            if read
            else "not read again so far"
        )
        yield f"copy on {copy.where}: {copy.holds} in {copy.location}, {when}"
    if wrong := finding_of(cell).said:
        yield wrong
    for problem in other_damage(cell):
        yield f"damaged: {problem}"
    for work, last in (
        ("marked as safe to delete upstream", cell.deletable),
        ("raw data removed from here", cell.strip),
    ):
        if last and last.outcome:
            yield f"{work}: {'' if last.outcome == 'done' else 'no: '}{last.why}"
    yield from StripRecord.of(cell.strip).kept
    for work, last in (
        ("backup", cell.backup),
        ("verification", cell.verification),
        ("command of on_done", cell.hook),
    ):
        if last and last.outcome != "done":
            how = f"failed: {last.why}" if last.outcome else f"under way, {last.liveness}"
            yield f"last {work}: {how} ({owner_words(last.owner)})"


def message_evidence(snapshot: Snapshot, now: datetime) -> Iterator[str]:
    """Yield how many messages were reported, and why the others are not delivered."""
    outbox = snapshot.outbox
    if outbox is None or not outbox.last:
        return
    ticket = f" in ticket {outbox.ticket}" if outbox.ticket is not None else ""
    yield f"reported{ticket}: {number_of(outbox.last, 'message')}, the last one {outbox.newest}"
    yield from sentences(outbox)
    for name, failure in sorted(delivery_failures(outbox).items()):
        until = time_of(failure.until)
        when = (
            f"in {span_text((until - now).total_seconds())}"
            if until and rests(failure, now)
            else "at the next look"
        )
        attempts = number_of(failure.attempts, "attempt")
        yield f"{name}: {attempts} since {failure.since}; again {when}"


def type_evidence(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Yield the type of a run, and what is wrong with it."""
    kind = type_of(snapshot, policy)
    yield f"type: {kind.name}" + ("" if kind.process else ": runs of this type are not processed")
    if problem := type_problem(snapshot, policy):
        yield problem
