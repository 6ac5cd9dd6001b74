"""Settings of messages to people: which events, to whom, by which channel.

They are read in the same way as all of `values`.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated

import yaml

from hesiod_watch.config.reading import (
    ConfigMistake,
    DirectoryValue,
    DurationValue,
    NotAKey,
    ReadContext,
    TextValue,
    WordListValue,
    described,
    entries,
    joined,
    suggestion,
)
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import Status
from hesiod_watch.rules.events import COMMENT, EVENTS, KINDS, NOTHING, default_kinds

TRACKER = "rt"
"""Name of the tracker among the channels."""


class SecretFileValue:
    """Path of a file, absolute or relative to the configuration file's directory; or empty."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> Path | None:
        return DirectoryValue()(node, reading, key) if TextValue()(node, reading, key) else None


class EventKindsValue:
    """Mapping from events to kinds of message; events that are missing keep their defaults."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> Mapping[str, str]:
        kinds = default_kinds()
        for name, value in entries(reading, node, key):
            at = joined(key, name)
            word = value.value if isinstance(value, yaml.ScalarNode) else ""
            if name not in EVENTS:
                text = suggestion(name, EVENTS) or "; known are: " + ", ".join(EVENTS)
                reading.problem(reading.lines[at], at, f"there is no such event{text}")
            elif word not in KINDS:
                reading.problem(
                    reading.lines[at],
                    at,
                    f"should be one of {', '.join(KINDS)}, not {described(value)}",
                )
            else:
                kinds[name] = word
        return kinds


class StatusesValue:
    """Mapping from words of `status` to the tracker's own."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> Mapping[str, str]:
        found = {}
        for name, value in entries(reading, node, key):
            at = joined(key, name)
            if name not in list(Status):
                text = suggestion(name, list(Status)) or "; known are: " + ", ".join(Status)
                reading.problem(reading.lines[at], at, f"is not a status of a run{text}")
                continue
            try:
                found[name] = TextValue()(value, reading, at)
            except ConfigMistake as mistake:
                reading.problem(reading.lines[at], at, str(mistake))
        return found


@frozen
class TrackerSettings:
    """Request Tracker 5, over its REST interface, version 2."""

    url: Annotated[str, TextValue()] = ""
    """Address of Request Tracker, such as `https://rt.example.org/`; empty: no tracker."""

    credentials: Annotated[Path | None, SecretFileValue()] = None
    """File with a line `token: …`, or lines `user: …` and `password: …`, readable only by its
    owner.
    """

    queue: Annotated[str, TextValue()] = ""
    """Queue for the tickets of runs, unless the run's type names another."""

    requestors: Annotated[tuple[str, ...], WordListValue()] = ()
    """Mail addresses of the requestors of new tickets; they get replies."""

    cc: Annotated[tuple[str, ...], WordListValue()] = ()
    """Mail addresses that get copies."""

    statuses: Annotated[Mapping[str, str], StatusesValue()] = field(default_factory=dict)
    """Ticket status for a status of the run, such as `{complete: resolved}`; others change nothing.
    """

    ca_bundle: Annotated[Path | None, SecretFileValue()] = None
    """Certificates of the trusted authorities; empty: those of this host."""

    proxy: Annotated[str, TextValue()] = ""
    """Proxy for HTTP, such as `http://proxy:3128`; empty: none, even if the environment names one.
    """

    timeout: Annotated[float, DurationValue(at_least=1)] = 20.0
    """Longest time to wait for a response."""


@frozen
class ChannelSettings:
    """Another channel: mail or chat, by the library Apprise."""

    name: Annotated[str, NotAKey]
    """Key under `notify.channels`: letters, digits, `_`, `-` and `.`."""

    url_file: Annotated[Path | None, SecretFileValue()]
    """File with one Apprise address, such as `mailtos://…`, readable only by its owner."""

    events: Annotated[tuple[str, ...], WordListValue()] = ()
    """Events that are sent to this channel; empty: all that `notify.events` does not set to
    `nothing`.
    """


@frozen
class NotifySettings:
    """Messages to people about runs."""

    rt: TrackerSettings = field(default_factory=TrackerSettings)
    """Tracker, with a ticket for each run."""

    channels: tuple[ChannelSettings, ...] = ()
    """Other channels, by name."""

    events: Annotated[Mapping[str, str], EventKindsValue()] = field(default_factory=default_kinds)
    """Kind of message in the tracker for each event: `comment`, `reply` or `nothing`.
    docs/messages.md lists all events.
    """

    retry: Annotated[float, DurationValue(at_least=0.1)] = 60.0
    """Time until the retry of a failed delivery; doubled each time, up to an hour."""

    report_url: Annotated[str, TextValue()] = ""
    """Address of a run's page, with `{run}` for its name; empty: messages name the file."""

    ping_url: Annotated[str, TextValue()] = ""
    """Address that is fetched after each look at all runs, such as one of healthchecks.io, which
    reports when it is not fetched any more; empty: none.
    """

    def kinds(self) -> dict[str, Mapping[str, str]]:
        """Kind of message for each event, on each configured channel."""
        sent = {name: kind for name, kind in self.events.items() if kind != NOTHING}
        found: dict[str, Mapping[str, str]] = {TRACKER: sent} if self.rt.url else {}
        for channel in self.channels:
            found[channel.name] = dict.fromkeys(channel.events or sent, COMMENT)
        return found


def notify_problems(notify: NotifySettings) -> Iterator[tuple[str, str]]:
    """Contradictions in these settings: the key below `notify`, and a sentence."""
    tracker = notify.rt
    if tracker.url:
        if not tracker.url.startswith(("https://", "http://")):
            yield "rt.url", "should begin with https:// or http://"
        if tracker.credentials is None:
            yield "rt.credentials", "missing; it names a file"
        if not tracker.queue:
            yield "rt.queue", "missing"
    for channel in notify.channels:
        key = f"channels.{channel.name}"
        if channel.name == TRACKER:
            yield key, "is the tracker's own name; choose another"
        if channel.url_file is None:
            yield f"{key}.url_file", "should name a file"
        for event in channel.events:
            if event not in EVENTS:
                yield f"{key}.events", f"there is no event {event}{suggestion(event, EVENTS)}"
    try:
        fields = {
            name
            for _, name, _, _ in string.Formatter().parse(notify.report_url)
            if name is not None
        }
    except ValueError:
        fields = {""}
    if notify.report_url and fields != {"run"}:
        yield "report_url", "should hold {run}, and no other braces"
    if notify.ping_url and not notify.ping_url.startswith(("https://", "http://")):
        yield "ping_url", "should begin with https:// or http://"
