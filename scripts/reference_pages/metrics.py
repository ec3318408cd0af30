"""Every metric, and the role whose processes serve it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from reference_pages.markdown import code, page, table
from xinyu.app.containers.container import make_container
from xinyu.app.lifecycle import Runs
from xinyu.app.roles import ROLES
from xinyu.app.settings import Settings
from xinyu.kernel.clock import SystemClock
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.handshake import Identity
from xinyu.rpc.pool import RpcClient
from xinyu.rpc.server import RpcServer
from xinyu.rpc.settings import RpcSettings
from xinyu.telemetry.metrics import Metrics
from xinyu.telemetry.readings import Histogram, Reading

INTRO = """`/metrics` on the admin port of each process, in Prometheus' text form. A counter's name ends in `_total`;
a histogram `name` comes as `name_bucket`, `name_sum` and `name_count`. A process serves what belongs to its roles, and
what belongs to every process."""
SECRET = "for the page of the metrics alone, never served"
EVERY, CLUSTER = "every process", "every process of a cluster"
ADAPTER = "gateway_ws with predecessor.enabled"
STREAMS = "delivery with delivery.queue: redis"


class MetricText(NamedTuple):
    """One metric as the page shows it."""

    name: str
    kind: str
    text: str


def metrics_page() -> str:
    """docs/reference/metrics.md"""
    parts = []
    for owner, metrics in all_metrics().items():
        rows = [(code(metric.name), metric.kind, metric.text) for metric in metrics]
        parts.append(f"## {owner}\n\n" + table(("metric", "kind", "what"), rows))
    return page("Metrics", INTRO, parts)


def metric_names() -> set[str]:
    """All of them."""
    return {metric.name for metrics in all_metrics().values() for metric in metrics}


def all_metrics() -> dict[str, list[MetricText]]:
    """Role, or kind of process → what it serves. What roles have in common stands with the first."""
    container = make_container(Settings(auth={"jwt_secret": SECRET, "admin_secret": SECRET}), 1)
    found = {EVERY: [*_labelled(Metrics()), *_texts(Runs(SystemClock()).readings())]}
    identity, rpc = Identity("page", 1, SECRET.encode()), RpcSettings()
    found[CLUSTER] = [
        *_texts(RpcClient(rpc, identity).readings()),
        *_texts(RpcServer(Dispatcher(), rpc, identity).readings()),
    ]
    users: dict[str, list[str]] = {}
    for role, spec in ROLES.items():
        for provider in spec.readings:
            users.setdefault(provider, []).append(role)
    found[ADAPTER] = list(_texts(container.predecessor().readings()))
    for provider, roles in users.items():
        found.setdefault(", ".join(roles), []).extend(_texts(getattr(container, provider)().readings()))
    streams = {"queue": "redis", "redis_url": "redis://127.0.0.1"}
    reading = make_container(Settings(auth={"jwt_secret": SECRET, "admin_secret": SECRET}, delivery=streams), 1)
    found[STREAMS] = list(_texts(reading.push_queue().readings()))
    return found


def _labelled(metrics: Metrics) -> Iterator[MetricText]:
    for family in metrics.families():
        yield MetricText(family.name, family.type, family.documentation)


def _texts(readings: Iterable[Reading]) -> Iterator[MetricText]:
    for name, text, value in readings:
        kind = "histogram" if isinstance(value, Histogram) else "counter" if name.endswith("_total") else "gauge"
        yield MetricText(name, kind, text)
