"""Private chat under load, what W1 and W2 share: open the pairs, let a driver send, drain, check, sum up."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from bench.accounts import Friends
from bench.chat import ACK_SECONDS, Pair
from bench.checker import Verdict, check
from bench.meter import Meter
from bench.result import Run
from bench.stats import latency_summary
from bench.target import Target

DRAIN_SECONDS = 10.0
_OPEN_AT_ONCE = 25


class Driver(Protocol):
    """Decides when which pair sends."""

    def start(self, pairs: Sequence[Pair]) -> None:
        """Begin to send."""

    def done(self, pair: Pair) -> None:
        """A message of `pair` is finished."""

    def stop(self) -> None:
        """Send no more."""


async def run_private(
    target: Target,
    friends: Sequence[Friends],
    driver: Driver,
    *,
    warm_seconds: float,
    seconds: float | Callable[[], Awaitable[None]],
    drain_seconds: float = DRAIN_SECONDS,
) -> Run:
    """One run; its measures are those of the `seconds` after the warm-up, or of what takes its own time meanwhile; its
    verdict is about all of it.

    What is still outstanding `drain_seconds` after the last send is lost.
    """
    pairs = [Pair(two, driver.done) for two in friends]
    await _open_all(pairs, target.ws_urls)
    acks = asyncio.create_task(_acknowledge(pairs))
    gc.collect()
    gc.disable()  # our own collections would show as the server's latency
    try:
        driver.start(pairs)
        await asyncio.sleep(warm_seconds)
        for pair in pairs:
            pair.latencies = type(pair.latencies)("q")
        engines = Meter(target.engine_pids)
        meter, before = Meter(target.pids), sum(pair.delivered for pair in pairs)
        await (seconds() if callable(seconds) else asyncio.sleep(seconds))
        cost, delivered = meter.stop(), sum(pair.delivered for pair in pairs) - before
        engine_cost = engines.stop()
        latencies = [value for pair in pairs for value in pair.latencies]
        driver.stop()
        verdict = await _settle(pairs, drain_seconds)
    finally:
        gc.enable()
        driver.stop()
        acks.cancel()
        for pair in pairs:
            pair.close()
    measures = {
        "delivered_per_second": delivered / cost.wall_seconds,
        "cpu_us_per_message": cost.micros_per(delivered),
        "server_share": cost.server_share,
        "client_share": cost.client_share,
        **latency_summary(latencies),
    }
    if target.engine_pids:
        measures["engine_cpu_us_per_message"] = engine_cost.micros_per(delivered)
    return Run(measures, verdict, cost.saturated)


async def _open_all(pairs: Sequence[Pair], ws_urls: Sequence[str]) -> None:
    slots = asyncio.Semaphore(_OPEN_AT_ONCE)

    async def open_one(pair: Pair, ends: tuple[str, str]) -> None:
        async with slots:
            await pair.open(*ends)

    await asyncio.gather(*(open_one(pair, gateways_of(number, ws_urls)) for number, pair in enumerate(pairs)))


def gateways_of(number: int, ws_urls: Sequence[str]) -> tuple[str, str]:
    """Where sender and receiver of a pair connect: every combination of gateways is had equally often."""
    count = len(ws_urls)
    return ws_urls[number % count], ws_urls[number // count % count]


async def _acknowledge(pairs: Sequence[Pair]) -> None:
    """Every pair acknowledges once in ACK_SECONDS, one after the other rather than all at once."""
    while True:
        for pair in pairs:
            await asyncio.sleep(ACK_SECONDS / len(pairs))
            pair.acknowledge()


async def _settle(pairs: Sequence[Pair], drain_seconds: float) -> Verdict:
    """Wait until nothing is outstanding, a little longer for what must not come, then judge."""
    deadline = time.monotonic() + drain_seconds
    while any(pair.outstanding for pair in pairs) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    await asyncio.sleep(min(0.2, drain_seconds / 4))  # a duplicate would come late
    verdict = check(pair.log for pair in pairs)
    for pair in pairs:
        try:
            pair.check_open()
        except ConnectionError as error:
            verdict.add("closed", str(error))
    return verdict


class ClosedLoop:
    """W1's driver: each pair keeps `k` messages outstanding."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._running = False

    def start(self, pairs: Sequence[Pair]) -> None:
        """Send the first `k` of each pair."""
        self._running = True
        for pair in pairs:
            for _ in range(self._k):
                pair.send(time.perf_counter_ns())

    def done(self, pair: Pair) -> None:
        """Send the next."""
        if self._running:
            pair.send(time.perf_counter_ns())

    def stop(self) -> None:
        """Send no more."""
        self._running = False


class OpenLoop:
    """W2's driver: `rate` messages per second, evenly spaced, pair after pair; latency from the intended time."""

    def __init__(self, rate: float, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._step = 1e9 / rate
        self._clock = clock
        self._sent = 0
        self.largest_delay_ns = 0
        """How late the generator itself was at worst."""
        self._task: asyncio.Task[None] | None = None

    def start(self, pairs: Sequence[Pair]) -> None:
        """Begin with the first pair."""
        self._task = asyncio.get_running_loop().create_task(self._send_all(pairs, self._clock()))

    async def _send_all(self, pairs: Sequence[Pair], began: int) -> None:
        while True:
            now = self._clock()
            while (intended := began + int(self._sent * self._step)) <= now:
                self.largest_delay_ns = max(self.largest_delay_ns, now - intended)
                pairs[self._sent % len(pairs)].send(intended)
                self._sent += 1
            await asyncio.sleep(max(0.001, (intended - now) / 1e9))  # uvloop counts in milliseconds

    def done(self, pair: Pair) -> None:
        """Nothing waits for it."""

    def stop(self) -> None:
        """Send no more."""
        if self._task is not None:
            self._task.cancel()
