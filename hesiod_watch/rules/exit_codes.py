"""Meaning of the exit codes of rsync and ssh: done, retry later, or a person is needed.

The codes are those of rsync, and 255 of ssh, which rsync passes on unchanged. Some codes have too
many meanings; in these cases the error output decides. Code 0 of rsync says that files were sent,
never that two files are equal.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.naming import display

Outcome = Literal["done", "again", "failed"]


class CommandOutcome(NamedTuple):
    """Meaning of a command's end, with a sentence for a person (without a full stop)."""

    outcome: Outcome
    why: str


AGAIN = {
    10: "the connection broke",
    11: "a file could not be read or written",
    12: "the connection broke, or the other side refused what rsync asked for",
    14: "rsync's processes lost contact with each other",
    20: "rsync was interrupted, here or on the other side",
    21: "rsync lost one of its own processes",
    22: "there was not enough memory for rsync",
    23: "some files could not be copied",
    24: "some files vanished before they were copied",
    30: "no data arrived for too long",
    35: "the other side did not answer in time",
    124: "it took too long and was ended",
    255: "ssh could not connect, or its connection broke",
}

FAILED = {
    1: "rsync does not know one of the options; the versions on both sides may differ",
    2: "rsync's protocol was disturbed; does the login shell of the other side print anything?",
    3: "rsync refused the directories; does the path contain a link of another user?",
    4: "rsync cannot do what was asked, or the other side sent a name that was not asked for",
    5: "rsync could not start the protocol with the other side",
    6: "rsync could not write its own log",
    13: "rsync met an error in its own messages",
    25: "a limit on deletions stopped rsync, although it should delete nothing",
    126: "a program could not be executed",
    127: "a program is not installed",
}

# The error output is more reliable than the code. The first text that is found counts. Texts of ssh
# count only with a code that its failures have.
SAID_BY_SSH: tuple[tuple[str, Outcome, str], ...] = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "failed",
        "the host's key has changed; find out why",
    ),
    ("Host key verification failed", "failed", "the host's key is not known here"),
    ("Permission denied (", "failed", "the host does not let us in: our key is not accepted there"),
    (
        "Too many authentication failures",
        "failed",
        "the host does not let us in: too many keys were offered",
    ),
    ("Could not resolve hostname", "again", "the host's name cannot be resolved"),
    ("Connection refused", "again", "the host refuses the connection"),
    ("No route to host", "again", "there is no route to the host"),
    ("Connection timed out", "again", "the host does not answer"),
    ("timed out during banner exchange", "again", "the host does not answer"),
)
SAID_BY_RSYNC: tuple[tuple[str, Outcome, str], ...] = (
    ("No space left on device", "again", "there is no space left"),
    ("Disk quota exceeded", "again", "there is no space left: the quota is used up"),
)
_SSH_CODES = frozenset({255, 12, 10})


def judge(code: int, said: str = "") -> CommandOutcome:
    """Meaning of exit code `code` of rsync or ssh; a negative code is the signal that ended it.

    `said` is its error output. The sentence quotes the last line of it, made safe to show.
    """
    if code == 0:
        return CommandOutcome("done", "")
    table = SAID_BY_RSYNC + (SAID_BY_SSH if code in _SSH_CODES else ())
    found = (CommandOutcome(outcome, why) for text, outcome, why in table if text in said)
    outcome, why = next(found, _by_code(code))
    last = last_line(said)
    end = f"exit code {code}" if code > 0 else f"signal {-code}"
    return CommandOutcome(outcome, f"{why} ({end}{': ' + last if last else ''})")


def is_of_ssh(code: int, said: str) -> bool:
    """Whether ssh failed, and not the command that it should run."""
    return code == 255 or (code in _SSH_CODES and any(text in said for text, _, _ in SAID_BY_SSH))


def judge_query(code: int, said: str = "") -> CommandOutcome:
    """Meaning of exit code `code` of a read-only query, of ssh or of the remote shell."""
    if code == 0 or code in (126, 127, 255) or not 0 < code <= 128:
        return judge(code, said)
    last = last_line(said)
    return CommandOutcome(
        "again", f"the query ended with exit code {code}{': ' + last if last else ''}"
    )


def error_of(judgement: CommandOutcome, sentence: str) -> TemporaryError | PermanentError:
    """Error for a command that did not do its work; only the outcome `failed` needs a person."""
    return (PermanentError if judgement.outcome == "failed" else TemporaryError)(sentence)


def _by_code(code: int) -> CommandOutcome:
    if code < 0 or code > 128:
        return CommandOutcome("again", AGAIN.get(code, "it was ended by a signal"))
    if code in AGAIN:
        return CommandOutcome("again", AGAIN[code])
    return CommandOutcome("failed", FAILED.get(code, "it ended with an unknown exit code"))


def last_line(said: str) -> str:
    """The most informative line of an error output, safe to show, of at most 300 characters.

    It is the last line, except for the sentence with which rsync always ends.
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    informative = [
        line
        for line in lines
        if not line.startswith(("rsync error:", "rsync: connection unexpectedly closed"))
    ]
    line = display((informative or lines or [""])[-1])
    return line if len(line) <= 300 else line[:297] + "..."
