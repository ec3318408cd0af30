"""Metrics in Prometheus' form.

Hot paths count in plain attributes (`Counts`), which a collector reads when somebody scrapes: a message costs an
integer addition, not a labelled counter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from xinyu.telemetry.readings import SECONDS, Histogram, Reading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Readings(Collector):
    def __init__(self, sources: list[Callable[[], Iterable[Reading]]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        for source in self._sources:
            for name, text, value in source():
                yield _family_of(name, text, value)


def _family_of(name: str, text: str, value: float | Histogram) -> Metric:
    if isinstance(value, Histogram):
        histogram = HistogramMetricFamily(name, text)
        histogram.add_metric([], _buckets(value), value.total)
        return histogram
    if name.endswith("_total"):
        counter = CounterMetricFamily(name.removesuffix("_total"), text)
        counter.add_metric([], value)
        return counter
    gauge = GaugeMetricFamily(name, text)
    gauge.add_metric([], value)
    return gauge


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    totals = accumulate(histogram.counts)
    return [*((str(bound), float(next(totals))) for bound in histogram.bounds), ("+Inf", float(next(totals)))]


class Timings(Collector):
    """Durations by two labels, counted in plain lists: the library's own histogram takes two locks per observation."""

    def __init__(self, name: str, text: str, labels: tuple[str, str], bounds: tuple[float, ...]) -> None:
        self._family = (name, text, labels)
        self._bounds = bounds
        self._histograms: dict[tuple[str, str], Histogram] = {}

    def observe(self, first: str, second: str, seconds: float) -> None:
        """Count one duration."""
        key = (first, second)
        histogram = self._histograms.get(key)
        if histogram is None:
            histogram = self._histograms[key] = Histogram(self._bounds)
        histogram.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        name, text, labels = self._family
        family = HistogramMetricFamily(name, text, labels=labels)
        for key, histogram in sorted(self._histograms.items()):
            family.add_metric(key, _buckets(histogram), histogram.total)
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
            SECONDS,
        )
        self.remote_calls = Timings(
            "xinyu_rpc_remote_call_seconds",
            "Calls to other processes by port method and outcome (an error code, or ok): the hops of a message.",
            ("method", "outcome"),
            SECONDS,
        )
        self.requests = Timings(
            "xinyu_http_request_seconds",
            "REST requests by route and status.",
            ("route", "status"),
            SECONDS[1:],
        )
        self._registry.register(self.calls)
        self._registry.register(self.remote_calls)
        self._registry.register(self.requests)

    def add_source(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Have `source` called at every scrape; roles that share a component may each name it."""
        if source not in self._sources:
            self._sources.append(source)

    def families(self) -> list[Metric]:
        """Everything, as it would be served."""
        return list(self._registry.collect())

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)
