"""REST requests as they are followed: the trace id in every answer, the line at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from testkit.logs import followed, named
from testkit.rest import TokenIsUserId, ports_of
from xinyu.gateway.auth import Caller
from xinyu.gateway.http.app import RestApplication
from xinyu.gateway.http.call import Call, NoBody, RawRoute, Route
from xinyu.gateway.http.errors import ErrorTexts
from xinyu.gateway.ports import Ports
from xinyu.gateway.services import services_over
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.errors import InvalidInput
from xinyu.telemetry.metrics import Metrics

TRACE = "0123456789abcdef0123456789abcdef"


async def fine(_call: Call[NoBody]) -> object:
    return {}


async def refused(_call: Call[NoBody]) -> object:
    raise InvalidInput()


async def broken(_call: Call[NoBody]) -> object:
    raise KeyError("a defect")


async def raw(_request: Request, _ports: Ports, _caller: Caller | None) -> Response:
    return PlainTextResponse("bytes")


ROUTES = (
    Route("/fine", fine),
    Route("/refused", refused),
    Route("/broken", broken),
    RawRoute("/raw", raw, methods=("GET",), auth=False),
)


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    settings = GatewaySettings()
    services = services_over(ports_of(), settings)
    application = RestApplication(settings, services, TokenIsUserId(), Metrics(), ErrorTexts({}))
    transport = httpx.ASGITransport(application.build(ROUTES))
    async with httpx.AsyncClient(transport=transport, base_url="http://xinyu.test") as http:
        yield http


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/fine", 200),
        ("POST", "/refused", 400),
        ("POST", "/broken", 500),
        ("GET", "/raw", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/fine", 404),
        ("GET", "/ping", 200),
    ],
)
async def test_every_answer_has_the_trace_id_of_its_request(method: str, path: str, status: int) -> None:
    async with client() as http:
        with followed():
            answer = await http.request(method, path, headers={"X-Trace-ID": TRACE, "Authorization": "Bearer 7"})
            unasked = await http.request(method, path, headers={"X-Trace-ID": "x" * 65, "Authorization": "Bearer 7"})
    assert (answer.status_code, answer.headers["X-Trace-ID"]) == (status, TRACE)
    assert len(unasked.headers["X-Trace-ID"]) == 32
    assert unasked.headers["X-Trace-ID"] not in (TRACE, "x" * 32)


async def test_a_request_is_one_line_at_its_end() -> None:
    async with client() as http:
        with followed() as lines:
            await http.post("/fine", headers={"X-Trace-ID": TRACE, "Authorization": "Bearer 7"})
            await http.post("/fine")
    known, unknown = named(lines, "request done")
    assert (known["route"], known["status"], known["uid"], known["trace_id"]) == ("POST /fine", 200, 7, TRACE)
    assert known["duration_ms"] > 0
    assert (unknown["status"], unknown["uid"]) == (401, None)


async def test_a_defect_is_told_with_its_trace() -> None:
    async with client() as http:
        with followed() as lines:
            await http.post("/broken", headers={"X-Trace-ID": TRACE, "Authorization": "Bearer 7"})
    (line,) = (line for line in lines if line["log_level"] == "error")
    assert (line["route"], line["trace_id"]) == ("/broken", TRACE)


async def test_a_slow_request_is_told_as_such() -> None:
    async with client() as http:
        with followed(slow_seconds=0.0) as lines:
            await http.get("/raw")
    (line,) = lines
    assert (line["log_level"], line["route"]) == ("warning", "GET /raw")
