"""W4: idle authenticated connections: what they cost in memory, to open, and in CPU while only heartbeats go. Memory is
that of the processes that hold them, CPU that of all."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence

from bench.accounts import Account
from bench.chat import connect_user
from bench.checker import Verdict
from bench.context import Context
from bench.heartbeat import beat
from bench.meter import Meter
from bench.process import rss_bytes
from bench.result import Case, Run
from bench.wire import Socket

SIZES = (2000, 5000, 8000)
_QUICK_SIZES = (2000,)
_OPEN_AT_ONCE = 64
_SETTLE_SECONDS = 1.5
_PING = b'{"event":"ping"}'


async def measure(context: Context) -> list[Case]:
    """Grow to each size in turn; each run begins with fresh processes that hold nothing."""
    sizes = _QUICK_SIZES if context.quick else SIZES
    cases = {size: Case("W4", f"{size} idle") for size in sizes}
    users = await context.accounts.users(max(sizes))
    if not context.quick:
        await context.calibrate_idle(5000)
    for _ in range(context.runs):
        await context.restart()
        crowd = _Crowd(context, users)
        try:
            await crowd.warm()
            for size, case in cases.items():
                context.say(f"W4 {size} idle connections")
                case.runs.append(await crowd.grow_to(size))
                context.advance()
        finally:
            crowd.close()
    return list(cases.values())


class _Crowd:
    """The idle sockets of one run."""

    def __init__(self, context: Context, users: Sequence[Account]) -> None:
        self._context = context
        self._users = users
        self._sockets: list[Socket] = []
        self._pongs = 0
        self._base_rss = 0
        self._holders = context.target.gateway_pids or context.target.pids

    async def warm(self) -> None:
        """One round of connections that close again, so that first-use costs count for nobody; then the base line."""
        await self._open(self._users[:50])
        self.close()
        await asyncio.sleep(_SETTLE_SECONDS)
        self._base_rss = rss_bytes(self._holders)

    async def grow_to(self, size: int) -> Run:
        """Open up to `size`, let it settle, then watch it idle."""
        meter, began, had = Meter(self._context.target.pids), time.perf_counter(), len(self._sockets)
        await self._open(self._users[had:size])
        opening, opened = meter.stop(), size - had
        connects_per_second = opened / (time.perf_counter() - began)
        await asyncio.sleep(_SETTLE_SECONDS)
        grown = rss_bytes(self._holders) - self._base_rss
        meter, before = Meter(self._context.target.pids), self._pongs
        sent = await beat(self._sockets, _PING, self._context.idle_seconds)
        idle = meter.stop()
        await asyncio.sleep(0.2)  # the last answers are on their way
        verdict = self._judge(size, sent, self._pongs - before)
        measures = {
            "rss_kb_per_connection": grown / size / 1024 if self._holders else float("nan"),
            "connects_per_second": connects_per_second,
            "cpu_us_per_connect": opening.micros_per(opened),
            "idle_cpu_percent": idle.server_share * 100 if self._context.target.pids else float("nan"),
            "opening_client_share": opening.client_share,
        }
        return Run(measures, verdict, opening.saturated)

    async def _open(self, users: Sequence[Account]) -> None:
        slots = asyncio.Semaphore(_OPEN_AT_ONCE)

        async def one(account: Account) -> None:
            async with slots:
                self._sockets.append(await connect_user(next(urls), account, "idle", self._hear))

        urls = itertools.cycle(self._context.target.ws_urls)
        await asyncio.gather(*(one(account) for account in users))

    def _hear(self, payload: bytes) -> None:
        if b'"pong"' in payload:
            self._pongs += 1

    def _judge(self, size: int, sent: int, answered: int) -> Verdict:
        verdict = Verdict()
        closed = sum(socket.closed for socket in self._sockets)
        if closed:
            verdict.add("closed", f"{closed} of {size} idle sockets were closed by the server")
        if answered < sent:
            verdict.add("unanswered", f"{sent - answered} of {sent} heartbeats")
        return verdict

    def close(self) -> None:
        """Close all sockets."""
        for socket in self._sockets:
            socket.close()
        self._sockets.clear()
