"""Shades of a map: classes of a count, from pale to dark, with their names. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection

from hesiod_watch.core.frozen import frozen

SHADES = 5


@frozen
class ShadeScale:
    """Scale of `SHADES` classes; shade 0 is for a smaller count than all of them."""

    starts: tuple[int, ...]  # lowest count of each class

    @classmethod
    def steps(cls, counts: Collection[float]) -> ShadeScale:
        """Equal steps up to the 98th percentile: one extreme must not make all others pale."""
        ordered = sorted(counts)
        step = max(1, -(-int(ordered[int(0.98 * (len(ordered) - 1))]) // SHADES))
        return cls(tuple(shade * step + 1 for shade in range(SHADES)))

    @classmethod
    def thirds(cls, highest: float) -> ShadeScale:
        """Each class begins at a third of the next one; the last one, at a third of the highest."""
        return cls(tuple(-(-int(highest) // 3 ** (SHADES - shade)) for shade in range(SHADES)))

    def shade(self, count: float) -> int:
        return bisect_right(self.starts, count)

    def name(self, shade: int) -> str:
        """Counts of a shade as text; "" if no count has it."""
        if shade == 0:
            return "none" if self.starts[0] == 1 else f"fewer than {self.starts[0]:,}"
        low = self.starts[shade - 1]
        if shade == SHADES:
            return f"{low:,} or more"
        high = self.starts[shade] - 1
        return "" if high < low else f"{low:,}" if low == high else f"{low:,} to {high:,}"
