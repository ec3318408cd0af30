"""What a component counts, read when somebody scrapes: no driver, so that any floor may offer some."""

from __future__ import annotations

from bisect import bisect_left


class Histogram:
    """How values are spread, counted in plain lists: one costs a search in a few bounds and two additions."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` are the upper ends of the buckets, ascending; what is above the last is counted too."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many values fell between each bound and the one before it."""
        self.total = 0.0
        """The sum of all values."""

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


Reading = tuple[str, str, float | Histogram]
"""(name, help, value). A name ending in _total is a counter, one with a Histogram is that, any other is a gauge."""

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Bounds for what usually takes milliseconds."""
