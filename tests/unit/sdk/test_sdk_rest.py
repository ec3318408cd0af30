"""REST: the envelope, errors, log-in with an encrypted password, typed calls."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from testkit.fake_gateway import record
from testkit.fake_rest import serve_routes
from xinyu.sdk import ApiError, Client, ConnectionLost, ContractViolation, Options, Talk

Answers = dict[str, Any]


class Api:
    """Answers what the test says, and remembers what was asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Any, str]] = []

    async def __call__(self, request: Request) -> Response:
        path = request.path_params["path"]
        self.asked.append((path, await request.json(), request.headers.get("authorization", "")))
        answer = self.answers[path]
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    @property
    def routes(self) -> list[Route]:
        async def answer(request: Request) -> Response:
            return await self(request)

        return [Route("/api/v1/{path:path}", answer, methods=["POST"])]


async def test_log_in_keeps_the_token(tmp_path: object) -> None:
    api = Api({"auth/login": {"type": "Bearer", "access_token": "new", "expires_in": 60}, "user/detail": {"id": 7}})
    async with serve_routes(api.routes) as address, Client(address) as client:
        login = await client.login("138", "pass")
        assert (login.access_token, login.expires_in, client.token) == ("new", 60, "new")
        assert (await client.user.detail()).id == 7
    assert api.asked == [
        ("auth/login", {"mobile": "138", "password": "pass", "platform": "app"}, ""),
        ("user/detail", {}, "Bearer new"),
    ]


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
async def test_the_password_travels_encrypted_when_a_key_is_given(form: PublicFormat) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.public_key().public_bytes(Encoding.PEM, form).decode()
    api = Api({"auth/register": {"access_token": "new", "expires_in": 60}})
    async with (
        serve_routes(api.routes) as address,
        Client(address, options=Options(public_key_pem=pem)) as client,
    ):
        await client.register("138", "密码 pass", "Ann", "123456")
    sealed = api.asked[0][1]["password"]
    assert key.decrypt(base64.b64decode(sealed), padding.PKCS1v15()).decode() == "密码 pass"


async def test_errors() -> None:
    answers: Answers = {
        "contact/detail": JSONResponse({"code": 400, "message": "不行", "data": None}, 400),
        "contact/list": PlainTextResponse("<html>", 502),
        "group/list": JSONResponse({"code": 429, "message": "slow", "data": None}, 429, headers={"Retry-After": "3"}),
        "user/setting": PlainTextResponse("not json"),
        "user/detail": {"nickname": "no id"},
    }
    async with serve_routes(Api(answers).routes) as address, Client(address, "t") as client:
        with pytest.raises(ApiError) as caught:
            await client.contacts.detail(3)
        assert (caught.value.status, caught.value.message, caught.value.temporary) == (400, "不行", False)
        with pytest.raises(ApiError) as caught:
            await client.contacts.list()
        assert (caught.value.status, caught.value.temporary) == (502, True)
        with pytest.raises(ApiError) as caught:
            await client.groups.list()
        assert caught.value.retry_after_ms == 3000
        for call in (client.user.settings, client.user.detail):
            with pytest.raises(ContractViolation):
                await call()


async def test_an_unreachable_server() -> None:
    async with serve_routes([]) as address:
        pass
    async with Client(address, "t") as client:
        with pytest.raises(ConnectionLost) as caught:
            await client.post("user/detail")
    assert "t" not in str(caught.value).split()


async def test_typed_answers() -> None:
    session = {"id": 5, "talk_mode": 1, "to_from_id": 2, "is_top": 2, "unread_num": 1, "name": "Bob", "unknown": 1}
    answers: Answers = {
        "contact/list": {"items": [{"user_id": 2, "nickname": "Bob", "group_id": 0}]},
        "contact-apply/accept": {"session": session},
        "contact-apply/unread-num": {"num": 3},
        "contact/online-status": {"online_status": "Y"},
        "group/create": {"group_id": 9},
        "group/member-list": {"items": [{"user_id": 2, "leader": 1}], "list": []},
        "group/mute": {},
        "talk/session-list": {"items": [session]},
        "talk/session-create": {**session, "is_online": "Y"},
        "message/records": {"items": [record(9), record(8)], "cursor": 8},
        "message/revoke": None,
        "user/setting": {"user_info": {"uid": 1}, "setting": {"theme_mode": "dark"}},
        "message/sync": {"items": [], "more": False},
    }
    api = Api(answers)
    bob = Talk.user(2)
    async with serve_routes(api.routes) as address, Client(address, "t") as client:
        assert [contact.nickname for contact in await client.contacts.list()] == ["Bob"]
        opened = await client.contacts.accept(4)
        assert opened is not None and opened.talk == bob
        assert await client.contacts.application_count() == 3
        assert await client.contacts.online(2)
        assert await client.groups.create("g", [2]) == 9
        assert [(member.user_id, member.leader) for member in await client.groups.members(9)] == [(2, 1)]
        await client.groups.mute(9, True)
        assert [line.name for line in await client.talks.list()] == ["Bob"]
        assert (await client.talks.open(bob)).is_online == "Y"
        assert [message.seq for message in await client.messages.records(bob, limit=2)] == [9, 8]
        await client.messages.recall(bob, "a" * 32)
        assert (await client.user.settings()).theme_mode == "dark"
        assert not (await client.messages.sync({5: 9})).more
    asked = {path: body for path, body, _ in api.asked}
    assert asked["group/mute"] == {"group_id": 9, "action": 1}
    assert asked["message/revoke"] == {"talk_mode": 1, "to_from_id": 2, "msg_id": "a" * 32}
    assert asked["message/sync"] == {"cursors": {"5": 9}}
