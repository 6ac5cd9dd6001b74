"""Outbox of a run, `pipeline/messages/`: each message once, in order, until it is delivered.

A message is a file. Its name, the *key*, says what the message is about: `run-new`,
`cell-ready.STEM`, `cell-done.STEM.1a2b3c4d`. Creating that file decides, for every decider and for
ever, that this is reported, and how.

`0001`, `0002`, … are symbolic links to messages and give the order. `0002.rt.delivered` says that
the channel `rt` has everything up to number 2. Files are only added. A process that finds a message
without a number gives it one before it continues, no matter which process made the message. So
later messages have higher numbers. Two numbers for one message are harmless: the lower one counts.

`past` lists the keys of events that happened before the run had an outbox. They are not reported
any more.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from hesiod_watch.core.errors import FlagExists, FlagUnknown
from hesiod_watch.core.naming import display
from hesiod_watch.core.queued_messages import Outbox, OutboxMessage
from hesiod_watch.core.records import record_in
from hesiod_watch.core.system_errors import translate, translated
from hesiod_watch.host.files import TEMPORARY, OpenDirectory, require_regular, sync_directory
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.flags.flag_files import LARGEST, create, create_file, read
from hesiod_watch.runs.flags.listing import FlagListing
from hesiod_watch.runs.flags.pipeline import Pipeline

PAST = "past"
KINDS = ("comment", "reply")
LONGEST_TEXT = 10_000
"""Characters of a message, each at most six bytes of JSON; the run's log has the full text."""

_NUMBER = re.compile(r"[0-9]{4,9}")
_DELIVERED = ".delivered"
_KIND = re.compile(r"[a-z]+(?:-[a-z]+)*")
_KEY = re.compile(rf"{_KIND.pattern}(?:\..+)?", re.DOTALL)
_TOKEN = re.compile(r"[0-9a-f]{32}")


def read_outbox(
    pipeline: Pipeline, listing: FlagListing, channels: Collection[str], judge: Judge
) -> Outbox | None:
    """Read the outbox; None if there is none. Reads only messages that one of `channels` lacks.

    Never raises: `problem` says what cannot be read.
    """
    if not listing.has(names.MESSAGES):
        return None
    last_attempt = listing.attempt(names.NOTIFY, judge)
    ticket = read_ticket(pipeline)[0] if listing.has(names.TICKET) else None
    try:
        found = _OutboxFiles(pipeline.open(names.MESSAGES))
        past = found.past()
    except OSError as error:
        problem = f"{pipeline / names.MESSAGES}: cannot be read: {error.strerror}"
        return Outbox(last_attempt=last_attempt, ticket=ticket, problem=problem)
    numbers = found.numbers
    newest = max(numbers, key=numbers.__getitem__, default="")
    outbox = Outbox(
        reported=frozenset(found.keys | past if past else found.keys),
        unnumbered=tuple(
            sorted(key for key in found.keys - numbers.keys() if found.holds_message(key))
        ),
        last=numbers.get(newest, 0),
        newest=newest,
        delivered=found.delivered,
        channels=tuple(channels),
        waiting=tuple(
            found.messages_above(
                after=min((found.delivered.get(name, 0) for name in channels), default=10**9)
            )
        ),
        last_attempt=last_attempt,
        ticket=ticket,
    )
    due = {message.number for name in channels for message in outbox.waiting_for(name)}
    return replace(
        outbox, waiting=tuple(message for message in outbox.waiting if message.number in due)
    )


def read_messages(pipeline: Pipeline) -> tuple[OutboxMessage, ...]:
    """Read every message that has a number, in order.

    Raises FileNotFoundError, TemporaryError or PermanentError.
    """
    try:
        return tuple(_OutboxFiles(pipeline.open(names.MESSAGES)).messages_above(after=0))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise translate(error, f"cannot read {pipeline / names.MESSAGES}") from error


def read_text(pipeline: Pipeline, key: str) -> str:
    """Text of a message; "" if it cannot be read."""
    return _field(pipeline, key, "text")


def read_run(pipeline: Pipeline, key: str) -> str:
    """Run of a message of the site, escaped for display; "" if it is about none."""
    return _field(pipeline, key, "run")


def _field(pipeline: Pipeline, key: str, name: str) -> str:
    with suppress(OSError), pipeline.open(names.MESSAGES) as place:
        return str(record_in(read(place.descriptor, key).text).get(name, ""))
    return ""


def begin_outbox(pipeline: Pipeline, past: Iterable[str]) -> bool:
    """Create an outbox for a run without one; True if this process created it.

    `past` are keys of events that are not reported any more. Their list is written first, under a
    name of its own, so that an outbox is never visible without it. Raises HesiodError.
    """
    prepared = f"{TEMPORARY}{names.MESSAGES}.{os.urandom(8).hex()}"
    with translated(f"cannot make {pipeline / names.MESSAGES}"):
        parent = pipeline.descriptor
        os.mkdir(prepared, 0o775, dir_fd=parent)
        try:
            create(
                pipeline.open(prepared),
                PAST,
                {"reason": "from before this run had messages", "keys": sorted(past)},
            )
            won = _move_into_place(parent, prepared)
        finally:
            with suppress(OSError):
                os.unlink(f"{prepared}/{PAST}", dir_fd=parent)
            with suppress(OSError):
                os.rmdir(prepared, dir_fd=parent)
        sync_directory(parent)
        return won


def put_message(pipeline: Pipeline, key: str, record: Mapping[str, object]) -> bool:
    """Write the message `key` unless it exists, and give it a number; True if we wrote it.

    `record` needs event, channels, text and time; a token is added. Raises TemporaryError or
    PermanentError.
    """
    if not _KEY.fullmatch(key) or key == PAST:
        raise ValueError(f"{key!r} is not the key of a message")
    messages = pipeline.open(names.MESSAGES)
    text = str(record["text"])
    if len(text) > LONGEST_TEXT:
        record = {**record, "text": f"{text[:LONGEST_TEXT]}\n(cut here)"}
    made = True
    body = json.dumps(
        {"token": os.urandom(16).hex(), "key": key, **record}, indent=1, ensure_ascii=False
    )
    try:
        create_file(messages, key, body.encode("utf-8", "backslashreplace") + b"\n")
    except FlagExists:
        made = False
    number(pipeline, key)
    return made


def number(pipeline: Pipeline, key: str) -> int:
    """Number of a message; gives it one if it has none. Raises TemporaryError, PermanentError."""
    place = pipeline.open(names.MESSAGES)
    with translated(f"cannot give a number to {place / key}"):
        parent = place.descriptor
        while True:
            found = _OutboxFiles(place)
            if given := found.numbers.get(key):
                return given
            if key not in found.keys:
                require_regular(place / key, os.stat(key, dir_fd=parent, follow_symlinks=False))
                raise FlagUnknown(f"{place / key}: created, but a listing does not show it (yet)")
            # Another process may take the number meanwhile: the next listing shows it.
            with suppress(FileExistsError):
                os.symlink(key, f"{found.highest + 1:04d}", dir_fd=parent)
                sync_directory(parent)


def mark_delivered(
    pipeline: Pipeline, message: OutboxMessage, channel: str, record: Mapping[str, object]
) -> None:
    """Record that a channel has everything up to this message.

    Raises what `create` raises, except FlagExists.
    """
    with suppress(FlagExists):
        create(pipeline.open(names.MESSAGES), f"{message.number:04d}.{channel}.delivered", record)


def read_ticket(pipeline: Pipeline) -> tuple[int | None, str]:
    """Number of the run's ticket, and the reason if its file exists without a number."""
    path = pipeline / names.TICKET
    try:
        text = (pipeline.read(names.TICKET).text or "").strip()
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path}: cannot be read: {error.strerror}"
    if re.fullmatch(r"#?[1-9][0-9]{0,17}", text):
        return int(text.lstrip("#")), ""
    return (
        None,
        f"{path}: should hold the number of the run's ticket; write it there, or remove the file",
    )


def write_ticket(pipeline: Pipeline, ticket: int) -> None:
    """Record the run's ticket, unless one is recorded. Raises as `create`, except FlagExists."""
    with suppress(FlagExists):
        create_file(pipeline, names.TICKET, f"{ticket}\n".encode())


def site_subject(place: Pipeline, subject: str) -> str:
    """Subject of the site's ticket: `subject` at the first call, and the same from then on.

    Several hosts deliver to one ticket. Raises as `create`, except FlagExists.
    """
    with suppress(FlagExists):
        create_file(place, names.SUBJECT, f"{display(subject)}\n".encode())
    with translated(f"cannot read {place / names.SUBJECT}"):
        return (place.read(names.SUBJECT).text or "").strip() or subject


class _OutboxFiles:
    """One listing of an outbox. Raises OSError."""

    def __init__(self, place: OpenDirectory) -> None:
        self.place = place
        self.keys: set[str] = set()
        self.delivered: dict[str, int] = {}  # the highest number that each channel has
        # The lowest number of each key, without keys whose message a person has removed.
        self.numbers: dict[str, int] = {}
        self.highest: int  # highest number in use
        self._read(place.descriptor)

    def _read(self, descriptor: int) -> None:
        """Take each name of the directory, with little work for each: there may be thousands."""
        keys, links = self.keys, list[str]()
        marks = defaultdict[str, list[str]](list)
        is_number = _NUMBER.fullmatch
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = entry.name
                first, dot, rest = name.partition(".")
                if "a" <= name[0] <= "z":
                    is_key = _is_kind(first) and (rest or not dot)
                    if is_key and entry.is_file(follow_symlinks=False):
                        keys.add(name)
                elif dot:
                    marks[rest].append(first)
                elif is_number(first):
                    links.append(name)
        keys.discard(PAST)
        self._read_links(links, descriptor)
        self._read_marks(marks)

    def _read_links(self, links: Iterable[str], descriptor: int) -> None:
        keys, numbers, highest = self.keys, self.numbers, 0
        for name in links:
            number = int(name)
            if number > highest:
                highest = number
            try:
                key = os.readlink(name, dir_fd=descriptor)
            except OSError:  # not a link: the number is in use, for no message
                continue
            if key in keys and number <= numbers.get(key, number):
                numbers[key] = number
        self.highest = highest

    def _read_marks(self, marks: Mapping[str, Iterable[str]]) -> None:
        """Take the marks of deliveries, of any file type: a person's `touch` counts.

        `marks` has the numbers of each ending.
        """
        for ending, texts in marks.items():
            channel = ending.removesuffix(_DELIVERED)
            if channel and channel != ending:
                numbers = [int(text) for text in texts if _NUMBER.fullmatch(text)]
                if numbers:
                    self.delivered[channel] = max(numbers)

    def messages_above(self, after: int) -> Iterator[OutboxMessage]:
        """Messages with a number above `after`, in order."""
        above = ((number, key) for key, number in self.numbers.items() if number > after)
        for number, key in sorted(above):
            yield _read_message(self.place, number, key)

    def holds_message(self, key: str) -> bool:
        """Whether a file is a message, and not another file that a person put there."""
        with suppress(OSError):
            return record_in(read(self.place.descriptor, key).text).get("key") == key
        return False

    def past(self) -> set[str]:
        try:
            keys = record_in(read(self.place.descriptor, PAST).text).get("keys")
        except FileNotFoundError:
            return set()
        return {str(key) for key in keys} if isinstance(keys, list) else set()


@lru_cache(64)
def _is_kind(text: str) -> bool:
    """Whether the key of a message may begin with this text."""
    return _KIND.fullmatch(text) is not None


def _move_into_place(parent: int, prepared: str) -> bool:
    """Give a prepared outbox its name; True if this process succeeded.

    Of two processes one succeeds: rename(2) replaces no directory that has content.
    """
    try:
        os.stat(names.MESSAGES, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        pass
    else:
        return False
    try:
        os.rename(prepared, names.MESSAGES, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        # ENOTEMPTY: another process was first. After any other error, too, only the directory that
        # exists now decides.
        os.stat(names.MESSAGES, dir_fd=parent, follow_symlinks=False)
        return False
    return True


def _read_message(place: OpenDirectory, number: int, key: str) -> OutboxMessage:
    try:
        content = read(place.descriptor, key)
    except OSError as error:
        return OutboxMessage(
            number, key, problem=f"{place / key}: cannot be read: {error.strerror}"
        )
    record = record_in(content.text)
    token, channels = record.get("token"), record.get("channels")
    if not (isinstance(token, str) and _TOKEN.fullmatch(token) and isinstance(channels, dict)):
        what = (
            f"larger than {LARGEST} bytes"
            if content.regular and content.text is None
            else "not a message"
        )
        return OutboxMessage(
            number, key, problem=f"{display(str(place / key))} is {what}: repair it"
        )
    kinds = {str(name): str(kind) for name, kind in channels.items() if kind in KINDS}
    texts = {name: str(record.get(name, "")) for name in ("event", "text", "time")}
    return OutboxMessage(number, key, token=token, channels=kinds, **texts)
