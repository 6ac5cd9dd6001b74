"""The text of each message: what has happened, the numbers that matter, and where to look.

The functions are pure and read a snapshot. Text from disk or from a person appears with its control
and bidirectional characters spelled out. Nothing is HTML. The first sentence alone says what
happened, because a phone shows only that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

from hesiod_watch.core.attention import Attention
from hesiod_watch.core.events import Event
from hesiod_watch.core.model import Cell, Snapshot, Stage
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Flag
from hesiod_watch.core.results import DoneRecord
from hesiod_watch.core.text import number_of, quoted
from hesiod_watch.rules.attention_events import ATTENTION, ATTENTION_ENDED
from hesiod_watch.rules.cell_attention import overdue_attention
from hesiod_watch.rules.checksum_findings import finding_of, other_damage
from hesiod_watch.rules.events import CELL_OVERDUE, CELL_OVERDUE_ENDED
from hesiod_watch.rules.overdue import continues, resolved_words
from hesiod_watch.rules.qc_judgement import qc_verdict
from hesiod_watch.rules.run_types import UNKNOWN
from hesiod_watch.rules.stages import by_hand, no_reads, stage_of, unverified, why_stage

RUN = "{run}"
"""Placeholder for the run's name in a pattern of addresses."""
_CHECKED = "processed, checked and reported"
MOST_CELLS = 60
"""Most cells that one message lists."""


def subject(snapshot: Snapshot) -> str:
    """Subject of the run's ticket: fixed for the run's name and different for every other run."""
    return f"Run {display(snapshot.run)}"


def report_address(snapshot: Snapshot, pattern: str) -> str:
    """Address of the run's page: `pattern` with the run's name; without a pattern, the file."""
    if pattern:
        return pattern.replace(RUN, quote(snapshot.run, safe=""))
    return display(str(snapshot.output / "report.html")) if snapshot.output else ""


def compose(event: Event, snapshot: Snapshot, run_type: str, pattern: str) -> str:
    """Text of the message about an event of this snapshot."""
    writer = _WRITERS.get(event.name, _plain)
    cell = snapshot.cell(event.cell) if event.cell else None
    paragraphs = [part for part in writer(event, snapshot, cell) if part]
    if event.name in _WITH_ADDRESS and (address := report_address(snapshot, pattern)):
        paragraphs.append(f"Report: {address}")
    if event.name == "run-new" and run_type != UNKNOWN:
        paragraphs.append(f"Type: {display(run_type)}")
    return "\n\n".join(paragraphs)


# Writers yield the paragraphs about an event. The cell is None for events of the run, and if it has
# been removed since.

_Writer = Callable[[Event, Snapshot, Cell | None], Iterator[str]]


def _run_new(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    where = (
        "the sequencer writes it into the landing area"
        if snapshot.upstream == "LOCAL"
        else snapshot.upstream or ""
    )
    yield f"A new run: {display(snapshot.run)}."
    yield f"It comes from: {display(where)}\nIt is in: {display(str(snapshot.path))}"
    if snapshot.cells:
        yield _listed(
            "Cells so far:",
            [f"{display(str(each.id))}: {stage_of(each)}" for each in snapshot.cells],
        )


def _cell_overdue(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    if cell is None:
        yield f"{_named(event)} is overdue: its data are not complete."
        return
    overdue = overdue_attention(snapshot, cell)
    yield f"{_named(event)} is {display(overdue.sentence)}."
    yield _listed("What you can do:", [display(str(step)) for step in overdue.steps])
    yield continues(cell)


def _cell_overdue_ended(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    reason = f": {display(resolved_words(cell))}" if cell else ""
    yield f"{_named(event)} is not overdue any more{reason}"


def attention_text(each: Attention) -> str:
    """Text of the message that something begins to need a person."""
    steps = _listed("What you can do:", [display(str(step)) for step in each.steps])
    more = f"How it is now: {each.explain}" if each.run else ""
    return "\n\n".join(filter(None, (f"{each.subject}: {each.sentence}.", steps, more)))


def attention_ended_text(begun_text: str) -> str:
    """Text of the message that something does not need a person any more."""
    first = begun_text.partition("\n")[0]
    return f"This is over: {first}" if first else "Something that was reported is over."


def _attention(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    if event.attention:
        yield attention_text(event.attention)
    else:
        yield from _plain(event, snapshot, cell)


def _attention_ended(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    yield attention_ended_text(event.begun_text)


def _cell_ready(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    wrong = finding_of(cell).said if cell else ""
    if cell and by_hand(cell):
        yield f"{_named(event)} was {display(by_hand(cell))}."
    elif cell and _unproven(cell):
        why = f"but its data are not complete: {_unproven(cell)}"
        yield f"{_named(event)} has been sequenced, {why}."
    elif not wrong and cell and (but := unverified(cell)):
        yield f"{_named(event)} has been sequenced. All files announced are here; {display(but)}."
    elif not wrong:
        yield f"{_named(event)} has been sequenced, and all its data are here."
    if wrong:
        yield f"{_named(event)} has been sequenced. {display(wrong)}"


def _all_cells_run(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    cells = [each for each in snapshot.cells if stage_of(each) is not Stage.ABORTED]
    number = "The one cell" if len(cells) == 1 else f"All {len(cells)} cells"
    have = "has" if len(cells) == 1 else "have"
    unproven = any(_unproven(each) for each in cells)
    wrong = any(finding_of(each).said for each in cells)
    how = "ended, but not all data are proven to be here" if unproven else "been sequenced"
    but = ", but MinKNOW's checksums show damaged or missing files" if wrong else ""
    all_verified = not any(map(unverified, cells))
    here = "all data are here" if all_verified else "all files announced are here"
    fine = "" if unproven or wrong else f", and {here}"
    yield f"{number} of the run {display(snapshot.run)} {have} {how}{but}{fine}."
    cells.sort(key=lambda each: not _unproven(each))
    yield _listed("", [f"{display(str(each.id))}: {stage_of(each)}{_but(each)}" for each in cells])


def _cell_done(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    accepted = f" It was {display(by_hand(cell))}." if cell and by_hand(cell) else ""
    accepted += f" {display(unverified(cell))}." if cell and unverified(cell) else ""
    if cell and (removed := _number(cell, "removed_files")):
        files = number_of(removed, "file")
        accepted += f" The reads of {files} that were damaged or removed are not in its numbers."
    if cell and (wrong := finding_of(cell).said):
        damaged = "but some of its files are damaged or missing"
        yield f"{_named(event)} is processed and reported, {damaged}.{accepted}"
        yield _damaged(event, wrong)
    else:
        without = no_reads(cell) if cell else ""
        how = f"processed and reported, {display(without)}" if without else _CHECKED
        yield f"{_named(event)} is {how}.{accepted}"
        if cell and (compared := DoneRecord.of(cell.flags.done).compared):
            yield f"{display(compared)}."
    if cell and (verdict := qc_verdict(cell)):
        yield f"Verdict by the limits of this site: {display(verdict)}."
    if cell and (numbers := _numbers(cell)):
        yield numbers


def _cell_failed(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    yield f"{_named(event)} needs a person: {_why(cell.flags.failed if cell else None)}"
    yield (
        "After fixing the cause:\n"
        f"    hesiod-watch retry {quoted(snapshot.run)} {quoted(str(event.cell))} --why TEXT\n"
        "hesiod-watch has not changed its data; other cells are processed as usual."
    )


def _cell_aborted(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    why = _why(cell.flags.aborted if cell else None)
    yield f"{_named(event)} is disregarded from now on: {why}"


def _run_complete(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    done = [each for each in snapshot.cells if stage_of(each) is Stage.PROCESSED]
    cells = number_of(len(done), "cell")
    aborted = len(snapshot.cells) - len(done)
    empty = sum(bool(no_reads(cell)) for cell in done)
    also = f", {empty} of them without reads" if empty else ""
    also += f", {aborted} aborted" if aborted else ""
    accepted = " Not all its data are proven to be here." if any(map(_unproven, done)) else ""
    wrong = sum(bool(finding_of(each).said) for each in done)
    but = (
        f"; MinKNOW's checksums show damaged or missing files in {number_of(wrong, 'cell')}"
        if wrong
        else ""
    )
    yield f"The run {display(snapshot.run)} is complete: {cells} processed{also}{but}.{accepted}"
    done.sort(key=lambda each: not _unproven(each))
    yield _listed(
        "",
        [
            f"{display(str(each.id))}: {_in_short(each)}{_but(each)}{_wrong(each)}{_graded(each)}"
            for each in done
        ],
    )
    reads, bases = (sum(_number(each, name) for each in done) for name in ("reads", "bases"))
    if reads:
        yield f"Together: {number_of(reads, 'read', form=',')}, {_bases(bases)}."


def _sync_failed(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    why = snapshot.sync.why if snapshot.sync else ""
    reason = display(why) or "no reason was given"
    yield f"Copying the run {display(snapshot.run)} needs a person: {reason}"
    yield "hesiod-watch retries it automatically; the output of the copying is in sync.log."


def _run_failed(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    text = snapshot.flag_texts.get("failed", "")
    why = _why(Flag("failed", 0.0, text=text))
    yield f"The run {display(snapshot.run)} is flagged as failed: {why}"
    flag = f"{display(str(snapshot.path))}/pipeline/failed"
    yield f"Nothing is started in it until that flag is removed: {flag}"


def _backup_failed(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    failing = [each for each in snapshot.cells if each.backup and each.backup.outcome == "failed"]
    yield f"Copying cells of the run {display(snapshot.run)} to a backup has failed several times."
    lines = [
        f"{display(str(each.id))}: {display(each.backup.why)}" for each in failing if each.backup
    ]
    yield _listed("Not copied so far:", lines)
    yield (
        "hesiod-watch retries it automatically."
        " Nothing of these cells is deleted anywhere until their copies are proven."
    )


def _verification_failed(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    yield f"{_named(event)}: a copy was read again and is damaged."
    yield _listed("", [display(each) for each in (other_damage(cell) if cell else ())])
    yield "Only a person repairs it, and nothing of this cell is deleted anywhere."


def _checksums_failed(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    yield f"{_named(event)}: files are damaged or missing, although the cell is processed."
    yield _damaged(event, finding_of(cell).said if cell else "")


def _damaged(event: Event, wrong: str) -> str:
    return (
        f"{display(wrong)}\n"
        "Nothing of this cell is deleted anywhere while this is so."
        " Copy the named files again from the sequencer."
        " docs/backup.md says how to renew the copies. After fixing the cause:\n"
        f"    hesiod-watch verify {quoted(event.run)} {quoted(str(event.cell))} --backup"
    ).lstrip("\n")


def _wrong(cell: Cell) -> str:
    wrong = finding_of(cell).said
    return f"; {display(wrong)}" if wrong else ""


def _graded(cell: Cell) -> str:
    return f"; {display(verdict)}" if (verdict := qc_verdict(cell)) else ""


def _cell_deletable(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    yield (
        f"{_named(event)} is marked on its upstream as safe to delete:"
        " two copies of every file are proven."
    )
    yield "Only a person who runs hesiod-clean-upstream there deletes it."


def _plain(event: Event, snapshot: Snapshot, cell: Cell | None) -> Iterator[str]:
    what = _named(event) if event.cell else f"The run {display(snapshot.run)}"
    why = f": {display(why_stage(cell))}" if cell else ""
    yield f"{what}: {event.name.replace('-', ' ')}{why}"


_WRITERS: dict[str, _Writer] = {
    "run-new": _run_new,
    CELL_OVERDUE: _cell_overdue,
    CELL_OVERDUE_ENDED: _cell_overdue_ended,
    ATTENTION: _attention,
    ATTENTION_ENDED: _attention_ended,
    "cell-ready": _cell_ready,
    "all-cells-run": _all_cells_run,
    "cell-done": _cell_done,
    "cell-failed": _cell_failed,
    "cell-aborted": _cell_aborted,
    "run-complete": _run_complete,
    "sync-failed": _sync_failed,
    "run-failed": _run_failed,
    "backup-failed": _backup_failed,
    "verification-failed": _verification_failed,
    "checksums-failed": _checksums_failed,
    "cell-deletable": _cell_deletable,
}
_WITH_ADDRESS = frozenset({"cell-done", "run-complete"})


# Parts of texts.


def _named(event: Event) -> str:
    return f"Cell {display(str(event.cell))} of the run {display(event.run)}"


def _why(flag: Flag | None) -> str:
    return display(flag.why) if flag and flag.why else "no reason was given"


def _unproven(cell: Cell) -> str:
    """Why a cell counted as complete is not proven complete; "" if it is, or if unknown."""
    found = cell.completeness
    return display(found.why) if found and not found.proven else ""


def _but(cell: Cell) -> str:
    words = _unproven(cell) or display(unverified(cell))
    return f"; {words}" if words else ""


def _listed(title: str, lines: Sequence[str]) -> str:
    shown = [f"  {line}" for line in lines[:MOST_CELLS]]
    if len(lines) > MOST_CELLS:
        shown.append(f"  … and {len(lines) - MOST_CELLS} more")
    return "\n".join([title, *shown] if title else shown)


def _numbers(cell: Cell) -> str:
    """Table of a cell's reads; "" if its flag was made by hand."""
    reads, bases = _number(cell, "reads"), _number(cell, "bases")
    if "reads" not in cell.results or no_reads(cell):
        return ""
    passed, passed_bases = _number(cell, "passed_reads"), _number(cell, "passed_bases")
    share = f" ({passed / reads:.1%} of the reads)" if reads else ""
    lines = [
        f"Reads:   {reads:,}; passed {passed:,}{share}, failed {reads - passed:,}",
        f"Bases:   {_bases(bases)}; passed {_bases(passed_bases)},"
        f" failed {_bases(bases - passed_bases)}",
        f"N50:     {_bases(_number(cell, 'n50'))}",
        f"Mean Q:  {_quality(cell)}",
    ]
    if duplex := _number(cell, "duplex_part_reads"):
        words = number_of(duplex, "read", form=",")
        amount = _bases(_number(cell, "duplex_part_bases"))
        lines.append(f"Duplex:  {words}, {amount}; not in the numbers above")
    if bam := _number(cell, "bam_reads"):
        counts = (
            f"{word} {_number(cell, key):,} ({_number(cell, key) / bam:.1%})"
            for word, key in (
                ("aligned", "aligned_reads"),
                ("duplex", "duplex_reads"),
                ("with modified bases", "modified_reads"),
            )
        )
        lines.append(f"BAM:     {number_of(bam, 'read', form=',')}; {', '.join(counts)}")
    return "\n".join(lines)


def _in_short(cell: Cell) -> str:
    if "reads" not in cell.results:
        return "processed"
    if without := no_reads(cell, "no reads"):
        return display(without)
    return (
        f"{number_of(_number(cell, 'reads'), 'read', form=',')}, {_bases(_number(cell, 'bases'))}, "
        f"N50 {_bases(_number(cell, 'n50'))}, mean Q {_quality(cell)}"
    )


def _number(cell: Cell, name: str) -> int:
    value = cell.results.get(name)
    return value if isinstance(value, int) else 0


def _quality(cell: Cell) -> str:
    value = cell.results.get("mean_q")
    return f"{value:.1f}" if isinstance(value, int | float) else "unknown"


def _bases(bases: int) -> str:
    for size, unit in ((10**9, "Gb"), (10**6, "Mb"), (10**3, "kb")):
        if bases >= size:
            return f"{bases / size:.2f} {unit}"
    return f"{bases} b"
