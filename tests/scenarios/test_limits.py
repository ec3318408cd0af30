"""One limit for all gateways of a cluster."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import pytest
from websockets.asyncio.client import ClientConnection, connect

from testkit.people import Town
from testkit.waiting import eventually

pytestmark = pytest.mark.scenario
SHAPES = ("stage1",)
LIMIT = 40
SETTINGS = {"gateway": {"limits_store": "redis", "socket_requests_per_second_per_user": LIMIT}}
ASKED = 60
ATTEMPTS = 10


async def ask_often(socket: ClientConnection) -> list[int]:
    """The codes of the answers to ASKED requests, 200 for a reply."""
    for number in range(ASKED):
        await socket.send(json.dumps({"event": "presence.get", "id": number, "payload": {"user_ids": []}}))
    codes: list[int] = []
    while len(codes) < ASKED:
        frame = json.loads(await socket.recv())
        if frame["event"] == "reply":
            codes.append(200)
        elif frame["event"] == "error":
            assert 0 < frame["payload"]["retry_after_ms"] <= 1000
            codes.append(frame["payload"]["code"])
    return codes


async def test_a_user_on_two_gateways_has_one_limit(town: Town) -> None:
    left, right = town.placement.ws_urls
    ann = await town.person("Ann")
    query = f"?token={ann.client.token}&sync=1"
    async with connect(left + query, compression=None) as one, connect(right + query, compression=None) as other:
        for _ in range(ATTEMPTS):
            second = int(time.time()) + 1
            await eventually(lambda second=second: time.time() >= second, 2)  # type: ignore[misc]
            codes = await asyncio.gather(ask_often(one), ask_often(other))
            if time.time() < second + 1:
                break
        else:
            pytest.fail(f"{2 * ASKED} requests take longer than a second, each of {ATTEMPTS} times")
    found = Counter(code for each in codes for code in each)
    assert found[200] + found[429] == 2 * ASKED
    assert LIMIT <= found[200] <= LIMIT + LIMIT // 8
    assert all(200 in each for each in codes)
