"""Historic runs: their age by names, the patterns of `take_up`, and the first look."""

from __future__ import annotations

import pytest

from hesiod_watch.core.take_up import ALWAYS, NOW, FirstLook, TakeUpRule
from hesiod_watch.rules.historic import (
    day_of,
    is_before,
    was_there,
    why_before,
    why_left_out,
)

OLD, NEW = "20210304_2210_1A_PAW00001_00000001", "20260101_2210_1A_PAW00002_00000002"
POOLED = "PAW00001_00000001_00000002.pooled"


@pytest.mark.parametrize(
    ("run", "cells", "before"),
    [
        pytest.param("any", [OLD], True, id="old"),
        pytest.param("20210304_any", [OLD, NEW], False, id="one is new"),
        pytest.param("20210304_any", [POOLED], True, id="pooled in an old run"),
        pytest.param("20260101_any", [POOLED], False, id="pooled in a new run"),
        pytest.param("any", [POOLED], False, id="no day at all"),
        pytest.param("20210304_any", [], True, id="no cell, old"),
        pytest.param("any", [], False, id="no cell, no day"),
    ],
)
def test_age_by_names(run: str, cells: list[str], before: bool) -> None:
    """A run is old if every cell is; an acquisition in a pooled directory is as old as its run."""
    assert is_before(TakeUpRule("2026-01-01"), run, cells) == before
    assert not is_before(TakeUpRule("now"), run, cells)
    for since in (ALWAYS, ""):
        assert not is_before(TakeUpRule(since), run, cells)


@pytest.mark.parametrize(
    ("since", "before"), [("2021-03-04", False), ("2021-03-05", True)], ids=["that day", "next day"]
)
def test_the_day_itself_is_taken_up(since: str, before: bool) -> None:
    """A cell of the day in `since` is taken up, and one of the day before is not."""
    assert is_before(TakeUpRule(since), "any", [OLD]) is before


@pytest.mark.parametrize(
    ("name", "day"),
    [
        (OLD, "20210304"),
        (f"x{OLD}", ""),
        ("20210304", "20210304"),
        ("20210304_any", "20210304"),
        ("202103041", ""),
        ("2021030", ""),
        ("any", ""),
        ("x20210304", ""),
        ("20210304_c6ded78b_0123abcd.pooled", ""),
    ],
)
def test_day_in_a_name(name: str, day: str) -> None:
    """The day is the first eight digits of a name, and no flow cell id in its place."""
    assert day_of(name) == day


@pytest.mark.parametrize(
    ("include", "exclude", "why"),
    [
        ((), (), ""),
        ((), ("alpha",), "its name matches `take_up.exclude`"),
        ((), ("alph",), ""),
        ((), ("x", "b.*"), "its name matches `take_up.exclude`"),
        (("alpha",), (), ""),
        (("x", "b.*"), (), ""),
        (("alph",), (), "its name matches nothing in `take_up.include`"),
        (("alpha",), ("beta",), "its name matches `take_up.exclude`"),
    ],
)
def test_patterns(include: tuple[str, ...], exclude: tuple[str, ...], why: str) -> None:
    """A pattern matches a whole name, one of the run's names is enough, and `exclude` decides."""
    rule = TakeUpRule("", include, exclude)
    assert why_left_out(rule, ["alpha", "beta"]) == why


@pytest.mark.parametrize(
    ("run", "cells", "there"),
    [
        ("alpha", [], True),
        ("empty", [], True),
        ("new", [], False),
        ("alpha", ["a", "b"], True),
        ("renamed", ["a", "c"], True),
        ("alpha", ["a", "d"], False),
        ("new", ["d"], False),
    ],
)
def test_what_was_there_at_the_first_look(run: str, cells: list[str], there: bool) -> None:
    """A run was there if all its cells were, in whichever run; without cells its name counts."""
    first = FirstLook(NOW, {"alpha": ("a", "b"), "beta": ("c",), "empty": ()})
    assert was_there(first, run, cells) is there


def test_why_it_was_there_before() -> None:
    """The reason says whether the setting was decided at the first look."""
    assert why_before(FirstLook(NOW)) == (
        "it was finished before the first look (`take_up.since: now`)"
    )
    assert why_before(FirstLook("")) == (
        "it was finished before the first look, and `take_up.since` is not decided"
    )
