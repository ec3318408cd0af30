"""Heartbeats of many idle sockets, evenly spread as many clients' are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from bench.wire import Socket, text_frame

HEARTBEAT_SECONDS = 20.0  # what the web clients do
_TICK_SECONDS = 0.01


async def beat(sockets: Sequence[Socket], payload: bytes, seconds: float) -> int:
    """Send `payload` from every socket each HEARTBEAT_SECONDS, for `seconds`; returns how many were sent."""
    frame, began, sent = text_frame(payload), time.perf_counter(), 0
    per_second = len(sockets) / HEARTBEAT_SECONDS
    while (passed := time.perf_counter() - began) < seconds:
        while sent < passed * per_second:
            sockets[sent % len(sockets)].send(frame)
            sent += 1
        await asyncio.sleep(_TICK_SECONDS)
    return sent
