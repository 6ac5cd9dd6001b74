"""Advice about a failed ssh: the user, the key, the file of host keys, and the command to try.

The texts of ssh name none of them. The command asks the questions that ssh must not ask here, so a
person sees them, and answers them as the right user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import quoted

_OFFENDING = re.compile(r"Offending .*key in (/.*):[0-9]+\s*$", re.MULTILINE)
"""Line of ssh that names the file with another key of the host."""


@frozen
class SshAttempt:
    """An ssh that failed: who tried it, and what ssh says about its own settings."""

    user: str  # of this host
    host: str  # [user@]host, as an argument of ssh
    options: Sequence[str]  # of the configuration
    settings: Mapping[str, str]  # output of `ssh -G`: lower-case key → its first value
    keys: Sequence[str] = ()  # files of keys that the user may read
    other_keys: Sequence[str] = ()  # files of keys that are missing, or that the user may not read
    known_hosts: str = ""  # the file in which ssh keeps the keys of hosts


def ssh_advice(attempt: SshAttempt, said: str) -> str:
    """Return what a person needs to try it, as the end of a sentence; `said` is ssh's output."""
    login = f"{attempt.settings.get('user', '?')} of {attempt.settings.get('hostname', '?')}"
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        offending = _OFFENDING.search(said)
        file = offending[1] if offending else attempt.known_hosts
        remove = _sudo(attempt, "ssh-keygen", "-f", file, "-R", _known_as(attempt))
        return (
            f"another key of the host is in {display(file)} of the user {attempt.user}; if the"
            f" change is known and right, remove the former key: {remove}; then accept the new one:"
            f" {_try(attempt, asking=True)}"
        )
    if "Host key verification failed" in said:
        return (
            f"the user {attempt.user} has no key of this host in {display(attempt.known_hosts)};"
            f" compare it, and accept it: {_try(attempt, asking=True)}"
        )
    if "Permission denied (" in said or "Too many authentication failures" in said:
        return (
            f"the user {attempt.user} logs in as {display(login)} with {_keys(attempt)}; have the"
            f" public key added to authorized_keys there, then try: {_try(attempt)}"
        )
    if not attempt.settings:
        return f"try it as the user {attempt.user}: {_try(attempt)}"
    return f"the user {attempt.user} logs in as {display(login)}; try: {_try(attempt)}"


def _keys(attempt: SshAttempt) -> str:
    if attempt.keys:
        return f"the key {' or '.join(map(display, attempt.keys))}"
    tried = ", ".join(map(display, attempt.other_keys)) or "none is configured"
    return f"no key: the user can read none of its files ({tried})"


def _known_as(attempt: SshAttempt) -> str:
    """Return the name under which ssh keeps the key of the host."""
    settings = attempt.settings
    name, port = settings.get("hostkeyalias", ""), settings.get("port", "22")
    host = name or settings.get("hostname", attempt.host)
    return host if name or port == "22" else f"[{host}]:{port}"


def _try(attempt: SshAttempt, *, asking: bool = False) -> str:
    # The first value of an option counts.
    question = ("-o", "StrictHostKeyChecking=ask") if asking else ()
    return _sudo(attempt, "ssh", *question, *attempt.options, attempt.host, "true")


def _sudo(attempt: SshAttempt, *command: str) -> str:
    return " ".join(map(quoted, ("sudo", "-u", attempt.user, *command)))
