"""`xinyu simulate`: a cluster in one process under made-up time and faults, by seeds; or one of them with its trace."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from xinyu.simulation.plan import ALL
from xinyu.simulation.run import Outcome, simulate
from xinyu.simulation.scene import scene
from xinyu.simulation.trace import Trace

BLOCK = 20
"""Seeds that a process takes at a time."""
FOLDER = Path(".run") / "simulation"
"""Histories of runs that were not good."""


def command(
    faults: Annotated[list[str] | None, typer.Argument(help=f"Which may go wrong: {', '.join(ALL)}; all.")] = None,
    seeds: Annotated[int, typer.Option(help="How many runs.", min=1)] = 200,
    seed: Annotated[int | None, typer.Option(help="Play this one, and tell what happens.")] = None,
    first: Annotated[int | None, typer.Option(help="The first of the seeds; any, if none is named.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes at once; 0 is one for each processor.", min=0)] = 0,
) -> None:
    """Play a whole cluster with faults in made-up time, once for each seed, and check the promises G1 to G7. The same
    seed does the same again, so a failure is replayed by --seed."""
    only = tuple(faults or ())
    if unknown := [name for name in only if name not in ALL]:
        raise typer.BadParameter(f"there is no fault {unknown[0]!r}; there are {', '.join(ALL)}")
    if seed is not None:
        bad = not _told(simulate(seed, only, Trace(print)), only)
    else:
        begin = random.randrange(2**31) if first is None else first
        bad = _many(range(begin, begin + seeds), only, jobs or os.cpu_count() or 1)
    raise typer.Exit(1 if bad else 0)


def _many(seeds: range, only: tuple[str, ...], jobs: int) -> bool:
    """Whether any was bad."""
    begin, acked, virtual, bad = time.monotonic(), 0, 0.0, 0
    for outcome in _outcomes(seeds, only, jobs):
        acked += outcome.verdict.acked
        virtual += outcome.seconds
        if not outcome.good:
            bad += 1
            _told(outcome, only)
    seconds = time.monotonic() - begin
    print(
        f"{len(seeds)} runs (seeds {seeds.start} to {seeds.stop - 1}), {bad} bad; {acked} messages acked in "
        f"{virtual / 60:.0f} minutes of made-up time, {seconds:.0f} s of ours: "
        f"{60 * len(seeds) / seconds:.0f} runs a minute"
    )
    return bad > 0


def _outcomes(seeds: range, only: tuple[str, ...], jobs: int) -> Iterator[Outcome]:
    blocks = [(range(at, min(at + BLOCK, seeds.stop)), only) for at in range(seeds.start, seeds.stop, BLOCK)]
    _settle()
    if jobs == 1 or len(blocks) == 1:
        for block in blocks:
            yield from _block(block)
        return
    with multiprocessing.get_context("fork").Pool(min(jobs, len(blocks))) as pool:
        for outcomes in pool.imap(_block, blocks):
            yield from outcomes


def _block(block: tuple[range, tuple[str, ...]]) -> list[Outcome]:
    seeds, only = block
    return [simulate(seed, only) for seed in seeds]


def _settle() -> None:
    """What all runs begin with is made once, and is nothing for the collector to walk."""
    scene()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _told(outcome: Outcome, only: tuple[str, ...]) -> bool:
    """Say what became of a run; a history that is not good is kept. Whether it is."""
    print(outcome.line())
    for fault in outcome.verdict.faults:
        print(f"  {fault.name}: {fault.proof}")
    for violation in outcome.verdict.violations:
        print(f"  {violation.promise} {violation.kind}: {violation.where} {' '.join(violation.msg_ids)}")
    if not outcome.good:
        FOLDER.mkdir(parents=True, exist_ok=True)
        kept = FOLDER / f"seed-{outcome.seed}.jsonl"
        kept.write_bytes(outcome.history.lines())
        print(
            f"  again: xinyu simulate {' '.join(only)}{' ' if only else ''}--seed {outcome.seed}; its history: {kept}"
        )
    return outcome.good
