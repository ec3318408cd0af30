"""`make bench`: the command line, the report and the exit code."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console
from rich.markup import escape

from bench.plots import plot_growth
from bench.process import pin
from bench.progress import progression
from bench.report import print_report, write_json
from bench.session import PARTS, TARGETS, Session, steps
from bench.stage import NAME as STAGE

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
    def keep(session: Session) -> None:
        if options.json:
            write_json(options.json, session.cases, _conditions(options, session))

    with (
        tempfile.TemporaryDirectory(prefix="xinyu-bench-") as name,
        progression(console, steps(options), sys.stdout.isatty()) as progress,
    ):
        session = Session(options, Path(name), progress, keep)
        await session.measure()
    print_report(console, session.cases, session.calibrations)
    if "stage4" in options.targets:
        console.print(f"{STAGE}: ten processes, engines and the generator share all cores; engines are counted apart")
    if options.plot and plot_growth(options.plot, session.cases):
        console.print(f"W7 as a picture: {options.plot}")
    for failure in session.failures:
        console.print(f"[red]not measured:[/] {escape(failure)}", highlight=False)
    if any(case.wrong for case in session.cases):
        return _WRONG
    return _FAILED if session.failures else 0


def _conditions(options: argparse.Namespace, session: Session) -> dict[str, object]:
    return {
        "runs": options.runs,
        "seconds": options.seconds,
        "quick": options.quick,
        "own_server": not options.url,
        "targets": options.targets,
        "pinned": options.server_cpu is not None,
        "calibrations": session.calibrations,
        "not_measured": session.failures,
    }
