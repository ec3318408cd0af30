"""`make bench`: the command line, and the order of things."""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import rpc_load, w1, w2, w3, w4, w5, w6, w7
from bench.accounts import Accounts
from bench.chat import BadFrame
from bench.context import Context
from bench.plots import plot_growth
from bench.process import NotReady, pin
from bench.report import print_report, write_json
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
}
OF_THE_STAGE = ("w1", "w2", "w3", "w5", "w6", "w7")
TARGETS = ("monolith", "stage4")
PARTS = ("calibration", *WORKLOADS, "rpc")
_ROOT = Path(__file__).resolve().parents[2]
_WRONG, _FAILED = 1, 2


def main(argv: list[str] | None = None) -> int:
    """0 when every run was right (whatever the aims), 1 when one was wrong, 2 when it could not be measured."""
    options = _parse(argv)
    console = Console() if sys.stdout.isatty() else Console(width=120)
    pin(options.client_cpu)
    _raise_file_limit()
    try:
        return uvloop.run(_bench(options, console))
    except (NotReady, RestError, BadFrame, HandshakeRefused, OSError) as error:
        console.print(f"[red]not measured:[/] {error}", markup=True, highlight=False)
        return _FAILED
    except KeyboardInterrupt:
        return _FAILED


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure xinyu's workloads with their calibrations.")
    add = parser.add_argument
    add("--only", default=",".join(PARTS), help=f"comma-separated, of {', '.join(PARTS)}")
    add("--targets", help=f"comma-separated, of {', '.join(TARGETS)} (default both; with --quick or --url monolith)")
    add("--runs", type=int, help="runs of each case (default 3)")
    add("--seconds", type=float, help="measured stretch of a run (default 6)")
    add("--quick", action="store_true", help="one short run of each, W4 with 2000 connections only")
    add("--plot", type=Path, metavar="FILE", help="draw W7 into FILE, a PNG")
    add("--json", type=Path, metavar="FILE", help="also write everything measured to FILE")
    add("--config", type=Path, default=_ROOT / "config" / "monolith.yaml", help="configuration of the server to start")
    add("--url", help="REST address of a running cluster to measure instead (http://host:port)")
    add("--ws", help="its WebSocket address (ws://host:port; default: the REST address)")
    add("--server-pids", default="", help="its processes, comma-separated, for CPU and memory")
    add("--server-cpu", type=int, default=0, help="core of the server (default 0)")
    add("--client-cpu", type=int, default=1, help="core of the generator (default 1)")
    add("--all-cores", action="store_true", help="pin nothing")
    options = parser.parse_args(argv)
    options.targets = options.targets or ("monolith" if options.quick or options.url else ",".join(TARGETS))
    options.only = _chosen(parser, "workload", options.only, PARTS)
    options.targets = _chosen(parser, "target", options.targets, TARGETS)
    if options.url and "stage4" in options.targets:
        parser.error("--url measures that cluster instead of our own: leave --targets away")
    if options.ws and not options.url:
        parser.error("--ws needs --url")
    if options.all_cores:
        options.server_cpu = options.client_cpu = None
    options.runs = options.runs or (1 if options.quick else 3)
    options.seconds = options.seconds or (3.0 if options.quick else 6.0)
    return options


def _chosen(parser: argparse.ArgumentParser, kind: str, text: str, known: Sequence[str]) -> list[str]:
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if unknown := set(names) - set(known):
        parser.error(f"there is no {kind} {', '.join(sorted(unknown))}; choose of {', '.join(known)}")
    return names


def _raise_file_limit() -> None:
    """Thousands of sockets need file descriptors; children inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _bench(options: argparse.Namespace, console: Console) -> int:
    cases: list[Case] = []
    calibrations: dict[str, list[dict[str, float]]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="xinyu-bench-") as name,
        _progress(console, options) as (say, advance, made),
    ):
        bench = Bench(options, Path(name), say, advance, made, calibrations)
        for target in (name for name in TARGETS if name in options.targets):
            cases += await (bench.of_stage(cases) if target == "stage4" else bench.of_monolith())
    print_report(console, cases, calibrations)
    if "stage4" in options.targets:
        console.print(f"{STAGE}: ten processes, engines and the generator share all cores; engines are counted apart")
    if options.plot and plot_growth(options.plot, cases):
        console.print(f"W7 as a picture: {options.plot}")
    if options.json:
        write_json(options.json, cases, _conditions(options, calibrations))
    return _WRONG if any(case.wrong for case in cases) else 0


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of the command: what its targets have in common."""

    options: argparse.Namespace
    folder: Path
    say: Callable[[str], None]
    advance: Callable[[], None]
    made: Callable[[int, int], None]
    calibrations: dict[str, list[dict[str, float]]]

    async def of_monolith(self) -> list[Case]:
        """All that was asked for, the RPC last. Raises NotReady."""
        names = [name for name in WORKLOADS if name in self.options.only]
        cases: list[Case] = []
        server = _server(self.options, self.folder)
        try:
            self.say("starting the server")
            context = self._context(server, await server.start() if names else Target("", ""), calibrating=True)
            if "calibration" in self.options.only:
                await _calibrate(context)
            for name in names:
                cases += await WORKLOADS[name](context)
        finally:
            await server.stop()
        if "rpc" in self.options.only:
            cases += await rpc_load.measure(context)
        return cases

    async def of_stage(self, monolith: Sequence[Case]) -> list[Case]:
        """All but W4 again, W1 compared with what the monolith took in this run. Raises NotReady."""
        names = [name for name in OF_THE_STAGE if name in self.options.only]
        cases: list[Case] = []
        if not names:
            return cases
        server = StageServer(self.folder / "stage")
        try:
            self.say(f"starting {STAGE}")
            context = self._context(server, await server.start(), calibrating=False)
            for name in names:
                cases += await WORKLOADS[name](context)
        finally:
            await server.stop()
        return [of_stage(case, monolith) for case in cases]

    def _context(self, server: Server, target: Target, calibrating: bool) -> Context:
        options = self.options
        return Context(
            server=server,
            target=target,
            accounts=Accounts(target.http_url, self.made, target.operators),
            folder=self.folder,
            server_cpu=options.server_cpu,
            runs=options.runs,
            seconds=options.seconds,
            idle_seconds=max(options.seconds, 5.0 if options.quick else 10.0),
            quick=options.quick,
            calibrating=calibrating,
            say=self.say,
            advance=self.advance,
            calibrations=self.calibrations,
        )


def of_stage(case: Case, monolith: Sequence[Case]) -> Case:
    """A case of stage 4 under its own name, W1 with its CPU per message as a multiple of the monolith's median."""
    twins = [other for other in monolith if (other.workload, other.name) == (case.workload, case.name)]
    base = spread(twins[0].values("cpu_us_per_message")).median if twins else float("nan")
    for run in case.runs if case.workload == "W1" and twins else ():
        run.measures["cpu_ratio_to_monolith"] = run.measures["cpu_us_per_message"] / base
    return Case(case.workload, f"{STAGE} {case.name}", case.runs)


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


def _conditions(options: argparse.Namespace, calibrations: dict[str, list[dict[str, float]]]) -> dict[str, object]:
    return {
        "runs": options.runs,
        "seconds": options.seconds,
        "quick": options.quick,
        "own_server": not options.url,
        "targets": options.targets,
        "pinned": options.server_cpu is not None,
        "calibrations": calibrations,
    }


@contextlib.contextmanager
def _progress(
    console: Console, options: argparse.Namespace
) -> Iterator[tuple[Callable[[str], None], Callable[[], None], Callable[[int, int], None]]]:
    """How to say what is going on, that a step is over, and how many accounts there are."""
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("", total=_steps(options))
        accounts = progress.add_task("accounts", total=1, visible=False)

        def made(done: int, wanted: int) -> None:
            if done % 20 == 0 or done == wanted:
                progress.update(accounts, completed=done, total=wanted, visible=done < wanted)

        yield (
            lambda text: progress.update(task, description=text),
            lambda: progress.advance(task),
            made,
        )


def _steps(options: argparse.Namespace) -> int:
    per_run = {"calibration": 3, "w1": 4, "w2": len(w2.RATES), "w4": 1 if options.quick else len(w4.SIZES)}
    per_run |= {"rpc": 1, "w3": 2 * len(w3.of(options.quick)), "w5": 1 if options.quick else len(w5.SIZES), "w6": 1}
    per_run["w7"] = sum(2 if options.quick else len(series.sizes) for series in w7.SERIES)
    steps = sum(per_run[name] for name in options.only) if "monolith" in options.targets else 0
    if "stage4" in options.targets:
        of_stage = per_run | {"w1": 2, "w2": len(w2.CLUSTER_RATES), "w3": per_run["w3"] // 2, "w6": 3}
        steps += sum(of_stage[name] for name in options.only if name in OF_THE_STAGE)
    return int(options.runs) * steps
