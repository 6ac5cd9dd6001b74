"""Of which type a run is: internal, visitor, test, or whatever a facility calls its own.

The name of a run decides once, when the run is taken up; what `pipeline/type.yaml` says then wins
over the name, so that a person can change it. A type that nothing is known about must not cost
data: such a run is worked on like any other, and a person is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hesiod_watch.core.model import Policy, RunType, Snapshot

UNKNOWN = "unknown"
"""Type of a run whose name no configured type matches; also Hesiod's word for it."""


def type_of_name(types: Iterable[RunType], run: str) -> RunType:
    """The first type whose pattern matches the whole of a run's name; one called `unknown` where
    none does.
    """
    return next(
        (each for each in types if re.fullmatch(each.runs, run, re.DOTALL)), RunType(UNKNOWN, "")
    )


def type_of(snapshot: Snapshot, policy: Policy) -> RunType:
    """The type of a run: what its file says, else what its name says. One not configured has
    nothing special.
    """
    if not snapshot.type:
        return type_of_name(policy.types, snapshot.run)
    return next(
        (each for each in policy.types if each.name == snapshot.type), RunType(snapshot.type, "")
    )


def type_problem(snapshot: Snapshot, policy: Policy) -> str:
    """Why a run is treated as one of no particular type; "" when its type is known."""
    file = f"{snapshot.path}/pipeline/type.yaml"
    if snapshot.type_problem:
        return f"{file} {snapshot.type_problem}, so the run's name decides: {type_of(snapshot, policy).name}"
    kind = type_of(snapshot, policy)
    if not policy.types or any(each.name == kind.name for each in policy.types):
        return ""
    if snapshot.type:
        return f"{file} says type {kind.name}, which is not configured; the run is treated like any other"
    return "no configured type matches the run's name; it is treated like any other"
