"""Type of a run: internal, visitor, test, or another type that a facility configures.

The run's name decides once, when the run is taken up. After that, `pipeline/type.yaml` has
priority over the name, so that a person can change the type. An unknown type must not cost data:
such a run is handled like any other, and its problem is reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hesiod_watch.core.model import Policy, RunType, Snapshot

UNKNOWN = "unknown"
"""Type of a run whose name matches no configured type; Hesiod uses the same name."""


def type_of_name(types: Iterable[RunType], run: str) -> RunType:
    """Return the first type whose pattern matches the whole run name; else a type `unknown`."""
    found = (each for each in types if re.fullmatch(each.runs, run, re.DOTALL))
    return next(found, None) or RunType(UNKNOWN, "")


def type_of(snapshot: Snapshot, policy: Policy) -> RunType:
    """Return the type of a run: from its file, else from its name.

    A type that is not configured has the default settings.
    """
    if not snapshot.type:
        return type_of_name(policy.types, snapshot.run)
    return next(
        (each for each in policy.types if each.name == snapshot.type), RunType(snapshot.type, "")
    )


def type_problem(snapshot: Snapshot, policy: Policy) -> str:
    """Return why a run has no known type; "" if its type is known."""
    file = f"{snapshot.path}/pipeline/type.yaml"
    if snapshot.type_problem:
        name = type_of(snapshot, policy).name
        return f"{file} {snapshot.type_problem}, so the run's name decides: {name}"
    kind = type_of(snapshot, policy)
    if not policy.types or any(each.name == kind.name for each in policy.types):
        return ""
    if snapshot.type:
        return (
            f"{file} says type {kind.name}, which is not configured; "
            "the run is treated like any other"
        )
    return "no configured type matches the run's name; it is treated like any other"
