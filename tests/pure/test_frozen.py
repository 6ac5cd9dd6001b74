"""The decorator of frozen values, compared with Python's own frozen dataclasses."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pytest

from hesiod_watch.core.frozen import frozen


class Position:
    """Fields and a method of a class."""

    row: int
    column: int = 1
    note: str = field(default="", compare=False)
    secret: str = field(default="", repr=False)
    seen: tuple[int, ...] = field(default_factory=tuple)

    def moved(self) -> Any:
        return replace(self, row=self.row + 1)  # type: ignore[type-var]  # a dataclass, below


MAKERS: dict[str, Callable[[type], Any]] = {
    "python": dataclass(frozen=True, slots=True),
    "ours": frozen,
}
BOTH = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)


def made_by(maker: Callable[[type], Any], name: str = "Position") -> Any:
    """A class of its own with the fields of `Position`."""
    return maker(type(name, (), dict(vars(Position)) | {"__qualname__": name}))


@BOTH
def test_equality_and_hash_are_by_fields(maker: Callable[[type], Any]) -> None:
    """Values are equal if their class and their compared fields are; equal values are one key."""
    here, other = made_by(maker), made_by(maker)
    assert here(1, note="a") == here(1, note="b")
    assert len({here(1, note="a"), here(1, note="b"), here(2), here(1, 2)}) == 3
    assert here(1) != here(1, secret="x")
    assert here(1) != other(1)
    assert here(1) != (1, 1, "", ())
    assert here(1).moved() == here(2)


@BOTH
def test_representation(maker: Callable[[type], Any]) -> None:
    """The representation names the shown fields."""
    shown = repr(made_by(maker)(1, secret="token"))
    assert shown == "Position(row=1, column=1, note='', seen=())"


@BOTH
def test_it_has_slots(maker: Callable[[type], Any]) -> None:
    """Such a value has no dictionary, so that many of them need little memory."""
    assert not hasattr(made_by(maker)(1), "__dict__")


@frozen
class Empty:
    """A value without fields, and with a method of its own."""

    def __repr__(self) -> str:
        return "nothing"


@frozen
class Sum:
    """A value that computes once."""

    parts: list[int]

    @cached_property
    def total(self) -> int:
        return sum(self.parts)


@frozen
class Longer(Sum):
    """A value that adds a field to those of another."""

    name: str = ""


def test_methods_of_the_class_are_kept() -> None:
    """A method that the class has is not replaced; values without fields are equal."""
    assert repr(Empty()) == "nothing"
    assert len({Empty(), Empty()}) == 1


def test_cached_property() -> None:
    """A property is computed once, and is not part of the value."""
    value = Sum([1, 2])
    assert value.total == 3
    value.parts.append(4)
    assert value.total == 3
    assert value == Sum([1, 2, 4])


def test_fields_of_a_base_count() -> None:
    """The fields of a base class are compared and shown, too."""
    assert Longer([1], "a") != Longer([2], "a")
    assert Longer([1]) != Sum([1])
    assert repr(Longer([1], "a")) == "Longer(parts=[1], name='a')"


def sent(value: object) -> object:
    """The value as another process receives it."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301  pickled on this line


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, sent])
def test_copies_are_equal(copied: Callable[[object], object]) -> None:
    """A value survives being copied and sent to another process."""
    for value in (Empty(), Sum([1]), Longer([1], "a")):
        assert copied(value) == value
