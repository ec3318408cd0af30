"""Stage 4 under faults: any process killed, Redis back without its memory, ZooKeeper away or without its data. Nothing
acked is lost, clients of a killed gateway are on another within 10 s, the rest heals by itself (G1 to G4, G7, G10)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from testkit.engines import OwnEngine
from testkit.people import Town, shows
from testkit.placement import ROOT, Placement, environment, standing
from testkit.stages import stage
from testkit.talkers import chatting
from testkit.waiting import eventually

pytestmark = pytest.mark.scenario
SHAPES = ("stage4",)
SESSION_SECONDS = 4.0
HEALS_WITHIN = 10.0


@pytest.fixture(scope="module")
def own_engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, OwnEngine]]:
    """Engines that may be stopped without anybody else noticing."""
    folder = tmp_path_factory.mktemp("engines")
    engines = {name: OwnEngine(name, folder / name) for name in ("redis", "zookeeper")}
    for engine in engines.values():
        engine.start()
    yield engines
    for engine in engines.values():
        engine.kill()


@pytest.fixture(scope="module")
def placement(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, own_engines: dict[str, OwnEngine]
) -> Iterator[Placement]:
    settings: dict[str, Any] = {
        "presence": {"redis_url": own_engines["redis"].address},
        "discovery": {"zookeeper_hosts": own_engines["zookeeper"].address, "session_seconds": SESSION_SECONDS},
    }
    with standing(stage("4", tmp_path_factory.mktemp("faults"), settings)) as deployment:
        yield deployment


async def seen(placement: Placement) -> dict[str, str]:
    """The state of every node that the registry shows."""
    node = next(iter(placement.nodes.values()))
    command = [sys.executable, "-m", "xinyu", "cluster", "--json", *node.config_arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environment(), capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return {each["node"]: "silent" if each["trouble"] else each["state"] for each in json.loads(done.stdout)}


async def test_a_killed_gateway_costs_its_clients_ten_seconds_at_most(town: Town) -> None:
    async with chatting(town) as chat:
        for name in ("gateway_ws_1", "gateway_ws_2"):
            await town.placement.kill(name)
            await chat.goes_on(HEALS_WITHIN)
            await town.placement.start(name)


async def test_a_killed_message_process_has_a_twin(town: Town) -> None:
    async with chatting(town) as chat:
        for name in ("message_1", "message_2"):
            await town.placement.kill(name)
            await chat.goes_on(HEALS_WITHIN)
            await town.placement.start(name)
        await chat.goes_on(HEALS_WITHIN)


async def test_killed_processes_without_a_twin_are_missed_until_their_restart(town: Town) -> None:
    """None of them is asked for a message that a socket sends."""
    async with chatting(town) as chat:
        for name in ("presence_1", "user_1", "contact_1", "group_1", "media_1", "gateway_http_1"):
            await town.placement.kill(name)
            await chat.goes_on(HEALS_WITHIN)
            await town.placement.start(name)
        await chat.goes_on(HEALS_WITHIN)


async def test_redis_comes_back_empty(town: Town, own_engines: dict[str, OwnEngine]) -> None:
    ann, bob = await town.people("Ann", "Bob")
    sender = await ann.device()
    watchers = [await bob.device(), await bob.page()]
    await sender.client.send_text(bob.talk, "before")
    for watcher in watchers:
        await shows(watcher, ann.talk, ["before"])
    own_engines["redis"].kill()
    await sender.client.send_text(bob.talk, "while it is away")
    own_engines["redis"].start()
    await sender.client.send_text(bob.talk, "when it is back")
    for watcher in watchers:
        await shows(watcher, ann.talk, ["before", "while it is away", "when it is back"], HEALS_WITHIN)
    async with chatting(town) as chat:
        own_engines["redis"].kill()
        own_engines["redis"].start()
        await chat.goes_on(HEALS_WITHIN)


async def test_zookeeper_may_be_away_and_come_back_without_its_data(
    town: Town, own_engines: dict[str, OwnEngine]
) -> None:
    """The sessions of all processes expire: they are there again by themselves."""
    zookeeper, nodes = own_engines["zookeeper"], dict.fromkeys(town.placement.nodes, "ready")
    async with chatting(town) as chat:
        zookeeper.kill()
        begin = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - begin < 2 * SESSION_SECONDS:
            await chat.goes_on(HEALS_WITHIN)
        zookeeper.wipe()
        zookeeper.start()

        async def all_there() -> bool:
            return await seen(town.placement) == nodes

        await eventually(all_there, 4 * SESSION_SECONDS)
        await chat.goes_on(HEALS_WITHIN)
        await town.placement.restart("message_1")
        await eventually(all_there, 4 * SESSION_SECONDS)
    town.placement.forgiven.append("this process is not discoverable")
