"""Cost of a function in calls, which hardly depends on the host."""

from __future__ import annotations

import sys
from collections.abc import Callable


def calls_of(act: Callable[[], object]) -> int:
    """Number of calls of functions, ours and the interpreter's."""
    counted = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    former = sys.getprofile()
    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(former)
    return counted
