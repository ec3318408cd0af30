"""What a process says of the requests that pass it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from structlog.testing import capture_logs

from xinyu.telemetry.logs import add_trace, hops

Line = dict[str, Any]


@contextmanager
def followed(slow_seconds: float = 1e9) -> Iterator[list[Line]]:
    """Lines as they come, every hop among them, each with its trace id."""
    before = hops.told, hops.slow_seconds
    hops.told, hops.slow_seconds = True, slow_seconds
    try:
        with capture_logs(processors=[add_trace]) as lines:
            yield lines  # type: ignore[misc]  # events are mutable mappings; these are dicts
    finally:
        hops.told, hops.slow_seconds = before


def named(lines: list[Line], event: str) -> list[Line]:
    """Lines of one kind."""
    return [line for line in lines if line["event"] == event]
