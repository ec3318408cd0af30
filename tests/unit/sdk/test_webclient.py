"""The raw web client does what the pages do, no better."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testkit.fake_gateway import FakeGateway, Peer, record
from testkit.fake_rest import serve_routes
from testkit.waiting import eventually
from webclient import ACKID_COUNT, AckMemory, Pace, WebClient, WebError

ME = 1
QUICK = Pace(scale=0.01, post_timeout=50)


class Api:
    """Two dialogues; `broken` requests to send fail first."""

    def __init__(self) -> None:
        self.broken: list[int] = []
        self.asked: list[tuple[str, Any]] = []

    async def answer(self, request: Request) -> Response:
        path, body = request.path_params["path"], await request.json()
        self.asked.append((path, body))
        match path:
            case "user/setting":
                return JSONResponse({"user_info": {"uid": ME}, "setting": {}})
            case "talk/session-list":
                line = {"id": 5, "talk_mode": 1, "to_from_id": 2, "unread_num": 3}
                return JSONResponse({"items": [line]})
            case "message/records":
                return JSONResponse({"items": [record(2), record(1)], "cursor": 1})
            case "message/send":
                if self.broken:
                    status = self.broken.pop(0)
                    return JSONResponse({"code": status, "message": "no", "data": None}, status)
                return JSONResponse({**record(3, from_id=ME, text=body["body"]["text"]), "msg_id": body["msg_id"]})
        return JSONResponse({})

    def paths(self, path: str) -> list[Any]:
        return [body for asked, body in self.asked if asked == path]


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def page(api: Api, gateway: FakeGateway) -> AsyncIterator[WebClient]:
    routes = [Route("/api/v1/{path:path}", api.answer, methods=["POST"])]
    async with serve_routes(routes) as address, WebClient(address, gateway.ws_url, "t", pace=QUICK) as client:
        yield client


async def started(page: WebClient, gateway: FakeGateway) -> Peer:
    await page.start()
    peer = await gateway.accept()
    await peer.hello()
    await eventually(lambda: page.frames)
    return peer


def message(seq: int, peer: int = 2, **more: Any) -> dict[str, Any]:
    body = record(seq, **more)
    return {"to_from_id": peer, "from_id": body["from_id"], "talk_mode": 1, "body": body}


async def test_it_connects_without_sync_and_keeps_its_own_badge(page: WebClient, gateway: FakeGateway) -> None:
    peer = await started(page, gateway)
    assert peer.query == {"token": "t", "platform": "web"}
    assert page.badges[1, 2] == 3
    await peer.send("im.message", message(2))
    await peer.send("im.message", message(1))  # as it arrives
    await peer.send("im.message", message(3, from_id=ME, text="from my phone"))
    await eventually(lambda: page.texts(1, 2) == ["m2", "m1", "from my phone"])
    assert page.badges[1, 2] == 5


async def test_each_ackid_is_answered_and_shown_once(page: WebClient, gateway: FakeGateway) -> None:
    peer = await started(page, gateway)
    for _ in range(2):
        await peer.send("im.message", message(1), ackid="5.1")
        assert await peer.frame() == {"event": "ack", "ackid": "5.1"}
    await eventually(lambda: page.dropped == ["5.1"])
    assert page.texts(1, 2) == ["m1"]
    assert page.badges[1, 2] == 4


def test_ackids_are_remembered_for_three_minutes() -> None:
    now = 0.0
    memory = AckMemory(lambda: now)
    assert memory.is_new("a") and not memory.is_new("a")
    now = 180
    assert not memory.is_new("a")
    now = 361
    assert memory.is_new("a")
    for number in range(ACKID_COUNT):
        memory.is_new(str(number))
    assert memory.is_new("a")


async def test_an_open_dialogue_has_no_badge(page: WebClient, gateway: FakeGateway, api: Api) -> None:
    peer = await started(page, gateway)
    await page.open(1, 2)
    assert page.badges[1, 2] == 0 and page.texts(1, 2) == ["m1", "m2"]
    assert api.paths("talk/session-clear-unread-num") == [{"talk_mode": 1, "to_from_id": 2}]
    await peer.send("im.message", message(3))
    await peer.send("im.message", message(4, peer=ME))  # to_from_id is its own id: the sender's dialogue
    await eventually(lambda: page.texts(1, 2) == ["m1", "m2", "m3", "m4"])
    assert page.badges[1, 2] == 0


async def test_its_own_messages_are_not_inserted_twice(page: WebClient, gateway: FakeGateway, api: Api) -> None:
    api.broken = [500, 503]
    peer = await started(page, gateway)
    sent = await page.send_text(1, 2, "hi")
    assert len({body["msg_id"] for body in api.paths("message/send")}) == 1
    assert len(api.paths("message/send")) == 3
    await peer.send("im.message", message(3, from_id=ME, msg_id=sent["msg_id"]))
    await peer.send("im.message", message(4))
    await eventually(lambda: page.texts(1, 2) == ["hi", "m4"])


async def test_a_refusal_is_raised_after_the_last_try(page: WebClient, gateway: FakeGateway, api: Api) -> None:
    api.broken = [400] * 7
    await started(page, gateway)
    with pytest.raises(WebError, match="400 no"):
        await page.send_text(1, 2, "hi")
    assert len(api.paths("message/send")) == 7


async def test_a_failed_post_is_repeated_once(gateway: FakeGateway) -> None:
    connections = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, WebClient(f"http://127.0.0.1:{port}", gateway.ws_url, "t", pace=QUICK) as page:
        with pytest.raises(httpx.TransportError):
            await page.post("user/setting")
    assert connections == 2


@pytest.mark.parametrize("code", [1001, 1011, 3500, 4401, 4999])
async def test_it_reconnects_on_any_code(page: WebClient, gateway: FakeGateway, code: int) -> None:
    peer = await started(page, gateway)
    await peer.close(code)
    again = await gateway.accept()
    again.abort()
    await gateway.accept()
    await eventually(lambda: page.opens == 3)
    assert not page.stopped


async def test_only_1000_stops_it(page: WebClient, gateway: FakeGateway) -> None:
    peer = await started(page, gateway)
    await peer.send("event_error", {"error_code": 401, "error_message": "unauthorized"})
    await peer.close(1000)
    await eventually(lambda: page.stopped)
    assert page.errors == [{"error_code": 401, "error_message": "unauthorized"}]


async def test_recalls_reloads_and_unknown_dialogues(page: WebClient, gateway: FakeGateway, api: Api) -> None:
    peer = await started(page, gateway)
    await peer.send("im.message", message(1))
    await peer.send("im.message", message(1, peer=7, from_id=7))
    await peer.send("im.message.revoke", {"talk_mode": 1, "to_from_id": 2, "from_id": 2, "msg_id": f"{1:032x}"})
    await eventually(lambda: page.shown[1, 2] and page.shown[1, 2][0]["is_revoked"] == 1)
    await eventually(lambda: api.paths("talk/session-create") == [{"talk_mode": 1, "to_from_id": 7}])
    assert page.badges[1, 7] == 1
    await peer.send("im.session.reload")
    await eventually(lambda: len(api.paths("talk/session-list")) == 2 and page.badges[1, 2] == 3)
    await peer.send("ping")
    assert await peer.frame() == {"event": "pong", "payload": None}
