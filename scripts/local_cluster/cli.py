"""The command line of scripts/gateways_run.sh."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from local_engines.process import EngineError
from xinyu.app.settings_files import ConfigError
from xinyu.user.sealing import KeyFileError

from .cluster import READY_SECONDS, Cluster, Status, Wishes
from .engines import Engines
from .node import Nodes
from .report import advice, as_json, as_table
from .stage import leave_out_single_process_variables, stage_names
from .watch import Watcher
from .workplace import ROOT, ClusterError, Workplace, stages_in

DEFAULT_STAGE = "4"
DESCRIPTION = """\
A whole stage of config/stages on this machine: every process of it, with several gateways. Engines that nobody names
(in the stage's file or by XINYU_STORAGE__DSN, XINYU_PRESENCE__REDIS_URL, XINYU_DISCOVERY__ZOOKEEPER_HOSTS) are those of
scripts/engines: started when they do not run, and then stopped with the stage; their data stays. Secrets and the RSA
key are made once. Other XINYU_ variables reach every process, except those for a single one (node, roles, folder,
ports). Files and logs: .run/cluster/STAGE."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit code."""
    options = _parser().parse_args(arguments)
    leave_out_single_process_variables()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return int(options.run(options))
    except (ClusterError, ConfigError, EngineError, KeyFileError) as error:
        print(f"xinyu: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"xinyu: {error.filename or 'the system refused'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A request to end is answered as Ctrl-C is: by cleaning up first."""
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/gateways_run.sh", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    start = _command(commands, "start", _start, "start a stage, wait until it takes work, print its addresses")
    start.add_argument("stage", nargs="?", default=DEFAULT_STAGE, help=f"of: {', '.join(stage_names())} (default: 4)")
    start.add_argument("--watch", action="store_true", help="stay, start again what dies, stop everything at Ctrl-C")
    ports = "of the stage's file (fixed), or any that are free; `status` tells them"
    start.add_argument("--ports", choices=("fixed", "free"), default="fixed", help=ports)
    change = "a setting for all processes, on top of the stage's file; may be repeated"
    start.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help=change)
    _add_within(start)

    stop = _command(commands, "stop", _stop, "stop a stage and the engines that were started for it")
    stop.add_argument("stage", nargs="?", help="default: all that are started")

    restart = _command(commands, "restart", _restart, "stop and start a stage, or nodes of it one after the other")
    restart.add_argument("stage", nargs="?", help="default: the one that is started")
    restart.add_argument("nodes", nargs="*", metavar="node")
    _add_within(restart)

    status = _command(commands, "status", _status, "how the processes are; exit code 1 unless all of them are ready")
    status.add_argument("stage", nargs="?", help="default: all that are started")
    status.add_argument("--json", action="store_true", help="an array of {node, roles, pid, http, ws, rpc, ready}")

    watch = _command(commands, "watch", _watch, "start again what dies, within 5 s, until Ctrl-C; what runs is left")
    watch.add_argument("stage", nargs="?", help="default: the one that is started")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--folder", type=Path, default=ROOT, help="of states, logs and data (default: .run/cluster)")
    parser.set_defaults(run=run)
    return parser


def _add_within(parser: argparse.ArgumentParser) -> None:
    text = f"seconds that the processes may take to be ready (default: {READY_SECONDS:g})"
    parser.add_argument("--within", type=float, default=READY_SECONDS, metavar="SECONDS", help=text)


def _cluster(stage: str, folder: Path) -> Cluster:
    if stage not in stage_names():
        raise ClusterError(f"there is no stage {stage}; there are {', '.join(stage_names())}")
    workplace = Workplace(stage, folder)
    return Cluster(workplace, Nodes(workplace), Engines(workplace.root), _say)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def _started(folder: Path) -> list[str]:
    return [stage for stage in stages_in(folder.absolute()) if stage in stage_names()]


def _the_started(stage: str | None, folder: Path) -> str:
    """The stage that is meant where none was named. Raises ClusterError where that is not clear."""
    if stage is not None:
        return stage
    started = _started(folder)
    if len(started) != 1:
        raise ClusterError(f"name a stage: started are {', '.join(started)}" if started else "no stage is started")
    return started[0]


def _start(options: argparse.Namespace) -> int:
    cluster, began = _cluster(options.stage, options.folder), time.monotonic()
    wishes = Wishes(options.ports == "free", tuple(options.changes), options.within)
    if cluster.start(wishes):
        _say(f"stage {options.stage} is ready after {time.monotonic() - began:.1f} s\n")
    else:
        _say(f"stage {options.stage} runs already\n")
    try:
        statuses = cluster.statuses()
        print(f"{as_table(statuses)}\n\n{advice(cluster.workplace, statuses)}", flush=True)
        return _watched(cluster, "stops everything", cluster.stop) if options.watch else 0
    except KeyboardInterrupt:
        if options.watch:
            cluster.stop()
        raise


def _watch(options: argparse.Namespace) -> int:
    cluster = _cluster(_the_started(options.stage, options.folder), options.folder)
    if cluster.state() is None:
        raise ClusterError(f"stage {cluster.workplace.stage} is not started")
    return _watched(cluster, "ends this and leaves the stage running", None)


def _watched(cluster: Cluster, end: str, at_the_end: Callable[[], object] | None) -> int:
    stage, over = cluster.workplace.stage, threading.Event()
    with cluster.workplace.locked("watch.lock", wait=False) as alone:
        if not alone:
            raise ClusterError(f"stage {stage} is being watched already")
        before = [signal.signal(number, lambda *_: over.set()) for number in ENDINGS]
        _say(f"watching stage {stage}; Ctrl-C {end}")
        stopped_by_others = False
        try:
            stopped_by_others = Watcher(cluster, _say).watch(over)
        finally:
            for number, handler in zip(ENDINGS, before, strict=True):
                signal.signal(number, handler)
            if at_the_end is not None and not stopped_by_others:
                at_the_end()
    return 0


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _stop(options: argparse.Namespace) -> int:
    stages = [options.stage] if options.stage else _started(options.folder)
    for stage in stages:
        _say(f"stage {stage} is stopped" if _cluster(stage, options.folder).stop() else f"stage {stage} does not run")
    if not stages:
        _say("no stage is started")
    return 0


def _restart(options: argparse.Namespace) -> int:
    stage, nodes = options.stage, list(options.nodes)
    if stage is not None and stage not in stage_names():  # the first of the nodes
        stage, nodes = None, [stage, *nodes]
    cluster = _cluster(_the_started(stage, options.folder), options.folder)
    cluster.restart(nodes, options.within)
    print(as_table(cluster.statuses()))
    return 0


def _status(options: argparse.Namespace) -> int:
    stages = [options.stage] if options.stage else _started(options.folder)
    found: dict[str, list[Status]] = {stage: _cluster(stage, options.folder).statuses() for stage in stages}
    statuses = [status for group in found.values() for status in group]
    if options.json:
        print(as_json(statuses))
    elif not statuses:
        print(f"stage {options.stage} does not run" if options.stage else "no stage is started")
    else:
        print("\n\n".join(f"stage {stage}\n{as_table(group)}" for stage, group in found.items() if group))
    return 0 if statuses and all(status.ready for status in statuses) else 1
