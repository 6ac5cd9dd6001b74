"""Make the outputs of one cell grow while its sources land, so that little is left to do when the
last one is there.

`Ingest` takes sources in batches. Of each batch everything is written and fdatasynced, then read
back from the disk, inflated and compared with the text that was read from the sources, and only
then recorded in the journal, by one write and one fdatasync. So what is journalled is durable and
was verified. After a kill or a power cut at most the batch under way is done again, and at the end
nothing has to be read again: `finish` takes no longer where the cell is larger.

What is proven when:

- a piece is journalled: its source was whole FASTQ (or gzip of it) and did not change while it was
  read; the disk holds bytes with the CRC-32 of those that were written; they inflate to a text of
  the length and CRC-32 of the source's, so to the same reads; for BGZF every block is what it
  claims;
- `open`: the outputs are at least as long as journalled, and the last batch (`check_all`:
  everything) has its CRC-32;
- `finish`: the sources are, now, by name, size and mtime, those that were journalled, each once and
  in order; a source whose change time or inode is another was read again and has the text that was
  journalled; the reads and bases of the pieces are those of the statistics; the end is written,
  durable and read back; the MD5 is of all bytes as they were written.

An output is always the beginning of what one run over its sources would write: the text byte for
byte, and nearly always the compressed bytes (`bgzf` says why not always). So a source that belongs
before one already taken, or is not what it was, cuts the output back to there (`notes` says so),
and what follows is taken again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from hesiod_watch.core.errors import BadSource, HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq import readback
from hesiod_watch.fastq.append import keeps_members
from hesiod_watch.fastq.backlog import SourceBacklog
from hesiod_watch.fastq.journal import last_session
from hesiod_watch.fastq.journal_state import JournalEntry
from hesiod_watch.fastq.model import Output, Settings, Source, Tally, Written
from hesiod_watch.fastq.output_set import RESERVED, OutputSet
from hesiod_watch.fastq.pool import InlineWorkers, WorkerPool, Workers
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.fastq.tasks import AppendTask, OutputPart, TaskLimits, TaskResult

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
"""Between checkpoints while there is work; what came after the last one is measured again after a
crash.
"""

BYTES_PER_WORKER = 8 << 20
"""Of source data: a process of its own for less is not worth its start."""

OnProgress = Callable[[Tally], None]


def _never() -> bool:
    return False


class Ingest:
    """The outputs of one cell, growing in `directory`: sources are appended in rounds, whatever is
    killed when.

    A context manager. After a `TemporaryError` (a full disk) or `BadSource` the same object may be
    used again; after any other error it must be opened anew. One process at a time: the journal is
    locked where locks exist.
    """

    def __init__(self, holdings: OutputSet, settings: Settings, limits: TaskLimits) -> None:
        self._holdings = holdings
        self._settings = settings
        self._limits = limits
        self._usable = True
        self._closed = False
        self._saved = time.monotonic()

    @classmethod
    def open(
        cls,
        directory: Path,
        settings: Settings,
        *,
        owner: Mapping[str, object],
        check_all: bool,
        limits: TaskLimits = TaskLimits(),  # noqa: B008  it is frozen
    ) -> Ingest:
        """Go on in `directory`, or make it (not its parent) and begin.

        What a crash has left behind the journal is cut off. Pieces that are not as they were
        written, of the last batch or with `check_all` of all, are given up with what follows them,
        and taken again by the next `take`. `owner` can be any record that JSON can hold;
        `last_owner` gives it back. With another level or `recompress` than before everything begins
        afresh. Raises `PermanentError` where the journal is damaged, `TemporaryError` where another
        process is writing or the disk is full.
        """
        return cls(OutputSet(directory, settings, owner, check_all), settings, limits)

    @staticmethod
    def last_owner(directory: Path) -> tuple[Mapping[str, object] | None, bool]:
        """The record of the last session, and whether it was closed; (None, True) where there is no
        journal.
        """
        return last_session(directory)

    @property
    def groups(self) -> list[tuple[str | None, str, ReadStatistics]]:
        """Barcode, part and statistics of each output that has a source, as journalled. Made anew
        at each call.
        """
        return [
            (entry.barcode, entry.part, self._holdings.figures(entry).statistics())
            for entry in self._holdings.entries.values()
            if entry.pieces
        ]

    @property
    def reads(self) -> int:
        return sum(entry.reads for entry in self._holdings.entries.values())

    @property
    def bases(self) -> int:
        return sum(entry.bases for entry in self._holdings.entries.values())

    @property
    def sources(self) -> int:
        """How many are journalled."""
        return sum(len(entry.pieces) for entry in self._holdings.entries.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of this session: what was given up and taken again, and why."""
        return tuple(self._holdings.notes)

    def take(
        self,
        outputs: Sequence[Output],
        *,
        on_progress: OnProgress | None = None,
        stop: Callable[[], bool] = _never,
    ) -> int:
        """Append the sources that are not journalled yet; how many were taken.

        Each output lists all its sources known and finished by now, in their final order. An output
        that is not listed at all is dropped. `on_progress` is called often, with totals of all that
        is journalled or under way. `stop` is asked between sources; what is whole by then still
        counts. Up to `settings.processes` outputs are written to at once, fewer where there is
        little to do. Raises `BadSource`, `TemporaryError` or `PermanentError`; what was journalled
        before stays.
        """
        _require_names(outputs)
        with self._guarded():
            self._align(outputs, stop)
            taken = self._append(outputs, on_progress, stop)
            self._holdings.save()
        return taken

    def finish(
        self,
        outputs: Sequence[Output],
        on_progress: OnProgress | None = None,
        stop: Callable[[], bool] = _never,
    ) -> list[Written]:
        """`take` what is left, end every output and make it durable; results in the order of
        `outputs`.

        May be called again, also after a crash. Raises `TemporaryError` where a source is not (any
        more) what was listed, or `stop` said so; and as `take`.
        """
        self.take(outputs, on_progress=on_progress, stop=stop)
        with self._guarded():
            entries = self._holdings.entries
            statistics = [self._checked(output, entries[output.name]) for output in outputs]
            self._holdings.end(
                entries[output.name] for output in outputs if not entries[output.name].ended
            )
            self._holdings.save()
            return [
                self._written(output, entries[output.name], figures)
                for output, figures in zip(outputs, statistics, strict=True)
            ]

    def close(self) -> None:
        """End the session, cleanly where nothing forbids it. May be called in any state, and again."""
        if self._closed:
            return
        clean, self._closed, self._usable = self._usable, True, False
        try:
            if clean:
                self._holdings.save()
            self._holdings.close(clean=clean)
        except HesiodError as error:
            # What is journalled is safe. Whoever comes next finds a session that was not ended.
            logger.warning(
                "session not ended",
                extra={"directory": str(self._holdings.directory), "why": str(error)},
            )

    def __enter__(self) -> Ingest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Not to be used again after an error that leaves open what is on the disk."""
        if not self._usable:
            raise PermanentError(
                f"{self._holdings.directory}: to be opened anew after the error before"
            )
        try:
            yield
        except (TemporaryError, BadSource):
            raise
        except BaseException:
            self._usable = False
            raise

    def _align(self, outputs: Sequence[Output], stop: Callable[[], bool]) -> None:
        """Give up what the listed sources contradict, so that every output is the beginning of what
        it will be.
        """
        listed = {output.name: output for output in outputs}
        for name, entry in self._holdings.entries.items():
            output = listed.get(name)
            if output is None:
                self._holdings.drop(entry, "has no sources any more; dropped")
            elif (entry.barcode, entry.part) != (output.barcode, output.part):
                self._holdings.drop(
                    entry, "is of another barcode or part than it was; everything is taken again"
                )
            elif entry.members != keeps_members(output, self._settings):
                self._holdings.drop(
                    entry, "gzipped and plain sources are mixed otherwise now; all are taken again"
                )
            else:
                count, why = self._reread(entry, output, *_common(entry, output), stop)
                if why or (entry.ended and count < len(output.sources)):
                    self._holdings.cut(entry, count, why or "more sources came")
        known = self._holdings.entries
        self._holdings.add(
            [output for output in outputs if output.name not in known],
            lambda output: keeps_members(output, self._settings),
        )

    def _reread(
        self, entry: JournalEntry, output: Output, count: int, why: str, stop: Callable[[], bool]
    ) -> tuple[int, str]:
        """Of the first `count` pieces, read those sources again that may be other files: how many
        pieces are right.

        A copy that keeps size and modification time changes only the hints. So do chmod and a hard
        link, after which nothing has to be taken again. After `stop` the rest is left to the next
        time.
        """
        hints: dict[int, tuple[int, int]] = {}
        for number, (piece, source) in enumerate(
            zip(entry.pieces[:count], output.sources, strict=False)
        ):
            if piece.may_differ(source):
                if stop():
                    break
                found = readback.reread(source, piece)
                if found is None:
                    count, why = number, f"{piece.source} has changed since it was taken"
                    break
                hints[number] = found
        self._holdings.see(entry, hints)
        return count, why

    def _append(
        self, outputs: Sequence[Output], on_progress: OnProgress | None, stop: Callable[[], bool]
    ) -> int:
        entries = self._holdings.entries
        taken = {name: len(entry.pieces) for name, entry in entries.items()}
        backlog = SourceBacklog(outputs, taken, self._limits, self._settings.processes)
        before = self.sources
        totals = _Totals(list(entries.values()), on_progress)
        error: Exception | None = None
        with self._crew(backlog, stop) as crew:
            while True:
                stopping = error is not None or stop()
                while crew.idle and not stopping and (batch := backlog.next_batch()):
                    crew.give(self._task(batch, entries))
                if not crew.busy:
                    break
                if stopping:
                    crew.stop()
                done = crew.collect(totals.add)
                self._commit(done, backlog)
                error = error or next((one.error for one in done if one.error), None)
        if error is not None:
            raise error
        return self.sources - before

    def _crew(self, backlog: SourceBacklog, stop: Callable[[], bool]) -> Workers:
        count = min(self._settings.processes, len(backlog), -(-backlog.bytes // BYTES_PER_WORKER))
        return WorkerPool(count, self._holdings.descriptor) if count > 1 else InlineWorkers(stop)

    def _task(
        self,
        batch: Sequence[tuple[Output, tuple[Source, ...]]],
        entries: Mapping[str, JournalEntry],
    ) -> AppendTask:
        parts = []
        for output, sources in batch:
            entry = entries[output.name]
            parts.append(
                OutputPart(
                    entry.name, entry.members, entry.end, self._holdings.figures(entry).md5, sources
                )
            )
        return AppendTask(
            self._holdings.directory, self._settings.level, tuple(parts), self._limits
        )

    def _commit(self, done: Sequence[TaskResult], backlog: SourceBacklog) -> None:
        grown = [one for task in done for one in task.grown]
        if grown:
            self._holdings.grow(grown)
        counts = {one.name: len(one.pieces) for one in grown}
        for task in done:
            for part in task.parts:
                backlog.end_batch(part.name, counts.get(part.name, 0))
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            self._holdings.save()
            self._saved = time.monotonic()

    def _checked(self, output: Output, entry: JournalEntry) -> ReadStatistics:
        """Of an output whose every source is journalled, once, and is still what it was."""
        if len(entry.pieces) < len(output.sources):
            left = len(output.sources) - len(entry.pieces)
            raise TemporaryError(
                f"{output.name}: stopped with {left} of {number_of(len(output.sources), 'file')} left"
            )
        for piece, source in zip(entry.pieces, output.sources, strict=True):
            now = look(source.path, source.name)
            same = (piece.source, piece.size, piece.mtime_ns) == (now.name, now.size, now.mtime_ns)
            if not same or piece.may_differ(now):
                raise TemporaryError(
                    f"{source.path}: changed after it was taken; to be listed and taken again"
                )
        statistics = self._holdings.figures(entry).statistics()
        if (statistics.reads, statistics.bases) != (entry.reads, entry.bases):
            raise PermanentError(
                f"{output.name}: {number_of(entry.reads, 'read')} and {number_of(entry.bases, 'base')} were taken,"
                f" {statistics.reads} and {statistics.bases} measured"
            )
        return statistics

    def _written(self, output: Output, entry: JournalEntry, statistics: ReadStatistics) -> Written:
        assert entry.ended is not None  # noqa: S101  for the type checker; `finish` has just ended it
        size, md5 = entry.ended
        return Written(
            output=output,
            path=self._holdings.directory / output.name,
            bytes=size,
            md5=md5,
            reads=entry.reads,
            bases=entry.bases,
            statistics=statistics,
            pieces=tuple(entry.pieces),
            notes=tuple(piece.note for piece in entry.pieces if piece.note),
        )


class _Totals:
    """Adds up what is journalled and what is under way, and tells."""

    def __init__(self, entries: Sequence[JournalEntry], on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._bytes = sum(entry.source_bytes for entry in entries)
        self._reads = sum(entry.reads for entry in entries)
        self._bases = sum(entry.bases for entry in entries)

    def add(self, more_bytes: int, reads: int, bases: int) -> None:
        self._bytes += more_bytes
        self._reads += reads
        self._bases += bases
        if self._on_progress is not None:
            self._on_progress(Tally(self._bytes, self._reads, self._bases, "compressing"))


def _common(entry: JournalEntry, output: Output) -> tuple[int, str]:
    """How many pieces are still right, from the first, and why not all."""
    for number, piece in enumerate(entry.pieces):
        source = output.sources[number] if number < len(output.sources) else None
        if source is not None and (source.name, source.size, source.mtime_ns) == (
            piece.source,
            piece.size,
            piece.mtime_ns,
        ):
            continue
        if source is not None and source.name == piece.source:
            return number, f"{piece.source} has changed since it was taken"
        if source is not None and any(
            later.name == piece.source for later in output.sources[number:]
        ):
            return (
                number,
                f"{source.name} belongs before {piece.source}, which was taken before it came",
            )
        return number, f"{piece.source} was taken and is not there any more"
    return len(entry.pieces), ""


def _require_names(outputs: Sequence[Output]) -> None:
    """Raises PermanentError for names that are no names of files, or not different ones."""
    names = set()
    for output in outputs:
        if output.name in {"", ".", ".."} | RESERVED or "/" in output.name or "\0" in output.name:
            raise PermanentError(f"{output.name!r} cannot be the name of an output file")
        if output.name in names:
            raise PermanentError(f"{output.name!r} would be the name of two outputs")
        names.add(output.name)
        if len({source.name for source in output.sources}) < len(output.sources):
            raise PermanentError(f"{output.name}: two of its sources have the same name")
