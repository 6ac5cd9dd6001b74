"""Heartbeats of the processes that watch, and what they know, from their state files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hesiod_watch.config import Config
from hesiod_watch.core.circumstances import Heartbeat, RefusedAction, UpstreamAnswer
from hesiod_watch.core.ownership import Liveness
from hesiod_watch.core.watch_state import SERVICE, WatchState
from hesiod_watch.rules.heartbeat import watcher_of
from hesiod_watch.runs.flags.flag_files import owner_of
from hesiod_watch.runs.state_files import read_states


def known_states(
    config: Config, *, leave_out: str = "", runs: bool = False
) -> tuple[WatchState, ...]:
    """States of all processes that watch this landing area, as `read_states` reads them."""
    states = read_states(config.output, leave_out=leave_out, runs=runs)
    return tuple(state for state in states if state.landing == str(config.landing))


def heartbeat(state: WatchState, config: Config, now: datetime) -> tuple[Heartbeat, Liveness]:
    """Heartbeat of the process that wrote a state, and whether it lives."""
    living, _ = config.judge(owner_of(state.owner))
    watcher = watcher_of(
        state,
        now,
        alive=living is Liveness.ALIVE,
        dead=living is Liveness.DEAD,
        digest=config.digest,
        config=str(config.path or ""),
    )
    return watcher, living


def from_watchers(
    config: Config, own: str
) -> tuple[tuple[Heartbeat, ...], tuple[UpstreamAnswer, ...], tuple[RefusedAction, ...]]:
    """Heartbeats of all processes but one, and what those in time know.

    `own` is the name of the state file to leave out. Empty if the files cannot be read.
    """
    now = datetime.now(UTC)
    watchers: list[Heartbeat] = []
    answers: dict[str, tuple[datetime, UpstreamAnswer]] = {}
    refused: list[RefusedAction] = []
    configured = {(each.name, each.location) for each in config.upstreams}
    try:
        states = known_states(config, leave_out=own)
    except OSError:
        states = ()
    for state in states:
        watcher, living = heartbeat(state, config, now)
        watchers.append(watcher)
        if watcher.due is not None and watcher.due < now:
            continue
        for answer in state.upstreams:
            known = answers.get(answer.name)
            new = known is None or known[0] < state.last_look
            if new and (answer.name, answer.location) in configured:
                answers[answer.name] = state.last_look, answer
        # A poll that has ended tries nothing again, and the next one begins anew. But a failure
        # that left no flag is recorded only here, so a command that only looks reports it.
        # An action may leave a flag, and yet have failed before it made one.
        if living is Liveness.ALIVE or (living is Liveness.UNKNOWN and state.kind == SERVICE):
            refused += state.refused
        elif not own and state.last_look == max(each.last_look for each in states):
            refused += (replace(each, over=True) for each in state.refused)
    return tuple(watchers), tuple(answer for _, answer in answers.values()), tuple(refused)
