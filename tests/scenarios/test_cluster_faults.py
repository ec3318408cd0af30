"""Stage 4 under faults: any process killed, Redis back without its memory, ZooKeeper away or without its data, MySQL
away or out of reach. Nothing acked is lost, clients of a killed gateway are on another within 10 s, the rest heals by
itself (G1 to G4, G7, G10)."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from drills.proxy import Mode, ProxyThread
from testkit.engines import OwnEngine
from testkit.mysql import server_dsn
from testkit.people import Town, shows
from testkit.placement import ROOT, Placement, environment, standing
from testkit.stages import stage
from testkit.talkers import chatting
from testkit.waiting import eventually
from webclient import WebError
from xinyu.sdk.events import Connected

pytestmark = pytest.mark.scenario
SHAPES = ("stage4",)
SESSION_SECONDS = 4.0
HEALS_WITHIN = 10.0
MYSQL_SECONDS = 3.0


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


class Way:
    """How processes reach the run's MySQL; a test can cut it without anybody else noticing."""

    def __init__(self, thread: ProxyThread) -> None:
        url = make_url(server_dsn())
        self._thread = thread
        self._proxy = thread.add(lambda: [(str(url.host), int(url.port or 3306))], random.Random(0))
        self.port = self._proxy.port

    @contextmanager
    def cut(self, mode: Mode) -> Iterator[None]:
        self._thread.call(partial(self._proxy.set_mode, mode))
        try:
            yield
        finally:
            self._thread.call(partial(self._proxy.set_mode, Mode.PASS))


@pytest.fixture(scope="module")
def way_to_mysql() -> Iterator[Way]:
    thread = ProxyThread()
    yield Way(thread)
    thread.stop()


@pytest.fixture(scope="module")
def placement(
    tmp_path_factory: pytest.TempPathFactory, own_engines: dict[str, OwnEngine], way_to_mysql: Way
) -> Iterator[Placement]:
    settings: dict[str, Any] = {
        "storage": {"mysql_timeout_seconds": MYSQL_SECONDS},
        "presence": {"redis_url": own_engines["redis"].address},
        "discovery": {"zookeeper_hosts": own_engines["zookeeper"].address, "session_seconds": SESSION_SECONDS},
    }
    with standing(stage("4", tmp_path_factory.mktemp("faults"), settings, way_to_mysql.port)) as deployment:
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


async def test_mysql_is_away(town: Town, way_to_mysql: Way) -> None:
    """G10: sends and reads fail as what they are, nobody is disconnected, and it is all there when MySQL is back."""
    ann, bob = await town.people("Ann", "Bob")
    page, phone = await ann.page(), await bob.device()
    await page.send_text(*bob.talk, "before")
    mode, user_id = bob.talk
    with way_to_mysql.cut(Mode.REFUSE):
        text = {"type": "text", "talk_mode": mode, "to_from_id": user_id, "body": {"text": "lost", "content": "lost"}}
        for path, body in (
            ("message/send", {**text, "msg_id": uuid.uuid4().hex}),
            ("message/records", {"talk_mode": mode, "to_from_id": user_id, "cursor": 0, "limit": 30}),
        ):
            with pytest.raises(WebError) as failed:
                await page.post(path, body)
            assert failed.value.code == 503
        sending = asyncio.create_task(phone.client.send_text(ann.talk, "meanwhile"))
        await asyncio.sleep(1.0)
        assert not sending.done(), "refused, and tried again"
    await page.send_text(*bob.talk, "after")
    await sending
    await eventually(lambda: len(phone.texts(ann.talk)) == 3 and page.texts(*bob.talk) == phone.texts(ann.talk))
    assert set(phone.texts(ann.talk)) == {"before", "meanwhile", "after"}
    assert len(page.events("connect")) == 1, "its session goes on"
    assert len(phone.told(Connected)) == 1


async def test_the_way_to_mysql_swallows_everything_for_a_while(town: Town, way_to_mysql: Way) -> None:
    """Connections that nobody answers any more are given up; until then nothing acked hangs on them."""
    async with chatting(town) as chat:
        with way_to_mysql.cut(Mode.SWALLOW):
            await asyncio.sleep(1.5 * MYSQL_SECONDS)
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
