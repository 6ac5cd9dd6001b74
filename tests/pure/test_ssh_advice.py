"""Advice after a failed ssh: which user, which key, and the command that a person can try."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hesiod_watch.rules.ssh_advice import SshAttempt, ssh_advice

ATTEMPT = SshAttempt(
    "hesiod",
    "prom@p24",
    ("-p", "2200"),
    {"user": "prom", "hostname": "p24.example.org", "port": "22"},
    keys=("/home/hesiod/.ssh/id_ed25519",),
    known_hosts="/home/hesiod/.ssh/known_hosts",
)
TRY = "sudo -u hesiod ssh -p 2200 prom@p24 true"
ASK = "sudo -u hesiod ssh -o StrictHostKeyChecking=ask -p 2200 prom@p24 true"
CHANGED = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n"
DENIED = "prom@p24: Permission denied (publickey)."


def changed(file: str, name: str) -> str:
    """Advice for a host with another key than that in `file`, where ssh calls the host `name`."""
    return (
        f"another key of the host is in {file} of the user hesiod; if the change is known and"
        f" right, remove the former key: sudo -u hesiod ssh-keygen -f {file} -R {name}; then accept"
        f" the new one: {ASK}"
    )


ADVICE: dict[str, tuple[SshAttempt, str, str]] = {
    "another key": (
        ATTEMPT,
        f"{CHANGED}Offending ECDSA key in /etc/ssh/known_hosts:17\nHost key verification failed.",
        changed("/etc/ssh/known_hosts", "p24.example.org"),
    ),
    "another key in an unknown file": (
        ATTEMPT,
        CHANGED,
        changed("/home/hesiod/.ssh/known_hosts", "p24.example.org"),
    ),
    "another key at another port": (
        replace(ATTEMPT, settings={**ATTEMPT.settings, "port": "2200"}),
        CHANGED,
        changed("/home/hesiod/.ssh/known_hosts", "'[p24.example.org]:2200'"),
    ),
    "another key of an alias": (
        replace(ATTEMPT, settings={"hostkeyalias": "p24", "port": "2200"}),
        CHANGED,
        changed("/home/hesiod/.ssh/known_hosts", "p24"),
    ),
    "another key, and no settings": (
        replace(ATTEMPT, settings={}),
        CHANGED,
        changed("/home/hesiod/.ssh/known_hosts", "prom@p24"),
    ),
    "no key of the host": (
        ATTEMPT,
        "Host key verification failed.",
        "the user hesiod has no key of this host in /home/hesiod/.ssh/known_hosts; compare it, and"
        f" accept it: {ASK}",
    ),
    "our key is refused": (
        ATTEMPT,
        DENIED,
        "the user hesiod logs in as prom of p24.example.org with the key"
        " /home/hesiod/.ssh/id_ed25519; have the public key added to authorized_keys there, then"
        f" try: {TRY}",
    ),
    "two keys are refused": (
        replace(ATTEMPT, keys=("/a", "/b\n")),
        "Received disconnect: Too many authentication failures",
        "the user hesiod logs in as prom of p24.example.org with the key /a or /b\\n; have the"
        f" public key added to authorized_keys there, then try: {TRY}",
    ),
    "no key can be read": (
        replace(ATTEMPT, keys=(), other_keys=("/a", "/b")),
        DENIED,
        "the user hesiod logs in as prom of p24.example.org with no key: the user can read none of"
        f" its files (/a, /b); have the public key added to authorized_keys there, then try: {TRY}",
    ),
    "no key is configured": (
        replace(ATTEMPT, keys=(), settings={"hostname": "p24"}),
        DENIED,
        "the user hesiod logs in as ? of p24 with no key: the user can read none of its files (none"
        f" is configured); have the public key added to authorized_keys there, then try: {TRY}",
    ),
    "anything else": (
        replace(ATTEMPT, settings={"user": "prom"}),
        "Connection refused",
        f"the user hesiod logs in as prom of ?; try: {TRY}",
    ),
    "anything else, and no settings": (
        replace(ATTEMPT, settings={}),
        "Connection refused",
        f"try it as the user hesiod: {TRY}",
    ),
}


@pytest.mark.parametrize("case", ADVICE)
def test_advice(case: str) -> None:
    """The advice names the user, the key or the file, and the whole command for this user."""
    attempt, said, advice = ADVICE[case]
    assert ssh_advice(attempt, said) == advice
