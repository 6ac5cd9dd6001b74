"""A session on the shared ssh connection to an endpoint, held for one command.

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
from dataclasses import replace
from pathlib import Path

from hesiod_watch.config import EndpointSettings
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.host.command import CommandRunner
from hesiod_watch.host.locks import take_one
from hesiod_watch.remote import ssh
from hesiod_watch.remote.endpoint import Endpoint
from hesiod_watch.rules.exit_codes import error_of, judge_query

SESSIONS = 8
_PAUSE = 0.05  # seconds between two attempts to take a lock that is in use


@contextmanager
def connected(
    settings: EndpointSettings,
    runner: CommandRunner,
    stop: Callable[[], bool] = lambda: False,
    *,
    prefix: str = "",
) -> Iterator[Endpoint]:
    """Endpoint with one session on the open shared connection.

    Each command connects by itself if no connection can be shared. Raises TemporaryError or
    PermanentError without a connection; its sentence begins with `prefix`.
    """
    endpoint = Endpoint(settings, None, runner, stop, prefix)
    control = ssh.control_path(settings) if endpoint.over_ssh else None
    if control is None:
        yield endpoint
        return
    places = [control.with_suffix(f".{number}") for number in range(SESSIONS)]
    with _locked(places, endpoint):
        if not ssh.answers(control):
            with _locked([control.with_suffix(".opening")], endpoint):
                if not ssh.answers(control):
                    _open(endpoint, control)
        yield replace(endpoint, control=control)


def _open(endpoint: Endpoint, control: Path) -> None:
    ended = endpoint.runner(
        ssh.opening(endpoint.settings, control), quiet=endpoint.silence, stop=endpoint.stop
    )
    judgement = judge_query(ended.code, ended.errors)
    said = f"{endpoint.prefix}cannot connect to {endpoint.settings.place.host}"
    if ended.why:
        raise TemporaryError(f"{said}: {ended.why}{endpoint.advice(ended)}")
    if judgement.outcome != "done":
        raise error_of(judgement, f"{said}: {judgement.why}{endpoint.advice(ended)}")


@contextmanager
def _locked(files: list[Path], endpoint: Endpoint) -> Iterator[None]:
    """Hold one of several lock files.

    Raises TemporaryError if none becomes free within the endpoint's time limits.
    """
    until = time.monotonic() + endpoint.silence
    while (descriptor := take_one(files)) is None:
        if endpoint.stop() or time.monotonic() > until:
            raise TemporaryError(
                f"{endpoint.prefix}{SESSIONS} commands are already running on "
                f"{endpoint.settings.place.host}"
            )
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        os.close(descriptor)
