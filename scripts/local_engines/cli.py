"""The command line of `scripts/engines`."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from .instance import Instance, State
from .packages import install
from .process import EngineError
from .servers import SERVERS

ROOT = Path(__file__).resolve().parents[2] / ".run" / "engines"

RUN_BY_DEFAULT = ("mysql", "redis", "zookeeper")
"""What `run` starts when --only does not say."""

DESCRIPTION = """\
Private MySQL (MariaDB), Redis and ZooKeeper for tests and for a local cluster: on free loopback ports, with data under
.run/engines of this checkout. Missing programs are installed from the system's packages where this user may do so.
System-wide instances and other checkouts' are never touched."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except EngineError as error:
        print(f"xinyu: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/engines", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    start = commands.add_parser("start", help="start engines and leave them running, reusing the ones that run")
    _add_engines(start)
    start.set_defaults(run=_start)

    stop = commands.add_parser("stop", help="stop engines; their data stays")
    _add_engines(stop)
    stop.add_argument("--wipe", action="store_true", help="remove their data too")
    stop.add_argument("--force", action="store_true", help="even while a run uses them")
    stop.set_defaults(run=_stop)

    status = commands.add_parser("status", help="what runs, where, and its log")
    status.set_defaults(run=_status)

    env = commands.add_parser("env", help="print the export lines of what runs, for a shell's eval")
    env.set_defaults(run=_env)

    run = commands.add_parser("run", help="run a command with engines, and stop afterwards what it started")
    run.add_argument("--only", type=_engine_list, default=list(RUN_BY_DEFAULT), metavar="ENGINE,…", help="default: all")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND…")
    run.set_defaults(run=_run)
    return parser


def _add_engines(parser: argparse.ArgumentParser) -> None:
    names = f"of: {' '.join(SERVERS)} (default: all)"
    parser.add_argument("engines", nargs="*", metavar="ENGINE", type=_engine, help=names)


def _engine(name: str) -> str:
    if name not in SERVERS:
        raise argparse.ArgumentTypeError(f"no engine {name!r}; there are {', '.join(SERVERS)}")
    return name


def _engine_list(names: str) -> list[str]:
    return [_engine(name.strip()) for name in names.split(",") if name.strip()]


def _instances(names: Sequence[str]) -> list[Instance]:
    return [Instance(SERVERS[name], ROOT) for name in (names or SERVERS)]


def _install_missing(instances: Sequence[Instance]) -> None:
    """Install in one go what these engines miss."""
    missing = {i.server: why for i in instances if (why := i.server.missing())}
    if not missing:
        return
    packages = [package for server in missing for package in server.packages]
    install(packages, "; ".join(missing.values()), ROOT / "packages.log")
    still = [why for server in missing if (why := server.missing())]
    if still:
        raise EngineError(
            f"{'; '.join(still)} even after installing {' '.join(packages)}; log: {ROOT / 'packages.log'}"
        )


def start_all(instances: Sequence[Instance], keep: bool) -> list[State]:
    """Start these at once, installing first what they miss. Raises EngineError."""
    _install_missing(instances)
    with ThreadPoolExecutor(max(1, len(instances))) as pool:
        return list(pool.map(lambda instance: instance.start(keep), instances))


def _start(options: argparse.Namespace) -> int:
    began = time.monotonic()
    instances = _instances(options.engines)
    for instance, state in zip(instances, start_all(instances, keep=True), strict=True):
        print(_line(instance, state))
    print(f'ready after {time.monotonic() - began:.1f} s; for this shell: eval "$(scripts/engines env)"')
    return 0


def _stop(options: argparse.Namespace) -> int:
    for instance in _instances(options.engines):
        if not instance.folder.exists():
            continue
        if instance.stop(options.force):
            print(f"{instance.server.name:10} stopped")
        if options.wipe:
            instance.wipe()
    return 0


def _status(options: argparse.Namespace) -> int:
    for instance in _instances(()):
        print(_line(instance, instance.state()))
    return 0


def _line(instance: Instance, state: State | None) -> str:
    if state is None:
        why = instance.server.missing()
        return f"{instance.server.name:10} {f'not installed: {why}' if why else 'stopped'}"
    return f"{instance.server.name:10} 127.0.0.1:{state.port} pid {state.pid} log {instance.log}"


def _env(options: argparse.Namespace) -> int:
    running = [(i, state) for i in _instances(()) if (state := i.state())]
    for instance, state in running:
        print(f"export {instance.server.variable}='{instance.address(state)}'")
    if not running:
        print("xinyu: no engine runs; start them by: scripts/engines start", file=sys.stderr)
    return 0 if running else 1


def _run(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise EngineError("run what? scripts/engines run [--only mysql,redis] -- COMMAND…")
    instances = _instances(options.only) if options.only else []
    with contextlib.ExitStack() as stack:
        # A signal to us alone must not leave engines behind: until the command runs it ends us the orderly way.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        _install_missing(instances)
        environment = dict(os.environ)
        with ThreadPoolExecutor(max(1, len(instances))) as pool:
            states = list(pool.map(lambda i: stack.enter_context(i.used()), instances))
        for instance, state in zip(instances, states, strict=True):
            environment[instance.server.variable] = instance.address(state)
        return _run_command(command, environment)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _run_command(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run it in the foreground and wait for it, whatever signal comes: signals are the command's to answer."""
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        raise EngineError(f"cannot run {command[0]}: {error.strerror}") from error
    # The terminal sends Ctrl-C to the command as well; the others reach it only through us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: process.send_signal(number))
    code = process.wait()
    return code if code >= 0 else 128 - code
