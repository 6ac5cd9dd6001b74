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

A cell without a final_summary upstream is still being written, and so is a cell with data that are
younger than its summary and changed within the last minute. Its finished files are copied, nothing
is compared, and `verified` stays False.

Files that exist only in the landing area are left alone. Links that lead out of the run are not
copied, because they may stand for data. They are reported, and the cell is not verified.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core import naming
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import Entries, FileEntry, file_sizes
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.inventory import Inventory
from hesiod_watch.core.location import run_in
from hesiod_watch.core.model import CellId
from hesiod_watch.core.text import number_of
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.connection import connected
from hesiod_watch.remote.directory import RemoteDirectory
from hesiod_watch.remote.rsync import compare_and_repair, copy_command, copy_files
from hesiod_watch.rules.exit_codes import Outcome
from hesiod_watch.rules.settling import QUIET
from hesiod_watch.runs import cell_files
from hesiod_watch.runs.minknow.layout import is_data_directory_name

ATTEMPTS = 3
"""Attempts of one call, before a cell that keeps changing is left for later."""


@frozen
class CopyResult:
    """Outcome of copying a cell."""

    outcome: Outcome
    why: str  # a sentence without its full stop; "" if the outcome is `done`
    # The whole cell with its final_summary is in the landing area and equal to the upstream.
    verified: bool = False
    # Files of a verified cell with their MD5, as listed before they were read.
    files: Entries = field(default_factory=dict, compare=False, repr=False)


def copy_cell(
    upstream: UpstreamSettings,
    run_location: str,
    cell: CellId,
    landing_run: OpenDirectory,
    *,
    landing: Path,
    log: Path,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    nice: int = 10,
    settled: float | None = None,
    runner: CommandRunner = run,
) -> CopyResult:
    """Copy `cell` of the run at `run_location` (the text of `pipeline/upstream`) into
    `landing_run`, below `landing`.

    Safe to repeat at any time: files that are already in the landing area are not sent again. Never
    raises for errors of either side. `on_progress` gets the bytes that are present and the total
    bytes. When `stop` returns True, every started process ends, a partly copied file is kept, and
    the outcome is `again`. `settled`: seconds without a change, after which a file of a cell that
    is still being written is copied; `QUIET` unless given.
    """
    say = RunLog(log)
    try:
        location = run_in(upstream.place, run_location)
        if why := naming.library_problem(cell.library) or naming.cell_problem(cell.name):
            raise PermanentError(f"{naming.display(str(cell))} is not copied: {why}")
        relative = landing_run.path.relative_to(landing)
        landing_run.opened()
        with connected(upstream, runner, stop) as endpoint:
            source = RemoteDirectory(endpoint, location)
            copying = _CellCopy(
                *(source, upstream, cell, relative, landing_run, say, on_progress, nice),
                QUIET if settled is None else settled,
            )
            verified = copying.copy_until_stable()
            return CopyResult("done", "", verified, copying.files if verified else {})
    except (PermanentError, ValueError) as error:
        outcome: Outcome = "failed"
        why = str(error)
    except (TemporaryError, OSError) as error:
        outcome, why = "again", str(error)
    say.line(f"{cell}: {outcome}: {why}")
    return CopyResult(outcome, why)


@dataclass
class _CellCopy:
    """One call of `copy_cell`. Every method raises TemporaryError, PermanentError or OSError."""

    source: RemoteDirectory  # the run upstream
    upstream: UpstreamSettings
    cell: CellId
    relative: Path  # the run's directory in the landing area
    directory: OpenDirectory  # the run's directory
    log: RunLog
    on_progress: Callable[[int, int], None] | None
    nice: int
    settled: float
    # Identity of each entry, by name, at the time when it was compared.
    proven: dict[str, tuple[object, ...]] = field(default_factory=dict)
    files: dict[str, FileEntry] = field(default_factory=dict)  # compared files with their MD5

    def copy_until_stable(self) -> bool:
        """Copy until nothing changes upstream; whether the cell is verified."""
        before = self._list_source()
        if specials := sum(entry.kind == "o" for entry in before.entries.values()):
            self.log.line(
                f"{self.cell}: not copied, because they hold no data: "
                f"{number_of(specials, 'special file')}"
            )
        for _ in range(ATTEMPTS):
            summaries = before.summaries
            if not summaries or self._settles(before):
                finished = self._finished_names(before)
                self._copy_missing(before, [name for name in finished if name not in summaries])
                return False
            problems = self._copy_and_compare(
                before, [name for name in before.entries if name not in summaries]
            )
            after = self._list_source()
            if after.same(before) and not problems:
                problems = self._copy_and_compare(before, summaries)
                after = self._list_source()
            if after.same(before):
                if problems:
                    raise self._error_of(before, list(problems))
                for name in cell_files.remove_leftovers(self.directory, self.cell, before.entries):
                    self.log.line(f"{self.cell}: removed {name}, left of a copy that was killed")
                cell_files.make_durable(self.directory, self.cell, before.entries)
                self.log.line(
                    f"{self.cell}: copied, and equal to {self.source}: "
                    f"{number_of(len(self.proven), 'file')}"
                )
                return True
            before = after
        raise TemporaryError(f"it changes while it is copied, {ATTEMPTS} times over")

    def _list_source(self) -> Inventory:
        listed = self.source.inventory(self.cell.place)
        pooled = self.cell.pooled
        return replace(listed, entries=pooled.entries(listed.entries)) if pooled else listed

    def _settles(self, source: Inventory) -> bool:
        """Whether data younger than the final_summary may still be changing upstream.

        The sequencer writes the summary last; a person who copies the cell there may not. All times
        are by the clock of the upstream.
        """
        ended = max(source.entries[name].ctime_ns for name in source.summaries)
        changed = max(
            (
                entry.ctime_ns
                for name, entry in source.entries.items()
                if is_data_directory_name(name.partition("/")[0])
                # Other cells change the directories of a pooled directory.
                and not (self.cell.pooled and entry.kind == "d")
            ),
            default=0,
        )
        quiet_for = source.now + 1 - changed / 1e9  # the upstream reports its time in whole seconds
        if changed <= ended or not 0 <= quiet_for < self.settled:
            return False
        self.log.line(
            f"{self.cell}: data are younger than its final_summary; it is copied in full when they"
            f" have been unchanged for {self.settled:.0f} s"
        )
        return True

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
            or entry.mtime_ns <= quiet_since
            or newest.get(name.rpartition("/")[0], name) != name
        ]

    def _copy_missing(self, source: Inventory, names: Iterable[str]) -> None:
        """Copy the entries that are missing in the landing area or differ in size or time."""
        landed = cell_files.entries(self.directory, self.cell)
        outdated = {
            name for name, entry in source.entries.items() if not entry.is_like(landed.get(name))
        }
        needed = [name for name in names if name in outdated and source.entries[name].kind != "o"]
        for name in needed:
            self._refuse_links(name, source, landed)
        if needed:
            sizes = file_sizes(source.entries)
            total = sum(sizes.values())
            missing = sum(size for name, size in sizes.items() if name in outdated)
            self._transfer(source, needed, total - missing, total)

    def _refuse_links(self, name: str, source: Inventory, landed: dict[str, FileEntry]) -> None:
        """Refuse a link where the upstream has a file or a directory: raises PermanentError.

        Such a link may be an attempt to make us write elsewhere.
        """
        found = landed.get(name)
        if found and found.kind == "l" and source.entries[name].kind != "l":
            shown = naming.display(f"{self.cell}/{name}")
            raise PermanentError(
                f"{shown} is a link in the landing area and none upstream; nothing is written there"
            )

    def _copy_and_compare(self, source: Inventory, names: Sequence[str]) -> dict[str, str]:
        """Copy and compare, with a second attempt for differing files; problems that remain."""
        self._copy_missing(source, names)

        def compare(only: Collection[str] | None) -> dict[str, str]:
            return self._compare(
                source,
                [
                    name
                    for name in (names if only is None else only)
                    if self.proven.get(name) != source.entries[name].identity
                ],
            )

        def repair(problems: dict[str, str]) -> Collection[str]:
            shown = ", ".join(naming.display(name) for name in list(problems)[:3])
            self.log.line(
                f"{self.cell}: differ from the upstream: {len(problems)} ({shown}, …); "
                "copied once more"
            )
            self._transfer(source, list(problems), ignore_times=True)
            return problems

        return compare_and_repair(compare, repair)

    def _error_of(self, source: Inventory, differing: Sequence[str]) -> HesiodError:
        shown = naming.display(differing[0])
        if source.entries[differing[0]].kind == "l":
            return PermanentError(
                f"{shown} is a link out of the run and is not copied; does it stand for data?"
            )
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        if self.upstream.mode == "push":
            more += f"; is {self.upstream.landing_there} on the sequencer the landing area?"
        return TemporaryError(f"{shown}{more} differs from the upstream, though copied twice")

    def _compare(self, source: Inventory, names: Sequence[str]) -> dict[str, str]:
        """Entries that differ from the upstream; equal ones are recorded as proven."""
        landed = cell_files.entries(self.directory, self.cell)
        sizes = file_sizes(source.entries, names)
        source_md5s, landed_md5s = self._checksums(sizes)
        differing = {}
        for name in names:
            entry, found = source.entries[name], landed.get(name)
            if entry.kind == "f":
                md5 = source_md5s.get(name, "")
                same = found is not None and md5 != "" and landed_md5s.get(name) == md5
                if found is not None and same:
                    self.files[name] = found.as_read(md5)
            else:
                same = entry.kind == "o" or entry.is_like(found)
            if same:
                self.proven[name] = entry.identity
            else:
                differing[name] = "differs"
        return differing

    def _checksums(self, sizes: Mapping[str, int]) -> tuple[dict[str, str], dict[str, str]]:
        """MD5 of files upstream and in the landing area; both sides read at the same time."""
        if not sizes:
            return {}, {}
        stopped = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            local = pool.submit(
                cell_files.checksums,
                self.directory,
                self.cell,
                sizes,
                lambda: stopped.is_set() or self.source.endpoint.stop(),
            )
            try:
                return self.source.checksums(self.cell.place, sizes), local.result()
            finally:
                stopped.set()

    def _transfer(
        self,
        source: Inventory,
        names: Sequence[str],
        present: int = 0,
        total: int = 0,
        *,
        ignore_times: bool = False,
    ) -> None:
        """Copy some files with rsync, also those of equal size and time with `ignore_times`."""

        def on_progress(copied: int) -> None:
            if self.on_progress and total:
                self.on_progress(min(present + copied, total), total)

        on_progress(0)
        endpoint, path = self.source.endpoint, self.source.location.path
        pushed = self.upstream.mode == "push"
        there = f"{self.upstream.landing_there.rstrip('/')}/{self.relative}/"
        command = copy_command(
            endpoint,
            f"{path}/" if pushed else endpoint.rsync_path(path),
            there if pushed else "./",
            nice=self.nice,
            options=("--links", "--safe-links"),
            always=("--ignore-missing-args", *(("--ignore-times",) if ignore_times else ())),
            template=self.upstream.rsync,
            pushed=pushed,
        )
        self.log.line(
            f"{self.cell}: {number_of(len(names), 'file or directory', 'files and directories')}"
        )
        copy_files(
            endpoint,
            command,
            [f"{self.cell.place}/{name}" for name in names],
            self.directory.descriptor,
            largest=max(source.entries[name].size for name in names),
            log=self.log,
            label=str(self.cell),
            on_progress=on_progress,
        )
