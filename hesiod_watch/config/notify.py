"""What can be configured about telling people: who hears of what, and by which way. Read like all
of `values`.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
from hesiod_watch.core.model import Status
from hesiod_watch.rules.events import COMMENT, EVENTS, KINDS, NOTHING, default_kinds

TRACKER = "rt"
"""Name of the tracker among the channels."""


@dataclass(frozen=True)
class SecretFileValue:
    """The path of a file, absolute or relative to the directory of the configuration file; empty
    for none.
    """

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> Path | None:
        return DirectoryValue()(node, reading, key) if TextValue()(node, reading, key) else None


@dataclass(frozen=True)
class EventKindsValue:
    """A mapping from events to how they are told; those that are not named keep their defaults."""

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


@dataclass(frozen=True)
class StatusesValue:
    """A mapping from words of `status` to the tracker's own."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> Mapping[str, str]:
        found = {}
        for name, value in entries(reading, node, key):
            at = joined(key, name)
            if name not in list(Status):
                text = suggestion(name, list(Status)) or "; known are: " + ", ".join(Status)
                reading.problem(reading.lines[at], at, f"is no status of a run{text}")
                continue
            try:
                found[name] = TextValue()(value, reading, at)
            except ConfigMistake as mistake:
                reading.problem(reading.lines[at], at, str(mistake))
        return found


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Request Tracker 5, over its REST interface, version 2."""

    url: Annotated[str, TextValue()] = ""
    """Where Request Tracker is, such as `https://rt.example.org/`; empty: there is none."""

    credentials: Annotated[Path | None, SecretFileValue()] = None
    """A file with a line `token: …`, or lines `user: …` and `password: …`, that nobody else can
    read.
    """

    queue: Annotated[str, TextValue()] = ""
    """The queue in which a run's ticket is opened, unless its type names another."""

    requestors: Annotated[tuple[str, ...], WordListValue()] = ()
    """Mail addresses of the requestors of new tickets: they read replies."""

    cc: Annotated[tuple[str, ...], WordListValue()] = ()
    """Mail addresses of those who get copies."""

    statuses: Annotated[Mapping[str, str], StatusesValue()] = field(default_factory=dict)
    """What status a ticket gets when its run has one, such as `{complete: resolved}`; others are
    left alone.
    """

    ca_bundle: Annotated[Path | None, SecretFileValue()] = None
    """Certificates of the authorities that are believed; empty: those of this host."""

    proxy: Annotated[str, TextValue()] = ""
    """A proxy for HTTP, such as `http://proxy:3128`; empty: none, whatever the environment says."""

    timeout: Annotated[float, DurationValue(at_least=1)] = 20.0
    """How long an answer may take."""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Another way to tell people: mail or chat, by the library Apprise."""

    name: Annotated[str, NotAKey]
    """The key under `notify.channels`: letters, digits, `_`, `-` and `.`."""

    url_file: Annotated[Path | None, SecretFileValue()]
    """A file with one address of Apprise's kind, such as `mailtos://…`, that nobody else can read.
    """

    events: Annotated[tuple[str, ...], WordListValue()] = ()
    """What is told there; none: whatever `notify.events` does not say `nothing` of."""


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Telling people what happens to runs."""

    rt: TrackerSettings = field(default_factory=TrackerSettings)
    """The tracker, with a ticket for each run."""

    channels: tuple[ChannelSettings, ...] = ()
    """Other ways, by name."""

    events: Annotated[Mapping[str, str], EventKindsValue()] = field(default_factory=default_kinds)
    """How each event is told in the tracker: `comment`, `reply` or `nothing`. docs/messages.md has
    all of them.
    """

    retry: Annotated[float, DurationValue(at_least=0.1)] = 60.0
    """Time until what could not be delivered is tried again; doubled each time, up to an hour."""

    report_url: Annotated[str, TextValue()] = ""
    """The address of a run's page, with `{run}` for its name; empty: messages give the file."""

    def kinds(self) -> dict[str, Mapping[str, str]]:
        """How each event is told on each channel that is configured."""
        told = {name: kind for name, kind in self.events.items() if kind != NOTHING}
        found: dict[str, Mapping[str, str]] = {TRACKER: told} if self.rt.url else {}
        for channel in self.channels:
            found[channel.name] = dict.fromkeys(channel.events or told, COMMENT)
        return found


def notify_problems(notify: NotifySettings) -> Iterator[tuple[str, str]]:
    """What is wrong with these settings among each other: the key below `notify`, and a sentence."""
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
            yield key, "is the tracker's own name; take another"
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
