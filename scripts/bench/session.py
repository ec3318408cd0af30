"""One run of `make bench`: its targets one after the other, and what became of each workload."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import rpc_load, storm, w1, w2, w3, w4, w5, w6, w7
from bench.accounts import Accounts
from bench.chat import BadFrame
from bench.context import Context
from bench.process import NotReady
from bench.progress import Progression
from bench.rest import RestError
from bench.result import Case
from bench.stage import NAME as STAGE
from bench.stage import StageServer
from bench.stats import spread
from bench.target import OwnServer, RunningCluster, Server, Target
from bench.wire import HandshakeRefused

WORKLOADS: dict[str, Callable[[Context], Awaitable[list[Case]]]] = {
    "w1": w1.measure,
    "w2": w2.measure,
    "w3": w3.measure,
    "w4": w4.measure,
    "w5": w5.measure,
    "w6": w6.measure,
    "w7": w7.measure,
    "storm": storm.measure,
}
TARGETS = ("monolith", "stage4")
PARTS = ("calibration", *WORKLOADS, "rpc")
NOT_MEASURED = (NotReady, RestError, BadFrame, HandshakeRefused, OSError)
"""What keeps a workload from being measured, each with a message for whoever runs the bench."""


@dataclass(slots=True)
class Session:
    """What is measured is kept as it comes: a workload that fails costs only itself, a server that does not start
    costs its target."""

    options: argparse.Namespace
    folder: Path
    progress: Progression
    keep: Callable[[Session], None]
    """Called after each workload."""
    cases: list[Case] = field(default_factory=list)
    calibrations: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """What was not measured, and why."""

    async def measure(self) -> None:
        """Every target that was asked for."""
        measures = {"monolith": self._of_monolith, "stage4": self._of_stage}
        for target in TARGETS:
            if target in self.options.targets:
                await self._guarded(target, measures[target])

    async def _of_monolith(self) -> None:
        """All that was asked for, the RPC last."""
        names = self._names()
        server = _server(self.options, self.folder)
        try:
            self.progress.say("starting the server")
            context = self._context(server, await server.start() if names else Target("", ""), calibrating=True)
            if "calibration" in self.options.only:
                await _calibrate(context)
            await self._all(context, names, lambda case: case)
        finally:
            await server.stop()
        if "rpc" in self.options.only:
            self.cases += await rpc_load.measure(context)
            self.keep(self)

    async def _of_stage(self) -> None:
        """The workloads again, W1 compared with what the monolith took in this run."""
        if not (names := self._names()):
            return
        monolith = tuple(self.cases)
        server = StageServer(self.folder / "stage")
        try:
            self.progress.say(f"starting {STAGE}")
            context = self._context(server, await server.start(), calibrating=False)
            await self._all(context, names, lambda case: of_stage(case, monolith))
        finally:
            await server.stop()

    def _names(self) -> list[str]:
        return [name for name in WORKLOADS if name in self.options.only]

    async def _all(self, context: Context, names: Sequence[str], seen: Callable[[Case], Case]) -> None:
        for name in names:

            async def run(name: str = name) -> None:
                self.cases += [seen(case) for case in await WORKLOADS[name](context)]

            await self._guarded(name.upper(), run)
            self.keep(self)

    async def _guarded(self, what: str, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except NOT_MEASURED as error:
            self.failures.append(f"{what}: {error or type(error).__name__}")

    def _context(self, server: Server, target: Target, calibrating: bool) -> Context:
        options = self.options
        return Context(
            server=server,
            target=target,
            accounts=Accounts(target.http_url, self.progress.made, target.operators),
            folder=self.folder,
            server_cpu=options.server_cpu,
            runs=options.runs,
            seconds=options.seconds,
            idle_seconds=max(options.seconds, 5.0 if options.quick else 10.0),
            quick=options.quick,
            calibrating=calibrating,
            say=self.progress.say,
            advance=self.progress.advance,
            calibrations=self.calibrations,
        )


def of_stage(case: Case, monolith: Sequence[Case]) -> Case:
    """A case of stage 4 under its own name, W1 with its CPU per message as a multiple of the monolith's median."""
    twins = [other for other in monolith if (other.workload, other.name) == (case.workload, case.name)]
    if case.workload == "W1" and twins:
        base = spread(twins[0].values("cpu_us_per_message")).median
        for run in case.runs:
            run.measures["cpu_ratio_to_monolith"] = run.measures["cpu_us_per_message"] / base
    return Case(case.workload, f"{STAGE} {case.name}", case.runs)


def steps(options: argparse.Namespace) -> int:
    """How often `advance` will be called."""
    per_run = {"calibration": 3, "w1": 4, "w2": len(w2.RATES), "w4": 1 if options.quick else len(w4.SIZES)}
    per_run |= {
        "rpc": 1,
        "w3": 2 * len(w3.of(options.quick)),
        "w5": 1 if options.quick else len(w5.SIZES),
        "w6": 1,
        "storm": 1,
    }
    per_run["w7"] = sum(2 if options.quick else len(series.sizes) for series in w7.SERIES)
    count = sum(per_run[name] for name in options.only) if "monolith" in options.targets else 0
    if "stage4" in options.targets:
        of_stage = per_run | {"w1": 2, "w2": len(w2.CLUSTER_RATES), "w3": per_run["w3"] // 2, "w6": 3}
        count += sum(of_stage[name] for name in options.only if name in WORKLOADS)
    return int(options.runs) * count


async def _calibrate(context: Context) -> None:
    """All three, also those that a workload measures again right before it is compared with them."""
    for _ in range(context.runs):
        await context.calibrate_echo(1)
        await context.calibrate_echo(8)
        await context.calibrate_fan()


def _server(options: argparse.Namespace, folder: Path) -> Server:
    if not options.url:
        return OwnServer(options.config, folder, options.server_cpu)
    ws_url = options.ws or options.url.replace("http", "ws", 1)
    pids = tuple(int(pid) for pid in options.server_pids.split(",") if pid)
    return RunningCluster(Target(options.url.rstrip("/"), ws_url.rstrip("/"), pids))
