"""Build the outputs of one cell while its sources arrive; little work is left at the end.

`Ingest` appends sources in batches. Each batch is processed in this order:

1. Everything is written and fdatasynced.
2. It is read back from the disk, inflated and compared with the text read from the sources.
3. It is recorded in the journal, by one write and one fdatasync.

So everything in the journal is durable and was verified. After a kill or a power cut, at most the
current batch is done again. At the end nothing has to be read again: `finish` does not take longer
for a larger cell.

Each step proves something:

- A piece in the journal: its source was whole FASTQ (or gzip of it) and did not change while it was
  read. The bytes on the disk have the CRC-32 of the bytes written. They inflate to a text with the
  length and CRC-32 of the source's text, so to the same reads. For BGZF, every block is as it
  claims.
- `open`: the outputs are at least as long as the journal says, and the last batch (with
  `check_all`: everything) has its CRC-32.
- `finish`: by name, size and mtime, the sources are now those in the journal, each once and in
  order. A source with another change time or inode was read again and has the text in the journal.
  The statistics have the reads and bases of the pieces. The end is written, durable and read back.
  The MD5 covers all bytes as they were written.

An output is always the beginning of the file that a single run over its sources would write. The
text is equal byte for byte, and nearly always the compressed bytes are, too (`bgzf` explains the
exception). Therefore a changed source, or a new source that belongs before one already appended,
cuts the output back to that place. `notes` reports this, and everything after it is appended again.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from hesiod_watch.core.errors import (
    BadSource,
    BadSources,
    HesiodError,
    PermanentError,
    TemporaryError,
)
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq.alignment import align
from hesiod_watch.fastq.backlog import SourceBacklog
from hesiod_watch.fastq.journal import last_session
from hesiod_watch.fastq.journal_state import JournalEntry
from hesiod_watch.fastq.model import Output, Settings, Tally, Written
from hesiod_watch.fastq.output_set import RESERVED, OutputSet
from hesiod_watch.fastq.pool import InlineWorkers, WorkerPool, Workers
from hesiod_watch.fastq.sources import look_again
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.fastq.tasks import AppendTask, OutputPart, TaskLimits, TaskResult
from hesiod_watch.host.files import OpenDirectory

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
"""Seconds between checkpoints during work. After a crash everything later is measured again."""

BYTES_PER_WORKER = 8 << 20
"""Bytes of source data from which starting another worker process pays."""

OnProgress = Callable[[Tally], None]


def _never() -> bool:
    return False


class Ingest:
    """The growing outputs of one cell in `directory`; sources are appended in several calls.

    It is safe to kill any process at any time. It is a context manager. After a `TemporaryError` (a
    full disk) or `BadSource` the same object may be used again; after any other error the directory
    must be opened again. Only one process may work at a time: the journal is locked where locks
    exist.
    """

    def __init__(
        self, output_set: OutputSet, cell: OpenDirectory, settings: Settings, limits: TaskLimits
    ) -> None:
        self._output_set = output_set
        self._cell = cell
        self._settings = settings
        self._limits = limits
        self._usable = True
        self._closed = False
        self._saved = time.monotonic()

    @classmethod
    def open(
        cls,
        directory: Path,
        cell: OpenDirectory,
        settings: Settings,
        *,
        owner: Mapping[str, object],
        check_all: bool,
        limits: TaskLimits = TaskLimits(),  # noqa: B008  it is frozen
    ) -> Ingest:
        """Continue in `directory`, or make it (not its parent) and begin; sources are in `cell`.

        Bytes that a crash left after the journalled ones are cut off. The pieces of the last batch
        are checked, with `check_all` all pieces. If a piece is not as it was written, it and all
        later ones are given up, and the next `take` appends them again. `owner` is any JSON record;
        `last_owner` returns it. With another level or `recompress` than before, everything begins
        again. Raises `PermanentError` if the journal is damaged, `TemporaryError` while another
        process writes or if the disk is full.
        """
        return cls(OutputSet(directory, settings, owner, check_all), cell, settings, limits)

    @staticmethod
    def last_owner(directory: Path) -> tuple[Mapping[str, object] | None, bool]:
        """Owner of the last session and whether it was closed; (None, True) without a journal."""
        return last_session(directory)

    @property
    def groups(self) -> list[tuple[str | None, str, ReadStatistics]]:
        """Barcode, part and statistics of each output that has a source, according to the journal.

        Computed again at each call.
        """
        return [
            (entry.barcode, entry.part, self._output_set.figures(entry).statistics())
            for entry in self._output_set.entries.values()
            if entry.pieces
        ]

    @property
    def directory(self) -> Path:
        """The directory with the growing outputs."""
        return self._output_set.directory

    @property
    def reads(self) -> int:
        return sum(entry.reads for entry in self._output_set.entries.values())

    @property
    def bases(self) -> int:
        return sum(entry.bases for entry in self._output_set.entries.values())

    @property
    def sources(self) -> int:
        """Number of sources in the journal."""
        return sum(len(entry.pieces) for entry in self._output_set.entries.values())

    @property
    def names(self) -> frozenset[str]:
        """Names of the sources in the journal."""
        entries = self._output_set.entries.values()
        return frozenset(piece.source for entry in entries for piece in entry.pieces)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes of this session for people: what was given up and appended again, and why."""
        return tuple(self._output_set.notes)

    def take(
        self,
        outputs: Sequence[Output],
        *,
        on_progress: OnProgress | None = None,
        stop: Callable[[], bool] = _never,
    ) -> int:
        """Append the sources that are not in the journal yet; return their number.

        Each output lists all its known and finished sources, in their final order. An output that
        is not listed is dropped. `on_progress` is called often, with totals of everything
        journalled or in work. `stop` is called between sources; sources already appended whole
        still count. Up to `settings.processes` outputs are written at the same time, fewer if there
        is little to do. Raises `BadSource`, `TemporaryError` or `PermanentError`; the journal keeps
        everything recorded before.

        A bad source ends only its own output; the others are appended before the error is raised.
        """
        return self._take(outputs, on_progress, stop, skip_bad=False)

    def _take(
        self,
        outputs: Sequence[Output],
        on_progress: OnProgress | None,
        stop: Callable[[], bool],
        *,
        skip_bad: bool,
    ) -> int:
        _require_names(outputs)
        with self._guarded():
            align(self._output_set, outputs, self._cell, self._settings, stop)
            before = self.sources
            bad = self._append(outputs, on_progress, stop, skip_bad=skip_bad)
            self._output_set.save()
            if bad:
                raise BadSources(bad, self._cell.path) if len(bad) > 1 else bad[0]
        return self.sources - before

    def finish(
        self,
        outputs: Sequence[Output],
        on_progress: OnProgress | None = None,
        stop: Callable[[], bool] = _never,
    ) -> list[Written]:
        """Append the remaining sources, end every output and make it durable.

        Returns results in the order of `outputs`. May be called again, also after a crash. Raises
        `TemporaryError` if a source is no longer as listed, or `stop` returned True; and the errors
        of `take`. All sources are read first: `BadSource` names every bad one, and the journal has
        every other one. A later call inserts a mended source at its place.
        """
        self._take(outputs, on_progress, stop, skip_bad=True)
        with self._guarded():
            entries = self._output_set.entries
            statistics = [self._checked(output, entries[output.name]) for output in outputs]
            self._output_set.end(
                entries[output.name] for output in outputs if not entries[output.name].ended
            )
            self._output_set.save()
            return [
                self._written(output, entries[output.name], figures)
                for output, figures in zip(outputs, statistics, strict=True)
            ]

    def close(self) -> None:
        """End the session, cleanly if possible. May be called in any state, and again."""
        if self._closed:
            return
        clean, self._closed, self._usable = self._usable, True, False
        try:
            if clean:
                self._output_set.save()
            self._output_set.close(clean=clean)
        except HesiodError as error:
            # Everything in the journal is safe. The next process finds a session without an end.
            logger.warning(
                "session not ended",
                extra={"directory": str(self._output_set.directory), "why": str(error)},
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
        """Refuse further use after an error that leaves the state of the disk unknown."""
        if not self._usable:
            raise PermanentError(
                f"{self._output_set.directory}: must be opened anew after the previous error"
            )
        try:
            yield
        except (TemporaryError, BadSource):
            raise
        except BaseException:
            self._usable = False
            raise

    def _append(
        self,
        outputs: Sequence[Output],
        on_progress: OnProgress | None,
        stop: Callable[[], bool],
        *,
        skip_bad: bool,
    ) -> list[BadSource]:
        """Append the sources that wait; return the errors of the bad ones, in order of paths."""
        entries = self._output_set.entries
        for entry in entries.values():
            self._output_set.figures(entry)  # a piece that proves damaged must be taken again, too
        taken = {name: len(entry.pieces) for name, entry in entries.items()}
        backlog = SourceBacklog(outputs, taken, self._limits, self._settings.processes)
        bad: list[BadSource] = []
        totals = _Totals(list(entries.values()), on_progress)
        error: Exception | None = None
        with self._workers(backlog, stop) as workers:
            while True:
                stopping = error is not None or stop()
                while workers.idle and not stopping and (batch := backlog.next_batch()):
                    workers.give(self._task(batch, entries, skip_bad=skip_bad))
                if not workers.busy:
                    break
                if stopping:
                    workers.stop()
                done = workers.collect(totals.add)
                self._commit(done, backlog)
                for output, one in (refused for task in done for refused in task.bad):
                    bad.append(one)
                    if not skip_bad:
                        backlog.drop(output)
                error = error or next((one.error for one in done if one.error), None)
        if error is not None:
            raise error
        return sorted(bad, key=lambda one: one.path)

    def _workers(self, backlog: SourceBacklog, stop: Callable[[], bool]) -> Workers:
        count = min(self._settings.processes, len(backlog), -(-backlog.bytes // BYTES_PER_WORKER))
        inherited = self._output_set.descriptor, self._cell.descriptor
        return WorkerPool(count, inherited) if count > 1 else InlineWorkers(stop)

    def _task(
        self,
        batch: Sequence[tuple[Output, tuple[FileEntry, ...]]],
        entries: Mapping[str, JournalEntry],
        *,
        skip_bad: bool,
    ) -> AppendTask:
        parts = []
        for output, sources in batch:
            entry = entries[output.name]
            parts.append(
                OutputPart(
                    entry.name,
                    entry.members,
                    entry.end,
                    self._output_set.figures(entry).md5,
                    sources,
                    entry.header,
                )
            )
        return AppendTask(
            *(self._cell, self._output_set.directory, self._settings.level),
            *(tuple(parts), self._limits, skip_bad),
        )

    def _commit(self, done: Sequence[TaskResult], backlog: SourceBacklog) -> None:
        grown = [one for task in done for one in task.grown]
        if grown:
            self._output_set.grow(grown)
        counts = Counter({one.name: len(one.pieces) for one in grown})
        counts.update(name for task in done for name, _ in task.bad)
        for task in done:
            for part in task.parts:
                backlog.end_batch(part.name, counts[part.name])
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            self._output_set.save()
            self._saved = time.monotonic()

    def _checked(self, output: Output, entry: JournalEntry) -> ReadStatistics:
        """Statistics of an output. Requires that every source is journalled, once, unchanged."""
        if len(entry.pieces) < len(output.sources):
            left = len(output.sources) - len(entry.pieces)
            raise TemporaryError(
                f"{output.name}: stopped with {left} of"
                f" {number_of(len(output.sources), 'file')} left"
            )
        for piece, source in zip(entry.pieces, output.sources, strict=True):
            now = look_again(source, self._cell)
            if not now.unchanged_since(piece.entry):
                raise TemporaryError(
                    f"{source.path}: changed after it was taken; it must be listed and taken again"
                )
        statistics = self._output_set.figures(entry).statistics()
        if (statistics.reads, statistics.bases) != (entry.reads, entry.bases):
            raise PermanentError(
                f"{output.name}: {number_of(entry.reads, 'read')} and"
                f" {number_of(entry.bases, 'base')} were taken,"
                f" but {statistics.reads} and {statistics.bases} were measured"
            )
        return statistics

    def _written(self, output: Output, entry: JournalEntry, statistics: ReadStatistics) -> Written:
        assert entry.ended is not None  # noqa: S101  for the type checker; set by `finish`
        size, md5 = entry.ended
        return Written(
            output=output,
            path=self._output_set.directory / output.name,
            bytes=size,
            md5=md5,
            reads=entry.reads,
            bases=entry.bases,
            statistics=statistics,
            pieces=tuple(entry.pieces),
            notes=tuple(piece.note for piece in entry.pieces if piece.note),
        )


class _Totals:
    """Totals of everything journalled or in work; reports them as progress."""

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


def _require_names(outputs: Sequence[Output]) -> None:
    """Raise PermanentError for names that cannot be file names or occur twice."""
    names = set()
    for output in outputs:
        if output.name in {"", ".", ".."} | RESERVED or "/" in output.name or "\0" in output.name:
            raise PermanentError(f"{output.name!r} cannot be the name of an output file")
        if output.name in names:
            raise PermanentError(f"{output.name!r} would be the name of two outputs")
        names.add(output.name)
        if len({source.name for source in output.sources}) < len(output.sources):
            raise PermanentError(f"{output.name}: two of its sources have the same name")
