"""Where an upstream is: `LOCAL`, a directory that is mounted here, or a directory on a host reached
over ssh.

A location ends up in arguments of ssh and rsync, so whatever could be read as an option, as rsync's
own `host::module` or as another directory than it seems to be is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hesiod_watch.core.model import LOCAL
from hesiod_watch.core.naming import display, run_problem

# Never a leading `-`: ssh would take such a host for an option. The second form is an IPv6 address.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\]")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_FORMS = f"{LOCAL}, /directory or [user@]host:/directory"


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed location. `path` is absolute and "" for LOCAL; `host` is "" for what is mounted
    here.
    """

    path: str
    host: str = ""
    user: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the sequencer writes into the landing area itself."""
        return not self.path

    @property
    def over_ssh(self) -> bool:
        return bool(self.host)

    @property
    def rsync_host(self) -> str:
        """`[user@]host` as rsync takes it, an IPv6 address in its brackets."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def ssh_host(self) -> str:
        """`[user@]host` as ssh takes it, without brackets."""
        host = self.host.strip("[]")
        return f"{self.user}@{host}" if self.user else host

    def child(self, name: str) -> Location:
        """The directory `name` in this one."""
        return Location(f"{self.path}/{name}", self.host, self.user)

    def __str__(self) -> str:
        if self.is_local:
            return LOCAL
        return f"{self.rsync_host}:{self.path}" if self.host else self.path


def parse_location(text: str) -> Location:
    """The location that `text` spells; a `/` at its end is dropped. Raises ValueError with a
    sentence.
    """
    if text == LOCAL:
        return Location("")
    if not text:
        raise ValueError(f"a location is empty; it should be {_FORMS}")
    shown = f"`{display(text)}`"
    if not text.isprintable():
        raise ValueError(f"the location {shown} holds control characters")
    if text.startswith("-"):
        raise ValueError(f"the location {shown} begins with -, and would be taken for an option")
    if text.startswith("/"):
        return Location(_directory(text, shown))
    # An IPv6 address holds colons itself.
    place, _, path = text.rpartition("]:") if "]:" in text else text.partition(":")
    place += "]" if "]:" in text else ""
    if not path:
        raise ValueError(f"the location {shown} should be {_FORMS}")
    user, at, host = place.rpartition("@")
    if at and not _USER.fullmatch(user):
        raise ValueError(f"the location {shown} has no user's name before the @")
    if not _HOST.fullmatch(host):
        raise ValueError(f"the location {shown} has no host's name before the colon")
    return Location(_directory(path, shown), host, user)


def _directory(path: str, shown: str) -> str:
    if not path.startswith("/"):
        raise ValueError(
            f"the directory in the location {shown} is not absolute: it should begin with /"
        )
    parts = path[1:].rstrip("/").split("/")
    if parts == [""]:
        raise ValueError(
            f"the location {shown} is the root directory; name the one that the runs lie in"
        )
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"the directory in the location {shown} should be written without //, /./ and /../"
        )
    return "/" + "/".join(parts)


def run_in(root: Location, text: str) -> Location:
    """The place of a run that `text`, such as a line of `pipeline/upstream`, says to lie in the
    upstream `root`.

    The host must be that of `root`, the directory one right below it, and its name a run's; the
    user is that of `root`, whatever the line says. Raises ValueError with a sentence.
    """
    place = parse_location(text)
    name = place.path.removeprefix(f"{root.path}/")
    if root.is_local or place.host != root.host or name == place.path or "/" in name:
        raise ValueError(f"`{display(text)}` is not the place of a run in {root}")
    if why := run_problem(name):
        raise ValueError(f"`{display(text)}` is no run to be copied: {why}")
    return root.child(name)
