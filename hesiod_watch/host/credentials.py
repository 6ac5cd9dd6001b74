"""Credentials of a channel, from a file that only its owner can read.

The file has lines `key: value`: either `token`, or `user` and `password`. A value is the rest of
the line, unchanged: passwords contain any character, and YAML would cut one at ` #` or read another
as a number. Blanks around the value and one pair of quotes are removed. Empty lines, and lines that
begin with `#`, are ignored.

No secret is ever part of an error's text or of a repr.
"""

from __future__ import annotations

import os
import stat
from dataclasses import field
from pathlib import Path

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.system_errors import NotRegularFile
from hesiod_watch.host.files import chunks, regular

LARGEST = 10_000  # bytes
KEYS = ("token", "user", "password")


@frozen
class Credentials:
    """A token, or a user and a password; unused fields are empty."""

    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)


def read_credentials(path: Path) -> Credentials:
    """Read credentials from a file, which may be a link.

    Raises PermanentError with the remedy.
    """
    shown = display(str(path))
    try:
        text = private_text(path)
        return _parsed(text)
    except OSError as error:
        raise PermanentError(f"{shown}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PermanentError(f"{shown}: {error}") from None  # the cause may hold what was read


def private_text(path: Path) -> str:
    """Text of a private file.

    Raises ValueError with a reason if the file is not safe to use, OSError.
    """
    try:
        with regular(path, follow=True) as descriptor:
            status = os.fstat(descriptor)
            content = b"".join(chunks(descriptor, LARGEST + 1))
    except NotRegularFile:
        raise ValueError("is no regular file") from None
    if status.st_uid not in (0, os.geteuid()):
        raise ValueError(
            f"belongs to another user (uid {status.st_uid}); it should be yours or root's"
        )
    if status.st_mode & 0o077:
        reason = f"others may read or change it (mode {stat.S_IMODE(status.st_mode):04o})"
        raise ValueError(f"{reason}; run: chmod 600 {display(str(path))}")
    if len(content) > LARGEST:
        raise ValueError("is too large for credentials")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is no UTF-8 text") from None


def _parsed(text: str) -> Credentials:
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#") or line == "---":
            continue
        key, colon, value = line.partition(":")
        key = key.strip()
        if not colon or key not in KEYS:
            raise ValueError(
                f"line {number}: should be one of {', '.join(KEYS)}, a colon and the value"
            )
        if key in values:
            raise ValueError(f"line {number}: a second {key}")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        if not value or not value.isprintable():
            raise ValueError(f"line {number}: {key} is empty or holds control characters")
        values[key] = value
    if set(values) not in ({"token"}, {"user", "password"}):
        raise ValueError("should hold either a token, or a user and a password")
    if not values.get("token", "").isascii():
        raise ValueError("the token should be ASCII")
    if ":" in values.get("user", ""):
        raise ValueError("the user may not hold a colon")
    return Credentials(**values)
