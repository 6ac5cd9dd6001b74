"""Checks of one upstream: test everything that copying from it needs; explain failures.

The checks leave no files behind and write nothing upstream. For `push`, a file of a few bytes
exists for a moment in the landing area. It shows whether the sequencer's path of the landing area
leads to the same directory.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.check import Check
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.naming import display
from hesiod_watch.core.records import parse_whole
from hesiod_watch.core.text import number_of
from hesiod_watch.host.command import CommandResult, CommandRunner, run
from hesiod_watch.remote.connection import connected
from hesiod_watch.remote.endpoint import Endpoint
from hesiod_watch.remote.sequencer.listing import list_upstream
from hesiod_watch.rules.exit_codes import judge_query, last_line
from hesiod_watch.rules.run_layout import LAYOUT, with_advice

OLDEST_RSYNC = (3, 1)
_RSYNC = re.compile(rb"rsync +version v?([0-9]+)\.([0-9]+)\.([0-9]+)")
MOST_NAMED = 3  # names at a wrong place that a check lists
CLOCKS_APART = 60.0
"""Seconds by which two clocks may differ before it needs a person."""


def check_upstream(
    upstream: UpstreamSettings, landing: Path, *, runner: CommandRunner = run
) -> tuple[Check, ...]:
    """Try everything that copying from `upstream` needs; LOCAL needs nothing.

    Never raises: each problem is in a result.
    """
    place = upstream.place
    if place.is_local:
        return ()
    names = ["lists", "rsync"]
    names += ["clock"] if place.over_ssh else []
    names += ["writes"] if upstream.mode == "push" else []
    not_tried = [Check(name, None, "not tried, because it cannot be reached") for name in names]
    try:
        with connected(upstream, runner) as endpoint:
            doctor = _Doctor(upstream, endpoint)
            reaches = doctor.reaches()
            if not reaches.ok:
                return (reaches, *not_tried)
            checks = [reaches, doctor.lists(), check_rsync_of(endpoint)]
            if place.over_ssh:
                checks.append(doctor.clock())
            if upstream.mode == "push":
                checks.append(doctor.writes(landing))
            return tuple(checks)
    except HesiodError as error:
        return (Check("reaches", False, str(error)), *not_tried)


@dataclass
class _Doctor:
    upstream: UpstreamSettings
    endpoint: Endpoint

    def ask(self, *command: str) -> CommandResult:
        return self.endpoint.run(command)

    def reaches(self) -> Check:
        place = self.upstream.place
        began = time.monotonic()
        ended = self.ask("test", "-d", place.path)
        took = time.monotonic() - began
        if ended.output:
            banner = display(ended.output[:60].decode("utf-8", "replace"))
            return Check(
                "reaches",
                False,
                f"{place.host} prints `{banner}` at every login, and this breaks rsync",
            )
        if ended.code == 1:
            return Check("reaches", False, f"{place.path} is not a directory there")
        if ended.code or ended.why:
            return Check("reaches", False, f"{_wrong(ended)}{self.endpoint.advice(ended)}")
        return Check("reaches", True, f"{place} answers in {took:.2f} s")

    def lists(self) -> Check:
        listing = list_upstream(self.upstream, runner=self.endpoint.runner)
        if listing.problem:
            return Check("lists", False, listing.problem)
        misplaced = [entry for entry in listing.quarantined if entry.kind in LAYOUT]
        if misplaced:
            place = str(self.upstream.place)
            named = [with_advice(entry, place) for entry in misplaced[:MOST_NAMED]]
            if len(misplaced) > MOST_NAMED:
                named.append(f"and {len(misplaced) - MOST_NAMED} more")
            return Check("lists", False, "; ".join(named))
        cells = sum(len(each.cells) for each in listing.runs)
        more = (
            f", and {number_of(len(listing.quarantined), 'name')} not to be touched"
            if listing.quarantined
            else ""
        )
        return Check(
            "lists",
            True,
            f"{number_of(len(listing.runs), 'run')} with {number_of(cells, 'cell')}{more}",
        )

    def clock(self) -> Check:
        before = time.time()
        ended = self.ask("date", "+%s")
        after = time.time()
        try:
            theirs = parse_whole(ended.output)
        except ValueError:
            return Check("clock", False, f"its time cannot be read: {_wrong(ended)}")
        apart = max(before - theirs - 1, theirs - after, 0.0)  # `date` prints whole seconds
        if apart > CLOCKS_APART:
            return Check(
                "clock",
                False,
                f"its clock differs from ours by {apart:.0f} s; is NTP running on both hosts?",
            )
        return Check("clock", True, f"its clock and ours agree to {max(apart, 1):.0f} s")

    def writes(self, landing: Path) -> Check:
        landing_there = self.upstream.landing_there
        shown = f"{landing_there} on the sequencer"
        name, token = f".hesiod-watch-doctor-{os.urandom(8).hex()}", os.urandom(8).hex()
        probe = landing / name
        try:
            with probe.open("x") as file:
                file.write(token)
        except OSError as error:
            return Check(
                "writes", False, f"{landing} cannot be written on this host: {error.strerror}"
            )
        try:
            read = self.ask("cat", "--", f"{landing_there}/{name}")
            if read.output.decode("ascii", "replace") != token:
                return Check(
                    "writes",
                    False,
                    f"{shown} is not the landing area {landing}: {_wrong(read)}",
                )
            # The sequencer creates another name, because this host made the first one.
            written = self.ask("mkdir", "--", f"{landing_there}/{name}.made")
            if written.code:
                return Check(
                    "writes",
                    False,
                    f"{shown} cannot be written: {_wrong(written)}",
                )
            return Check(
                "writes",
                True,
                f"{shown} is the landing area {landing}, and can be written",
            )
        finally:
            with suppress(OSError):
                probe.unlink()
            with suppress(OSError):
                probe.with_name(f"{name}.made").rmdir()


def check_rsync_of(endpoint: Endpoint) -> Check:
    """Whether rsync is usable on this host and, if it is another one, on the endpoint."""
    command = ("rsync", "--version")
    sides = {"here": endpoint.runner(command, quiet=endpoint.settings.timeout)}
    if endpoint.over_ssh:
        sides["there"] = endpoint.run(command)
    return check_rsync(sides)


def check_rsync(sides: Mapping[str, CommandResult]) -> Check:
    """Whether rsync is usable, judged by the output of `rsync --version`.

    `sides` has an entry "here" and, for another host, an entry "there".
    """
    versions = []
    for side, ended in sides.items():
        found = _RSYNC.match(ended.output)
        if found is None:
            return Check("rsync", False, f"rsync {side}: {_wrong(ended)}")
        version = tuple(map(int, found.groups()))
        shown = ".".join(map(str, version))
        if version < OLDEST_RSYNC:
            return Check("rsync", False, f"rsync {side} is {shown}; 3.1 or later is needed")
        versions.append(f"{shown} {side}")
    return Check("rsync", True, f"rsync is {', '.join(versions)}")


def _wrong(ended: CommandResult) -> str:
    return (
        ended.why
        or judge_query(ended.code, ended.errors).why
        or last_line(ended.errors)
        or "it says something else"
    )
