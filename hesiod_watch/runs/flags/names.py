"""How facts are spelled as names under `pipeline/`, and what each means to a person. No I/O.

Names are read from the right against the known facts, because a cell's stem may itself hold dots
(`20190710_1723_2-A5-D5_PAD38578_c6ded78b.recalled`). `naming` refuses stems that end in a word of
this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PIPELINE = "pipeline"
UPSTREAM = "upstream"
OUTPUT = "output"
TYPE = "type.yaml"
MESSAGES = "messages"
TICKET = "rt_ticket"
ATTIC = "attic"
TEMPORARY = ".tmp."
"""Begins the hidden names under which flags are prepared; nobody reads them."""

ROUNDS = frozenset({"sync", "notify", "backup"})
"""Work on a whole run that goes in rounds, which each have `started`, `done` and `failed`."""
RUN_FLAGS = frozenset({"failed", "aborted", "stripped"}) | {
    f"{work}.{end}" for work in ROUNDS for end in ("started", "done", "failed")
}
STAGES = frozenset({"backup", "deletable", "ingest", "strip", "verify"})
"""Stages of a cell beside processing itself, which each have `started`, `done` and `failed`."""

_CELL_FLAG = re.compile(
    # as short as can be: `X.backup.done` is a stage of X, not the end of a cell `X.backup`
    r"(?P<stem>.+?)\.(?:"
    r"(?P<fact>synced|done|failed|aborted)"
    r"|started(?:\.(?P<epoch>[2-9]|[1-9][0-9]{1,5}))?(?:\.(?P<role>worker|yielded))?"
    rf"|(?P<stage>{'|'.join(sorted(STAGES))})\.(?P<end>started|done|failed)"
    r")",
    re.DOTALL,
)
_LEFT_BY_HESIOD = re.compile(r"kick_off.*|notify_.*|rt_.*|.*\.(?:log|yaml|sh)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ParsedFlagName:
    """A cell's flag: `fact` is one of synced, done, failed, aborted, started, worker, yielded or
    `{stage}.{end}`.
    """

    stem: str
    fact: str
    epoch: int = 1  # of started, worker and yielded


def parse(name: str) -> ParsedFlagName | None:
    """What a name says about a cell; None for a flag of the run and for names that are not
    understood.
    """
    if name in RUN_FLAGS:  # `sync.done` is not the cell `sync`
        return None
    match = _CELL_FLAG.fullmatch(name)
    if match is None:
        return None
    if match["fact"]:
        return ParsedFlagName(match["stem"], match["fact"])
    if match["stage"]:
        return ParsedFlagName(match["stem"], f"{match['stage']}.{match['end']}")
    return ParsedFlagName(match["stem"], match["role"] or "started", int(match["epoch"] or 1))


def is_understood(name: str) -> bool:
    """A name that has a meaning here, or that an earlier Hesiod left and nobody needs."""
    return (
        name in RUN_FLAGS
        or name in {UPSTREAM, OUTPUT, TYPE, MESSAGES, TICKET}
        or bool(parse(name) or _LEFT_BY_HESIOD.fullmatch(name))
    )


SYNC = "sync"
"""The work of copying a run, which goes in rounds."""
BACKUP = "backup"
"""The work of copying a run's own files to second places, which goes in rounds; that of a cell is
`backup(stem)`.
"""
NOTIFY = "notify"
"""The work of delivering a run's messages, which goes in rounds."""


def ingest(stem: str) -> str:
    """The work of ingesting a cell, which goes in rounds."""
    return f"{stem}.ingest"


def backup(stem: str) -> str:
    """The work of copying a cell to second places, which goes in rounds."""
    return f"{stem}.backup"


def verify(stem: str) -> str:
    """The work of reading a cell's copies again, which goes in rounds."""
    return f"{stem}.verify"


def deletable(stem: str) -> str:
    """The work of marking a cell on its upstream as safe to delete, which goes in rounds."""
    return f"{stem}.deletable"


def strip(stem: str) -> str:
    """The work of removing a cell's raw data from the landing area, which goes in rounds."""
    return f"{stem}.strip"


def synced(stem: str) -> str:
    return f"{stem}.synced"


def done(stem: str) -> str:
    return f"{stem}.done"


def failed(stem: str) -> str:
    return f"{stem}.failed"


def aborted(stem: str) -> str:
    return f"{stem}.aborted"


def started(stem: str, epoch: int = 1) -> str:
    return f"{stem}.started" if epoch == 1 else f"{stem}.started.{epoch}"


def worker(stem: str, epoch: int = 1) -> str:
    return f"{started(stem, epoch)}.worker"


def yielded(stem: str, epoch: int = 1) -> str:
    return f"{started(stem, epoch)}.yielded"


_RUN_MEANINGS = {
    UPSTREAM: "where the run comes from",
    OUTPUT: "leads to the output directory",
    TYPE: "what kind of run this is",
    MESSAGES: "what people are told; see hesiod-watch messages",
    TICKET: "number of the run's ticket in the tracker",
    "failed": "the whole run needs a person; nothing is started",
    "aborted": "a person disregards the whole run",
    "stripped": "cell data were removed from the landing area on purpose",
    "sync.started": "a sync was begun",
    "sync.done": "the last sync succeeded",
    "sync.failed": "the last sync failed",
    "backup.started": "the run's own files are being copied to second places",
    "backup.done": "the run's own files were copied to second places",
    "backup.failed": "the run's own files could not be copied to a second place; it is tried again",
    "notify.started": "messages are being delivered",
    "notify.done": "all messages were delivered",
    "notify.failed": "messages wait to be delivered; it says why, and when it is tried again",
}
_CELL_MEANINGS = {
    "synced": "the cell is here and complete",
    "done": "fully processed, never touched again",
    "failed": "processing needs a person",
    "aborted": "a person disregards this cell",
    "started": "claimed for processing",
    "worker": "the process that works under this claim",
    "yielded": "this claim was given up: an earlier worker lives, or it never began",
}
_STAGE_MEANINGS = {"started": "under way", "done": "succeeded", "failed": "failed"}
_STAGES_MEAN = {
    "backup.done": "its copies on second places were read back there and agree",
    "backup.failed": "some second place has no copy of it that was read back; it is tried again",
    "deletable.done": "marked on its upstream as safe to delete",
    "deletable.failed": "not marked on its upstream as safe to delete, or not any more: it says why",
    "strip.done": "its raw data were removed from here: it says what stays",
    "strip.failed": "its raw data were not all removed from here: it says why",
    "verify.done": "its copies were read again, and agree",
    "verify.failed": "its copies could not all be read again, or one is damaged: it says which",
}


def meaning(name: str) -> str:
    """One phrase for people on what a flag of this name says."""
    if name in _RUN_MEANINGS:
        return _RUN_MEANINGS[name]
    parsed = parse(name)
    if parsed is None:
        return (
            "left by an earlier Hesiod, not used"
            if is_understood(name)
            else "not known to this program, ignored"
        )
    if parsed.fact in _CELL_MEANINGS:
        attempt = f" (attempt {parsed.epoch})" if parsed.epoch > 1 else ""
        return _CELL_MEANINGS[parsed.fact] + attempt
    if parsed.fact in _STAGES_MEAN:
        return _STAGES_MEAN[parsed.fact]
    stage, _, end = parsed.fact.partition(".")
    return f"{stage} {_STAGE_MEANINGS[end]}"
