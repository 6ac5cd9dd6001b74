"""Write outputs in one call, for tests that keep no state between two calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hesiod_watch.fastq import checkpoint, durable, journal
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Settings, Tally, Written


def write_outputs(
    outputs: Sequence[Output],
    directory: Path,
    settings: Settings,
    *,
    on_progress: Callable[[Tally], None] | None = None,
) -> list[Written]:
    """Write each output to `directory`, durable and read back; results in the same order.

    Raises the errors of `Ingest.finish`.
    """
    with Ingest.open(directory, settings, owner={}, check_all=False) as ingest:
        written = ingest.finish(outputs, on_progress)
    for name in (journal.NAME, checkpoint.NAME):
        durable.remove(directory / name)
    return written
