"""Delivery as processes of its own that read Redis Streams: the first conversation, then delivery killed and stopped,
and Redis back without what was in it. Nothing acked is lost, all arrives in time and in order (G1, G3, G4, G9, G10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from testkit.engines import OwnEngine
from testkit.people import Town, befriend, shows
from testkit.placement import Placement, standing
from testkit.stages import stage_with_streams
from testkit.talkers import chatting
from testkit.waiting import eventually

pytestmark = pytest.mark.scenario
SHAPES = ("stage4-streams",)
HEALS_WITHIN = 10.0


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    """One that may be stopped without anybody else noticing."""
    engine = OwnEngine("redis", tmp_path_factory.mktemp("redis") / "redis")
    engine.start()
    yield engine
    engine.kill()


@pytest.fixture(scope="module")
def placement(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis: OwnEngine
) -> Iterator[Placement]:
    settings: dict[str, Any] = {"presence": {"redis_url": redis.address}}
    with standing(stage_with_streams(tmp_path_factory.mktemp("streams"), settings)) as deployment:
        yield deployment


def total(placement: Placement, name: str) -> float:
    """A metric, summed over all processes."""
    return sum(value for series, value in placement.metrics() if series == name)


async def test_a_first_conversation_goes_through_the_streams(town: Town) -> None:
    ann, bob = await town.person("Ann"), await town.person("Bob")
    phone, desk, page = await ann.device(), await bob.device(), await bob.page()
    await befriend(ann, bob)
    for number in range(1, 6):
        await phone.client.send_text(bob.talk, f"to Bob {number}")
        await desk.client.send_text(ann.talk, f"to Ann {number}")
    texts = [f"to {name} {number}" for number in range(1, 6) for name in ("Bob", "Ann")]
    await shows(phone, bob.talk, texts)
    await shows(desk, ann.talk, texts)
    await shows(page, ann.talk, texts)
    assert town.placement.remote_calls()["DeliveryPort.dispatch"] == 0, "handed over by the streams, not by calls"
    await eventually(lambda: total(town.placement, "xinyu_delivery_stream_depth") == 0)
    assert total(town.placement, "xinyu_delivery_stream_partitions") == 16


async def test_delivery_killed_and_stopped_under_talk(town: Town) -> None:
    async with chatting(town) as chat:
        await town.placement.kill("delivery_1")
        await chat.goes_on(HEALS_WITHIN)
        await town.placement.start("delivery_1")
        await town.placement.stop("delivery_2")
        await chat.goes_on(HEALS_WITHIN)
    await town.placement.start("delivery_2")


async def test_redis_comes_back_without_what_was_in_the_streams(town: Town, redis: OwnEngine) -> None:
    """What waited in them, with nobody to take it, is lost with the rest: it lies in the outbox still."""
    ann, bob = await town.people("Ann", "Bob")
    sender, watchers = await ann.device(), [await bob.device(), await bob.page()]
    texts = ["nobody delivers", "Redis is away", "all are back"]
    await town.placement.kill("delivery")
    await sender.client.send_text(bob.talk, texts[0])
    redis.kill()
    await sender.client.send_text(bob.talk, texts[1])
    redis.start()
    await town.placement.start("delivery")
    await sender.client.send_text(bob.talk, texts[2])
    for watcher in watchers:
        await shows(watcher, ann.talk, texts, HEALS_WITHIN)
    async with chatting(town) as chat:
        redis.kill()
        redis.start()
        await chat.goes_on(HEALS_WITHIN)
