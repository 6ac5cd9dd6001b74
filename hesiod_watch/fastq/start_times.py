"""Start times of reads: the yield bin of each, and the earliest.

Times are ISO 8601, with `Z` or an offset, with or without a fraction. Parsing one fully costs ten
times as much as a lookup in a dictionary. Within a file only minutes and the zone matter, and there
are few different ones. Only a time that may be the earliest is parsed fully.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from hesiod_watch.fastq.statistics import YIELD_SECONDS

ABSENT = -1
_BIN = YIELD_SECONDS * 1_000_000
_EPOCH = datetime.fromtimestamp(0, UTC)


class StartTimes:
    """Sorts start times into bins.

    `first` is the earliest so far, in microseconds since 1970.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self._first_bin = 1 << 62
        # For each minute: its bin, and the earliest second seen in it.
        self._minutes: dict[bytes, tuple[int, bytes]] = {}

    def bins(self, starts: list[bytes] | None, count: int) -> NDArray[np.int64]:
        """The bin of each start time; -1 if there is no time or it cannot be parsed."""
        bins = np.full(count, ABSENT)
        if starts is None:
            return bins
        known = self._minutes
        found = []
        for text in starts:
            minute = text[:16] + (b"Z" if text.endswith(b"Z") else text[-6:])
            number, second = known.get(minute, (-1, b""))
            if number <= self._first_bin and (number < 0 or text[17:19] <= second):
                moment = microseconds(text)
                if moment == ABSENT:
                    found.append(ABSENT)
                    continue
                number = moment // _BIN
                known[minute] = number, text[17:19]
                self._saw(moment)
            found.append(number)
        bins[:] = found
        return bins

    def bins_of(self, moments: NDArray[np.int64]) -> NDArray[np.int64]:
        """The bin of each time in microseconds since 1970; -1 where there is no time."""
        known = moments[moments != ABSENT]
        if len(known):
            self._saw(int(known.min()))
        bins: NDArray[np.int64] = np.where(moments == ABSENT, ABSENT, moments // _BIN)
        return bins

    def _saw(self, moment: int) -> None:
        self._first_bin = min(moment // _BIN, self._first_bin)
        self.first = moment if self.first is None else min(moment, self.first)


def microseconds(text: bytes) -> int:
    """Microseconds since 1970; -1 if the text is not a time after 1970.

    A time without a zone is taken as UTC.
    """
    try:
        moment = datetime.fromisoformat(text.decode("ascii"))
    except ValueError:
        return ABSENT
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - _EPOCH) // timedelta(microseconds=1), ABSENT)
