"""The RPC micro-benchmark as a part of the report: scripts/bench/rpc.py, a process of its own for each run."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from bench.checker import Verdict
from bench.context import Context
from bench.process import NotReady, unpin
from bench.result import Case, Run

_PROGRAM = Path(__file__).with_name("rpc.py")
_SECONDS = 2.0


async def measure(context: Context) -> list[Case]:
    """One call over loopback, alone and with 100 in flight, beside a bare echo. Raises NotReady."""
    case = Case("RPC", "loopback")
    for _ in range(context.runs):
        context.say("RPC over loopback")
        case.runs.append(Run(await _figures(1.0 if context.quick else _SECONDS), Verdict(), saturated=False))
        context.advance()
    return [case]


async def _figures(seconds: float) -> dict[str, float]:
    """Caller and server may have a core each: neither is pinned."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_PROGRAM),
        f"--seconds={seconds}",
        "--runs=1",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=unpin,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise NotReady(f"the RPC benchmark ended with code {process.returncode}")
    return {name: float(value) for name, value in json.loads(output).items()}
