"""Location of an upstream: `LOCAL`, a mounted directory, or a directory reached over ssh.

A location becomes part of the arguments of ssh and rsync. So this module refuses every text that
could be read as an option, as rsync's `host::module`, or as another directory than it seems to be.
"""

from __future__ import annotations

import re

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import LOCAL
from hesiod_watch.core.naming import display, run_problem

# Never a leading `-`: ssh would take such a host for an option. The second form is an IPv6 address.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\]")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_FORMS = f"{LOCAL}, /directory or [user@]host:/directory"


@frozen
class Location:
    """Parsed location of an upstream, or of a directory in it."""

    path: str  # absolute; "" for LOCAL
    host: str = ""  # "" for a directory of this host
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
        """`[user@]host` for rsync: an IPv6 address has brackets."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def ssh_host(self) -> str:
        """`[user@]host` for ssh: an IPv6 address has no brackets."""
        host = self.host.strip("[]")
        return f"{self.user}@{host}" if self.user else host

    def child(self, name: str) -> Location:
        """Return the location of the directory `name` in this directory."""
        return Location(f"{self.path}/{name}", self.host, self.user)

    def __str__(self) -> str:
        if self.is_local:
            return LOCAL
        return f"{self.rsync_host}:{self.path}" if self.host else self.path


def parse_location(text: str) -> Location:
    """Parse a location. A `/` at its end is dropped.

    Raises ValueError with a sentence for people.
    """
    if text == LOCAL:
        return Location("")
    if not text:
        raise ValueError(f"a location is empty; it should be {_FORMS}")
    shown = f"`{display(text)}`"
    if not text.isprintable():
        raise ValueError(f"the location {shown} contains control characters")
    if text.startswith("-"):
        raise ValueError(f"the location {shown} begins with -, and would be taken for an option")
    if text.startswith("/"):
        return Location(_directory(text, shown))
    # An IPv6 address contains colons.
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
            f"the location {shown} is the root directory; name the directory that contains the runs"
        )
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"the directory in the location {shown} should be written without //, /./ and /../"
        )
    return "/" + "/".join(parts)


def run_in(root: Location, text: str) -> Location:
    """Return the location of a run in the upstream `root`.

    `text` is the run's location, such as the line in `pipeline/upstream`. Its host must be the
    host of `root`. Its directory must be directly below the directory of `root` and must have a
    valid run name. The user is always the user of `root`, even if `text` names another.

    Raises ValueError with a sentence for people.
    """
    place = parse_location(text)
    name = place.path.removeprefix(f"{root.path}/")
    if root.is_local or place.host != root.host or name == place.path or "/" in name:
        raise ValueError(f"`{display(text)}` is not the place of a run in {root}")
    if why := run_problem(name):
        raise ValueError(f"`{display(text)}` is not a run that can be copied: {why}")
    return root.child(name)
