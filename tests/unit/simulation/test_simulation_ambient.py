"""Time and chance of a run."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
import uuid

import pytest

from xinyu.kernel.clock import SystemClock
from xinyu.kernel.ids import new_hex_id, new_msg_id
from xinyu.simulation.world.ambient import BIRTH, ambient


def chance() -> list[object]:
    return [
        new_hex_id(),
        new_msg_id(),
        secrets.token_bytes(4),
        uuid.uuid4(),
        random.random(),
        random.Random().random(),
        random.Random(5).random(),
    ]


def test_the_same_seed_brings_the_same_chance() -> None:
    drawn = []
    for seed in (1, 1, 2):
        with ambient(lambda: 7.0, random.Random(seed)):
            drawn.append(chance())
    assert drawn[0] == drawn[1]
    same = [first == other for first, other in zip(drawn[0], drawn[2], strict=True)]
    assert same == [False] * 6 + [True], "who names a seed gets it"


def test_the_time_is_the_runs() -> None:
    with ambient(lambda: 7.0, random.Random(1)):
        assert (time.monotonic(), time.time(), SystemClock().now_ms()) == (7.0, BIRTH + 7, (BIRTH + 7) * 1000)
        with pytest.raises(RuntimeError):
            time.sleep(1)


def test_all_is_as_before_afterwards() -> None:
    before = (time.monotonic, time.time, random.Random, secrets.token_hex, uuid.uuid4, asyncio.TaskGroup)
    state = random.getstate()
    with pytest.raises(ZeroDivisionError), ambient(lambda: 7.0, random.Random(1)):
        random.random()
        raise ZeroDivisionError
    assert (time.monotonic, time.time, random.Random, secrets.token_hex, uuid.uuid4, asyncio.TaskGroup) == before
    assert random.getstate() == state
