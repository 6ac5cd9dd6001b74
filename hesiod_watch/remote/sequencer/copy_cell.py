"""Copying one cell from its upstream, and the proof that it came whole.

A round copies everything but the final_summary, compares every file by content, looks at the
upstream again, and only then brings the summary: its presence in the landing area means that the
rest is here and is the same. rsync's exit code proves nothing: it is 0 also for a file that changed
while it was sent, and for one that is other than its size and time say. So both sides are read in
full and their MD5 compared. Whatever has come, gone or changed upstream from one look to the next,
by the inode's change time, asks for another round.

A cell that has no final_summary upstream is still being written: what is settled is copied, nothing
is compared, and `verified` stays False.

What is here and not there is left alone. Links that lead out of the run are not copied; they are
told, and the cell is not verified, for they may stand for data.
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
from hesiod_watch.rules.exit_codes import CommandOutcome, Outcome, judge, judge_question, last_line
from hesiod_watch.runs import cell_files

ROUNDS = 3
"""Rounds of one call, before a cell that keeps changing is left for later."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """How copying a cell ended."""

    outcome: Outcome
    why: str  # a sentence without its full stop; "" when it is done
    verified: bool = (
        False  # all of the cell is here, its final_summary too, and is the same as upstream
    )
    md5s: Mapping[str, str] = field(
        default_factory=dict, compare=False, repr=False
    )  # of its files, when verified


class _Ends(Exception):
    """How copying a cell ends before its end."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        super().__init__(why)
        self.ending = CommandOutcome(outcome, why)


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

    May be called again at any time; what is here already is not sent again. Never raises for what
    either side does. `on_progress` gets bytes that are here and bytes in all. When `stop` says so,
    everything started is ended, what came of a file is kept, and the outcome is `again`. `settled`:
    seconds without a change after which a file of a cell that is still being written is copied.
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
            verified = copying.rounds(place, directory, control)
    except (PermanentError, ValueError) as error:
        ending, verified = CommandOutcome("failed", str(error)), False
    except (TemporaryError, OSError, MalformedResponse) as error:
        ending, verified = CommandOutcome("again", str(error)), False
    except (_Ends, HostUnreachable) as error:
        ending, verified = error.ending, False
    else:
        ending = CommandOutcome("done", "")
    if ending.why:
        copying.log.line(f"{cell}: {ending.outcome}: {ending.why}")
    md5s = dict(copying.md5s) if verified else {}
    return CopyResult(*ending, verified, md5s)


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
    proven: dict[str, tuple[object, ...]] = field(
        default_factory=dict
    )  # what was compared, as it was then
    md5s: dict[str, str] = field(default_factory=dict)  # of the files among that

    def rounds(self, place: Location, directory: int, control: Path | None) -> bool:
        """Copy until nothing changes any more; whether the cell is verified. Raises _Ends."""
        self.run, self.directory, self.control = place, directory, control
        before = self._look()
        if specials := sum(entry.kind == "o" for entry in before.entries.values()):
            self.log.line(
                f"{self.cell}: not copied, because they hold no data: {number_of(specials, 'special file')}"
            )
        for _ in range(ROUNDS):
            summaries = before.summaries
            if not summaries:
                self._bring(before, self._settled(before))
                return False
            differing = self._prove(
                before, [name for name in before.entries if name not in summaries]
            )
            after = self._look()
            if after.same(before) and not differing:
                differing = self._prove(before, summaries)
                after = self._look()
            if after.same(before):
                if differing:
                    raise _Ends(*self._why_differing(before, differing))
                for name in cell_files.remove_leftovers(directory, self.cell, before.entries):
                    self.log.line(f"{self.cell}: removed {name}, left of a copy that was killed")
                cell_files.make_durable(directory, self.cell, before.entries)
                self.log.line(
                    f"{self.cell}: here, and the same as in {place}: {number_of(len(self.proven), 'file')}"
                )
                return True
            before = after
        raise _Ends("again", f"it changes while it is copied, {ROUNDS} times over")

    def _settled(self, there: Inventory) -> list[str]:
        """What may be copied of a growing cell: a file that still grows would arrive as one that is
        cut short.

        A file is finished when it has been quiet, or when its directory has got a later one. That
        holds for data; what lies at the top of a cell, such as the sequencing_summary, grows until
        the end.
        """
        quiet_since = int((there.now + 1 - self.settled) * 1_000_000_000)  # it says whole seconds
        files = [name for name, entry in there.entries.items() if entry.kind == "f" and "/" in name]
        newest = {name.rpartition("/")[0]: name for name in sorted(files, key=naming.natural_key)}
        return [
            name
            for name, entry in there.entries.items()
            if entry.kind != "f"
            or entry.mtime <= quiet_since
            or newest.get(name.rpartition("/")[0], name) != name
        ]

    def _bring(self, there: Inventory, names: Iterable[str]) -> None:
        """Copy what is not here yet, by size and time."""
        here = cell_files.entries(self.directory, self.cell)
        names = [name for name in names if there.entries[name].kind != "o"]
        needed = [name for name in names if not _alike(there.entries[name], here.get(name))]
        for name in needed:
            self._refuse_links(name, there, here)
        if needed:
            sizes = {name: entry.size for name, entry in there.entries.items() if entry.kind == "f"}
            total = sum(sizes.values())
            missing = sum(
                size
                for name, size in sizes.items()
                if not _alike(there.entries[name], here.get(name))
            )
            self._transfer(there, needed, total - missing, total)

    def _refuse_links(self, name: str, there: Inventory, here: dict[str, InventoryEntry]) -> None:
        """A link where the upstream has a file or a directory was put there by somebody, to have us
        write elsewhere.
        """
        found = here.get(name)
        if found and found.kind == "l" and there.entries[name].kind != "l":
            shown = naming.display(f"{self.cell}/{name}")
            raise PermanentError(
                f"{shown} is a link in the landing area and none upstream; nothing is written there"
            )

    def _prove(self, there: Inventory, names: Sequence[str]) -> list[str]:
        """Copy and compare; what is not the same then is copied and compared once more. What still
        differs.
        """
        self._bring(there, names)
        differing = self._differing(
            there, [name for name in names if self.proven.get(name) != there.entries[name].identity]
        )
        if differing:
            shown = ", ".join(naming.display(name) for name in differing[:3])
            self.log.line(
                f"{self.cell}: not the same as upstream: {len(differing)} ({shown}, …); copied once more"
            )
            self._transfer(there, differing, 0, 0, ignore_times=True)
            differing = self._differing(there, differing)
        return differing

    def _why_differing(self, there: Inventory, differing: Sequence[str]) -> tuple[Outcome, str]:
        shown = naming.display(differing[0])
        if there.entries[differing[0]].kind == "l":
            return (
                "failed",
                f"{shown} is a link out of the run and is not copied; does it stand for data?",
            )
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        if self.upstream.mode == "push":
            more += f"; is {self.upstream.landing_there} there what the landing area is here?"
        return "again", f"{shown}{more} is not the same here as upstream, though copied twice"

    def _differing(self, there: Inventory, names: Sequence[str]) -> list[str]:
        """Those of `names` that are not here as they are there; what agrees is noted as proven."""
        here = cell_files.entries(self.directory, self.cell)
        files = [name for name in names if there.entries[name].kind == "f"]
        theirs, ours = self._checksums(there, files)
        differing = []
        for name in names:
            entry, found = there.entries[name], here.get(name)
            if entry.kind == "f":
                same = name in theirs and theirs[name] == ours.get(name)
            else:
                same = entry.kind == "o" or _alike(entry, found)
            if same:
                self.proven[name] = entry.identity
                if entry.kind == "f":
                    self.md5s[name] = ours[name]
            else:
                differing.append(name)
        return differing

    def _checksums(
        self, there: Inventory, files: Sequence[str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """MD5 of files there and here, both sides reading at the same time."""
        if not files:
            return {}, {}
        patience = longest_silence([there.entries[name].size for name in files])
        given_up = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            mine = pool.submit(
                cell_files.checksums,
                self.directory,
                self.cell,
                files,
                lambda: given_up.is_set() or self.stop(),
            )
            try:
                answer, _ = self._ask(CHECKSUMS, names_given(files), patience)
                return read_checksums(answer), mine.result()
            finally:
                given_up.set()

    def _look(self) -> Inventory:
        """What the cell is upstream, now."""
        answer, errors = self._ask(FILES)
        if not answer:
            raise _Ends("again", f"{self.run}/{self.cell} cannot be read: {last_line(errors)}")
        # What goes away while one looks shows in the next look.
        bad = [
            line for line in errors.splitlines() if not line.endswith("No such file or directory")
        ]
        if bad:
            raise _Ends(
                "again", f"{self.run}/{self.cell} cannot be read in full: {last_line(bad[-1])}"
            )
        return read_files(answer)

    def _ask(
        self, script: str, given: bytes = b"", patience: float = 0.0
    ) -> tuple[list[bytes], str]:
        """The records of an answer about the cell, and what was said beside them. Raises _Ends."""
        asked = question(script, f"{self.run.path}/{self.cell}")
        command = ssh.remote(self.upstream, asked, self.control) if self.run.over_ssh else asked
        quiet = self.upstream.connect_timeout + self.upstream.timeout + patience
        ended = self.runner(command, quiet=quiet, given=given, stop=self.stop)
        if ended.why:
            raise _Ends("again", f"{self.run} does not answer: {ended.why}")
        try:
            answer, _ = records(ended.output)
        except MalformedResponse as error:
            raise _Ends(
                *_not_done(judge_question(ended.code, ended.errors), f"{self.run}: {error}")
            ) from error
        return answer, ended.errors

    def _transfer(
        self,
        there: Inventory,
        names: Sequence[str],
        present: int,
        total: int,
        ignore_times: bool = False,
    ) -> None:
        """Run rsync for some files. Raises _Ends when it does not end well."""
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
        largest = max(there.entries[name].size for name in names)
        ended = self.runner(
            command,
            # Its own time limits come first; this is for what they do not see, such as a frozen
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
            raise _Ends("again", f"copying was ended: {ended.why}")
        if ended.code:
            raise _Ends(*_not_done(judge(ended.code, ended.errors), "copying"))

    def _note(self, ended: CommandResult, progress: RsyncProgress) -> None:
        for line in ended.errors.splitlines()[-50:]:
            self.log.line(f"  {line}")
        self.log.line(f"{self.cell}: exit code {ended.code}: {progress}")


def _not_done(ending: CommandOutcome, what: str) -> CommandOutcome:
    outcome: Outcome = "again" if ending.outcome == "done" else ending.outcome
    return CommandOutcome(outcome, f"{what}: {ending.why}" if ending.why else what)


def _alike(there: InventoryEntry, here: InventoryEntry | None) -> bool:
    """Whether an entry need not be copied. Times in whole seconds: not every file system keeps
    more.
    """
    if here is None or here.kind != there.kind:
        return False
    if there.kind == "f":
        return (here.size, here.mtime // 10**9) == (there.size, there.mtime // 10**9)
    return there.kind == "d" or here.target == there.target
