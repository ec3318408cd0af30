"""All clients together (G8): what a gateway cannot run at once it refuses, with a time to come back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from testkit.rest import TokenIsUserId, ports_of
from testkit.sockets import socket_world
from testkit.waiting import eventually
from xinyu.gateway.admission import Admission
from xinyu.gateway.http.app import RestApplication
from xinyu.gateway.http.call import Call, Route
from xinyu.gateway.http.errors import ErrorTexts
from xinyu.gateway.services import services_over
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.errors import Overloaded
from xinyu.telemetry.metrics import Metrics


def values(admission: Admission) -> list[object]:
    return [value for _, _, value in admission.readings()]


async def test_rest_requests_over_the_bound_are_refused_and_leave_no_trace() -> None:
    go = asyncio.Event()

    async def slow(_call: Call[Any]) -> None:
        await go.wait()

    settings = GatewaySettings(max_requests=2)
    services = services_over(ports_of(), settings)
    rest = RestApplication(settings, services, TokenIsUserId(), Metrics(), ErrorTexts({}))
    transport = httpx.ASGITransport(rest.build([Route("/slow", slow, auth=False)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://xinyu.test") as http:
        running = [asyncio.create_task(http.post("/slow")) for _ in range(2)]
        await eventually(lambda: values(services.admission) == [2, 0])
        refused = await http.post("/slow", content=b"{ this is not even read")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert refused.json()["error"] == "request.overloaded"
        go.set()
        assert {answer.status_code for answer in await asyncio.gather(*running)} == {200}
        assert (await http.post("/slow")).status_code == 200
        assert values(services.admission) == [0, 1]


@pytest.mark.whole
async def test_socket_requests_count_with_them(tmp_path: Path) -> None:
    async with socket_world(tmp_path, max_requests=1) as world:
        device = await world.device(await world.token(await world.user("ann")))
        admission = world.process.container.services().admission
        admission.enter()  # a REST request, say
        told = (await device.ask("conversation.list"))["payload"]
        assert (told["error"], told["code"], told["retry_after_ms"]) == ("request.overloaded", 429, 1000)
        readings = {name: value for name, _, value in world.process.container.requests().readings()}
        assert readings["xinyu_ws_requests_refused_total"] == 1
        admission.leave()
        for _ in range(3):
            assert "items" in (await device.ask("conversation.list"))["payload"]
        assert values(admission) == [0, 1]


def test_a_request_that_fails_has_left() -> None:
    admission = Admission(1)
    with pytest.raises(KeyError), admission.inside():
        raise KeyError
    with admission.inside(), pytest.raises(Overloaded):
        admission.enter()
    assert values(admission) == [0, 1]
