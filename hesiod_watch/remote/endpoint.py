"""Endpoint of commands: the host behind ssh, or this host for a mounted directory.

Only this module decides between the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hesiod_watch.config import EndpointSettings
from hesiod_watch.core.frozen import frozen
from hesiod_watch.host.command import CommandResult, CommandRunner, run
from hesiod_watch.remote import ssh
from hesiod_watch.rules.exit_codes import is_of_ssh
from hesiod_watch.rules.ssh_advice import ssh_advice

_PATTERN = re.compile(r"([*?\[\]\\])")


@frozen
class Endpoint:
    """Host of a sequencer or a backup, with the limits for each command there."""

    settings: EndpointSettings
    control: Path | None = None  # socket of the shared connection
    runner: CommandRunner = run
    stop: Callable[[], bool] = lambda: False
    prefix: str = ""  # beginning of each error's sentence

    @property
    def over_ssh(self) -> bool:
        return self.settings.place.over_ssh

    @property
    def rsh(self) -> str:
        """Remote shell of rsync; "" if the directory is mounted on this host."""
        return ssh.rsh(self.settings, self.control) if self.over_ssh else ""

    @property
    def silence(self) -> float:
        """Seconds without output after which a short command is ended."""
        return self.settings.connect_timeout + self.settings.timeout

    def command(self, command: Sequence[str]) -> tuple[str, ...]:
        """Command of this host that runs `command` at the endpoint."""
        if self.over_ssh:
            return ssh.remote(self.settings, command, self.control)
        return tuple(command)

    def run(
        self,
        command: Sequence[str],
        *,
        given: bytes = b"",
        patience: float = 0.0,
        on_output: Callable[[bytes], None] | None = None,
    ) -> CommandResult:
        """Run a command at the endpoint; `patience` are more seconds for its silence."""
        return self.runner(
            self.command(command),
            quiet=self.silence + patience,
            given=given,
            on_output=on_output,
            stop=self.stop,
        )

    def advice(self, ended: CommandResult) -> str:
        """Return advice about a failed ssh, as the end of a sentence; "" if ssh worked."""
        if not self.over_ssh or not (ended.why or is_of_ssh(ended.code, ended.errors)):
            return ""
        return f"; {ssh_advice(ssh.attempt(self.settings, self.runner), ended.errors)}"

    def rsync_path(self, path: str) -> str:
        """Content of a directory of the endpoint, as an argument of rsync.

        rsync expands patterns only in remote paths.
        """
        if self.over_ssh:
            escaped = _PATTERN.sub(r"\\\1", path)
            return f"{self.settings.place.rsync_host}:{escaped}/"
        return f"{path}/"
