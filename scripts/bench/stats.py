"""Percentiles of one run, median and range over runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0…1) of the sorted `ordered` lies (nearest rank); NaN when there is none."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered))))]


def latency_summary(nanoseconds: Sequence[int]) -> dict[str, float]:
    """p50, p99, p99.9 and the largest, in milliseconds."""
    ordered = sorted(nanoseconds)
    return {
        "p50_ms": percentile(ordered, 0.5) / 1e6,
        "p99_ms": percentile(ordered, 0.99) / 1e6,
        "p999_ms": percentile(ordered, 0.999) / 1e6,
        "max_ms": (ordered[-1] if ordered else float("nan")) / 1e6,
    }


@dataclass(frozen=True, slots=True)
class Spread:
    """One measure over several runs."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median and range of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))
