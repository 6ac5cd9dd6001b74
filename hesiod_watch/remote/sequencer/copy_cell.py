"""Copy one cell from its upstream and verify by content that the copy is complete.

One attempt has these steps:

1. Copy everything except the final_summary, and compare every file by content.
2. List the upstream again.
3. Copy the summary only if nothing changed. Its presence in the landing area means that all other
   files are there and are equal.

rsync's exit code proves nothing. It is 0 also for a file that changed while it was sent, and for a
file whose content differs though size and time agree. So both sides are read in full and their MD5
compared. An entry that appeared, disappeared or changed upstream between two listings, by the
inode's change time, requires another attempt.

A cell without a final_summary upstream is still being written. Its finished files are copied,
nothing is compared, and `verified` stays False.

Files that exist only in the landing area are left alone. Links that lead out of the run are not
copied, because they may stand for data. They are reported, and the cell is not verified.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core import naming
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.inventory import (
    CHECKSUMS,
    FILES,
    SLOWEST_READING,
    Inventory,
    InventoryEntry,
    MalformedResponse,
    longest_silence,
    names_given,
    question,
    read_checksums,
    read_files,
    records,
)
from hesiod_watch.core.location import Location, run_in
from hesiod_watch.core.model import CellId
from hesiod_watch.core.text import number_of
from hesiod_watch.host.command import CommandResult, CommandRunner, run
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote import ssh
from hesiod_watch.remote.connection import HostUnreachable, connected
from hesiod_watch.remote.rsync import RsyncProgress, transfer
from hesiod_watch.rules.exit_codes import CommandOutcome, Outcome, judge, judge_query, last_line
from hesiod_watch.runs import cell_files

ATTEMPTS = 3
"""Attempts of one call, before a cell that keeps changing is left for later."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """Outcome of copying a cell."""

    outcome: Outcome
    why: str  # a sentence without its full stop; "" if the outcome is `done`
    # The whole cell with its final_summary is in the landing area and equal to the upstream.
    verified: bool = False
    # MD5 by file name, for a verified cell.
    md5s: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


class _CopyStopped(Exception):
    """Copying a cell stopped early; carries the outcome and the reason."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        super().__init__(why)
        self.judgement = CommandOutcome(outcome, why)


def copy_cell(
    upstream: UpstreamSettings,
    run_location: str,
    cell: CellId,
    landing_run: Path,
    *,
    landing: Path,
    log: Path,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    nice: int = 10,
    settled: float = 60.0,
    runner: CommandRunner = run,
) -> CopyResult:
    """Copy `cell` of the run at `run_location` (the text of `pipeline/upstream`) into
    `landing_run`, below `landing`.

    Safe to repeat at any time: files that are already in the landing area are not sent again. Never
    raises for errors of either side. `on_progress` gets the bytes that are present and the total
    bytes. When `stop` returns True, every started process ends, a partly copied file is kept, and
    the outcome is `again`. `settled`: seconds without a change, after which a file of a cell that
    is still being written is copied.
    """
    copying = _Copying(upstream, cell, RunLog(log), on_progress, stop, nice, settled, runner)
    try:
        place = run_in(upstream.place, run_location)
        if why := naming.library_problem(cell.library) or naming.cell_problem(cell.name):
            raise PermanentError(f"{naming.display(str(cell))} is not copied: {why}")
        copying.relative = landing_run.relative_to(landing)
        with (
            cell_files.opened_run(landing, landing_run) as directory,
            connected(upstream, runner, stop) as control,
        ):
            verified = copying.copy_until_stable(place, directory, control)
    except (PermanentError, ValueError) as error:
        judgement, verified = CommandOutcome("failed", str(error)), False
    except (TemporaryError, OSError, MalformedResponse) as error:
        judgement, verified = CommandOutcome("again", str(error)), False
    except (_CopyStopped, HostUnreachable) as error:
        judgement, verified = error.judgement, False
    else:
        judgement = CommandOutcome("done", "")
    if judgement.why:
        copying.log.line(f"{cell}: {judgement.outcome}: {judgement.why}")
    md5s = dict(copying.md5s) if verified else {}
    return CopyResult(*judgement, verified, md5s)


@dataclass
class _Copying:
    """One call of `copy_cell`."""

    upstream: UpstreamSettings
    cell: CellId
    log: RunLog
    on_progress: Callable[[int, int], None] | None
    stop: Callable[[], bool]
    nice: int
    settled: float
    runner: CommandRunner
    relative: Path = field(default_factory=Path)
    run: Location = field(default_factory=lambda: Location(""))
    directory: int = -1
    control: Path | None = None
    # Identity of each entry, by name, at the time when it was compared.
    proven: dict[str, tuple[object, ...]] = field(default_factory=dict)
    md5s: dict[str, str] = field(default_factory=dict)  # MD5 of each compared file, by name

    def copy_until_stable(self, place: Location, directory: int, control: Path | None) -> bool:
        """Copy until nothing changes upstream; whether the cell is verified.

        Raises _CopyStopped.
        """
        self.run, self.directory, self.control = place, directory, control
        before = self._list_source()
        if specials := sum(entry.kind == "o" for entry in before.entries.values()):
            self.log.line(
                f"{self.cell}: not copied, because they hold no data: "
                f"{number_of(specials, 'special file')}"
            )
        for _ in range(ATTEMPTS):
            summaries = before.summaries
            if not summaries:
                self._copy_missing(before, self._finished_names(before))
                return False
            differing = self._copy_and_compare(
                before, [name for name in before.entries if name not in summaries]
            )
            after = self._list_source()
            if after.same(before) and not differing:
                differing = self._copy_and_compare(before, summaries)
                after = self._list_source()
            if after.same(before):
                if differing:
                    raise _CopyStopped(*self._why_differing(before, differing))
                for name in cell_files.remove_leftovers(directory, self.cell, before.entries):
                    self.log.line(f"{self.cell}: removed {name}, left of a copy that was killed")
                cell_files.make_durable(directory, self.cell, before.entries)
                self.log.line(
                    f"{self.cell}: copied, and equal to {place}: "
                    f"{number_of(len(self.proven), 'file')}"
                )
                return True
            before = after
        raise _CopyStopped("again", f"it changes while it is copied, {ATTEMPTS} times over")

    def _finished_names(self, source: Inventory) -> list[str]:
        """Names of the entries of a growing cell that may be copied.

        A file that still grows would arrive truncated. A file is finished if it did not change for
        `settled` seconds, or if its directory contains a later file. The second rule is only for
        data: files at the top of a cell, such as the sequencing_summary, grow until the end.
        """
        # The upstream reports its time in whole seconds.
        quiet_since = int((source.now + 1 - self.settled) * 1_000_000_000)
        files = [
            name for name, entry in source.entries.items() if entry.kind == "f" and "/" in name
        ]
        newest = {name.rpartition("/")[0]: name for name in sorted(files, key=naming.natural_key)}
        return [
            name
            for name, entry in source.entries.items()
            if entry.kind != "f"
            or entry.mtime <= quiet_since
            or newest.get(name.rpartition("/")[0], name) != name
        ]

    def _copy_missing(self, source: Inventory, names: Iterable[str]) -> None:
        """Copy the entries that are missing in the landing area or differ in size or time."""
        landed = cell_files.entries(self.directory, self.cell)
        names = [name for name in names if source.entries[name].kind != "o"]
        needed = [name for name in names if not _alike(source.entries[name], landed.get(name))]
        for name in needed:
            self._refuse_links(name, source, landed)
        if needed:
            sizes = {
                name: entry.size for name, entry in source.entries.items() if entry.kind == "f"
            }
            total = sum(sizes.values())
            missing = sum(
                size
                for name, size in sizes.items()
                if not _alike(source.entries[name], landed.get(name))
            )
            self._transfer(source, needed, total - missing, total)

    def _refuse_links(
        self, name: str, source: Inventory, landed: dict[str, InventoryEntry]
    ) -> None:
        """Refuse a link where the upstream has a file or a directory: raises PermanentError.

        Such a link may be an attempt to make us write elsewhere.
        """
        found = landed.get(name)
        if found and found.kind == "l" and source.entries[name].kind != "l":
            shown = naming.display(f"{self.cell}/{name}")
            raise PermanentError(
                f"{shown} is a link in the landing area and none upstream; nothing is written there"
            )

    def _copy_and_compare(self, source: Inventory, names: Sequence[str]) -> list[str]:
        """Copy and compare, with a second attempt for differing files; names that still differ."""
        self._copy_missing(source, names)
        differing = self._differing(
            source,
            [name for name in names if self.proven.get(name) != source.entries[name].identity],
        )
        if differing:
            shown = ", ".join(naming.display(name) for name in differing[:3])
            self.log.line(
                f"{self.cell}: differ from the upstream: {len(differing)} ({shown}, …); "
                "copied once more"
            )
            self._transfer(source, differing, 0, 0, ignore_times=True)
            differing = self._differing(source, differing)
        return differing

    def _why_differing(self, source: Inventory, differing: Sequence[str]) -> tuple[Outcome, str]:
        shown = naming.display(differing[0])
        if source.entries[differing[0]].kind == "l":
            return (
                "failed",
                f"{shown} is a link out of the run and is not copied; does it stand for data?",
            )
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        if self.upstream.mode == "push":
            more += f"; is {self.upstream.landing_there} on the sequencer the landing area?"
        return "again", f"{shown}{more} differs from the upstream, though copied twice"

    def _differing(self, source: Inventory, names: Sequence[str]) -> list[str]:
        """Names of entries that differ from the upstream; equal ones are recorded as proven."""
        landed = cell_files.entries(self.directory, self.cell)
        files = [name for name in names if source.entries[name].kind == "f"]
        source_md5s, landed_md5s = self._checksums(source, files)
        differing = []
        for name in names:
            entry, found = source.entries[name], landed.get(name)
            if entry.kind == "f":
                same = name in source_md5s and source_md5s[name] == landed_md5s.get(name)
            else:
                same = entry.kind == "o" or _alike(entry, found)
            if same:
                self.proven[name] = entry.identity
                if entry.kind == "f":
                    self.md5s[name] = landed_md5s[name]
            else:
                differing.append(name)
        return differing

    def _checksums(
        self, source: Inventory, files: Sequence[str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """MD5 of files upstream and in the landing area; both sides read at the same time."""
        if not files:
            return {}, {}
        patience = longest_silence([source.entries[name].size for name in files])
        stopped = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            local = pool.submit(
                cell_files.checksums,
                self.directory,
                self.cell,
                files,
                lambda: stopped.is_set() or self.stop(),
            )
            try:
                answer, _ = self._query(CHECKSUMS, names_given(files), patience)
                return read_checksums(answer), local.result()
            finally:
                stopped.set()

    def _list_source(self) -> Inventory:
        """List the cell upstream at this moment. Raises _CopyStopped."""
        answer, errors = self._query(FILES)
        if not answer:
            raise _CopyStopped(
                "again", f"{self.run}/{self.cell} cannot be read: {last_line(errors)}"
            )
        # An entry that disappears during this listing is missing in the next one.
        bad = [
            line for line in errors.splitlines() if not line.endswith("No such file or directory")
        ]
        if bad:
            raise _CopyStopped(
                "again", f"{self.run}/{self.cell} cannot be read in full: {last_line(bad[-1])}"
            )
        return read_files(answer)

    def _query(
        self, script: str, given: bytes = b"", patience: float = 0.0
    ) -> tuple[list[bytes], str]:
        """Records of a response about the cell, and its error text. Raises _CopyStopped."""
        query = question(script, f"{self.run.path}/{self.cell}")
        command = ssh.remote(self.upstream, query, self.control) if self.run.over_ssh else query
        quiet = self.upstream.connect_timeout + self.upstream.timeout + patience
        ended = self.runner(command, quiet=quiet, given=given, stop=self.stop)
        if ended.why:
            raise _CopyStopped("again", f"{self.run} does not answer: {ended.why}")
        try:
            answer, _ = records(ended.output)
        except MalformedResponse as error:
            raise _CopyStopped(
                *_not_done(judge_query(ended.code, ended.errors), f"{self.run}: {error}")
            ) from error
        return answer, ended.errors

    def _transfer(
        self,
        source: Inventory,
        names: Sequence[str],
        present: int,
        total: int,
        ignore_times: bool = False,
    ) -> None:
        """Run rsync for some files. Raises _CopyStopped if rsync fails."""
        progress = RsyncProgress()
        if self.on_progress and total:
            self.on_progress(present, total)

        def on_output(data: bytes) -> None:
            if progress.feed(data) and self.on_progress and total:
                self.on_progress(min(present + progress.bytes, total), total)

        command = transfer(
            self.upstream,
            self.run,
            self.relative,
            control=self.control,
            nice=self.nice,
            ignore_times=ignore_times,
        )
        self.log.line(
            f"{self.cell}: {number_of(len(names), 'file or directory', 'files and directories')}"
        )
        self.log.command(command)
        largest = max(source.entries[name].size for name in names)
        ended = self.runner(
            command,
            # rsync's own time limits are shorter. This one is for what they miss, such as a frozen
            # rsync that pushes.
            quiet=2 * self.upstream.timeout
            + self.upstream.connect_timeout
            + largest / SLOWEST_READING,
            given=names_given(f"{self.cell}/{name}" for name in names),
            directory=self.directory,
            on_output=on_output,
            stop=self.stop,
        )
        self._note(ended, progress)
        if ended.why:
            raise _CopyStopped("again", f"copying was ended: {ended.why}")
        if ended.code:
            raise _CopyStopped(*_not_done(judge(ended.code, ended.errors), "copying"))

    def _note(self, ended: CommandResult, progress: RsyncProgress) -> None:
        for line in ended.errors.splitlines()[-50:]:
            self.log.line(f"  {line}")
        self.log.line(f"{self.cell}: exit code {ended.code}: {progress}")


def _not_done(judgement: CommandOutcome, what: str) -> CommandOutcome:
    outcome: Outcome = "again" if judgement.outcome == "done" else judgement.outcome
    return CommandOutcome(outcome, f"{what}: {judgement.why}" if judgement.why else what)


def _alike(source: InventoryEntry, landed: InventoryEntry | None) -> bool:
    """Whether an entry need not be copied.

    Times are compared in whole seconds, because some file systems store no more.
    """
    if landed is None or landed.kind != source.kind:
        return False
    if source.kind == "f":
        return (landed.size, landed.mtime // 10**9) == (source.size, source.mtime // 10**9)
    return source.kind == "d" or landed.target == source.target
