"""Another process that acts before a chosen disk call of this one, as if this one were stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

DISK_CALLS = ("link", "rename", "unlink", "open", "scandir")

Arm = Callable[[int, Callable[[], object]], None]


@contextmanager
def at_disk_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Arm]:
    """Function that has `act` called once, before the disk call of a number."""
    state: dict[str, object] = {}

    def arm(number: int, act: Callable[[], object]) -> None:
        state.update(left=number, act=act)

    def wrap(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            left = state.get("left")
            state["left"] = left - 1 if isinstance(left, int) else None
            act = state["act"] if left == 0 else None
            if callable(act):
                act()
            return real(*args, **options)

        return call

    with monkeypatch.context() as patch:
        for name in DISK_CALLS:
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield arm
