"""Switch off one mechanism at a time: some seed must find it out, and say which promise it broke."""

from __future__ import annotations

import pytest

from simulation.sabotage import SABOTAGES
from xinyu.simulation.run import Outcome, simulate
from xinyu.simulation.scene import scene

SEEDS = 60


@pytest.mark.parametrize("mechanism", SABOTAGES)
def test_a_build_without_it_is_found_out(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage = SABOTAGES[mechanism]
    scene()  # where all runs of this process begin, those of other tests too: made by a build that is whole
    sabotage.apply(monkeypatch)
    assert any(is_found_out(simulate(seed, sabotage.faults), sabotage.promises) for seed in range(SEEDS))


def is_found_out(outcome: Outcome, promises: frozenset[str]) -> bool:
    """Whether a run broke one of these promises; what no history can say is a failure of its own."""
    if not promises:
        return bool(outcome.failures)
    return bool(promises & {violation.promise for violation in outcome.verdict.violations})
