"""Problems that a poll prints: when they are new, once a day while they last, and when solved.

The memory is `{output}/.hesiod-watch/{host}-poll-printed.json`. No decision uses it, and it may be
deleted: then everything is printed once more. While the output area is missing, a file beside the
locks of this host keeps each problem from being printed more than once a day.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from hesiod_watch.config import Config
from hesiod_watch.core.attention import Attention
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.records import record_in
from hesiod_watch.core.times import iso, rested, time_of
from hesiod_watch.host.cooldown import first_today, outage_over
from hesiod_watch.host.files import chunks, directory, regular, replace_whole
from hesiod_watch.runs.state_files import MARKER, MARKER_DIRECTORY

AREA = "area"
"""Identity of the problem that the landing area or the output area is missing."""
DAY = timedelta(days=1)


@frozen
class Problem:
    """One thing that a poll found and that needs a person."""

    identity: str  # the same in each poll; "": it happened in this poll, and is printed
    sentence: str
    run: str = ""
    line: str = ""  # the sentence, and the command that says more

    def __str__(self) -> str:
        return self.line or self.sentence

    @classmethod
    def of(cls, each: Attention) -> Problem:
        identity = "\n".join(map(display, (each.run, *each.identity)))
        return cls(identity, f"{each.subject}: {each.sentence}", display(each.run), str(each))


def news(
    found: Sequence[Problem],
    config: Config,
    now: datetime,
    *,
    judged: bool = True,
    unjudged_runs: Collection[str] = (),
) -> list[str]:
    """Return the lines that a poll prints, and remember them.

    A problem is solved if it is not found any more. Nothing is solved if this poll has not `judged`
    everything, nor in the runs that it could not judge.
    """
    known = _read(config)
    if known is None:
        return [str(each) for each in found if _first_today(each, config)]
    printed, lines = {}, []
    for each in found:
        before = known.get(each.identity)
        again = before is None or rested(time_of(before.get("printed")), now, DAY)
        if again or not each.identity:
            lines.append(str(each))
        if each.identity:
            time = iso(now) if again or before is None else before["printed"]
            printed[each.identity] = {
                "sentence": each.sentence.encode("utf-8", "backslashreplace").decode(),
                "run": each.run,
                "printed": time,
            }
    for identity, before in known.items():
        if identity in printed:
            continue
        if judged and before.get("run") not in unjudged_runs:
            lines.append(f"solved: {before.get('sentence')}")
        else:
            printed[identity] = dict(before)
    if printed != known:
        _write(config, printed)
    if judged:
        outage_over(config.landing, _key(AREA), config.locks)
    return lines


def _read(config: Config) -> dict[str, Mapping[str, str]] | None:
    """Problems that polls of this host have printed; None without the marker of the area."""
    try:
        with directory(config.output / MARKER_DIRECTORY) as place, regular(MARKER, place):
            try:
                with regular(_name(), place) as descriptor:
                    record = record_in(b"".join(chunks(descriptor)))
            except OSError:
                return {}
    except OSError:
        return None
    return dict(_entries(record.get("problems")))


def _entries(problems: object) -> Iterator[tuple[str, Mapping[str, str]]]:
    for identity, entry in problems.items() if isinstance(problems, dict) else ():
        if isinstance(entry, dict):
            yield str(identity), {str(name): str(value) for name, value in entry.items()}


def _write(config: Config, problems: Mapping[str, Mapping[str, str]]) -> None:
    content = json.dumps({"problems": problems}, indent=1).encode()
    with suppress(OSError), directory(config.output / MARKER_DIRECTORY) as place:
        replace_whole(place, _name(), content, durable=False)


def _name() -> str:
    return f"{os.uname().nodename.replace('/', '_')}-poll-printed.json"


def _first_today(each: Problem, config: Config) -> bool:
    return not each.identity or first_today(config.landing, _key(each.identity), config.locks)


def _key(identity: str) -> str:
    return f"poll {identity}"
