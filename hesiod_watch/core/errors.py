"""The error tree. Foreign exceptions are translated into these once, in the adapter that met them.

They are caught in three places only: `perform`, `service` and `cli`. A message says what was
attempted, on which run and cell, and what a person can do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path


class HesiodError(Exception):
    """Anything this program foresees. Its text is a sentence for a person."""


class TemporaryError(HesiodError):
    """Try again later: a full disk, a host that does not answer, a mount that went away.

    `retry_after`, in seconds, is the longest to wait, where the one who raised it knows better than
    the back-off.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(HesiodError):
    """Trying again gives the same answer; a person is needed.

    `errno` is that of the system's error behind it, 0 where there is none.
    """

    def __init__(self, message: str, *, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class BadSource(PermanentError):
    """A file that MinKNOW (or anyone) wrote is not what its name says.

    `path` is the file, `where` the place in it ("record 12, line 48" or "byte 4096").
    """

    def __init__(self, path: Path, reason: str, *, where: str = "") -> None:
        super().__init__(f"{path}: {reason}" + (f" ({where})" if where else ""))
        self.path = path
        self.reason = reason
        self.where = where

    def __reduce__(self) -> tuple[object, ...]:
        # It crosses from worker processes; the default would call BadSource(message).
        return partial(BadSource, where=self.where), (self.path, self.reason), self.__dict__


class FlagExists(HesiodError):
    """Somebody else made this flag first. Normal in a race; the loser goes on with something else."""


class FlagUnknown(TemporaryError):
    """The flag was sent to the file system, but reading it back gave no verdict: not ours until it
    is.
    """


class ConfigError(HesiodError):
    """All that is wrong with the configuration, at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class UsageError(HesiodError):
    """The command line asks for something that is not there, such as a run of that name."""
