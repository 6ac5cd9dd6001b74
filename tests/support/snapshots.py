"""Builders of snapshots: a run, its cells and their flags, each with plain defaults.

    run(cell("a", synced=True), cell("b", done=flag("first")), listed_at=THERE)

A test names only the facts that it needs. A keyword of `cell` that `CellFlags` knows is put into
the cell's flags, every other one into the cell.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from hesiod_watch.core.model import LOCAL, Cell, CellId, RunName, Snapshot
from hesiod_watch.core.ownership import (
    Attempt,
    CellFlags,
    Claim,
    Flag,
    Liveness,
    Owner,
    WorkerDeath,
)

LIBRARY = "lib"
_FLAGS = frozenset(each.name for each in fields(CellFlags))


def run(*cells: Cell, name: str = "run", **facts: Any) -> Snapshot:
    """A LOCAL run in /landing that was taken up, with its output directory in /output."""
    usual: dict[str, Any] = {
        "has_pipeline": True,
        "upstream": LOCAL,
        "output": Path("/output") / name,
        "cells": cells,
    }
    return Snapshot(RunName(name), Path("/landing") / name, **(usual | facts))


def cell(name: str = "cell", library: str = LIBRARY, *, present: bool = True, **facts: Any) -> Cell:
    """A cell that is here and is still being written."""
    said = {key: facts.pop(key) for key in list(facts) if key in _FLAGS}
    if said:
        facts["flags"] = CellFlags(**said)
    return Cell(CellId(library, name), present=present, **facts)


def flag(text: str = "because", mtime: float = 1.0, name: str = "flag") -> Flag:
    """A flag with that content."""
    return Flag(name, mtime=mtime, text=text)


def claim(
    liveness: Liveness = Liveness.ALIVE,
    epoch: int = 1,
    *,
    owner: Owner | None = None,
    worker: Owner | None = None,
    yielded: bool = False,
    evidence: str = "",
    death: WorkerDeath | None = None,
) -> Claim:
    """A claim whose owner is known to live, unless the test says otherwise."""
    return Claim(epoch, owner, worker, yielded, liveness, evidence, death=death)


def attempt(
    outcome: str = "",
    *,
    liveness: Liveness | None = None,
    owner: Owner | None = None,
    evidence: str = "",
    **record: object,
) -> Attempt:
    """An attempt: under way with an owner that lives, or ended as `outcome` says."""
    usual = Liveness.DEAD if outcome else Liveness.ALIVE
    return Attempt(outcome, owner, liveness or usual, evidence, record)
