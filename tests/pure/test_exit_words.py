"""Exact sentences about the end of rsync, ssh and queries, and their errors."""

from __future__ import annotations

import pytest

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.rules.exit_codes import (
    AGAIN,
    FAILED,
    CommandOutcome,
    error_of,
    is_of_ssh,
    judge,
    judge_query,
)

REFUSED = "ssh: connect to host x port 22: Connection refused"


@pytest.mark.parametrize(
    ("code", "said", "outcome", "why"),
    [
        (0, "anything", "done", ""),
        (1, "", "failed", f"{FAILED[1]} (exit code 1)"),
        (23, "rsync: x\nrsync error: y", "again", f"{AGAIN[23]} (exit code 23: rsync: x)"),
        (99, "", "failed", "it ended with an unknown exit code (exit code 99)"),
        (128, "", "failed", "it ended with an unknown exit code (exit code 128)"),
        (129, "", "again", "it was ended by a signal (exit code 129)"),
        (-9, "", "again", "it was ended by a signal (signal 9)"),
        (-9, "x", "again", "it was ended by a signal (signal 9: x)"),
        (255, "", "again", f"{AGAIN[255]} (exit code 255)"),
        (255, REFUSED, "again", f"the host refuses the connection (exit code 255: {REFUSED})"),
        (23, REFUSED, "again", f"{AGAIN[23]} (exit code 23: {REFUSED})"),
    ],
)
def test_end_of_a_command(code: int, said: str, outcome: str, why: str) -> None:
    """The sentence has the meaning of the end, the code or the signal, and the last line."""
    assert judge(code, said) == (outcome, why)


@pytest.mark.parametrize("code", [0, 126, 127, 255, -9, 129])
def test_ends_of_a_query_that_are_not_its_own(code: int) -> None:
    """A query that did not begin, or that was ended, is judged like any other command."""
    assert judge_query(code, "x") == judge(code, "x")


@pytest.mark.parametrize(("code", "said"), [(1, ""), (2, "x"), (125, ""), (128, "")])
def test_ends_of_a_query(code: int, said: str) -> None:
    """Any other code is the answer of the remote shell, and the query is repeated."""
    words = f"the query ended with exit code {code}{': x' if said else ''}"
    assert judge_query(code, said) == ("again", words)


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (255, "", True),
        (12, REFUSED, True),
        (10, REFUSED, True),
        (12, "x", False),
        (23, REFUSED, False),
        (0, "", False),
    ],
)
def test_who_failed(code: int, said: str, expected: bool) -> None:
    """Texts of ssh count only with a code that its failures have."""
    assert is_of_ssh(code, said) is expected


def test_errors() -> None:
    """Only an end that needs a person is a permanent error."""
    failed, again = error_of(CommandOutcome("failed", ""), "a"), error_of(judge(23), "b")
    assert (type(failed), str(failed)) == (PermanentError, "a")
    assert (type(again), str(again)) == (TemporaryError, "b")
