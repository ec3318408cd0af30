"""`make bench`: the command line, and the order of things."""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import w1, w2, w4
from bench.accounts import Accounts
from bench.chat import BadFrame
from bench.context import Context
from bench.process import NotReady, pin
from bench.report import print_report, write_json
from bench.rest import RestError
from bench.result import Case
from bench.target import OwnServer, RunningCluster, Server, Target
from bench.wire import HandshakeRefused

WORKLOADS: dict[str, Callable[[Context], Awaitable[list[Case]]]] = {
    "w1": w1.measure,
    "w2": w2.measure,
    "w4": w4.measure,
}
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
    add("--only", default=",".join(("calibration", *WORKLOADS)), help="comma-separated, of calibration, w1, w2, w4")
    add("--runs", type=int, help="runs of each case (default 3)")
    add("--seconds", type=float, help="measured stretch of a run (default 6)")
    add("--quick", action="store_true", help="one short run of each, W4 with 2000 connections only")
    add("--json", type=Path, metavar="FILE", help="also write everything measured to FILE")
    add("--config", type=Path, default=_ROOT / "config" / "monolith.yaml", help="configuration of the server to start")
    add("--url", help="REST address of a running cluster to measure instead (http://host:port)")
    add("--ws", help="its WebSocket address (ws://host:port; default: the REST address)")
    add("--server-pids", default="", help="its processes, comma-separated, for CPU and memory")
    add("--server-cpu", type=int, default=0, help="core of the server (default 0)")
    add("--client-cpu", type=int, default=1, help="core of the generator (default 1)")
    add("--all-cores", action="store_true", help="pin nothing")
    options = parser.parse_args(argv)
    options.only = [name.strip().lower() for name in options.only.split(",") if name.strip()]
    unknown = set(options.only) - WORKLOADS.keys() - {"calibration"}
    if unknown:
        parser.error(
            f"there is no workload {', '.join(sorted(unknown))}; choose of calibration, {', '.join(WORKLOADS)}"
        )
    if options.ws and not options.url:
        parser.error("--ws needs --url")
    if options.all_cores:
        options.server_cpu = options.client_cpu = None
    options.runs = options.runs or (1 if options.quick else 3)
    options.seconds = options.seconds or (3.0 if options.quick else 6.0)
    return options


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
        folder = Path(name)
        server = _server(options, folder)
        names = [name for name in WORKLOADS if name in options.only]
        try:
            say("starting the server")
            target = await server.start() if names else Target("", "")
            context = Context(
                server=server,
                target=target,
                accounts=Accounts(target.http_url, made),
                folder=folder,
                server_cpu=options.server_cpu,
                runs=options.runs,
                seconds=options.seconds,
                idle_seconds=max(options.seconds, 5.0 if options.quick else 10.0),
                quick=options.quick,
                calibrating=True,
                say=say,
                advance=advance,
                calibrations=calibrations,
            )
            if "calibration" in options.only:
                await _calibrate(context)
            for name in names:
                cases += await WORKLOADS[name](context)
        finally:
            await server.stop()
    print_report(console, cases, calibrations)
    if options.json:
        write_json(options.json, cases, _conditions(options, calibrations))
    return _WRONG if any(case.wrong for case in cases) else 0


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
    return int(options.runs) * sum(per_run[name] for name in options.only)
