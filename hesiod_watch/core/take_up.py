"""Which runs are taken up: the setting of a place, and what was there before it was decided.

A place is the landing area or an upstream. A run that is not taken up is *historic*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.records import texts_in

NOW, ALWAYS = "now", "always"


@frozen
class TakeUpRule:
    """Which runs of a place are taken up."""

    since: str = ""  # "now", "always" or a day, YYYY-MM-DD; "": not decided
    include: tuple[str, ...] = ()  # regular expressions of names; (): any name
    exclude: tuple[str, ...] = ()

    def over(self, general: TakeUpRule) -> TakeUpRule:
        """Return this rule; what it leaves open is as in the general one."""
        return TakeUpRule(
            self.since or general.since,
            self.include or general.include,
            self.exclude or general.exclude,
        )


@frozen
class FirstLook:
    """Finished runs that a place had at the first look with a setting of `since`."""

    since: str
    runs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # run → names of its cells

    def record(self) -> dict[str, object]:
        return {"since": self.since, "runs": {run: list(names) for run, names in self.runs.items()}}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> FirstLook:
        runs = record.get("runs")
        known = runs.items() if isinstance(runs, Mapping) else ()
        return cls(str(record.get("since", "")), {str(run): texts_in(n) for run, n in known})
