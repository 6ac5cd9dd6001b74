"""Exit of a worker, in words: killed by a signal, ended with a code, or it could not begin."""

from __future__ import annotations

_MORE = {9: " (out of memory?)"}


_TRY_AGAIN = 75


def not_begun(code: int, *, claimed: bool) -> str:
    """Why a worker could not begin; "" if it began.

    A worker with a claim waits itself until it can work. If it ends with "try again", it has not
    begun: for instance, the output area has just disappeared.
    """
    if claimed and code == _TRY_AGAIN:
        return f"the worker could not begin; it is started again (exit code {code})"
    return ""


def exit_words(code: int) -> str:
    """How a worker ended, as the end of a sentence.

    `code` is that of `subprocess`: negative for a signal. A program that ends itself because of a
    signal adds 128 to it.
    """
    signal = -code if code < 0 else code - 128
    if 0 < signal < 65:
        return f"was killed by signal {signal}{_MORE.get(signal, '')}"
    return f"ended with exit code {code}"
