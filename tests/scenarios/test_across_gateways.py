"""Devices on any mix of gateways: everybody gets everything, and it takes no more calls than it should."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys

import pytest

from testkit.people import Town, shows
from testkit.placement import ROOT, environment
from testkit.stages import CLUSTERS
from xinyu.sdk import Talk

pytestmark = pytest.mark.scenario
SHAPES = CLUSTERS
HOPS = ("MessagePort.send", "PresencePort.locate", "DelivererPort.deliver")
TIMERS = ("PresencePort.renew", "PresencePort.incarnation", "DevicePort.move_cursors", "LoginPort.list_ended_since")
"""What gateways do every so often, whatever is sent."""


async def test_all_devices_of_both_people_on_both_gateways_get_every_message(town: Town) -> None:
    left, right = town.placement.ws_urls
    ann, bob = await town.people("Ann", "Bob")
    group = Talk.group(await ann.client.groups.create("Mixed", [bob.uid]))
    phones = [await person.device(ws_url=[url]) for person in (ann, bob) for url in (left, right)]
    pages = [await person.page(ws_url=url) for person in (ann, bob) for url in (left, right)]
    for number, sender in enumerate(phones * 3):
        await sender.client.send_text(group, f"text {number}")
    await pages[0].send_text(*group, "from a page")
    said = [f"text {n}" for n in range(len(phones) * 3)] + ["from a page"]
    for watcher in (*phones, *pages):
        await shows(watcher, group, said)
    for number, sender in enumerate(itertools.islice(itertools.cycle(phones[:2]), 6)):
        await sender.client.send_text(bob.talk, f"private {number}")
    for watcher in (*phones[:2], *pages[:2]):
        await shows(watcher, bob.talk, [f"private {n}" for n in range(6)])
    for watcher in (*phones[2:], *pages[2:]):
        await shows(watcher, ann.talk, [f"private {n}" for n in range(6)])


async def test_a_private_message_costs_two_calls_and_one_per_target_node(town: Town) -> None:
    left, right = town.placement.ws_urls
    ann, bob = await town.people("Ann", "Bob")
    sender = await ann.device(ws_url=[left])
    near, far = await bob.device(ws_url=[left]), await bob.device(ws_url=[right])
    await sender.client.send_text(bob.talk, "warm")
    for phone in (near, far):
        await shows(phone, ann.talk, ["warm"])
    count = 40
    before = town.placement.remote_calls()
    for number in range(count):
        await sender.client.send_text(bob.talk, f"text {number}")
        await shows(far, ann.talk, [f"text {number}"])
    await shows(near, ann.talk, [f"text {count - 1}"])
    used = town.placement.remote_calls() - before
    for method in TIMERS:
        del used[method]
    assert set(used) <= set(HOPS), "a message asks nobody else"
    assert used["MessagePort.send"] <= count
    assert used["PresencePort.locate"] <= count
    assert used["DelivererPort.deliver"] <= 2 * count
    assert count <= sum(used.values()) <= (2 + 2) * count


async def test_the_list_of_many_conversations_costs_as_many_calls_as_that_of_few(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    groups = 200

    async def calls_of_one_list() -> int:
        before = town.placement.remote_calls()
        await ann.client.talks.list()
        return (town.placement.remote_calls() - before).total()

    async def fewest() -> int:  # timers call too, some times
        return min([await calls_of_one_list() for _ in range(5)])

    await ann.client.groups.create("First", [bob.uid])
    few = await fewest()
    for start in range(0, groups, 20):
        await asyncio.gather(*(ann.client.groups.create(f"Group {start + n}", [bob.uid]) for n in range(20)))
    assert len(await ann.client.talks.list()) >= groups
    many = await fewest()
    assert many == few <= 5


async def test_the_cluster_is_seen_by_its_command(town: Town) -> None:
    ann = await town.person("Ann")
    await ann.device()
    node = next(iter(town.placement.nodes.values()))

    def look(*arguments: str) -> str:
        command = [sys.executable, "-m", "xinyu", "cluster", *node.config_arguments, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    shown = json.loads(await asyncio.to_thread(look, "--json"))
    assert {each["node"] for each in shown} == set(town.placement.nodes)
    assert all(each["state"] == "ready" and each["status"]["ready"] and not each["trouble"] for each in shown)
    assert sum(each["status"]["sessions"] for each in shown) == 1
    table = await asyncio.to_thread(look)
    assert all(name in table for name in town.placement.nodes)


async def test_a_gateway_that_leaves_is_seen_to_leave(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    gateways = town.placement.hosts("gateway_ws")
    phone = await bob.device()
    sender = await ann.device()
    for gateway in gateways:
        await town.placement.stop(gateway.name)
        await sender.client.send_text(bob.talk, f"without {gateway.name}", timeout=20)
        if "presence" in gateway.roles:  # it took that along: what is sent is kept until it is back
            await town.placement.start(gateway.name)
        await shows(phone, ann.talk, [f"without {gateway.name}"])
        await town.placement.start(gateway.name)
