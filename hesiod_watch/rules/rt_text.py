"""What Request Tracker is given to store, made such that it comes back as it was sent.

RT changes much without a word: it cuts a subject at 200 bytes, joins its lines, replaces what is no
character, stores a text with a NUL where no search finds it, drops an address that it does not
like. So all that is taken away here beforehand, in ways that never make two things the same.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from hesiod_watch.core.messages import Delivery
from hesiod_watch.core.naming import display

SUBJECT_BYTES = 200
"""Where RT cuts a subject."""
TEXT_LENGTH = 1_000_000
"""Characters of one message; RT takes 10 MB by default, mail servers often less, and nobody reads
as much.
"""
ADDRESS_LENGTH = 120
"""The width of RT's column for mail addresses."""

ANEW = "remove the run's pipeline/rt_ticket, and a new one is opened"
"""What a person can do about a ticket that is gone."""

_DIGEST = 12
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


def stored_subject(subject: str) -> str:
    """`subject` as RT stores it: one line of at most SUBJECT_BYTES bytes without anything
    invisible.

    A subject that had to be changed ends in a digest of what it was, so that two never become the
    same. Unchanged where nothing is wrong with it; the answer to an answer is the answer.
    """
    words = " ".join("".join(letter if _shows(letter) else " " for letter in subject).split())
    if words == subject and words and len(words.encode()) <= SUBJECT_BYTES:
        return words
    digest = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    room = SUBJECT_BYTES - len(f" … {digest}".encode())
    start = words.encode()[:room].decode("utf-8", "ignore")
    return f"{start.rstrip()} … {digest}" if words else digest


def stored_text(message: Delivery) -> str:
    """The message's text with the line by which it is found again. Lines end in LF, and it has no
    control characters.

    What is longer than TEXT_LENGTH loses its middle, and says so.
    """
    text = message.text
    if len(text) > TEXT_LENGTH:
        half = TEXT_LENGTH // 2
        left_out = f"[… {len(text) - 2 * half} characters left out …]"
        text = f"{text[:half]}\n\n{left_out}\n\n{text[-half:]}"
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    escapes: dict[str, str | int | None] = {
        letter: display(letter) for letter in set(text) if not _may_stand_in_text(letter)
    }
    text = text.translate(str.maketrans(escapes)).rstrip()
    return f"{text}\n\n{mark(message)}" if text else mark(message)


def mark(message: Delivery) -> str:
    """The line by which a message is found in its ticket."""
    return f"[hesiod-watch {message.number} {message.token}]"


def split_addresses(addresses: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The mail addresses that RT takes, each once, and those that it would drop (or break at)."""
    good: dict[str, str] = {}
    bad: dict[str, None] = {}
    for address in addresses:
        if len(address) <= ADDRESS_LENGTH and _ADDRESS.fullmatch(address):
            good.setdefault(address.casefold(), address)
        else:
            bad.setdefault(address)
    return tuple(good.values()), tuple(bad)


def ticket_query(queue: str, subject: str) -> str:
    """TicketSQL for the tickets of a queue with a subject; RT ignores case, so what it finds must
    be compared.
    """
    return f"Queue = {quoted(queue)} AND Subject = {quoted(subject)}"


def quoted(value: str) -> str:
    """`value` as TicketSQL spells it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _shows(letter: str) -> bool:
    return display(letter) in (letter, "\\\\") or unicodedata.category(letter)[0] == "M"


def _may_stand_in_text(letter: str) -> bool:
    """Everything but what steers terminals and turns text round, and what is no character at all."""
    return letter in "\n\t\u200c\u200d" or _shows(letter) or unicodedata.category(letter) == "Zs"
