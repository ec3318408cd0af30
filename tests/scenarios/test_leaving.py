"""SIGTERM under load (G9): nothing acked is lost, clients are told to leave, the exit code is 0, and the next start is
quick and takes everything up again."""

from __future__ import annotations

import asyncio
import time

import pytest

from testkit.people import Town, shows
from testkit.placement import DRAIN_SECONDS
from testkit.waiting import eventually
from xinyu.sdk import Talk
from xinyu.sdk.events import Disconnected

pytestmark = pytest.mark.scenario


def leaving(town: Town) -> tuple[str, ...]:
    """Whose end is looked at, one after the other: the process, or the sockets' and the log's in a cluster."""
    return ("gateway_ws", "message", "presence") if town.placement.is_cluster else ("monolith",)


async def test_a_stop_under_load_loses_nothing_and_sends_clients_away(town: Town) -> None:
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    group = Talk.group(await ann.client.groups.create("Busy", [bob.uid, cleo.uid]))
    phones = [await person.device() for person in (ann, bob, cleo)]
    page = await cleo.page()
    acked: dict[str, int] = {}
    stop = asyncio.Event()

    async def talk(number: int) -> None:
        count = 0
        while not stop.is_set():
            text = f"{number}: {count}"
            acked[text] = (await phones[number].client.send_text(group, text)).seq
            count += 1

    async with asyncio.TaskGroup() as talkers:
        for number in (0, 1):
            talkers.create_task(talk(number))
        await eventually(lambda: len(acked) > 50, 20)
        for name in leaving(town):
            begin = time.monotonic()
            await town.placement.stop(name)  # asserts exit code 0
            assert time.monotonic() - begin < DRAIN_SECONDS + 10
            for phone in phones:
                await eventually(lambda phone=phone: phone.told(Disconnected))
                assert phone.told(Disconnected)[0].will_reconnect
            await eventually(lambda: page.events("server.drain"))
            assert 0 <= page.events("server.drain")[0]["delay_ms"] <= DRAIN_SECONDS * 1000
            assert await town.placement.start(name) < 20
            count = len(acked)
            await eventually(lambda count=count: len(acked) > count + 20, 20)
        stop.set()
    log = (await phones[2].client.history(group, after=0, limit=200)).messages
    while (page_ := await phones[2].client.history(group, after=log[-1].seq, limit=200)).messages:
        log += page_.messages
    assert [message.seq for message in log] == list(range(1, len(log) + 1))
    assert {message.text: message.seq for message in log if message.text} == acked
    said = [message.text for message in log if message.text]
    for watcher in (*phones, page):
        await shows(watcher, group, said)
    assert not page.stopped


async def test_requests_under_way_are_answered_before_the_end(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    device = await ann.device()
    sends = [asyncio.create_task(device.client.send_text(bob.talk, f"text {n}", timeout=20)) for n in range(100)]
    await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
    for name in leaving(town):
        await town.placement.restart(name)
    seqs = [message.seq for message in await asyncio.gather(*sends)]
    assert len(set(seqs)) == 100
    log = (await device.client.history(bob.talk, after=0, limit=200)).messages
    assert sorted(m.text for m in log if m.text.startswith("text ")) == sorted(f"text {n}" for n in range(100))


async def test_a_second_process_on_the_same_data_is_refused(town: Town) -> None:
    """One process per data folder; the first is not disturbed."""
    ann, bob = await town.people("Ann", "Bob")
    [node, *_] = town.placement.nodes.values()
    code, told = await asyncio.to_thread(node.start_twin)
    assert code != 0 and "Traceback" not in told
    assert len([line for line in told.splitlines() if line.strip()]) == 1, told
    assert (await ann.client.messages.send(bob.talk, "text", {"text": "undisturbed"})).accepted
