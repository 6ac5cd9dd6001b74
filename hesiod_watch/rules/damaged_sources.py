"""Steps for a person after a cell has failed because of damaged source files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hesiod_watch.core.model import LOCAL, Cell, Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.core.results import DamageRecord
from hesiod_watch.core.text import number_of, quoted

REMOVED = "removed"
"""Directory in a cell's results for damaged files that a person takes out of the cell."""
SHOWN = 20
"""Number of files that one sentence names."""


def damaged_sources(cell: Cell) -> DamageRecord:
    """Return the damaged sources that a cell's flag `failed` names; empty for other cells."""
    return DamageRecord.of(cell.flags.failed)


def steps(snapshot: Snapshot, cell: Cell) -> Iterator[str]:
    """Yield how to have the damaged files copied again, and how to continue without them."""
    found = damaged_sources(cell)
    if not found.damaged:
        return
    landing = f"{snapshot.path}/{cell.id}"
    retry = f"hesiod-watch retry {quoted(snapshot.run)} {quoted(str(cell.id))} --why …"
    named = ", ".join(display(name) for name in found.damaged[:SHOWN])
    more = (found.damaged_files or len(found.damaged)) - len(found.damaged[:SHOWN])
    if more > 0:
        page = f"{snapshot.output}/{cell.id}/qc.json"
        named += f" and {number_of(more, 'more file')} (all are named in {page})"
    if snapshot.upstream in (LOCAL, None):
        yield (
            f"copy the damaged files again from the sequencer into {landing}: {named}; then {retry}"
        )
    else:
        yield (
            f"have the damaged files copied again from {snapshot.upstream}/{cell.id}: {named}; "
            f"{retry}: the next sync compares every file with those there, and copies what differs"
        )
    accept = _commands_without(snapshot, cell, found.damaged) if more <= 0 else ""
    if not accept:
        accept = f"move the named files out of {landing}, then {_accept(snapshot, cell)}"
    accept += f" && {retry}"
    yield f"last: if the files are lost, continue without their reads: {accept}"


def _commands_without(snapshot: Snapshot, cell: Cell, names: Sequence[str]) -> str:
    """Return commands that set files aside and accept the cell; "" if a name cannot be typed."""
    if snapshot.output is None or any(display(name) != name for name in names):
        return ""
    aside = quoted(f"{snapshot.output}/{cell.id}/{REMOVED}")
    landing = quoted(f"{snapshot.path}/{cell.id}")
    files = " ".join(map(quoted, names))
    move = f"mkdir -p {aside} && (cd {landing} && cp -a --parents -t {aside} -- {files}"
    return f"{move} && rm -- {files}) && {_accept(snapshot, cell)}"


def _accept(snapshot: Snapshot, cell: Cell) -> str:
    """Return commands that replace the program's `synced` by one of a person.

    The cell is flagged failed meanwhile, so no sync copies the files again.
    """
    flag = quoted(f"{snapshot.path}/pipeline/{cell.id.stem}.synced")
    return f"rm -f {flag} && hesiod-touch-atomic {flag}"
