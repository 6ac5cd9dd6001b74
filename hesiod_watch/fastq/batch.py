"""Perform one task: append sources to outputs, make them durable, read them back.

The journal relies on this order:

1. Everything is written.
2. Every output is fdatasynced.
3. Everything is read back from the disk and compared.

If the work ends early, the sources already appended whole are still made durable and count. So each
new attempt makes progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from hesiod_watch.bam.append import BamAppender
from hesiod_watch.core.errors import BadSource, HesiodError, TemporaryError
from hesiod_watch.fastq import durable
from hesiod_watch.fastq.append import FastqAppender, OnUnit, OutputAppender
from hesiod_watch.fastq.formats import is_bam
from hesiod_watch.fastq.tasks import AppendTask, OutputGrowth, OutputPart, TaskResult


def perform(task: AppendTask, on_unit: OnUnit, stop: Callable[[], bool]) -> TaskResult:
    """Do as much of the task as its limits allow; `stop` is called between sources.

    `error` of the result is the reason for an early end, if the pieces before it are still valid.
    A bad source ends nothing but its output, or with `skip_bad` not even that. Raises any other
    error. Then no piece counts, and outputs may be longer than recorded.
    """
    appenders: list[tuple[OutputPart, OutputAppender]] = []
    bad: list[tuple[str, BadSource]] = []
    try:
        with ExitStack() as opened:
            error = _grow(task, appenders, bad, opened, on_unit, stop)
            whole = [(part, appender) for part, appender in appenders if appender.pieces]
            for _, appender in whole:
                appender.sync()
            for _, appender in whole:
                appender.confirm()
    except TemporaryError:
        durable.give_back(task.directory, [(part.name, part.at) for part in task.parts])
        raise
    durable.give_back(
        task.directory,
        [(part.name, part.at) for part, appender in appenders if not appender.pieces],
    )
    grown = [
        OutputGrowth(part.name, part.at, tuple(appender.pieces), appender.statistics, appender.md5)
        for part, appender in whole
    ]
    return TaskResult(task.parts, tuple(grown), error, tuple(bad))


def _grow(
    task: AppendTask,
    appenders: list[tuple[OutputPart, OutputAppender]],
    bad: list[tuple[str, BadSource]],
    opened: ExitStack,
    on_unit: OnUnit,
    stop: Callable[[], bool],
) -> HesiodError | None:
    """Append the sources; return the error that ended this early, or None if a limit did."""
    deadline = time.monotonic() + task.limits.seconds
    for part in task.parts:
        appender: OutputAppender | None = None
        for source in part.sources:
            if appenders and (stop() or time.monotonic() > deadline):
                return None
            if appender is None:
                kind = BamAppender if is_bam(part.name) else FastqAppender
                appender = kind(part, task.directory / part.name, task.level)
                opened.callback(appender.close)
                appenders.append((part, appender))
            try:
                appender.append(source, task.cell, on_unit)
            except TemporaryError as error:
                appender.rewind()
                return error
            except BadSource as error:
                appender.rewind()
                bad.append((part.name, error))
                if not task.skip_bad:
                    break
    return None
