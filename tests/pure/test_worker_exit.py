"""Exit of a worker in words."""

from __future__ import annotations

import pytest

from hesiod_watch.rules.worker_exit import exit_words, not_begun


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0"),
        (1, "ended with exit code 1"),
        (128, "ended with exit code 128"),
        (129, "was killed by signal 1"),
        (137, "was killed by signal 9 (out of memory?)"),
        (192, "was killed by signal 64"),
        (193, "ended with exit code 193"),
        (-1, "was killed by signal 1"),
        (-9, "was killed by signal 9 (out of memory?)"),
        (-15, "was killed by signal 15"),
    ],
)
def test_words(code: int, words: str) -> None:
    """A signal is named, whether the program was ended by it or reported it."""
    assert exit_words(code) == words


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("code", [0, 1, 74, 75, 76, 137])
def test_a_worker_that_did_not_begin(code: int, claimed: bool) -> None:
    """Only a worker with a claim that ends with "try again" has not begun."""
    words = "the worker could not begin; it is started again (exit code 75)"
    assert not_begun(code, claimed=claimed) == (words if claimed and code == 75 else "")
