"""Exceptions of hesiod-watch.

An adapter translates a foreign exception into one of these once, where it occurs. Only three
places catch them: `perform`, `service` and `cli`. A message says what was attempted, on which run
and cell, and what a person can do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path


class HesiodError(Exception):
    """Base of all expected errors. Its text is a sentence for a person."""


class TemporaryError(HesiodError):
    """Error that a later retry may solve: a full disk, a silent host, a missing mount.

    `retry_after` is the longest time to wait, in seconds. The code that raises the error sets it
    if it knows better than the back-off.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoSpace(TemporaryError):
    """Error for a full disk or a used-up quota."""


class PermanentError(HesiodError):
    """Error that a retry cannot solve; it needs a person.

    `errno` is the number of the system error that caused it; 0 if there is none.
    """

    def __init__(self, message: str, *, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class BadSource(PermanentError):
    """Error for an input file whose content is not what its name says.

    `path` is the file, `where` the position in it ("record 12, line 48" or "byte 4096").
    """

    def __init__(self, path: Path, reason: str, *, where: str = "", errno: int = 0) -> None:
        self.said = reason + (f" ({where})" if where else "")  # without the path
        super().__init__(f"{path}: {self.said}", errno=errno)
        self.path = path
        self.reason = reason
        self.where = where

    @property
    def each(self) -> tuple[BadSource, ...]:
        """The errors of all bad files, one for each."""
        return (self,)

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes pickle this error; the default would call BadSource(message).
        return partial(BadSource, where=self.where), (self.path, self.reason), self.__dict__


class BadSources(BadSource):
    """Error for several bad input files; its path and reason are those of the first one.

    The message names the files by their reasons, relative to the cell's directory `cell`.
    """

    SHOWN = 20
    """Number of files that the message names."""

    def __init__(self, errors: Sequence[BadSource], cell: Path) -> None:
        first = errors[0]
        super().__init__(first.path, first.reason, where=first.where, errno=first.errno)
        self._each = tuple(errors)
        named: dict[str, list[str]] = {}
        for error in errors[: self.SHOWN]:
            named.setdefault(error.said, []).append(str(error.path.relative_to(cell)))
        shown = "; ".join(f"{said}: {', '.join(names)}" for said, names in named.items())
        more = f"; and {len(errors) - self.SHOWN} more" if len(errors) > self.SHOWN else ""
        self.args = (f"{len(errors)} files are damaged in {cell}: {shown}{more}",)

    @property
    def each(self) -> tuple[BadSource, ...]:
        return self._each


class FlagExists(HesiodError):
    """Error for a flag that another process made first.

    This is normal in a race. The loser continues with other work.
    """


class FlagUnknown(TemporaryError):
    """Error for a flag that was written but could not be read back.

    The flag does not belong to this process until a later reading shows that it does.
    """


class ConfigError(HesiodError):
    """Error with all problems of the configuration at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class UsageError(HesiodError):
    """Error for a command line that names a missing thing, such as an unknown run."""
