"""Every route and event against every kind of caller (G11): testkit.access has the table.

Refused callers ask first; then everything stored and pushed must be as it was. No answer, refused or not, may show a
caller what is not his.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import httpx
import pytest
import pytest_asyncio

from testkit.access import EVENT_ROWS, LOST, NONE, OK, ROUTE_ROWS, Row
from testkit.access_scene import KINDS, LOCKED_OUT, AccessWorld, Scene, application_of
from testkit.hostile import check_text
from testkit.sockets import socket_world
from xinyu.gateway.routes import EVENTS, ROUTES

pytestmark = [pytest.mark.whole, pytest.mark.asyncio(loop_scope="module")]
API = "/api/v1/"
Ask = Callable[[AccessWorld, Scene, Row, str], Awaitable[str]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def access(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AccessWorld]:
    folder = tmp_path_factory.mktemp("access")
    unlimited = {"requests_per_minute_per_user": 0, "requests_per_minute_per_ip": 0}
    async with socket_world(folder, cursor_flush_seconds=3600, **unlimited) as world:
        transport = httpx.ASGITransport(application_of(world))
        async with httpx.AsyncClient(transport=transport, base_url="http://xinyu.test") as http:
            made = AccessWorld(world, folder, http)
            await made.settle()
            yield made


async def test_nothing_is_left_out() -> None:
    """A new route or event fails here until somebody says who may use it."""
    needs_token = {route.path.removeprefix(API): route.auth for route in ROUTES}
    assert {row.name: row.needs_token for row in ROUTE_ROWS} == needs_token
    assert {row.name for row in EVENT_ROWS} == set(EVENTS)
    for row in (*ROUTE_ROWS, *EVENT_ROWS):
        assert set(row.outcomes) == set(KINDS), row


@pytest.mark.parametrize("row", ROUTE_ROWS, ids=str)
async def test_route(access: AccessWorld, row: Row) -> None:
    scene = await access.scene()
    locked_out = dict.fromkeys(LOCKED_OUT, LOST if row.needs_token else row.outcomes["stranger"])
    await _check(access, scene, replace(row, outcomes={**locked_out, **row.outcomes}), _ask)


@pytest.mark.parametrize("row", EVENT_ROWS, ids=str)
async def test_event(access: AccessWorld, row: Row) -> None:
    await _check(access, await access.scene(), row, _ask_socket)


async def test_without_a_good_token_there_is_no_socket_to_ask_on(access: AccessWorld) -> None:
    scene = await access.scene()
    for kind in LOCKED_OUT:
        socket = await access.locked_out(kind)
        assert [frame["event"] for frame in socket.frames] == ["event_error"]
        assert (socket.frames[0]["payload"]["error_code"], socket.close_code) == (401, 4401)
        _check_shown(json.dumps(socket.frames), scene, kind, "")


async def _check(access: AccessWorld, scene: Scene, row: Row, ask: Ask) -> None:
    """Whom nothing is given first, in one go; then the others, who may change what they ask for."""
    found: dict[str, str] = {}
    before = await access.state()
    for kind, outcome in row.outcomes.items():
        if outcome != OK:
            found[kind] = await ask(access, scene, row, kind)
    assert found == {
        kind: OK if outcome == NONE else outcome for kind, outcome in row.outcomes.items() if kind in found
    }
    assert await access.state() == before
    for kind in reversed([kind for kind, outcome in row.outcomes.items() if outcome == OK]):
        answer = await ask(access, scene, row, kind)
        assert answer == OK, (kind, answer)


async def _ask(access: AccessWorld, scene: Scene, row: Row, kind: str) -> str:
    path = scene.image_url if row.name.startswith("/") else API + row.name
    if row.form is not None:
        answer = await access.ask_form(kind, path, *row.form(scene))
    else:
        answer = await access.ask(kind, path, row.body(scene, kind), row.get)
    if answer.headers.get("content-type") == "application/json":
        _check_shown(answer.text, scene, kind, row.given)
    if answer.status_code == 200:
        return OK
    told = answer.json()
    assert (told["code"], told["data"]) == (answer.status_code, None)
    return f"{answer.status_code} {told['error']}"


async def _ask_socket(access: AccessWorld, scene: Scene, row: Row, kind: str) -> str:
    frame = await access.ask_socket(kind, row.name, row.body(scene, kind))
    _check_shown(json.dumps(frame), scene, kind, row.given)
    told = frame["payload"]
    return OK if frame["event"] == "reply" else f"{told['code']} {told['error']}"


def _check_shown(text: str, scene: Scene, kind: str, given: str) -> None:
    check_text(text)
    known = str(getattr(scene, given)) if given else ""
    shown = [secret for secret in scene.secrets_from(kind) if secret in text and secret != known]
    assert not shown, f"{kind} reads {shown} in {text[:500]}"
