"""hook: run the facility's own command for a processed cell, `on_done` in the configuration.

The command runs once for each `.done`: when it has succeeded, a later attempt does nothing. If this
process, the command or the host is killed in the middle, the next attempt runs the command again,
from its beginning. So a command must expect what an earlier attempt has left. Processes that an
earlier attempt has left are ended first.

No shell. The command gets the path of the cell's manifest, and works in `/`, in its own session,
with the priority of the worker. It is ended, with all its processes, at its time limit, when a
person stops its run or cell, and when this attempt is withdrawn (`hesiod-watch retry`). Its output
is written to the run's log.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.actions.attempt import OpenAttempt, attempt_at
from hesiod_watch.core.action_kinds import HOOK
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Flag
from hesiod_watch.core.records import record_in
from hesiod_watch.core.results import DoneRecord, HookRecord
from hesiod_watch.core.text import number_of
from hesiod_watch.host.command import CommandResult, end_marked, run
from hesiod_watch.host.files import directory
from hesiod_watch.host.process import user_name
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.backup.manifests import MANIFEST
from hesiod_watch.rules.hook_schedule import failing, is_about
from hesiod_watch.rules.worker_exit import exit_words
from hesiod_watch.runs import flags

VARIABLE = "HESIOD_WATCH_ATTEMPT"
"""In the environment of the command: the attempt that it belongs to."""
OURS = ("NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM", "INVOCATION_ID")
"""Variables that are for the service and its workers, and not for a command."""
OUR_PREFIXES = ("WATCHDOG_", "LISTEN_", "OPENBLAS_NUM_", "OMP_NUM_", "MKL_NUM_")
LOOK_EVERY = 2.0
"""Seconds between two looks at the flags that stop the command."""
LINES = 20_000
"""Lines of output that are logged; the others are only counted."""
LONGEST_LINE = 1000


def perform(job: Job) -> Outcome:
    """Run the command in an attempt, unless it has succeeded for the present `.done`.

    A command that a person stopped is recorded as failed. Raises FlagExists if another attempt is
    under way or has succeeded, TemporaryError or PermanentError if the command failed.
    """
    name = display(f"{job.run_dir.name} {job.the_cell}")
    if not job.config.on_done.command:
        raise PermanentError(f"{name}: no command is run: the configuration has no on_done.command")
    done = _done_flag(flags.read_flags(job.pipeline), job)
    if done is None:
        raise PermanentError(f"{name}: no command is run: the cell is not processed")
    record = HookRecord(DoneRecord.of(done).key, failing=_failing(job))
    with attempt_at(
        job,
        flags.hook(job.the_cell.stem),
        HookRecord,
        lambda before: record,
        log=job.log(),
        unneeded=partial(_has_succeeded, job),
    ) as attempt:
        _run_command(job, attempt)
    return "done"


def _failing(job: Job) -> str:
    """Why attempts before this one failed so that a person is needed; else ""."""
    cell = job.look().cell(job.the_cell)
    return failing(cell) if cell else ""


def _done_flag(listing: flags.FlagListing, job: Job) -> Flag | None:
    return listing.cell(job.the_cell.stem, job.judge).done


def _has_succeeded(job: Job, listing: flags.FlagListing) -> bool:
    name = f"{flags.hook(job.the_cell.stem)}.done"
    done = _done_flag(listing, job)
    return listing.has(name) and is_about(record_in(listing.text(name)), done)


def _run_command(job: Job, attempt: OpenAttempt[HookRecord]) -> None:
    cell, log = job.the_cell, job.log()
    manifest = job.cell_output / MANIFEST
    if not manifest.is_file():
        raise PermanentError(f"no command is run: {display(str(manifest))} is missing")
    former = attempt.former
    if former and former.outcome != "done" and former.owner:
        left = end_marked(VARIABLE, former.owner.token)
        if left:
            processes = number_of(left, "process", "processes")
            log.line(f"hook {cell}: ended {processes} of the attempt before")
    words = job.config.on_done.words(str(manifest))
    log.command(words)
    lines, end = _LoggedLines(log, f"hook {cell}: "), _Stop(job)
    with directory("/") as root:
        ended = run(
            words,
            quiet=2 * job.config.on_done.time_limit,  # it may be silent
            directory=root,
            on_output=lines.take,
            stop=end.is_due,
            foreign=_environment(job),
        )
    lines.close()
    attempt.result = replace(attempt.result, code=ended.code)
    if problem := end.reason or _problem(ended):
        last = f"; its last line: {lines.last}" if lines.last else ""
        sentence = f"{display(words[0])} {problem}{last}"
        log.line(f"hook {cell}: {sentence}")
        if end.by_person:  # no failure of this action that is to be reported
            attempt.failed, attempt.needs_person, attempt.reason = True, False, sentence
            return
        if end.timed_out or ended.code in (126, 127):
            raise PermanentError(sentence)
        raise TemporaryError(sentence)
    attempt.result = replace(attempt.result, failing="")
    attempt.reason = f"{display(words[0])} succeeded"


def _problem(ended: CommandResult) -> str:
    """How the command failed; "" if it succeeded."""
    if ended.code == 127 and ended.errors:
        user = user_name()
        return f"could not be started: it is missing, or the user {user} may not execute it"
    if ended.code == 126 and ended.errors:
        return f"could not be started: {ended.errors}"
    return exit_words(ended.code) if ended.code else ""


def _environment(job: Job) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in OURS and not name.startswith(OUR_PREFIXES)
    }
    return kept | {VARIABLE: job.owner.token}


class _Stop:
    """Reason to end the command: its time limit, or the flags of its cell."""

    def __init__(self, job: Job) -> None:
        self.reason = ""
        self.timed_out = False
        self.by_person = False
        self._job = job
        self._work = flags.hook(job.the_cell.stem)
        self._end = time.monotonic() + job.config.on_done.time_limit
        self._next_look = time.monotonic() + LOOK_EVERY

    def is_due(self) -> bool:
        now = time.monotonic()
        if now >= self._end:
            self.timed_out = True
            limit = number_of(self._job.config.on_done.time_limit, "second", form="g")
            self.reason = f"was ended: it ran for longer than on_done.time_limit, {limit}"
        elif now >= self._next_look:
            self._next_look = now + LOOK_EVERY
            self.reason = self._flagged()
            self.by_person = bool(self.reason)
        return bool(self.reason)

    def _flagged(self) -> str:
        """Why the flags end the command; "" also if they cannot be read now."""
        try:
            listing = flags.read_flags(self._job.pipeline)
        except (OSError, HesiodError):
            return ""
        started = f"{self._work}.started"
        owner = listing.owner(started)
        if not listing.has(started) or (owner and owner.token != self._job.owner.token):
            return "was ended: a person withdrew this attempt"
        stop = listing.stop_flag(HOOK, self._job.the_cell.stem)
        return f"was ended: stopped by the flag {stop}" if stop else ""


class _LoggedLines:
    """Output of the command, written line by line to the run's log."""

    def __init__(self, log: RunLog, prefix: str) -> None:
        self.last = ""  # the last line with a word, for display
        self._log = log
        self._prefix = prefix
        self._rest = b""
        self._count = 0

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            self._write(line)
        if len(self._rest) > LONGEST_LINE:  # a line without an end must not fill the memory
            self._write(self._rest)
            self._rest = b""

    def close(self) -> None:
        """Write what came without a line feed, and how many lines are not in the log."""
        if self._rest:
            self._write(self._rest)
        if (more := self._count - LINES) > 0:
            self._log.line(f"{self._prefix}{number_of(more, 'more line')} of output")

    def _write(self, line: bytes) -> None:
        self._count += 1
        text = line[:LONGEST_LINE].decode("utf-8", "replace").rstrip()
        self.last = display(text)[:LONGEST_LINE] or self.last
        if self._count <= LINES:
            self._log.line(f"{self._prefix}{text}")
