"""Nothing promised is broken, whatever goes wrong: some hundred seeds; `make simulate` plays any number."""

from __future__ import annotations

import pytest

from xinyu.drill.history import Acked
from xinyu.simulation.plan import ALL
from xinyu.simulation.rooms import ROOM
from xinyu.simulation.run import simulate
from xinyu.simulation.scene import scene

BLOCKS, SEEDS = 10, 20


@pytest.mark.parametrize("block", range(BLOCKS))
def test_promises_hold_under_faults(block: int) -> None:
    outcomes = [simulate(seed) for seed in range(block * SEEDS, (block + 1) * SEEDS)]
    assert [outcome.line() for outcome in outcomes if not outcome.good] == []


def test_nothing_goes_wrong_where_nothing_is_broken() -> None:
    outcome = simulate(0, ("none",))
    assert outcome.good and not outcome.verdict.faults


def test_people_talk_in_a_group_and_each_two_of_them_alone() -> None:
    acked = [ack for seed in range(3) for ack in simulate(seed, ("none",)).history.of(Acked)]
    assert {ack.conversation for ack in acked} == {ROOM, *(pair.name for pair in scene().pairs)}


@pytest.mark.parametrize("fault", ALL)
def test_every_fault_takes_effect_alone(fault: str) -> None:
    outcomes = [simulate(seed, (fault,)) for seed in range(2)]
    assert [outcome.line() for outcome in outcomes if not outcome.good] == []
    assert {found.name for outcome in outcomes for found in outcome.verdict.faults} == {fault}
