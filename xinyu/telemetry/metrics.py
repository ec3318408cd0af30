"""Metrics in Prometheus' form.

Hot paths count in plain attributes (`Counts`), which a collector reads when somebody scrapes: a message costs an
integer addition, not a labelled counter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
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


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._sources: list[Callable[[], Iterable[Reading]]] = []
        self._registry.register(_Readings(self._sources))
        self.calls = Histogram(
            "xinyu_rpc_call_seconds",
            "Calls through stubs by port method and outcome (an error code, or ok).",
            ["method", "outcome"],
            registry=self._registry,
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
        )
        self.requests = Histogram(
            "xinyu_http_request_seconds",
            "REST requests by route and status.",
            ["route", "status"],
            registry=self._registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
        )

    def add_source(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Have `source` called at every scrape."""
        self._sources.append(source)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)
