"""Write outputs: each from its sources, fsynced, under a temporary suffix; in this process or in several.

The caller decides what an output is and when it gets its final name. If anything fails, nothing that was written here
is left, and the first error is raised as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hesiod_watch.errors import PermanentError
from hesiod_watch.fastq.append import write_output
from hesiod_watch.fastq.files import sync_directory
from hesiod_watch.fastq.model import Output, Settings, Tally, Written
from hesiod_watch.fastq.pool import write_in_processes

OnProgress = Callable[[Tally], None]


def write_outputs(
    outputs: Sequence[Output],
    directory: Path,
    settings: Settings,
    *,
    on_progress: OnProgress | None = None,
    suffix: str = ".part",
) -> list[Written]:
    """Write each output to `directory/(name + suffix)` and make files and directory durable; results in the same order.

    A file that is already there under such a name is replaced. With `settings.processes` above 1, processes of our own
    each take the largest output that is left; they end when this process does. `on_progress` is called often, with
    totals over all outputs. Raises `BadSource`, `TemporaryError` or `PermanentError`, each naming the file.
    """
    for output in outputs:
        if output.name in {"", ".", ".."} or "/" in output.name or "\0" in output.name:
            raise PermanentError(f"{output.name!r} cannot be the name of an output file")
    totals = _Totals(on_progress)
    try:
        if settings.processes > 1 and len(outputs) > 1:
            written = write_in_processes(outputs, directory, settings, totals.add, suffix)
        else:
            written = [write_output(output, directory, settings, totals.add, suffix) for output in outputs]
        sync_directory(directory)
    except BaseException:
        for output in outputs:
            (directory / (output.name + suffix)).unlink(missing_ok=True)
        raise
    return written


class _Totals:
    """Adds up what was done, and tells."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._bytes = self._reads = self._bases = 0

    def add(self, more_bytes: int, reads: int, bases: int) -> None:
        self._bytes += more_bytes
        self._reads += reads
        self._bases += bases
        if self._on_progress is not None:
            self._on_progress(Tally(self._bytes, self._reads, self._bases, "compressing"))
