"""All outputs of an ingest directory: the journal, the files on disk, and their figures.

Every change that shortens or removes an output is journalled before it is made. Appended bytes are
journalled once they are durable. So after a crash an output may be longer than the journal says,
never shorter, and the next opening cuts it. If an output is shorter or different after all (a disk
that lost confirmed data, or a person), it is cut back to the last valid piece. Figures (statistics
and MD5) are not in the journal. They come from the checkpoint, and for later pieces from the
outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq import (
    bgzf,
    checkpoint,
    durable,
    journal_state,
    md5,
    packed_statistics,
    readback,
)
from hesiod_watch.fastq.append import has_blocks
from hesiod_watch.fastq.journal import Fact, Journal
from hesiod_watch.fastq.journal_state import JournalEntry, JournalState
from hesiod_watch.fastq.md5 import Md5
from hesiod_watch.fastq.model import Output, Settings, SourceIdentity
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.fastq.tasks import OutputGrowth

RESERVED = frozenset({"journal.jsonl", "journal.jsonl.new", "checkpoint.bin", "checkpoint.bin.new"})
"""File names in the directory that an output must not have."""

_NOTHING = packed_statistics.pack(ReadStatistics())


@dataclass(slots=True)
class OutputFigures:
    """Statistics and digest of the pieces of one output."""

    packed: bytes = _NOTHING
    fresh: ReadStatistics = field(default_factory=ReadStatistics)  # not in `packed` yet
    md5: bytes | None = field(default_factory=lambda: md5.EMPTY)

    def fold(self) -> bytes:
        """All statistics, packed."""
        if self.fresh.reads or self.fresh.bam.records:
            self.packed = packed_statistics.add(self.packed, self.fresh)
            self.fresh = ReadStatistics()
        return self.packed

    def statistics(self) -> ReadStatistics:
        found = packed_statistics.unpack(self.packed)
        found.merge(self.fresh)
        return found


class OutputSet:
    """The state of one directory, open for writing.

    Its methods journal every change, and raise the errors of `Journal.append`.
    """

    def __init__(
        self, directory: Path, settings: Settings, owner: Mapping[str, object], check_all: bool
    ) -> None:
        """Open the directory and repair the traces of a crash.

        `check_all`: read every piece, not only those of the last batch.
        """
        self.directory = directory
        self.notes: list[str] = []
        self._state = JournalState()
        self._figures: dict[int, OutputFigures] = {}
        self._saved = False  # nothing has changed since the last checkpoint
        durable.make_directory(directory)
        known = _CheckpointFigures(checkpoint.load(directory), self._state)
        session = journal_state.session(owner, settings)
        self._journal = Journal(directory, session, known.take)
        try:
            if not self._journal.made:
                self._begin(session)
            for name in self._state.void:
                durable.remove(self.directory / name)
            for entry in list(self._state.entries.values()):
                self._repair(entry, check_all)
            for entry in list(self._state.entries.values()):
                self._measure(entry, known.figures(entry))
        except BaseException:
            self._journal.close()
            raise

    @property
    def entries(self) -> dict[str, JournalEntry]:
        """Outputs by name."""
        return {entry.name: entry for entry in self._state.entries.values()}

    @property
    def descriptor(self) -> int:
        """File descriptor; it holds the directory's lock in every process that has it open."""
        return self._journal.descriptor

    def figures(self, entry: JournalEntry) -> OutputFigures:
        """Figures of all pieces of the output; measured now if they are not known."""
        if entry.number not in self._figures:
            self._measure(entry, None)
        return self._figures[entry.number]

    def add(self, outputs: Iterable[Output], members: Callable[[Output], bool]) -> None:
        """Record outputs that have no piece yet."""
        first = self._state.next_number
        facts = [
            journal_state.output(first + number, one, members(one))
            for number, one in enumerate(outputs)
        ]
        if facts:
            self._record(facts)
            for fact in facts:
                self._figures[fact["out"]] = OutputFigures()

    def grow(self, grown: Sequence[OutputGrowth]) -> None:
        """Journal appended pieces that are durable and were read back."""
        entries = self.entries
        if any(not one.at for one in grown):
            # The file is new, and its name must be durable, too.
            durable.sync_directory(self.directory)
        before = [self.figures(entries[one.name]) for one in grown]
        try:
            self._record(
                [
                    journal_state.piece(entries[one.name].number, piece)
                    for one in grown
                    for piece in one.pieces
                ]
            )
        except TemporaryError:
            durable.give_back(self.directory, [(one.name, one.at) for one in grown])
            raise
        for one, figures in zip(grown, before, strict=True):
            figures.fresh.merge(one.statistics)
            figures.md5 = one.md5

    def see(self, entry: JournalEntry, again: Mapping[int, SourceIdentity]) -> None:
        """Record how sources of unchanged text were found again, by number of the piece."""
        if again:
            self._record(
                [journal_state.seen(entry.number, number, one) for number, one in again.items()]
            )

    def cut(self, entry: JournalEntry, count: int, why: str) -> None:
        """Keep only the first `count` pieces; the output is not finished any more."""
        dropped = len(entry.pieces) - count
        self._record([journal_state.cut(entry.number, count, why)])
        if dropped:
            # Done before anything else can fail: a checkpoint must not contain figures of pieces
            # that do not count.
            self._figures.pop(entry.number, None)
            verb = "is" if dropped == 1 else "are"
            files = f"{dropped} of {number_of(dropped + count, 'file')} {verb}"
            self.notes.append(f"{entry.name}: {why}; {files} taken again")
        durable.cut(self.directory / entry.name, entry.end)

    def drop(self, entry: JournalEntry, why: str) -> None:
        """Discard an output; it no longer counts."""
        self._record([journal_state.drop(entry.number, why)])
        self._figures.pop(entry.number, None)
        durable.remove(self.directory / entry.name)
        self.notes.append(f"{entry.name}: {why}")

    def end(self, entries: Iterable[JournalEntry]) -> None:
        """Finish outputs: write the end-of-file block if needed, and record their MD5."""
        facts: list[Fact] = []
        for entry in entries:
            path = self.directory / entry.name
            last = self._last_of(entry, path)
            file = durable.OutputFile(path, entry.end)
            try:
                file.write(last)
                file.sync()
            finally:
                file.close()
            if readback.read(path, entry.end, len(last) + 1) != last:
                raise PermanentError(
                    f"{path}: reading back its end gives other bytes than were written"
                )
            facts.append(
                journal_state.end(
                    entry.number, entry.end + len(last), self._digest(entry, path, last)
                )
            )
        if facts:
            durable.sync_directory(self.directory)
            self._record(facts)

    def save(self) -> None:
        """Write the checkpoint, so that the next opening has little to measure.

        On a full disk there is no checkpoint, and the next opening measures more.
        """
        kept = {
            entry.number: checkpoint.OutputCheckpoint(
                len(entry.pieces), figures.fold(), figures.md5
            )
            for entry in self._state.entries.values()
            if (figures := self._figures.get(entry.number))
        }
        if self._saved:
            return
        try:
            checkpoint.save(
                self.directory,
                checkpoint.Checkpoint(self._journal.length, self._journal.crc32, kept),
            )
            self._saved = True
        except TemporaryError as error:
            self.notes.append(f"no checkpoint: {error}")

    def close(self, *, clean: bool) -> None:
        try:
            if clean:
                self._record([journal_state.CLOSE])
        finally:
            self._journal.close()

    def _record(self, facts: Sequence[Fact]) -> None:
        self._journal.append(facts)
        self._saved = False
        for fact in facts:
            self._state(fact)

    def _begin(self, session: Fact) -> None:
        had = bool(self._state.entries)
        self._record([session])
        if had and not self._state.entries:
            self.notes.append("the compression settings have changed; everything is taken again")

    def _repair(self, entry: JournalEntry, check_all: bool) -> None:
        """Make the output match the journal, or shorten the journal's claim."""
        path = self.directory / entry.name
        size = durable.size_of(path) or 0
        count = len(entry.pieces)
        while count and entry.pieces[count - 1].offset + entry.pieces[count - 1].length > size:
            count -= 1
        start = (
            0 if check_all else entry.commit_start if entry.commit == self._state.commit else count
        )
        if start < count:
            count = start + readback.sound(path, entry.pieces[start:count])
        if count < len(entry.pieces):
            self.cut(entry, count, "the output is not as it was written")
        elif entry.ended and (
            size < entry.ended[0] or (check_all and not self._ends_well(entry, path))
        ):
            self.cut(entry, count, "the end of the output is not as it was written")
        else:
            durable.cut(path, entry.ended[0] if entry.ended else entry.end)

    def _measure(self, entry: JournalEntry, known: tuple[int, OutputFigures] | None) -> None:
        """Have figures of all pieces, beginning with `known` ones of the first few."""
        count, figures = known or (0, OutputFigures())
        if rest := entry.pieces[count:]:
            found = readback.measure(self.directory / entry.name, rest, figures.md5, entry.header)
            figures.fresh.merge(found.statistics)
            figures.md5 = found.md5
            if found.pieces < len(rest):
                self.cut(entry, count + found.pieces, "the output is not as it was written")
        self._figures[entry.number] = figures

    def _last_of(self, entry: JournalEntry, path: Path) -> bytes:
        """The bytes after the last piece.

        An output is never empty, because a file of zero bytes is not gzip.
        """
        return b"" if entry.end and entry.members and not has_blocks(path) else bgzf.END_OF_FILE

    def _ends_well(self, entry: JournalEntry, path: Path) -> bool:
        last = self._last_of(entry, path)
        return readback.read(path, entry.end, len(last) + 1).startswith(last)

    def _digest(self, entry: JournalEntry, path: Path, last: bytes) -> str:
        state = self._figures[entry.number].md5
        if state is not None:
            digest = Md5(state)
            digest.update(last)
            return digest.hexdigest()
        return readback.md5_of(path)


class _CheckpointFigures:
    """Figures of a checkpoint that are still valid, determined while the journal is read."""

    def __init__(self, found: checkpoint.Checkpoint | None, record: JournalState) -> None:
        self._checkpoint = found
        self._state = record
        # For each output: the number of its pieces that the checkpoint covers.
        self._pieces: dict[int, int] = {}

    def take(self, fact: Fact, length: int, crc32: int) -> None:
        self._state(fact)
        if self._checkpoint is None:
            return
        if fact["k"] == "cut" and fact["out"] in self._pieces:
            self._pieces[fact["out"]] = min(self._pieces[fact["out"]], fact["pieces"])
        if (length, crc32) == (self._checkpoint.length, self._checkpoint.crc32):
            self._pieces = {
                number: len(entry.pieces) for number, entry in self._state.entries.items()
            }

    def figures(self, entry: JournalEntry) -> tuple[int, OutputFigures] | None:
        """Number of pieces that the checkpoint covers, and their figures; None if not usable."""
        if self._checkpoint is None or entry.number not in self._pieces:
            return None
        kept = self._checkpoint.outputs.get(entry.number)
        count = min(self._pieces[entry.number], len(entry.pieces))
        if kept is None or kept.pieces != count:
            return None
        state = kept.md5 if md5.EMPTY is not None else None
        return count, OutputFigures(kept.statistics, md5=state)
