"""Metrics in Prometheus' form.

Hot paths count in plain attributes (`Counts`), which a collector reads when somebody scrapes: a message costs an
integer addition, not a labelled counter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from xinyu.telemetry.readings import Reading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Readings(Collector):
    def __init__(self, sources: list[Callable[[], Iterable[Reading]]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        for source in self._sources:
            for name, text, value in source():
                if name.endswith("_total"):
                    counter = CounterMetricFamily(name.removesuffix("_total"), text)
                    counter.add_metric([], value)
                    yield counter
                else:
                    gauge = GaugeMetricFamily(name, text)
                    gauge.add_metric([], value)
                    yield gauge


class Timings(Collector):
    """Durations by two labels, counted in plain lists: the library's own histogram takes two locks per observation."""

    def __init__(self, name: str, text: str, labels: tuple[str, str], bounds: tuple[float, ...]) -> None:
        self._family = (name, text, labels)
        self._bounds = bounds
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def observe(self, first: str, second: str, seconds: float) -> None:
        """Count one duration."""
        key = (first, second)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0] * (len(self._bounds) + 1)
            self._sums[key] = 0.0
        counts[bisect_left(self._bounds, seconds)] += 1
        self._sums[key] += seconds

    def collect(self) -> Iterator[Metric]:
        name, text, labels = self._family
        family = HistogramMetricFamily(name, text, labels=labels)
        for key, counts in sorted(self._counts.items()):
            totals = accumulate(counts)
            buckets = [(str(bound), float(next(totals))) for bound in self._bounds]
            family.add_metric(key, [*buckets, ("+Inf", float(next(totals)))], self._sums[key])
        yield family


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._sources: list[Callable[[], Iterable[Reading]]] = []
        self._registry.register(_Readings(self._sources))
        self.calls = Timings(
            "xinyu_rpc_call_seconds",
            "Calls inside this process by port method and outcome (an error code, or ok).",
            ("method", "outcome"),
            (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
        )
        self.remote_calls = Timings(
            "xinyu_rpc_remote_call_seconds",
            "Calls to other processes by port method and outcome (an error code, or ok): the hops of a message.",
            ("method", "outcome"),
            (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
        )
        self.requests = Timings(
            "xinyu_http_request_seconds",
            "REST requests by route and status.",
            ("route", "status"),
            (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
        )
        self._registry.register(self.calls)
        self._registry.register(self.remote_calls)
        self._registry.register(self.requests)

    def add_source(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Have `source` called at every scrape."""
        self._sources.append(source)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)
