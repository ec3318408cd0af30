"""A seed does the same again: in the same process, and in others, whose sets of strings have another order."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from testkit.placement import ROOT
from xinyu.simulation.run import simulate
from xinyu.simulation.trace import Trace

SEEDS = range(4)


def fingerprints() -> list[str]:
    """Of some runs, every callback of each."""
    return [simulate(seed, trace=Trace()).fingerprint for seed in SEEDS]


def test_a_seed_does_the_same_twice() -> None:
    first = fingerprints()
    assert fingerprints() == first
    assert len(set(first)) == len(SEEDS)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_does_the_same_in_another_process(hash_seed: str) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(ROOT / "scripts")])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    command = [sys.executable, "-c", "from simulation.test_determinism import fingerprints; print(*fingerprints())"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == fingerprints()


def test_a_trace_tells_what_happens_and_changes_nothing() -> None:
    lines: list[str] = []
    told = simulate(1, trace=Trace(lines.append))
    assert told.fingerprint == fingerprints()[1]
    assert any("everybody is connected" in line for line in lines)
