"""Shades of a map: steps of a count, from pale to dark, with their names. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

SHADES = 5


@dataclass(frozen=True, slots=True)
class ShadeScale:
    """Scale of `SHADES` equal steps of a count; shade 0 is for none."""

    step: int

    @classmethod
    def of(cls, counts: Collection[float]) -> ShadeScale:
        """Scale up to the 98th percentile: one extreme must not make all others pale."""
        ordered = sorted(counts)
        return cls(max(1, -(-int(ordered[int(0.98 * (len(ordered) - 1))]) // SHADES)))

    def shade(self, count: float) -> int:
        return min(SHADES, 1 + (int(count) - 1) // self.step) if count > 0 else 0

    def name(self, shade: int) -> str:
        if shade == 0:
            return "none"
        low, high = (shade - 1) * self.step + 1, shade * self.step
        if shade == SHADES:
            return f"{low:,} or more"
        return f"{low:,}" if low == high else f"{low:,} to {high:,}"
