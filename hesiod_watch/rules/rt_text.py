"""Subjects, texts and addresses in a form that Request Tracker stores unchanged.

RT changes data without an error: it cuts a subject at 200 bytes, joins its lines, replaces invalid
characters, stores a text with a NUL so that no search finds it, and drops addresses that it does
not accept. This module makes these changes beforehand, and never so that two values become equal.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from hesiod_watch.core.messages import Delivery
from hesiod_watch.core.naming import display

SUBJECT_BYTES = 200
"""Bytes at which RT cuts a subject."""
TEXT_BYTES = 90_000
"""Most bytes of one message, in UTF-8.

RT 5.0.7 stores a text of more than 100,000 bytes in base64, except on MySQL and MariaDB, and then
no search finds it (`_EncodeLOB` in its lib/RT/Record.pm). No person reads that much.
"""
ADDRESS_LENGTH = 120
"""Characters of RT's database column for mail addresses."""

ANEW = "remove the run's pipeline/rt_ticket, and a new one is opened"
"""What a person can do about a missing ticket."""

_DIGEST = 12
_RUN_DIGEST = 24
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


def stored_subject(subject: str) -> str:
    """`subject` as RT stores it: one visible line of at most SUBJECT_BYTES bytes.

    A valid subject stays unchanged. A changed subject ends in a digest of the original, so that two
    subjects never become equal. Applying the function twice gives the same result as once.
    """
    words = " ".join("".join(letter if _is_visible(letter) else " " for letter in subject).split())
    if words == subject and words and len(words.encode()) <= SUBJECT_BYTES:
        return words
    digest = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    room = SUBJECT_BYTES - len(f" … {digest}".encode())
    start = words.encode()[:room].decode("utf-8", "ignore")
    return f"{start.rstrip()} … {digest}" if words else digest


def stored_text(message: Delivery, run: str) -> str:
    """The message's text with the line by which it is found again, and the mark of the run.

    Lines end in LF, and there are no control characters. A text longer than TEXT_BYTES loses its
    middle, with a note there.
    """
    text = message.text.replace("\r\n", "\n").replace("\r", "\n")
    escapes: dict[str, str | int | None] = {
        letter: display(letter) for letter in set(text) if not _is_allowed(letter)
    }
    text = _shortened(text.translate(str.maketrans(escapes)).rstrip())
    line = f"{mark(message)} {run_mark(run)}"
    return f"{text}\n\n{line}" if text else line


def mark(message: Delivery) -> str:
    """The line by which a message is found in its ticket."""
    return f"[hesiod-watch {message.number} {message.token}]"


def run_mark(run: str) -> str:
    """The mark by which the channel recognizes the ticket of a run, whatever its subject is.

    Only texts that the program wrote itself count. A digest, because a search of RT takes some
    characters of names for wildcards.
    """
    digest = hashlib.sha256(run.encode("utf-8", "surrogateescape")).hexdigest()[:_RUN_DIGEST]
    return f"[run {digest}]"


def split_addresses(addresses: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The mail addresses that RT accepts, each once, and those that it drops or fails at."""
    good: dict[str, str] = {}
    bad: dict[str, None] = {}
    for address in addresses:
        if len(address) <= ADDRESS_LENGTH and _ADDRESS.fullmatch(address):
            good.setdefault(address.casefold(), address)
        else:
            bad.setdefault(address)
    return tuple(good.values()), tuple(bad)


def ticket_query(queue: str, subject: str) -> str:
    """TicketSQL for the tickets of a queue with a subject.

    RT ignores case, so the caller must compare the subjects that it finds.
    """
    return f"Queue = {quoted(queue)} AND Subject = {quoted(subject)}"


def quoted(value: str) -> str:
    """`value` as a quoted string of TicketSQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _shortened(text: str) -> str:
    """`text` without its middle if it is longer than TEXT_BYTES."""
    data = text.encode()
    if len(data) <= TEXT_BYTES:
        return text
    half = TEXT_BYTES // 2
    start, end = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    left_out = len(text) - len(start) - len(end)
    return f"{start}\n\n[… {left_out} characters left out …]\n\n{end}"


def _is_visible(letter: str) -> bool:
    return display(letter) in (letter, "\\\\") or unicodedata.category(letter)[0] == "M"


def _is_allowed(letter: str) -> bool:
    """Whether a text may contain a character: no terminal, bidirectional or invalid one."""
    return (
        letter in "\n\t\u200c\u200d" or _is_visible(letter) or unicodedata.category(letter) == "Zs"
    )
