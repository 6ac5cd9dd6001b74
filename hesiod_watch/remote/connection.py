"""A session on the shared ssh connection to an upstream, held for one command.

Servers allow ten sessions on a connection, and drop logins when many arrive at once. So one process
opens the connection while all other processes of this user on this host wait, and at most SESSIONS
commands use it at a time. Lock files keep this order. The kernel releases a lock however its holder
ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.host.command import CommandRunner
from hesiod_watch.host.locks import take_one
from hesiod_watch.remote import ssh
from hesiod_watch.rules.exit_codes import CommandOutcome, judge_query

SESSIONS = 8
_PAUSE = 0.05  # seconds between two attempts to take a lock that is in use


class HostUnreachable(HesiodError):
    """No connection to an upstream; `judgement` says whether to retry."""

    def __init__(self, judgement: CommandOutcome) -> None:
        super().__init__(judgement.why)
        self.judgement = judgement


@contextmanager
def connected(
    upstream: UpstreamSettings, runner: CommandRunner, stop: Callable[[], bool] = lambda: False
) -> Iterator[Path | None]:
    """Control socket of the open shared connection, with one session on it.

    None if each command must connect by itself, or if the upstream is mounted on this host.
    Raises HostUnreachable.
    """
    control = ssh.control_path(upstream) if upstream.place.over_ssh else None
    if control is None:
        yield None
        return
    places = [control.with_suffix(f".{number}") for number in range(SESSIONS)]
    with _locked(places, upstream, stop):
        if not ssh.answers(control):
            with _locked([control.with_suffix(".opening")], upstream, stop):
                if not ssh.answers(control):
                    _open(upstream, control, runner, stop)
        yield control


def close(upstream: UpstreamSettings, runner: CommandRunner) -> None:
    """End the shared connection, if there is one; commands that use it fail."""
    control = ssh.control_path(upstream) if upstream.place.over_ssh else None
    if control and control.exists():
        runner(ssh.closing(upstream, control), quiet=upstream.connect_timeout)


def _open(
    upstream: UpstreamSettings, control: Path, runner: CommandRunner, stop: Callable[[], bool]
) -> None:
    limit = upstream.connect_timeout + upstream.timeout
    ended = runner(ssh.opening(upstream, control), quiet=limit, stop=stop)
    if ended.why:
        raise HostUnreachable(
            CommandOutcome("again", f"cannot connect to {upstream.place.host}: {ended.why}")
        )
    judgement = judge_query(ended.code, ended.errors)
    if judgement.outcome != "done":
        raise HostUnreachable(
            CommandOutcome(
                judgement.outcome, f"cannot connect to {upstream.place.host}: {judgement.why}"
            )
        )


@contextmanager
def _locked(
    files: list[Path], upstream: UpstreamSettings, stop: Callable[[], bool]
) -> Iterator[None]:
    """Hold one of several lock files.

    Raises HostUnreachable if none becomes free within the upstream's time limits.
    """
    until = time.monotonic() + upstream.connect_timeout + upstream.timeout
    while (descriptor := take_one(files)) is None:
        if stop() or time.monotonic() > until:
            raise HostUnreachable(
                CommandOutcome(
                    "again", f"{SESSIONS} commands are already running on {upstream.place.host}"
                )
            )
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        os.close(descriptor)
