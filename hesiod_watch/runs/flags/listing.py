"""Facts of a run, from one listing of its `pipeline/` directory.

The state is computed from the names in one listing, never from a series of `exists()` calls. Flags
are only added, so a late listing is an earlier true state. Contents are read on demand, and once.

A symlink, FIFO, device or directory in place of a flag counts where the flag blocks work (`done`,
`failed`, `aborted`, `started`). It does not count where the flag would allow work (`synced`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Mapping

from hesiod_watch.core.action_kinds import STRIP, ActionKind
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.ownership import (
    Attempt,
    CellFlags,
    Flag,
    Liveness,
    Owner,
)
from hesiod_watch.core.records import record_in
from hesiod_watch.core.results import StripRecord
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.flags.cell_claims import CellClaims, ClaimEpoch
from hesiod_watch.runs.flags.flag_files import FlagContent
from hesiod_watch.runs.flags.pipeline import Pipeline


@frozen
class FlagLine:
    """One flag as `flags RUN` shows it. `liveness` is None for a flag that is no claim."""

    name: str
    mtime: float  # seconds since the epoch; 0.0 if unknown
    meaning: str
    owner: Owner | None = None
    liveness: Liveness | None = None
    evidence: str = ""


@frozen
class TakeOver:
    """Right to end the attempt of a dead owner, which one process at a time has."""

    flag: str  # made by the process that has the right; if no process has it, the flag to make
    liveness: Liveness  # of that process; DEAD: no process has the right
    evidence: str


class FlagListing:
    """One listing by `read_flags`: names of one moment; contents are read at first use and kept."""

    def __init__(
        self, pipeline: Pipeline, found: Mapping[str, bool], hidden: Collection[str] = ()
    ) -> None:
        """`found`: every name that is not hidden, and whether it is a regular file."""
        self._hidden = hidden
        self._pipeline = pipeline
        self._found = dict(found)
        self._contents: dict[str, FlagContent | None] = {}
        self._cells: dict[str, dict[tuple[str, int], str]] = {}
        for name in self._found:
            if parsed := names.parse(name):
                self._cells.setdefault(parsed.stem, {})[parsed.fact, parsed.epoch] = name

    @property
    def run_flags(self) -> frozenset[str]:
        """Flags of the whole run: failed, aborted, stripped, and those of its attempts."""
        return names.RUN_FLAGS & self._found.keys()

    @property
    def run_texts(self) -> dict[str, str]:
        """Texts of `run_flags`, without the empty ones."""
        return {name: text for name in sorted(self.run_flags) if (text := self._text(name))}

    @property
    def stripped_by_hand(self) -> bool:
        """Whether a person or another program made `stripped`: it covers every cell of the run.

        The flag that `strip` makes covers the cells of that time only.
        """
        ours = record_in(self._text("stripped")).get("action") == STRIP.name
        return self.has("stripped") and not ours

    def raw_removed(self, stem: str) -> bool:
        """Whether files of a cell may be missing from the landing area on purpose."""
        return self.stripped_by_hand or self.stripped(stem)

    def run_flags_for(self, stems: Iterable[str]) -> frozenset[str]:
        """Flags of the run that count for these cells.

        The one rule for every reader of `stripped`. The flag that `strip` makes for the run says
        nothing about a cell that was added later: the cell's own flags decide.
        """
        if all(map(self.raw_removed, stems)):
            return self.run_flags
        return self.run_flags - {"stripped"}

    def stop_flag(self, kind: ActionKind, stem: str, *, begun: bool = True) -> str:
        """Flag that stops an action on a cell, or that prevents its start; "" if there is none."""
        stopping = kind.stopped_by - (kind.finishes_despite if begun else frozenset())
        stopped = [*sorted(stopping & self.run_flags_for([stem])), names.aborted(stem)]
        return next((name for name in stopped if self.has(name)), "")

    def stripped(self, stem: str) -> bool:
        """Whether raw data of a cell were removed from the landing area, or may have been.

        The files that remain are then not all.
        """
        failed = names.strip(stem) + ".failed"
        if any(f"{names.strip(stem)}.{end}" in self._found for end in ("started", "done")):
            return True
        return (
            failed in self._found
            and not StripRecord.from_record(record_in(self._text(failed))).unchanged
        )

    @property
    def stems(self) -> frozenset[str]:
        """Cells recorded in flags, whether or not their directories are still there."""
        return frozenset(self._cells)

    def accepted(self, stem: str) -> bool:
        """Whether a person accepted the cell as complete: `synced` exists and is not the program's.

        The program writes `cell` and `version` into its flag; `touch`, `hesiod-touch-atomic` and
        Hesiod do not. An unreadable flag counts as a person's only if it is empty.
        """
        name = names.synced(stem)
        if not self._found.get(name):
            return False
        text = self._text(name)
        if text is None:
            return self._is_empty(name)
        return not {"token", "cell", "version"} <= record_in(text).keys()

    def synced_record(self, stem: str) -> Mapping[str, object]:
        """Record in the cell's `synced`; empty if there is none."""
        name = names.synced(stem)
        return record_in(self._text(name) if self._found.get(name) else None)

    def cell(self, stem: str, judge: Judge) -> CellFlags:
        """Facts about one cell.

        Claims of a finished cell are listed, but their owners are not judged.
        """
        facts = self._cells.get(stem, {})
        claims = CellClaims(self, stem)
        done = self._flag(facts.get(("done", 1)))
        return CellFlags(
            synced=self._found.get(facts.get(("synced", 1), ""), False),
            accepted=not done and self.accepted(stem),
            done=done,
            failed=self._flag(facts.get(("failed", 1))),
            aborted=self._flag(facts.get(("aborted", 1))),
            claims=claims.unread() if done else claims.judged(judge),
        )

    def attempt(self, work: str, judge: Judge) -> Attempt | None:
        """Attempt at `work` that is running, or else the last one; None if there was none."""
        if f"{work}.started" in self._found and not self.has_ended(work):
            owner = self._owner(f"{work}.started")
            liveness, evidence = judge(owner)
            if liveness is Liveness.DEAD:
                ending = self.take_over(work, judge)
                if ending.liveness is not Liveness.DEAD:
                    liveness, evidence = ending.liveness, ending.evidence
            record = record_in(self._text(f"{work}.started"))
            return Attempt("", owner, liveness, evidence, record)
        ends = [
            Attempt(
                outcome,
                self._owner(f"{work}.{outcome}"),
                Liveness.DEAD,
                "it has ended",
                record_in(self._text(f"{work}.{outcome}")),
            )
            for outcome in ("done", "failed")
            if f"{work}.{outcome}" in self._found
        ]
        return max(ends, key=lambda end: end.owner.time if end.owner else "", default=None)

    def take_over(self, work: str, judge: Judge) -> TakeOver:
        """Find the process that ends the attempt at `work`, or the flag by which one may do so.

        The flag is named after the attempt. If the process that made it is dead, the next flag is
        named after that process, and so on.
        """
        before, seen = f"{work}.started", set[str]()
        while True:
            flag = names.over(work, self.key(before))
            if not self.has(flag):
                return TakeOver(flag, Liveness.DEAD, "")
            if flag in seen:
                return TakeOver(flag, Liveness.UNKNOWN, f"{flag}: names itself")
            liveness, evidence = judge(self._owner(flag))
            if liveness is not Liveness.DEAD:
                return TakeOver(flag, liveness, f"{evidence} ({flag})")
            seen.add(flag)
            before = flag

    def take_over_flags(self, work: str) -> list[str]:
        """Flags of all processes that ended an attempt at `work`, or were about to."""
        return sorted(name for name in self._found if name.startswith(names.over(work, "")))

    def key(self, name: str) -> str:
        """Name, of 12 hex digits, for the attempt or the process that made a flag."""
        return _attempt_key(self._content(name))

    def owner(self, name: str) -> Owner | None:
        """Owner that a flag names; None if the flag is missing or names none."""
        return self._owner(name) if self.has(name) else None

    def text(self, name: str) -> str | None:
        """Text of a flag; None if it is missing or unreadable."""
        return self._text(name) if self.has(name) else None

    def made(self, name: str) -> float:
        """Mtime of a flag whose content is read, in seconds since the epoch; 0.0 if unknown."""
        content = self._content(name) if self.has(name) else None
        return content.mtime if content else 0.0

    def mtime(self, name: str) -> float:
        """Mtime of a flag, in seconds since the epoch; 0.0 if unknown."""
        try:
            return self._pipeline.status(name).st_mtime
        except OSError:
            return 0.0

    def has_ended(self, work: str) -> bool:
        """Whether `started` remains although the work has ended.

        Hesiod leaves `sync.started` beside the flag that ends it, without an owner. Ours is
        removed after the flag that ends it, which has the same token.
        """
        ended = {f"{work}.done", f"{work}.failed"} & self._found.keys()
        if not ended:
            return False
        owner = self._owner(f"{work}.started")
        return owner is None or owner.token in {
            end.token for name in ended if (end := self._owner(name))
        }

    def epoch_numbers(self, stem: str) -> list[int]:
        """Numbers of the attempts at a cell, lowest first; any flag of an attempt counts."""
        return CellClaims(self, stem).numbers

    def epochs(self, stem: str) -> list[ClaimEpoch]:
        """Attempts at a cell with their owners, lowest first. Reads their flags."""
        return CellClaims(self, stem).epochs()

    def facts(self, stem: str) -> Mapping[tuple[str, int], str]:
        """Names of a cell's flags by fact and epoch (`names.ParsedFlagName`)."""
        return self._cells.get(stem, {})

    def has(self, name: str) -> bool:
        return name in self._found

    def has_prepared(self, stem: str) -> bool:
        """Whether an attempt at a cell has prepared `done` or `failed` (see `flag_files`)."""
        return any(names.is_prepared(name, stem) for name in self._hidden)

    def all(self, judge: Judge) -> tuple[FlagLine, ...]:
        """Every flag for a person, known or not, sorted by name."""
        return tuple(self._line(name, judge) for name in sorted(self._found) if name != names.ATTIC)

    def _line(self, name: str, judge: Judge) -> FlagLine:
        if not self._found[name] and name not in (names.OUTPUT, names.MESSAGES):
            return FlagLine(name, self.mtime(name), names.meaning(name) + "; not a regular file")
        content = self._content(name)
        if content is None:
            return FlagLine(name, self.mtime(name), names.meaning(name))
        parsed = names.parse(name)
        fact = parsed.fact if parsed else name
        liveness, evidence = None, ""
        if fact in {"started", "worker"} or fact.endswith(".started"):
            liveness, evidence = judge(content.owner)
        return FlagLine(name, content.mtime, names.meaning(name), content.owner, liveness, evidence)

    def _flag(self, name: str | None) -> Flag | None:
        if name is None:
            return None
        content = self._content(name)
        if content is None:
            return Flag(name, self.mtime(name), self._found[name])
        return Flag(name, content.mtime, content.regular, content.text)

    def _owner(self, name: str | None) -> Owner | None:
        content = self._content(name) if name else None
        return content.owner if content else None

    def _text(self, name: str) -> str | None:
        content = self._content(name)
        return content.text if content else None

    def _content(self, name: str) -> FlagContent | None:
        """Content of a flag, cached; None if it is unreadable or a person has removed it since."""
        if name not in self._contents:
            try:
                self._contents[name] = self._pipeline.read(name)
            except OSError:
                self._contents[name] = None
        return self._contents[name]

    def _is_empty(self, name: str) -> bool:
        try:
            return self._pipeline.status(name).st_size == 0
        except OSError:
            return False


_TOKEN = re.compile(r"[0-9a-f]{12,}")


def _attempt_key(content: FlagContent | None) -> str:
    """Name, of 12 hex digits, for the attempt whose flag has this content.

    It is the beginning of the owner's token. A flag without a token is named by its text and time.
    """
    token = content.owner.token if content and content.owner else ""
    if _TOKEN.fullmatch(token):
        return token[:12]
    text = token or (f"{content.mtime} {content.text}" if content else "")
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def read_flags(pipeline: Pipeline) -> FlagListing:
    """List `pipeline` once.

    Raises FileNotFoundError if the directory does not exist. Raises PermanentError, with the
    reason, if it is a symlink, no directory, was exchanged, or cannot be listed.
    """
    try:
        pipeline.require_present()
        names_found, hidden = dict[str, bool](), []
        with os.scandir(pipeline.descriptor) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    hidden.append(entry.name)
                else:
                    names_found[entry.name] = entry.is_file(follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PermanentError(f"{pipeline}: cannot be read: {error.strerror}") from error
    return FlagListing(pipeline, names_found, hidden)
