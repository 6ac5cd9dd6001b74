"""Historic runs: those that a setting of `take_up` leaves alone.

A run that is taken up already is never historic. The age of a run is the day in the names of its
cells: copying changes every time of a file, and `chown` changes those that copying keeps.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from hesiod_watch.core.naming import parse_cell
from hesiod_watch.core.take_up import ALWAYS, NOW, FirstLook, TakeUpRule

MOST_UNDECIDED = 20
"""Finished runs at a first look that are taken up without a decision of a person."""
_DAY = re.compile(r"[0-9]{8}(?![0-9])")


def why_left_out(rule: TakeUpRule, names: Collection[str]) -> str:
    """Return why `include` or `exclude` leave out a run with these names; "" if they do not."""
    if _matches(rule.exclude, names):
        return "its name matches `take_up.exclude`"
    if rule.include and not _matches(rule.include, names):
        return "its name matches nothing in `take_up.include`"
    return ""


def is_before(rule: TakeUpRule, run: str, cells: Collection[str]) -> bool:
    """Whether all of a run is older than the day in `since`, by the names of its cells."""
    if rule.since in ("", NOW, ALWAYS):
        return False
    first = rule.since.replace("-", "")
    days = [day_of(cell) or day_of(run) for cell in cells] or [day_of(run)]
    return all(day and day < first for day in days)


def day_of(name: str) -> str:
    """Return the day, YYYYMMDD, with which a name of a cell or a run begins; "" without one."""
    if cell := parse_cell(name):
        return cell.date
    return name[:8] if _DAY.match(name) else ""


def was_there(first: FirstLook, run: str, cells: Collection[str]) -> bool:
    """Whether all of a run was there at the first look, perhaps in a run of another name."""
    if not cells:
        return run in first.runs
    known = {name for names in first.runs.values() for name in names}
    return known.issuperset(cells)


def why_before(first: FirstLook) -> str:
    """Return why a run that was there at the first look is not taken up."""
    if first.since == NOW:
        return "it was finished before the first look (`take_up.since: now`)"
    return "it was finished before the first look, and `take_up.since` is not decided"


def _matches(patterns: Iterable[str], names: Collection[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns for name in names)
