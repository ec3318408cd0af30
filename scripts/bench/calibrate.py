"""E1, E8, F and the cost of idle sockets: what a bare ASGI app on uvicorn does on this machine now, same client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from bench.heartbeat import beat
from bench.meter import Meter
from bench.process import ServerProcess, free_port, rss_bytes
from bench.wire import Socket, connect, text_frame

_SERVER = Path(__file__).with_name("calibration_server.py")
_ECHO_CONNECTIONS = 100
_SINKS = 200
_SOURCES = 10
_OPEN_AT_ONCE = 50
_FRAME = b'{"event":"im.echo","id":"00000001","payload":{"text":"' + b"x" * 93 + b'"}}'  # 150 bytes


class _Counter:
    """Frames that came back; whoever answers one with the next lets it run until `stopped`."""

    def __init__(self) -> None:
        self.frames = 0
        self.stopped = False


async def measure_echo(in_flight: int, seconds: float, folder: Path, cpu: int | None) -> dict[str, float]:
    """E1 (`in_flight` 1) or E8: frames per second over 100 connections that echo."""
    counter, frame = _Counter(), text_frame(_FRAME)
    sockets: list[Socket] = []

    def answer(index: int, _payload: bytes) -> None:
        counter.frames += 1
        if not counter.stopped:
            sockets[index].send(frame)

    async with _server("echo", folder, cpu) as (pid, url):
        sockets.extend([await connect(url, partial(answer, index)) for index in range(_ECHO_CONNECTIONS)])
        for socket in sockets:
            socket.send(frame * in_flight)
        return await _rate(counter, seconds, pid, sockets)


async def measure_fan(seconds: float, folder: Path, cpu: int | None) -> dict[str, float]:
    """F: frames per second to 200 sockets, ten fan-outs of one prepared frame in flight."""
    counter, frame = _Counter(), text_frame(b'{"event":"fan"}')
    sources: list[Socket] = []

    def sunk(_payload: bytes) -> None:
        counter.frames += 1
        if counter.frames % _SINKS == 0 and not counter.stopped:
            sources[(counter.frames // _SINKS) % _SOURCES].send(frame)

    async with _server("fan", folder, cpu) as (pid, url):
        sinks = [await connect(f"{url}sink", sunk) for _ in range(_SINKS)]
        sources.extend([await connect(f"{url}source", lambda _payload: None) for _ in range(_SOURCES)])
        for source in sources:
            source.send(frame)
        return await _rate(counter, seconds, pid, sinks + sources)


async def measure_idle(connections: int, seconds: float, folder: Path, cpu: int | None) -> dict[str, float]:
    """What `connections` idle sockets with heartbeats cost a bare ASGI app: the floor under W4."""
    sockets: list[Socket] = []
    async with _server("echo", folder, cpu) as (pid, url):
        first = await connect(url, lambda _payload: None)
        base = rss_bytes([pid])
        for _ in range(0, connections, _OPEN_AT_ONCE):
            sockets += await asyncio.gather(*(connect(url, lambda _payload: None) for _ in range(_OPEN_AT_ONCE)))
        await asyncio.sleep(1.0)
        grown = rss_bytes([pid]) - base
        meter = Meter([pid])
        await beat(sockets, b'{"event":"ping","id":"","payload":{}}', seconds)
        cost = meter.stop()
        for socket in [first, *sockets]:
            socket.close()
    return {"idle_cpu_percent": cost.server_share * 100, "rss_kb_per_connection": grown / len(sockets) / 1024}


@asynccontextmanager
async def _server(app: str, folder: Path, cpu: int | None) -> AsyncIterator[tuple[int, str]]:
    port = free_port()
    process = ServerProcess([sys.executable, str(_SERVER), app, str(port)], folder / "calibration.log", cpu)
    try:
        await process.wait_port(port)
        yield process.pid, f"ws://127.0.0.1:{port}/"
    finally:
        await process.stop(5.0)


async def _rate(counter: _Counter, seconds: float, pid: int, sockets: list[Socket]) -> dict[str, float]:
    await asyncio.sleep(min(1.0, seconds / 2))
    meter, before = Meter([pid]), counter.frames
    await asyncio.sleep(seconds)
    cost, frames = meter.stop(), counter.frames - before
    counter.stopped = True
    for socket in sockets:
        socket.close()
    return {
        "frames_per_second": frames / cost.wall_seconds,
        "server_cpu_us_per_frame": cost.micros_per(frames),
        "server_share": cost.server_share,
        "client_share": cost.client_share,
        "saturated": float(cost.saturated),
    }
