"""Write outputs in one call, for tests that keep no state between two calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from open_runs import opened

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
    places = [source.path.parent for output in outputs for source in output.sources]
    cell = opened(Path(os.path.commonpath(places or [directory])))
    with Ingest.open(directory, cell, settings, owner={}, check_all=False) as ingest:
        written = ingest.finish(outputs, on_progress)
    for name in (journal.NAME, checkpoint.NAME):
        durable.remove(directory / name)
    return written
