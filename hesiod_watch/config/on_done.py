"""The facility's own command that is run once for each finished cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from hesiod_watch.config.reading import DurationValue, WordListValue
from hesiod_watch.core.frozen import frozen

MANIFEST = "{manifest}"
"""Stands for the path of the cell's `manifest.json` in the words of the command."""


@frozen
class OnDoneSettings:
    """Command that is run once for each finished cell."""

    command: Annotated[tuple[str, ...], WordListValue()] = ()
    """Program and arguments. `{manifest}` stands for the path of the cell's `manifest.json`, which
    is the last argument if no word contains it. Only cells that are finished while this is set
    count. Empty: nothing is run.
    """

    time_limit: Annotated[float, DurationValue(at_least=1)] = 86400.0
    """Longest time for the command. Then it is ended with all its processes."""

    def words(self, manifest: str) -> tuple[str, ...]:
        """Command for the cell with this manifest."""
        program, *arguments = self.command
        if not any(MANIFEST in word for word in arguments):
            arguments.append(MANIFEST)
        return (program, *(word.replace(MANIFEST, manifest) for word in arguments))


def on_done_problems(settings: OnDoneSettings) -> Iterator[tuple[str, str]]:
    """Mistakes in the settings: the key, and a sentence."""
    program = next(iter(settings.command), "/")
    if not program or ("/" in program and not program.startswith("/")):
        yield "command", "should begin with a program on PATH, or with its absolute path"
