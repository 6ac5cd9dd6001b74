"""A simulated Request Tracker.

It is simulated where a session with it begins: its requests over HTTP are tested elsewhere, with a
real one. It keeps its tickets in a file, and each request is done whole or not at all.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Literal

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.notify.rt_channel import RtChannel
from hesiod_watch.notify.rt_session import FoundTicket

US = "hesiod"
CLOSED = ("resolved", "rejected", "deleted")


class Tracker:
    """The tracker, as a session with it; one object for each process."""

    place = "https://rt.invalid"
    longest = 0.0

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()

    def pose(self) -> None:
        """Have this process reach this tracker."""
        setattr(RtChannel, "_session", lambda _: self)  # noqa: B010  in this process only

    def read(self) -> dict[str, Any]:
        """The whole state: tickets, whether it is away, and how many answers will be lost."""
        if not self.file.exists():
            return {"tickets": [], "away": False, "lose": 0}
        state: dict[str, Any] = json.loads(self.file.read_bytes())
        return state

    def write(self, state: dict[str, Any]) -> None:
        # Not by a function of `os`: the tracker is another machine, which is not interrupted.
        self.file.write_text(json.dumps(state))

    # A session.

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ticket(self, number: int) -> FoundTicket:
        found = self._followed(self._asked(), number)
        return FoundTicket(
            found["number"],
            found["subject"],
            found["status"],
            0,
            frozenset({"comment", "correspond"}),
        )

    def tickets(self, queue: str, subject: str) -> list[tuple[int, str]]:
        return [
            (each["number"], each["status"])
            for each in self._asked()["tickets"]
            if each["subject"] == subject and not each["into"] and each["status"] != "deleted"
        ]

    def merged_subjects(self, number: int) -> list[str]:
        state = self._asked()
        return [
            each["subject"]
            for each in state["tickets"]
            if self._followed(state, each["number"])["number"] == number
        ]

    def authors(self, number: int, words: str) -> list[str]:
        state = self._asked()
        texts = self._followed(state, number)["texts"]
        return [author for author, text in texts if words.casefold() in text.casefold()]

    def me(self) -> str | None:
        return US if self._asked()["tickets"] else None

    def ours(self, most: int) -> list[int]:
        tickets = self._asked()["tickets"]
        return [each["number"] for each in reversed(tickets) if each["ours"]][:most]

    def closed_by(self, number: int) -> str | None:
        found = self._followed(self._asked(), number)
        return found["closed_by"] if found["status"] in CLOSED else None

    def may_create(self, queue: str) -> bool:
        self._asked()
        return True

    def create(
        self, queue: str, subject: str, text: str, requestors: tuple[str, ...], cc: tuple[str, ...]
    ) -> int:
        with self._lock:
            state = self._asked()
            number = len(state["tickets"]) + 1
            new = {"number": number, "subject": subject, "status": "new", "into": 0}
            state["tickets"].append({**new, "ours": True, "closed_by": "", "texts": [[US, text]]})
            self._done(state)
            return number

    def send(self, number: int, kind: Literal["comment", "reply"], text: str) -> None:
        with self._lock:
            state = self._asked()
            self._followed(state, number)["texts"].append([US, text])
            self._done(state)

    def edit(self, number: int, **fields: str) -> None:
        with self._lock:
            state = self._asked()
            found = self._followed(state, number)
            found["subject"] = fields.get("Subject", found["subject"])
            if "Status" in fields:
                found["status"], found["closed_by"] = fields["Status"], US
            self._done(state)

    def _asked(self) -> dict[str, Any]:
        state = self.read()
        if state["away"]:
            raise TemporaryError("asked Request Tracker: no connection")
        return state

    def _done(self, state: dict[str, Any]) -> None:
        """Keep what was done; the answer may be lost."""
        lost = state["lose"] > 0
        state["lose"] = max(0, state["lose"] - 1)
        self.write(state)
        if lost:
            raise TemporaryError("asked Request Tracker: no answer in time")

    def _followed(self, state: dict[str, Any], number: int) -> dict[str, Any]:
        """A ticket, or the one that it was merged into."""
        if not 0 < number <= len(state["tickets"]):
            raise PermanentError(f"there is no ticket #{number}")
        found: dict[str, Any] = state["tickets"][number - 1]
        return self._followed(state, found["into"]) if found["into"] else found
