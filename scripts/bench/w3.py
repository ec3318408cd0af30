"""W3: group fan-out: 200, then 1 000 members online, ten of them sending; and a large group of whom few are online."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass

from bench.accounts import Room
from bench.context import Context
from bench.group_load import GroupLoad
from bench.meter import Meter
from bench.result import Case, Run
from bench.stats import latency_summary, spread
from bench.target import Target

SENDERS = 10
DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A case. `rate` 0 is a closed loop with one message of each sender under way."""

    members: int
    online: int
    acks: bool = False
    rate: float = 0.0

    @property
    def name(self) -> str:
        """As the table calls it."""
        kind = "acks" if self.acks else "sync"
        online = f"{self.online} of " if self.online < self.members else ""
        return f"{online}{self.members} {kind}" + (f", {self.rate:g}/s" if self.rate else "")


SHAPES = (
    Shape(200, 200),
    Shape(200, 200, acks=True),
    Shape(200, 200, rate=20),
    Shape(1000, 200),
    Shape(1000, 1000),
    Shape(1000, 1000, acks=True),
)


def of(quick: bool) -> tuple[Shape, ...]:
    """The cases of a run."""
    return SHAPES[:3] if quick else SHAPES


async def measure(context: Context) -> list[Case]:
    """Each shape in turn, `runs` times, each right after the calibration that it is compared with."""
    cases = {shape: Case("W3", shape.name) for shape in of(context.quick)}
    rooms = {shape.members: await context.accounts.group(shape.members) for shape in cases}
    for _ in range(context.runs):
        for shape, case in cases.items():
            fan = await context.calibrate_fan() or _known_fan(context)
            context.say(f"W3 {shape.name}")
            run = await run_group(context.target, rooms[shape.members], shape, context.warm_seconds, context.seconds)
            if fan and not shape.rate:
                _compare(run, fan)
            case.runs.append(run)
            context.advance()
    return list(cases.values())


def _known_fan(context: Context) -> float | None:
    """F as it was measured earlier in this run of the command."""
    known = context.calibrations.get("F")
    return spread([result["frames_per_second"] for result in known]).median if known else None


def _compare(run: Run, fan: float) -> None:
    run.measures["ratio_to_F"] = run.measures["deliveries_per_second"] / fan
    if (share := run.measures.get("gateway_share")) is not None:
        run.measures["ratio_to_F_per_gateway_core"] = run.measures["ratio_to_F"] / share if share else float("nan")


async def run_group(target: Target, room: Room, shape: Shape, warm_seconds: float, seconds: float) -> Run:
    """One run; its measures are those of the `seconds` after the warm-up, its verdict is about all of it. What somebody
    lacks DRAIN_SECONDS after the last send is lost. Raises BadFrame, HandshakeRefused, OSError."""
    running = True

    def next_one(sender: int) -> None:
        if running and not shape.rate:
            load.send(sender)

    load = GroupLoad(room, shape.online, SENDERS, shape.acks, next_one)
    await load.open(target.ws_urls)
    helpers = [asyncio.create_task(load.acknowledge())]
    gc.collect()
    gc.disable()  # our own collections would show as the server's latency
    try:
        if shape.rate:
            helpers.append(asyncio.create_task(_paced(load, shape.rate)))
        else:
            for sender in range(SENDERS):
                load.send(sender)
        await asyncio.sleep(warm_seconds)
        measures, saturated = await _stretch(target, load, seconds)
        running = False
        if shape.rate:
            helpers.pop().cancel()
        await _settled(load)
        return Run(measures, load.judge(), saturated)
    finally:
        running = False
        gc.enable()
        for helper in helpers:
            helper.cancel()
        load.close()


async def _stretch(target: Target, load: GroupLoad, seconds: float) -> tuple[dict[str, float], bool]:
    """What is measured, and whether the generator was saturated."""
    load.latencies = type(load.latencies)("q")
    deliveries, messages = load.deliveries, load.messages
    meter, gateways = Meter(target.pids), Meter(target.gateway_pids)
    await asyncio.sleep(seconds)
    cost, of_gateways = meter.stop(), gateways.stop()
    deliveries, messages = load.deliveries - deliveries, load.messages - messages
    measures = {
        "deliveries_per_second": deliveries / cost.wall_seconds,
        "cpu_us_per_delivery": cost.micros_per(deliveries),
        "cpu_us_per_message": cost.micros_per(messages),
        "server_share": cost.server_share,
        "client_share": cost.client_share,
        **latency_summary(load.latencies),
    }
    if target.gateway_pids:
        measures["gateway_share"] = of_gateways.server_share
    return measures, cost.saturated


async def _paced(load: GroupLoad, rate: float) -> None:
    """The senders in turn, evenly spaced."""
    loop = asyncio.get_running_loop()
    began, count = loop.time(), 0
    while True:
        load.send(count % SENDERS)
        count += 1
        await asyncio.sleep(max(0.0, began + count / rate - loop.time()))


async def _settled(load: GroupLoad) -> None:
    """Nothing is under way any more, or it took too long; a duplicate would come a little later."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DRAIN_SECONDS
    while load.outstanding and loop.time() < deadline:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
