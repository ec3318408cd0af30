"""The command line of `xinyu drill`."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from drills.chat import PRIVATE, RATE
from drills.faults import DRILLS
from drills.people import GROUP_SIZE
from drills.report import as_page
from drills.run import NOTHING_SHOWN, Outcome, exit_code, run_drill
from drills.shapes import shape_of
from drills.stage import Stage
from drills.town import Town
from local_cluster.stage import leave_out_single_process_variables
from local_cluster.workplace import CHECKOUT, ClusterError
from local_engines.process import EngineError
from xinyu.app.settings_files import ConfigError
from xinyu.kernel.errors import XinyuError

ROOT = CHECKOUT / ".run" / "drills"
STAGES = ("1", "2", "3", "4")
CLIENTS = range(4, 201)
SECONDS = (5.0, 600.0)
DESCRIPTION = f"""\
Start a stage on this machine, let people chat, break something, and check that no promise was broken. Half of the
clients are SDK devices, half are pages of the web clients; {GROUP_SIZE} people or one more share a group, fewer where
there are fewer, and {PRIVATE:.0%} of the messages are private ones, to or from its owner. All together say at most
{RATE:g} messages per second. Engines are its own, except those that XINYU_STORAGE__DSN, XINYU_PRESENCE__REDIS_URL or
XINYU_DISCOVERY__ZOOKEEPER_HOSTS name: those cannot be broken. Reports, and the history of a drill that was not good:
.run/drills. The exit code is 0 where every drill was good, 1 where a promise was broken, 3 where none was but a drill
has shown nothing (its fault had no effect, it could not be held), 2 for wrong use, 130 after an interruption."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run drills; returns the exit code that the description names."""
    options = _parser().parse_args(arguments)
    names = list(DRILLS) if "all" in options.drills else list(dict.fromkeys(options.drills))
    if not names or "list" in names:
        print("\n".join(DRILLS))
        return 0
    leave_out_single_process_variables()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return _hold(names, options)
    except (ClusterError, ConfigError, EngineError, XinyuError) as error:
        print(f"xinyu: {error}", file=sys.stderr)
        return NOTHING_SHOWN
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xinyu drill", description=DESCRIPTION)
    names = f"of: {' '.join(DRILLS)}; or all; none, or list, lists them"
    parser.add_argument("drills", nargs="*", metavar="DRILL", type=_drill, help=names)
    parser.add_argument("--stage", choices=STAGES, default="4", help="of config/stages (default: 4)")
    parser.add_argument("--clients", type=_clients, default=20, help="4 to 200, two for each person (default: 20)")
    parser.add_argument("--seconds", type=_seconds, default=20.0, help="of each drill, 5 to 600 (default: 20)")
    parser.add_argument("--seed", type=int, help="of who says what when (default: any; it is printed)")
    parser.add_argument("--folder", type=Path, default=ROOT, help="of the stage and the reports (default: .run/drills)")
    return parser


def _drill(name: str) -> str:
    if name not in (*DRILLS, "all", "list"):
        raise argparse.ArgumentTypeError(f"no drill {name!r}; there are {', '.join(DRILLS)}")
    return name


def _clients(text: str) -> int:
    if not text.isdecimal() or int(text) not in CLIENTS:
        raise argparse.ArgumentTypeError(f"{CLIENTS.start} to {CLIENTS.stop - 1}")
    return int(text)


def _seconds(text: str) -> float:
    least, most = SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= most:
        raise argparse.ArgumentTypeError(f"{least:g} to {most:g}")
    return seconds


def _hold(names: Sequence[str], options: argparse.Namespace) -> int:
    seed = random.randrange(10**6) if options.seed is None else options.seed
    folder: Path = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage(options.stage, folder, _say)
    town, outcomes = Town(stage), list[Outcome]()
    try:
        stage.start(str(seed), shape_of(names[0]))
        for name in names:
            if why := _why_another(stage, name):
                _say(f"{why}: a new one is started")
                stage.stop()
                stage.start(str(seed), shape_of(name))
            _say(f"{name}: stage {options.stage}, {options.clients} clients, {options.seconds:g} s, seed {seed}")
            outcomes.append(asyncio.run(run_drill(stage, town, name, options.clients, options.seconds, seed)))
            _keep(outcomes[-1], options.stage, folder)
    finally:
        stage.stop()
        if len(names) > 1 and outcomes:
            page = folder / f"drills-stage{options.stage}.html"
            page.write_text(as_page(f"{len(outcomes)} drills on stage {options.stage}", outcomes), encoding="utf-8")
            good = sum(outcome.good for outcome in outcomes)
            print(f"{good} of {len(names)} drills were good; all of them: {page}", flush=True)
    return exit_code(outcomes)


def _why_another(stage: Stage, drill: str) -> str:
    """Why this drill needs another stage; empty where it does not."""
    if not stage.is_whole:
        return "the stage is not whole"
    return "" if stage.shape is shape_of(drill) else f"{drill} needs the stage otherwise"


def _keep(outcome: Outcome, stage: str, folder: Path) -> None:
    """Its page, and its history where it was not good."""
    page = folder / f"{outcome.name}-stage{stage}.html"
    page.write_text(as_page(f"{outcome.name} on stage {stage}", [outcome]), encoding="utf-8")
    print(f"{outcome.line()}; {page}", flush=True)
    kept = page.with_suffix(".jsonl")
    kept.unlink(missing_ok=True)
    if not outcome.good:
        kept.write_bytes(outcome.history.lines())
        print(f"     the history: {kept}", flush=True)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A request to end is answered as Ctrl-C is: by cleaning up first."""
    raise KeyboardInterrupt
