"""Stage of a cell and status of a run, derived from a snapshot for people and Hesiod's scripts.

No code of hesiod-watch branches on a status; `plan` examines the facts itself. A ready cell is
processed whatever the status of its run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from hesiod_watch.core.cell_contents import Completeness
from hesiod_watch.core.model import Cell, CellId, Snapshot, Stage, Status
from hesiod_watch.core.naming import parse_cell
from hesiod_watch.core.ownership import Liveness
from hesiod_watch.core.records import why_in
from hesiod_watch.core.results import BackupRecord, DoneRecord
from hesiod_watch.core.text import number_of
from hesiod_watch.rules.checksum_findings import finding_of, other_damage
from hesiod_watch.rules.completeness import unverified_words
from hesiod_watch.rules.late_data import late_words
from hesiod_watch.rules.qc_judgement import qc_verdict
from hesiod_watch.rules.settling import settling_words

FINISHED = frozenset({Stage.PROCESSED, Stage.ABORTED})
SETTLED = FINISHED | {Stage.FAILED}
"""Stages in which a cell stays unless a person decides."""

ACCEPTABLE = frozenset({Stage.READY, Stage.PROCESSING, Stage.PROCESSED, Stage.FAILED})
"""Stages of cells that count as complete, by their files or by a person's decision."""


def stage_of(cell: Cell) -> Stage:
    """Return the stage of a cell: the first one that applies, in the order of the code.

    For a cell without data here, only `.aborted` and `.done` count. All its other flags describe
    data that no longer exist here.
    """
    flags = cell.flags
    if flags.aborted:
        return Stage.ABORTED
    if flags.done:
        return Stage.PROCESSED
    if not cell.present:
        return Stage.NEW if cell.upstream else Stage.INCOMPLETE
    if flags.failed:
        return Stage.FAILED
    if flags.claims:
        return Stage.PROCESSING
    if flags.synced:
        return Stage.READY
    return Stage.PENDING if cell.upstream else Stage.INCOMPLETE


def at(snapshot: Snapshot, *stages: Stage) -> list[Cell]:
    """Return the cells of a run that are at one of these stages."""
    return [cell for cell in snapshot.cells if stage_of(cell) in stages]


def sync_under_way(snapshot: Snapshot) -> bool:
    """Whether the run's flags show a sync that began and has not ended."""
    flags = snapshot.flags
    return "sync.started" in flags and not flags & {"sync.done", "sync.failed"}


def by_hand(cell: Cell) -> str:
    """Return what is wrong with a cell that was accepted as complete by a person; else ""."""
    return cell.completeness.by_hand if cell.completeness and stage_of(cell) in ACCEPTABLE else ""


def unverified(cell: Cell) -> str:
    """Return which files of a cell are not verified; "" if none, or if a person accepted it."""
    if by_hand(cell):
        return ""
    found = cell.completeness.unverified if cell.completeness else cell.unverified
    return unverified_words(found)


def copy_words(cell: Cell) -> str:
    """Return why a cell of an upstream is not copied: it is a second copy; else ""."""
    return f"not copied: a second copy of a cell: {cell.copy_of}" if cell.copy_of else ""


def why_stage(cell: Cell) -> str:
    """Return one sentence about why a cell is at its stage."""
    return copy_words(cell) or _WHY_STAGE[stage_of(cell)](cell)


def status_of(snapshot: Snapshot) -> tuple[Status, str]:
    """Return the status of a run and the reason: the first matching line of docs/flags.md."""
    status, why = _status_of(snapshot)
    return status, "; ".join((why, *_accepted_cells(snapshot)))


def _status_of(snapshot: Snapshot) -> tuple[Status, str]:
    flags = snapshot.flags
    if snapshot.historic:
        return Status.HISTORIC, f"not taken up: {snapshot.historic}"
    if not snapshot.has_pipeline:
        return Status.NEW, _why_new(snapshot)
    if snapshot.problem:
        return Status.UNKNOWN, snapshot.problem
    for word in (Status.ABORTED, Status.STRIPPED):
        if word in flags:
            return word, _run_flag_reason(snapshot, word, _RUN_FLAGS[word])
    if snapshot.upstream is None:
        return (
            Status.UNKNOWN,
            "pipeline/upstream is missing, so the run's upstream is unknown; nothing is done to it",
        )
    if Status.FAILED in flags:
        reason = _run_flag_reason(snapshot, Status.FAILED, "the whole run needs a person")
        return Status.FAILED, reason
    syncing = sync_under_way(snapshot)
    if snapshot.cells and len(at(snapshot, *FINISHED)) == len(snapshot.cells):
        if syncing:
            return Status.SYNCING, "every cell known here is finished, and a sync is under way"
        ends = [stage for stage in (Stage.PROCESSED, Stage.ABORTED) if at(snapshot, stage)]
        return Status.COMPLETE, ", ".join(f"{_count(snapshot, stage)} {stage}" for stage in ends)
    if snapshot.output is None:
        return Status.UNKNOWN, snapshot.output_problem or "the output directory is missing"
    return _status_of_work(snapshot, syncing=syncing)


def _status_of_work(snapshot: Snapshot, *, syncing: bool) -> tuple[Status, str]:
    sync_needed = at(snapshot, Stage.PENDING, Stage.NEW)
    if processing := at(snapshot, Stage.PROCESSING):
        why = _cells(processing, "being processed")
        if syncing:
            return Status.PROCESSING_SYNCING, f"{why}; a sync is under way"
        if sync_needed:
            return Status.PROCESSING_SYNC_NEEDED, f"{why}; {_cells(sync_needed, 'to be fetched')}"
        return Status.PROCESSING, why
    if ready := at(snapshot, Stage.READY):
        unproven = any(by_hand(cell) or unverified(cell) for cell in ready)
        return Status.CELL_READY, _cells(ready, "ready" if unproven else "here and complete")
    if syncing:
        return Status.SYNCING, "a sync is under way"
    if sync_needed:
        if copies := [cell for cell in sync_needed if cell.copy_of]:
            more = len(sync_needed) - len(copies)
            others = f"; {number_of(more, 'more cell')} to be fetched" if more else ""
            return Status.SYNC_NEEDED, f"{copies[0].id}: {copy_words(copies[0])}{others}"
        return Status.SYNC_NEEDED, _cells(sync_needed, "to be fetched")
    if failed := at(snapshot, Stage.FAILED):
        return Status.FAILED, f"{_cells(failed, 'failed')}: {why_stage(failed[0])}"
    if incomplete := at(snapshot, Stage.INCOMPLETE):
        return Status.INCOMPLETE, f"{incomplete[0].id}: {why_stage(incomplete[0])}"
    return Status.UNKNOWN, "no cell has been seen in this run"


def digest_of_report(snapshot: Snapshot) -> str:
    """Return the digest of a report's content: which cells there are, and how each is settled.

    A report with another digest is out of date. Cells that exist only upstream do not count: the
    process that writes the page does not query upstreams.
    """
    lines = []
    for cell in snapshot.cells:
        stage = stage_of(cell)
        if not cell.present and stage not in SETTLED:
            continue
        flag = cell.flags.done or cell.flags.failed or cell.flags.aborted
        made = f" {flag.mtime:.6f}" if flag and stage in SETTLED else ""
        # The page of a running cell shows the reads ingested so far.
        so_far = f" {cell.results.get('reads')}" if stage not in SETTLED else ""
        accepted = f" {by_hand(cell)}" if by_hand(cell) else ""
        # A later reading may find damage, or find the damage repaired.
        wrong = (
            f" {names}" if stage is Stage.PROCESSED and (names := finding_of(cell).names) else ""
        )
        if stage is Stage.PROCESSED and (damage := other_damage(cell)):
            wrong += f" {digest_of(damage)}"
        if stage is Stage.PROCESSED and (copies := copy_problem(cell) or backup_words(cell)):
            wrong += f" {copies}"
        late = f" {late_words(cell)}" if late_words(cell) else ""
        late += f" {unverified(cell)}" if stage in SETTLED and unverified(cell) else ""
        shown = stage if stage in SETTLED else "open"
        lines.append(f"{cell.id} {shown}{made}{so_far}{accepted}{wrong}{late}")
    return digest_of(lines)


def digest_of(lines: Iterable[str]) -> str:
    """Return a digest of lines in any order, as pages and flags record it."""
    text = "\n".join(sorted(lines)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def settled(snapshot: Snapshot) -> bool:
    """Whether every cell of the run is settled, so that only new data or a person change it."""
    return bool(snapshot.cells) and len(at(snapshot, *SETTLED)) == len(snapshot.cells)


def is_finished(snapshot: Snapshot) -> bool:
    """Whether no cell of the run waits for data or work: all are settled, or the run is over."""
    if snapshot.historic:
        return True
    over = not snapshot.flags.isdisjoint({"aborted", "stripped"})
    return snapshot.has_pipeline and not snapshot.problem and (over or settled(snapshot))


def is_at_rest(snapshot: Snapshot) -> bool:
    """Whether a finished run has no attempt that has not ended, and no undelivered message."""
    attempts, outbox = [snapshot.sync, snapshot.backup], snapshot.outbox
    for cell in snapshot.cells:
        attempts += [cell.backup, cell.verification, cell.hook]
        attempts += [cell.deletable, cell.strip, cell.checksums]
    if outbox:
        attempts.append(outbox.last_attempt)
        if outbox.problem or any(map(outbox.waiting_for, outbox.channels)):
            return False
    return is_finished(snapshot) and all(last is None or last.outcome for last in attempts)


def find_cell(snapshot: Snapshot, text: str) -> CellId | None:
    """Find a cell by `library/cell` or by the cell's directory name alone."""
    for cell in snapshot.cells:
        if text in (str(cell.id), cell.id.name):
            return cell.id
    return None


def match_cells(snapshot: Snapshot, text: str) -> list[CellId]:
    """Return the cells that a short form may mean: a flow cell id, a position, or a beginning."""
    part, ids = text.upper(), [cell.id for cell in snapshot.cells]
    names = {cell: name for cell in ids if (name := parse_cell(cell.name))}
    return (
        [cell for cell, name in names.items() if name.flow_cell_id.upper() == part]
        or [cell for cell, name in names.items() if name.position.upper() == part]
        or [cell for cell in ids if cell.name.startswith(text) or str(cell).startswith(text)]
    )


# Sentences.

_RUN_FLAGS = {
    Status.ABORTED: "the run is to be disregarded",
    Status.STRIPPED: "its cell data were removed from the landing area on purpose",
}


def _accepted_cells(snapshot: Snapshot) -> tuple[str, ...]:
    """Return a sentence on accepted cells: the first one in full and the number of the others."""
    found = [(cell, why) for cell in snapshot.cells if (why := by_hand(cell))]
    if not found:
        return ()
    more = f"; {number_of(len(found) - 1, 'more cell')} accepted like this" if found[1:] else ""
    return (f"{found[0][0].id}: {found[0][1]}{more}",)


def _run_flag_reason(snapshot: Snapshot, flag: str, otherwise: str) -> str:
    return why_in(snapshot.flag_texts.get(flag)) or otherwise


def _why_new(snapshot: Snapshot) -> str:
    if snapshot.problem:
        return snapshot.problem
    if snapshot.quarantined and not snapshot.cells:
        return snapshot.quarantined[0].why
    if not snapshot.cells:
        return "no cell has been seen in this directory yet"
    return f"{_count(snapshot, *Stage)} seen, not taken up yet"


def _count(snapshot: Snapshot, *stages: Stage) -> str:
    return number_of(len(at(snapshot, *stages)), "cell")


def _cells(cells: list[Cell], what: str) -> str:
    return f"{cells[0].id} {what}" if len(cells) == 1 else f"{len(cells)} cells {what}"


def _why_processing(cell: Cell) -> str:
    claim = cell.flags.claim
    if claim is None:
        return "no worker holds it; it is retried at the next look"
    sentence = {
        Liveness.ALIVE: "being processed",
        Liveness.DEAD: "its worker died; it is retried",
        Liveness.UNKNOWN: (
            "claimed for processing; this host cannot tell whether the owner is alive"
        ),
    }[claim.liveness]
    attempt = f", attempt {claim.epoch}" if claim.epoch > 1 else ""
    progress = cell.progress
    done = ""
    if claim.liveness is Liveness.ALIVE and progress is not None:
        share = f" {progress.bytes_done / progress.bytes_total:.0%}" if progress.bytes_total else ""
        done = f": {progress.phase}{share}" + (f"; {progress.note}" if progress.note else "")
    evidence = f" ({claim.evidence})" if claim.evidence else ""
    return f"{sentence}{attempt}{done}{evidence}{_acceptance(cell)}"


def _acceptance(cell: Cell) -> str:
    """Return the end of a sentence about a cell accepted as complete by a person; else ""."""
    return f"; {by_hand(cell)}" if by_hand(cell) else ""


def _why_ready(cell: Cell) -> str:
    announced = f"all files announced are here; {unverified(cell)}" if unverified(cell) else ""
    return by_hand(cell) or announced or "its data are here and complete"


def _why_incomplete(cell: Cell) -> str:
    if not cell.present:
        return "recorded in flags, but its directory is not here and no upstream lists it"
    completeness: Completeness | None = cell.completeness
    why = completeness.why if completeness else "still being written"
    return _copying(cell, "; ".join(filter(None, (why, settling_words(cell)))))


def _copying(cell: Cell, otherwise: str, *, before: str = "") -> str:
    progress = cell.progress
    if progress is None or not progress.bytes_total:
        return otherwise
    share = (
        f"{progress.bytes_done / progress.bytes_total:.0%} of {progress.bytes_total / 1e9:.2f} GB"
    )
    return f"{before}{progress.phase}: {share}"


def _removal(cell: Cell) -> str:
    """Return the end of a sentence about a cell whose raw data were removed here; else ""."""
    stripped = cell.strip is not None and cell.strip.outcome == "done"
    return "; its raw data were removed from here" if stripped else ""


def copy_problem(cell: Cell) -> str:
    """Damage to the copies of a processed cell, or the reason why one is missing; else ""."""
    if damage := other_damage(cell):
        more = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
        return f"damaged: {damage[0]}{more}"
    if cell.backup and cell.backup.outcome == "failed":
        return f"not backed up: {cell.backup.why}"
    return ""


def _copies(cell: Cell) -> str:
    """Return the end of a sentence with news about the copies of a processed cell; else ""."""
    backup = cell.backup
    if backup and not backup.outcome and not copy_problem(cell):
        return _copying(
            cell, "; being backed up" if backup.liveness is not Liveness.DEAD else "", before="; "
        )
    words = copy_problem(cell) or backup_words(cell)
    return f"; {words}" if words else ""


def backup_words(cell: Cell) -> str:
    """Return where the copies of a processed cell are, by its last backup; "" without one."""
    backup = cell.backup
    if backup is None or backup.outcome != "done":
        return ""
    how = "copied as it is to" if finding_of(cell).said else "backed up on"
    return f"{how} {', '.join(copy.backup for copy in BackupRecord.of(backup).copies) or '?'}"


def no_reads(cell: Cell, words: str = "without reads") -> str:
    """Return `words` and the cause for a processed cell without reads; "" for any other cell.

    Flags of earlier versions have no cause.
    """
    if not cell.flags.done or cell.results.get("reads") != 0:
        return ""
    cause = DoneRecord.of(cell.flags.done).no_reads
    return f"{words}: {cause}" if cause else words


def _why_processed(cell: Cell) -> str:
    """Return why a cell is processed.

    Damage or loss proven by MinKNOW's checksums comes first; then the cell is not called checked.
    """
    wrong = finding_of(cell).said
    without = f", {no_reads(cell)}" if no_reads(cell) else ""
    processed = (
        f"processed and reported{without}{f', but {wrong}' if wrong else ''}"
        if wrong or without
        else "processed, checked and reported"
    )
    late = f"; {late_words(cell)}" if late_words(cell) else ""
    graded = f"; {qc_verdict(cell)}" if qc_verdict(cell) else ""
    doubt = f"; {unverified(cell)}" if unverified(cell) else ""
    ends = f"{_acceptance(cell)}{doubt}{late}{_removal(cell)}{_copies(cell)}{_hook(cell)}"
    return f"{processed}{graded}{ends}"


def _hook(cell: Cell) -> str:
    """Return the end of a sentence with news about the command of `on_done`; else ""."""
    last = cell.hook
    if last is None or last.outcome == "done":
        return ""
    if last.outcome:
        return f"; on_done failed: {last.why}"
    return "; on_done is running" if last.liveness is not Liveness.DEAD else ""


def _flag_text(cell: Cell, otherwise: str) -> str:
    flag = cell.flags.aborted or cell.flags.failed
    return (flag.why or otherwise) if flag else otherwise


_WHY_STAGE: dict[Stage, Callable[[Cell], str]] = {
    Stage.ABORTED: lambda cell: _flag_text(cell, "a person said to disregard it"),
    Stage.PROCESSED: _why_processed,
    Stage.FAILED: lambda cell: (
        _flag_text(cell, "processing failed and needs a person") + _acceptance(cell)
    ),
    Stage.PROCESSING: _why_processing,
    Stage.READY: _why_ready,
    Stage.PENDING: lambda cell: _copying(
        cell, "partly here; its upstream lists it and no sync has proven it complete"
    ),
    Stage.NEW: lambda cell: "on its upstream only",
    Stage.INCOMPLETE: _why_incomplete,
}
