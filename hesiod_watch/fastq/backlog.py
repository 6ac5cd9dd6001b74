"""Sources still to append, and the choice of the next batch. Pure code.

An output belongs to at most one batch at a time. One process takes outputs in their order. Several
processes take the outputs with most data left first. Their batches become smaller towards the end,
so that all processes end at about the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.fastq.model import Output
from hesiod_watch.fastq.tasks import TaskLimits

SMALLEST_SHARE = 4 << 20
"""Bytes of source data below which dividing work costs more than it gains."""


@dataclass(slots=True)
class _Waiting:
    output: Output
    taken: int  # sources already appended
    left: int  # bytes of source data still to append
    busy: bool = False


class SourceBacklog:
    """Sources still to append: all after the first `taken` of each output (by its name)."""

    def __init__(
        self,
        outputs: Iterable[Output],
        taken: Mapping[str, int],
        limits: TaskLimits,
        processes: int,
    ) -> None:
        self._limits = limits
        self._processes = processes
        self._waiting: dict[str, _Waiting] = {}
        for output in outputs:
            number = taken.get(output.name, 0)
            if left := output.sources[number:]:
                self._waiting[output.name] = _Waiting(
                    output, number, sum(source.size for source in left)
                )

    def __len__(self) -> int:
        """Number of outputs that still have sources to append."""
        return len(self._waiting)

    @property
    def bytes(self) -> int:
        return sum(waiting.left for waiting in self._waiting.values())

    def next_batch(self) -> list[tuple[Output, tuple[FileEntry, ...]]]:
        """Some outputs that are in no batch, each with its next sources; may be empty."""
        share = self._limits.bytes
        order = list(self._waiting.values())
        if self._processes > 1:
            share = min(share, max(SMALLEST_SHARE, self.bytes // (4 * self._processes)))
            order.sort(key=lambda waiting: -waiting.left)
        batch: list[tuple[Output, tuple[FileEntry, ...]]] = []
        files = size = 0
        for waiting in order:
            if waiting.busy:
                continue
            sources: list[FileEntry] = []
            for source in waiting.output.sources[waiting.taken :]:
                if files and (files >= self._limits.files or size + source.size > share):
                    break
                sources.append(source)
                files += 1
                size += source.size
            if not sources:
                break
            waiting.busy = True
            batch.append((waiting.output, tuple(sources)))
        return batch

    def drop(self, name: str) -> None:
        """Leave out the remaining sources of an output."""
        self._waiting.pop(name, None)

    def end_batch(self, name: str, count: int) -> None:
        """Record the end of the batch with this output; `count` sources were dealt with."""
        waiting = self._waiting[name]
        waiting.busy = False
        taken = waiting.output.sources[waiting.taken : waiting.taken + count]
        waiting.taken += count
        waiting.left -= sum(source.size for source in taken)
        if waiting.taken == len(waiting.output.sources):
            del self._waiting[name]
