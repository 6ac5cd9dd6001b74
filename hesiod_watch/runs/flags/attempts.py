"""Rounds: work that is repeated and idempotent, `ingest` of a cell or `sync` of a run. One at a
time, one flag a round.

`{work}.started` is made like any claim. At the end its maker renames it to `.done` or `.failed`,
which replaces that of the round before; so the number of flags does not grow with the number of
rounds. A round whose owner is proven dead is ended by whoever wants the next. Only the owner's host
can have that proof, so among the processes of one host a lock (`alone`) keeps a slow one from
ending a round that has been begun since.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Literal

from hesiod_watch.core.errors import FlagExists
from hesiod_watch.core.model import Liveness, Owner
from hesiod_watch.host import process
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs.flags.files import (
    create,
    directory,
    line,
    parse_owner,
    read,
    sync_directory,
    translate,
    write_temporary,
)

AttemptOutcome = Literal["done", "failed"]


def begin_attempt(
    pipeline: Path,
    work: str,
    owner: Owner,
    *,
    alone: Callable[[], AbstractContextManager[None]],
    judge: Judge = process.judge_here,
    record: Mapping[str, object] | None = None,
) -> None:
    """Begin a round of `work` (`names.ingest(stem)`, `names.SYNC`). Returns when it is ours.

    `record` is said beside its owner: what must not be forgotten of the round before, should this
    one be killed.

    Raises FlagExists, with the evidence, while the owner of the round under way is not proven dead;
    and what `create` raises. `alone()` admits one process of this host at a time.
    """
    name = f"{work}.started"
    said = {**(record or {}), **_said(owner)}
    try:
        create(pipeline, name, said)
    except FlagExists:
        _take_over(pipeline, work, said, alone, judge)
    # To others `started` beside an ending means that nothing is under way. The round before is
    # over, and this is ours.
    for ending in ("done", "failed"):
        with suppress(OSError):
            (pipeline / f"{work}.{ending}").unlink()


def _take_over(
    pipeline: Path,
    work: str,
    said: Mapping[str, object],
    alone: Callable[[], AbstractContextManager[None]],
    judge: Judge,
) -> None:
    name = f"{work}.started"
    with alone():
        try:
            held = read(None, pipeline / name)
        except FileNotFoundError:
            held = None  # it has ended by itself
        if held is not None:
            liveness, evidence = judge(parse_owner(held.text))
            # Hesiod leaves an empty `sync.started` beside the flag that says how it ended.
            over = parse_owner(held.text) is None and any(
                (pipeline / f"{work}.{ending}").exists() for ending in ("done", "failed")
            )
            if liveness is not Liveness.DEAD and not over:
                raise FlagExists(f"{pipeline / name}: under way: {evidence}")
            _rename(pipeline, name, f"{work}.failed")
        create(pipeline, name, said)


def end_attempt(
    pipeline: Path,
    work: str,
    owner: Owner,
    ending: AttemptOutcome,
    record: Mapping[str, object] | None = None,
) -> bool:
    """End the round that `owner` has begun; `record` is said beside its owner in the flag that ends
    it.

    A `reason` in `record` is how the round ended. It replaces the owner's own, the reason for which
    the round was begun.

    False: the round is not there any more, or not ours; a person withdrew it. Raises
    TemporaryError, PermanentError.
    """
    started, ended = f"{work}.started", f"{work}.{ending}"
    if not _ours(pipeline / started, owner):
        return _ours(pipeline / ended, owner)  # a rename whose answer was lost
    if record:
        ended_reason = {"reason": record["reason"]} if "reason" in record else {}
        _say_more(pipeline, started, {**record, **_said(owner), **ended_reason})
    _rename(pipeline, started, ended)
    return True


def _said(owner: Owner) -> dict[str, object]:
    said: dict[str, object] = json.loads(line(owner))
    return said


def _say_more(pipeline: Path, name: str, record: Mapping[str, object]) -> None:
    """Replace a flag of ours by one that says more, whole or not at all."""
    try:
        with directory(pipeline) as parent:
            temporary = write_temporary(parent, line(record))
            try:
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except OSError:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=parent)
                raise
    except OSError as error:
        raise translate(error, f"cannot write {pipeline / name}") from error


def _ours(path: Path, owner: Owner) -> bool:
    try:
        found = parse_owner(read(None, path).text)
    except OSError:
        return False
    return found is not None and found.token == owner.token


def _rename(pipeline: Path, old: str, new: str) -> None:
    try:
        with directory(pipeline) as parent:
            os.rename(old, new, src_dir_fd=parent, dst_dir_fd=parent)
            sync_directory(parent)
    except OSError as error:
        raise translate(error, f"cannot rename {pipeline / old} to {new}") from error
