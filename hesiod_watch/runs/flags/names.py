"""Names of the flags under `pipeline/`, and what each flag means to a person. No I/O.

`.ci/flag_meanings.py` copies the meanings into bin/hesiod-flags and docs/flags.md.

Names are compared with the known facts from the right, because a cell's stem may contain dots
(`20190710_1723_2-A5-D5_PAD38578_c6ded78b.recalled`). `naming` refuses stems that end in one of the
words of this module.
"""

from __future__ import annotations

import re

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import CellId

PIPELINE = "pipeline"
UPSTREAM = "upstream"
OUTPUT = "output"
TYPE = "type.yaml"
MESSAGES = "messages"
TICKET = "rt_ticket"
SITE = ".hesiod-watch"
"""Directory of the output area for what concerns no run."""
SUBJECT = "ticket_subject"
ATTIC = "attic"

RUN_MEANINGS = {
    UPSTREAM: "where the run comes from",
    OUTPUT: "link to the output directory",
    TYPE: "type of the run",
    MESSAGES: "messages about the run; see hesiod-watch messages",
    TICKET: "number of the run's ticket in the tracker",
    "failed": "the whole run needs a person; nothing is started",
    "aborted": "a person excluded the whole run",
    "stripped": "cell data were removed from the landing area on purpose",
    "sync.started": "a sync is running",
    "sync.done": "the last sync succeeded",
    "sync.failed": "the last sync failed",
    "notify.started": "messages are being delivered",
    "notify.done": "all messages were delivered",
    "notify.failed": "messages wait for delivery; the flag says why, and when the retry is",
    "backup.started": "the run's own files are being copied to backups",
    "backup.done": "the run's own files were copied to all backups",
    "backup.failed": "the run's own files could not be copied to a backup; a retry follows",
    "backup-job.started": "the backup of the run's own files is a Slurm job",
    "backup-job.done": "the last Slurm job that was a backup of the run's own files has ended",
    "backup-job.failed": "the backup of the run's own files could not be made a Slurm job",
}
"""Meaning of each file of a run, by its name."""
STAGE_MEANINGS = {
    "ingest.started": "ingest running",
    "ingest.done": "ingest succeeded",
    "ingest.failed": "ingest failed",
    "checksums.started": "comparison with MinKNOW's checksums running",
    "checksums.done": "every file that MinKNOW's checksums name agrees",
    "checksums.failed": "a file differs from MinKNOW's checksums or is absent; the flag says which",
    "backup.started": "backup running",
    "backup.done": "every backup has a copy that was read back there and agrees",
    "backup.failed": "a backup has no copy that was read back; a retry follows",
    "verify.started": "verify running",
    "verify.done": "all copies were read again and agree",
    "verify.failed": "a copy is damaged or could not be read again; the flag says which",
    "hook.started": "the command of on_done running",
    "hook.done": "the command of on_done succeeded",
    "hook.failed": "the command of on_done failed; the flag says why, and a retry follows",
    "backup-job.started": "backup is a Slurm job",
    "backup-job.done": "the last Slurm job that was a backup has ended",
    "backup-job.failed": "backup could not be made a Slurm job; the flag says why",
    "verify-job.started": "verify is a Slurm job",
    "verify-job.done": "the last Slurm job that was a verify has ended",
    "verify-job.failed": "verify could not be made a Slurm job; the flag says why",
    "deletable.started": "deletable running",
    "deletable.done": "marked on its upstream as safe to delete",
    "deletable.failed": "not marked, or no longer marked, as safe to delete; the flag says why",
    "strip.started": "strip running",
    "strip.done": "raw data were removed from the landing area; the flag says what stays",
    "strip.failed": "raw data were not all removed from the landing area; the flag says why",
}
"""Meaning of each flag of repeatable work on a cell, by its name after the stem."""
CELL_MEANINGS = {
    "synced": "the cell is here and complete",
    "done": "fully processed, never touched again",
    "failed": "processing needs a person",
    "aborted": "a person excluded this cell",
    "started": "claimed for processing",
    "second-copy": "on the upstream, not copied: another cell is the same; the flag says which",
    "wanted": "a person wants this second copy of a cell, too",
}
"""Meaning of each other flag of a cell, by its name after the stem."""
CLAIM_MEANINGS = {
    "worker": "the worker of this claim",
    "yielded": "this claim was given up: an earlier worker lives, or no worker began",
    "died": "the worker of this claim died; the flag says how",
}
"""Meaning of each flag of a claim, by its name after the claim's own."""
PREPARED = ".prepared."
"""Prefix of a hidden file that becomes the flag that ends a claim (`prepared`)."""
OVER_MEANING = "an attempt of a dead owner is being ended; the flag names the process that ends it"
"""Meaning of a flag `{work}.over.{key}`."""
LEFT_BY_HESIOD = ("kick_off", "notify_", "rt_", "start_times", "report_upload_url.txt")
"""Beginnings of names that are Hesiod's own: `notify_2_cells_complete.done` is no cell's flag."""
LEFT_ENDS = (".log", ".yaml", ".sh")
"""Ends of such names."""
UNUSED = "left by an earlier Hesiod, not used"
UNKNOWN = "not known to this program, ignored"

RUN_FLAGS = frozenset(RUN_MEANINGS) - {UPSTREAM, OUTPUT, TYPE, MESSAGES, TICKET}
STAGES = frozenset(fact.partition(".")[0] for fact in STAGE_MEANINGS)
"""Stages of a cell besides processing itself; each has `started`, `done` and `failed`."""

OF_A_CLAIM = frozenset({"started", *CLAIM_MEANINGS})
"""Facts that belong to one claim of a cell."""

_CELL_FLAG = re.compile(
    # the shortest stem: `X.backup.done` is a stage of X, not the end of a cell `X.backup`
    r"(?P<stem>.+?)\.(?:"
    rf"(?P<fact>{'|'.join(map(re.escape, (*CELL_MEANINGS, *STAGE_MEANINGS)))}"
    rf"|(?:{'|'.join(sorted(STAGES))})\.over\.[0-9a-f]{{12}})"
    rf"|started(?:\.(?P<epoch>[2-9]|[1-9][0-9]{{1,5}}))?(?:\.(?P<role>{'|'.join(CLAIM_MEANINGS)}))?"
    r")",
    re.DOTALL,
)
_RUN_OVER = re.compile(r"(?:sync|backup|backup-job|notify)\.over\.[0-9a-f]{12}")


@frozen
class ParsedFlagName:
    """Flag of a cell.

    `fact` is synced, done, failed, aborted, second-copy, wanted, started, worker, yielded, died,
    `{stage}.{end}` or `{stage}.over.{key}`.
    """

    stem: str
    fact: str
    epoch: int = 1  # of started, worker, yielded and died


def parse(name: str) -> ParsedFlagName | None:
    """Parse the name of a cell's flag; None for a flag of the run and for unknown names."""
    if name in RUN_FLAGS or name.startswith(LEFT_BY_HESIOD):  # `sync.done` is not the cell `sync`
        return None
    match = _CELL_FLAG.fullmatch(name)
    if match is None:
        return None
    if match["fact"]:
        return ParsedFlagName(match["stem"], match["fact"])
    return ParsedFlagName(match["stem"], match["role"] or "started", int(match["epoch"] or 1))


SYNC = "sync"
"""Repeatable work: copy a run from its upstream."""
BACKUP = "backup"
"""Repeatable work: copy a run's own files to its backups. For a cell see `backup(stem)`."""
NOTIFY = "notify"
"""Repeatable work: deliver a run's messages."""


def ingest(stem: str) -> str:
    """Repeatable work: ingest a cell."""
    return f"{stem}.ingest"


def checksums(stem: str) -> str:
    """Repeatable work: compare a cell with MinKNOW's checksums."""
    return f"{stem}.checksums"


def backup(stem: str) -> str:
    """Repeatable work: copy a cell to its backups."""
    return f"{stem}.backup"


def verify(stem: str) -> str:
    """Repeatable work: read a cell's copies again."""
    return f"{stem}.verify"


def deletable(stem: str) -> str:
    """Repeatable work: mark a cell on its upstream as safe to delete."""
    return f"{stem}.deletable"


def strip(stem: str) -> str:
    """Repeatable work: remove a cell's raw data from the landing area."""
    return f"{stem}.strip"


def hook(stem: str) -> str:
    """Repeatable work: run the facility's command for a processed cell."""
    return f"{stem}.hook"


def work_of(action: str, cell: CellId | None) -> str:
    """Name of the repeatable work that an action performs; "" if it performs none."""
    if cell is None:
        return action if f"{action}.started" in RUN_FLAGS else ""
    return f"{cell.stem}.{action}" if action in STAGES else ""


def job_of(work: str) -> str:
    """The Slurm job that performs a repeatable work; its flags name the process that submitted it.

    The next one takes over when this job is proven dead, as with any attempt.
    """
    return f"{work}-job"


def over(work: str, key: str) -> str:
    """Flag of the process that ends the attempt of a dead owner; 12 hex digits name the attempt."""
    return f"{work}.over.{key}"


def synced(stem: str) -> str:
    return f"{stem}.synced"


def done(stem: str) -> str:
    return f"{stem}.done"


def failed(stem: str) -> str:
    return f"{stem}.failed"


def prepared(flag: str, token: str) -> str:
    """Hidden name of `flag`, which ends a claim, until it is linked; `token` is hexadecimal."""
    return f"{PREPARED}{token}.{flag}"


def is_prepared(name: str, stem: str) -> bool:
    """Whether a name is that of a prepared `done` or `failed` of a cell or a work."""
    flag = name.removeprefix(PREPARED).partition(".")[2]
    return name.startswith(PREPARED) and flag in (done(stem), failed(stem))


def aborted(stem: str) -> str:
    return f"{stem}.aborted"


def second_copy(stem: str) -> str:
    return f"{stem}.second-copy"


def wanted(stem: str) -> str:
    return f"{stem}.wanted"


def started(stem: str, epoch: int = 1) -> str:
    return f"{stem}.started" if epoch == 1 else f"{stem}.started.{epoch}"


def worker(stem: str, epoch: int = 1) -> str:
    return f"{started(stem, epoch)}.worker"


def yielded(stem: str, epoch: int = 1) -> str:
    return f"{started(stem, epoch)}.yielded"


def died(stem: str, epoch: int = 1) -> str:
    return f"{started(stem, epoch)}.died"


def meaning(name: str) -> str:
    """Phrase for people: what a flag of this name means."""
    if name in RUN_MEANINGS:
        return RUN_MEANINGS[name]
    parsed = parse(name)
    if ".over." in (parsed.fact if parsed else name) and (parsed or _RUN_OVER.fullmatch(name)):
        return OVER_MEANING
    if parsed is None:
        unused = name.startswith(LEFT_BY_HESIOD) or name.endswith(LEFT_ENDS)
        return UNUSED if unused else UNKNOWN
    attempt = f" (attempt {parsed.epoch})" if parsed.epoch > 1 else ""
    facts = STAGE_MEANINGS | CELL_MEANINGS | CLAIM_MEANINGS
    return facts[parsed.fact] + attempt
