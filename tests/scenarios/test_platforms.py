"""A platform for one device at a time: whoever connects last has it, on whatever gateway, and the one before is sent
away for good (G7). Those of this story are set for all placements (testkit)."""

from __future__ import annotations

import asyncio

import pytest

from testkit.people import TUNING, Device, Person, Town, shows
from testkit.placement import ONE_DEVICE_PLATFORM
from testkit.waiting import eventually
from xinyu.sdk import Options
from xinyu.sdk.errors import Dismissed
from xinyu.sdk.events import Disconnected, ServerTrouble

pytestmark = pytest.mark.scenario
SHAPES = ("monolith", "stage4")


async def tv(person: Person, url: str, device_id: str | None = None) -> Device:
    options = Options(tuning=TUNING, platform=ONE_DEVICE_PLATFORM)
    return await person.device(options=options, ws_url=[url], device_id=device_id)


async def test_the_newest_device_has_the_platform_on_any_gateway(town: Town) -> None:
    left, right = town.placement.ws_urls[0], town.placement.ws_urls[-1]
    ann, bob = await town.people("Ann", "Bob")
    phone, page = await ann.device(), await ann.page()
    first = await tv(ann, left)
    second = await tv(ann, right)
    await eventually(lambda: isinstance(first.ended, Dismissed))
    assert [trouble.error_code for trouble in first.told(ServerTrouble)] == [409]
    assert [event.will_reconnect for event in first.told(Disconnected)] == [False]
    third = await tv(ann, left)
    await eventually(lambda: isinstance(second.ended, Dismissed))
    await bob.client.messages.send(ann.talk, "text", {"text": "to all who are here"})
    for watcher in (phone, page, third):
        await shows(watcher, bob.talk, ["to all who are here"])
    assert (first.texts(bob.talk), second.texts(bob.talk)) == ([], [])
    assert not page.stopped and phone.ended is None


async def test_of_devices_that_come_at_once_one_stays_and_gets_all(town: Town) -> None:
    urls = town.placement.ws_urls
    ann, bob = await town.people("Ann", "Bob")
    dials = (tv(ann, urls[number % len(urls)]) for number in range(6))
    results = await asyncio.gather(*dials, return_exceptions=True)  # some are sent away before they are quite there
    devices = [device for device in results if isinstance(device, Device)]
    assert all(isinstance(result, Device | Dismissed) for result in results)
    await eventually(lambda: sum(device.ended is None for device in devices) == 1)
    [left] = [device for device in devices if device.ended is None]
    await bob.client.messages.send(ann.talk, "text", {"text": "to the one"})
    await shows(left, bob.talk, ["to the one"])


async def test_a_device_that_comes_back_meets_no_other(town: Town) -> None:
    """Its former connection is still open at its gateway when the next one comes, at another."""
    left, right = town.placement.ws_urls[0], town.placement.ws_urls[-1]
    ann, bob = await town.people("Ann", "Bob")
    before, after = await tv(ann, left, "set 1"), await tv(ann, right, "set 1")
    await eventually(lambda: before.ended)
    assert before.told(ServerTrouble) == []
    await bob.client.messages.send(ann.talk, "text", {"text": "welcome back"})
    await shows(after, bob.talk, ["welcome back"])
