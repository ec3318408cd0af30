"""Both gateways of stage 4 are stopped and started one after the other while people talk (G9): every client is on the
other one soon, spread over the drain, and fetches nothing that it had; nothing acked is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from testkit.people import Device, Town, shows
from testkit.placement import DRAIN_SECONDS
from testkit.talkers import Talker, check_log, whole_log
from testkit.waiting import eventually
from xinyu.sdk import Talk
from xinyu.sdk.events import Connected
from xinyu.sdk.socket import Socket
from xinyu.sdk.types import SyncPage

pytestmark = pytest.mark.scenario
SHAPES = ("stage4",)
CROWD = 16
MOVED_WITHIN = 10.0


class Moves:
    """What clients were told and asked for: the delays of `server.drain`, and entries that came by `sync`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.delays: list[int] = []
        self.devices: dict[object, Device] = {}
        self.fetched: Counter[tuple[int, int, int]] = Counter()
        """(client, conversation, seq)"""
        self.had_already: list[tuple[int, int]] = []
        leave, ask = Socket._leave, Socket.ask

        async def leaving(socket: Socket, connection: Any, delay_ms: int) -> None:
            self.delays.append(delay_ms)
            await leave(socket, connection, delay_ms)

        async def asking(socket: Socket, event: str, *rest: Any) -> Any:
            device = self.devices.get(socket._handler)
            had = {(message.talk_id, message.seq) for message in device.seen} if device else set()
            page = await ask(socket, event, *rest)
            if device is not None and isinstance(page, SyncPage):
                keys = [(item.talk_id, message.sequence) for item in page.items for message in item.messages]
                self.fetched.update((id(device), *key) for key in keys)
                self.had_already += had.intersection(keys)
            return page

        monkeypatch.setattr(Socket, "_leave", leaving)
        monkeypatch.setattr(Socket, "ask", asking)

    def watch(self, devices: list[Device]) -> None:
        self.devices = {device.client: device for device in devices}


async def test_both_gateways_are_drained_one_after_the_other_under_talk(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = Moves(monkeypatch)
    people = await town.people("Ann", "Bob", "Cleo", "Dora")
    group = Talk.group(await people[0].client.groups.create("Moving", [person.uid for person in people[1:]]))
    crowd = await asyncio.gather(*(person.device() for _ in range(CROWD // len(people)) for person in people))
    moves.watch(crowd)
    talkers = [Talker(f"phone {number}", group, phone) for number, phone in enumerate(crowd[:2])]
    done = asyncio.Event()
    async with asyncio.TaskGroup() as talking:
        for talker in talkers:
            talking.create_task(talker.talk_until(done))
        for moved, name in enumerate(("gateway_ws_1", "gateway_ws_2"), start=1):
            await eventually(lambda m=moved: all(len(talker.receipts) > 10 * m for talker in talkers), 20)
            moves.delays.clear()
            stopping = asyncio.create_task(town.placement.stop(name))
            await eventually(lambda m=moved: all(len(d.told(Connected)) > m for d in crowd), MOVED_WITHIN)
            await stopping  # with exit code 0
            per_quarter = Counter(int(4 * delay / (1000 * DRAIN_SECONDS)) for delay in moves.delays)
            assert per_quarter == dict.fromkeys(range(4), CROWD // 4), "so many reconnects at a time and no more"
            await town.placement.start(name)
        done.set()
    log = await whole_log(crowd[0], group)
    check_log(log, talkers)
    said = [message.text for message in log if message.text]
    for device in crowd:
        await shows(device, group, said, 10)
    assert moves.had_already == [], "fetched although it was there"
    assert not [key for key, times in moves.fetched.items() if times > 1], "fetched twice"
