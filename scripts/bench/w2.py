"""W2: private chat in an open loop at fixed rates; latency counts from the intended send time."""

from __future__ import annotations

from bench.context import Context
from bench.private_load import OpenLoop, run_private
from bench.result import Case
from bench.w1 import PAIRS

RATES = (500, 1000, 2000, 4000)
CLUSTER_RATES = (500, 1000, 2000)


async def measure(context: Context) -> list[Case]:
    """Every rate, slowest first; a cluster is not asked for the highest."""
    rates = CLUSTER_RATES if context.target.other_ws_urls else RATES
    cases = {rate: Case("W2", f"{rate}/s") for rate in rates}
    friends = await context.accounts.make(PAIRS)
    for _ in range(context.runs):
        for rate, case in cases.items():
            context.say(f"W2 {rate}/s")
            driver = OpenLoop(rate)
            run = await run_private(
                context.target,
                friends,
                driver,
                warm_seconds=context.warm_seconds,
                seconds=context.seconds,
            )
            run.measures["generator_late_ms"] = driver.largest_delay_ns / 1e6
            case.runs.append(run)
            context.advance()
    return list(cases.values())
