"""W1: private chat in a closed loop, 100 pairs, k messages outstanding each."""

from __future__ import annotations

from bench.context import Context
from bench.private_load import ClosedLoop, run_private
from bench.result import Case

PAIRS = 100


async def measure(context: Context) -> list[Case]:
    """k=1 and k=8, each right after the calibration it is compared with."""
    cases = {k: Case("W1", f"k={k}") for k in (1, 8)}
    friends = await context.accounts.make(PAIRS)
    for _ in range(context.runs):
        for k, case in cases.items():
            calibration = await context.calibrate_echo(k)
            context.say(f"W1 k={k}")
            run = await run_private(
                context.target,
                friends,
                ClosedLoop(k),
                warm_seconds=context.warm_seconds,
                seconds=context.seconds,
            )
            if calibration is not None:
                run.measures[f"ratio_to_E{k}"] = run.measures["delivered_per_second"] / calibration
            case.runs.append(run)
            context.advance()
    return list(cases.values())
