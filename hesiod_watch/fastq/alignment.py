"""Compare the pieces that outputs already have with the sources that are listed now.

What contradicts the sources is given up, so that every output is the beginning of its final form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hesiod_watch.fastq import readback
from hesiod_watch.fastq.append import keeps_members
from hesiod_watch.fastq.journal_state import JournalEntry
from hesiod_watch.fastq.model import Output, Settings, SourceIdentity
from hesiod_watch.fastq.output_set import OutputSet
from hesiod_watch.host.files import OpenDirectory


def align(
    output_set: OutputSet,
    outputs: Sequence[Output],
    cell: OpenDirectory,
    settings: Settings,
    stop: Callable[[], bool],
) -> None:
    """Give up pieces that contradict the listed sources of a cell; add outputs that are new.

    After `stop` the next call checks the rest.
    """
    listed = {output.name: output for output in outputs}
    for name, entry in output_set.entries.items():
        output = listed.get(name)
        if output is None:
            output_set.drop(entry, "no longer has sources; dropped")
        elif (entry.barcode, entry.part) != (output.barcode, output.part):
            output_set.drop(
                entry, "now belongs to another barcode or part; everything is taken again"
            )
        elif entry.members != keeps_members(output, settings):
            output_set.drop(
                entry, "the mix of gzipped and plain sources has changed; all are taken again"
            )
        else:
            count, why = _reread(output_set, cell, entry, output, stop)
            if why or (entry.ended and count < len(output.sources)):
                output_set.cut(entry, count, why or "more sources arrived")
    known = output_set.entries
    output_set.add(
        [output for output in outputs if output.name not in known],
        lambda output: keeps_members(output, settings),
    )


def _reread(
    output_set: OutputSet,
    cell: OpenDirectory,
    entry: JournalEntry,
    output: Output,
    stop: Callable[[], bool],
) -> tuple[int, str]:
    """Count the valid pieces, from the first, and say why not all are; read replaced sources again.

    A copy that keeps size and modification time changes only the hints. So do chmod and a hard
    link, after which nothing has to be appended again.
    """
    count, why = _common(entry, output)
    again: dict[int, SourceIdentity] = {}
    for number, (piece, source) in enumerate(
        zip(entry.pieces[:count], output.sources, strict=False)
    ):
        if source.may_differ(piece.entry):
            if stop():
                break
            found = readback.reread(source, cell, piece)
            if found is None:
                count, why = number, f"{piece.source} has changed since it was taken"
                break
            again[number] = found
    output_set.see(entry, again)
    return count, why


def _common(entry: JournalEntry, output: Output) -> tuple[int, str]:
    """Number of pieces that are still valid, from the first, and why not all."""
    for number, piece in enumerate(entry.pieces):
        source = output.sources[number] if number < len(output.sources) else None
        if source is not None and source.looks_like(piece.entry):
            continue
        if source is not None and source.name == piece.source:
            return number, f"{piece.source} has changed since it was taken"
        if source is not None and any(
            later.name == piece.source for later in output.sources[number:]
        ):
            return (
                number,
                f"{source.name} belongs before {piece.source}, which was already taken",
            )
        return number, f"{piece.source} was taken and is now missing"
    return len(entry.pieces), ""
