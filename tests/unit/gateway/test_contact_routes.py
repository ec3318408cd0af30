"""The contact routes over the real domain: paths, keys, status codes and words of CONTRACT.md section 1.3."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any, cast

import httpx
import pytest

from testkit.clock import ManualClock
from testkit.contacts import ANN, BOB, CID, ContactWorld, RecordingMessage, migrated_database, port_of
from xinyu.contact.settings import ContactSettings
from xinyu.gateway.auth import Authenticator, Caller
from xinyu.gateway.http.app import RestApplication
from xinyu.gateway.http.errors import ErrorTexts
from xinyu.gateway.http.routes import contact, contact_apply, contact_group
from xinyu.gateway.ports import Ports
from xinyu.gateway.services import services_over
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.errors import Unauthenticated, Unavailable
from xinyu.kernel.ids import ConversationId, LoginId, UserId
from xinyu.message.port import ConversationPort
from xinyu.message.types import ConversationView, Ref
from xinyu.telemetry.metrics import Metrics

MODULES = (contact, contact_apply, contact_group)


class TokenIsUserId(Authenticator):
    async def authenticate(self, token: str) -> Caller:
        if not token.isdigit():
            raise Unauthenticated()
        return Caller(UserId(int(token)), LoginId("l" * 32), "web", 1, 0)


class Client:
    """Posts as any user."""

    def __init__(self, http: httpx.AsyncClient, world: ContactWorld) -> None:
        self.http, self.world = http, world

    async def post(self, caller: UserId, path: str, /, **body: Any) -> Any:
        response = await self.raw(caller, path, **body)
        assert response.status_code == 200, response.text
        return response.json()

    async def refused(self, caller: UserId, path: str, /, **body: Any) -> tuple[int, str]:
        response = await self.raw(caller, path, **body)
        content = response.json()
        assert content["code"] == response.status_code and content["data"] is None
        return response.status_code, content["message"]

    async def raw(self, caller: UserId, path: str, /, **body: Any) -> httpx.Response:
        return await self.http.post(f"/api/v1/{path}", json=body, headers={"Authorization": f"Bearer {caller}"})

    async def befriend(self, applicant: UserId, target: UserId) -> Any:
        await self.post(applicant, "contact-apply/create", user_id=target, remark=f"hi {target}")
        items = (await self.post(target, "contact-apply/list"))["items"]
        return await self.post(target, "contact-apply/accept", apply_id=items[0]["id"], remark="")


def ports_over(world: ContactWorld) -> Ports:
    async def open_conversation(_user_id: UserId, ref: Ref) -> ConversationView:
        return ConversationView(ConversationId(7), ref, 1, 0, 1, False, False, None, world.clock.now_ms())

    values: dict[str, Any] = {item.name: None for item in fields(Ports)}
    values |= {
        "contacts": world.contacts,
        "contact_applications": world.applications,
        "contact_groups": world.groups,
        "profiles": world.profiles,
        "presence": world.presence,
        "conversations": port_of(ConversationPort, open=open_conversation),
    }
    return Ports(**values)


@pytest.fixture
async def client(tmp_path: Any) -> AsyncIterator[Client]:
    settings = GatewaySettings()
    async with migrated_database(f"sqlite:///{tmp_path / 'contact.db'}") as database:
        world = ContactWorld(database, ManualClock(), RecordingMessage(), ContactSettings())
        texts = ErrorTexts({code: text for module in MODULES for code, text in module.ERRORS.items()})
        rest = RestApplication(settings, services_over(ports_over(world), settings), TokenIsUserId(), Metrics(), texts)
        app = rest.build([route for module in MODULES for route in module.ROUTES])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(cast(Any, app)), base_url="http://test") as http:
            yield Client(http, world)


async def test_every_route_wants_a_token(client: Client) -> None:
    paths = [route.path for module in MODULES for route in module.ROUTES]
    assert len(paths) == 15
    for path in paths:
        assert (await client.http.post(path, json={})).status_code == 401, path


async def test_applying_and_accepting(client: Client) -> None:
    assert await client.post(ANN, "contact-apply/create", user_id=str(BOB), remark="hi") == {}
    assert await client.post(BOB, "contact-apply/unread-num") == {"num": 1}
    (item,) = (await client.post(BOB, "contact-apply/list"))["items"]
    assert item == {
        "id": item["id"],
        "user_id": ANN,
        "friend_id": BOB,
        "remark": "hi",
        "nickname": "ann",
        "avatar": "",
        "created_at": "2023-11-15 06:13:20",
    }
    answer = await client.post(BOB, "contact-apply/accept", apply_id=item["id"], remark="Annie")
    assert (answer["session"]["talk_mode"], answer["session"]["to_from_id"]) == (1, ANN)
    assert await client.post(BOB, "contact-apply/accept", apply_id=item["id"], remark="Annie") == answer
    assert await client.post(BOB, "contact-apply/list") == {"items": []}
    assert await client.post(BOB, "contact/list") == {
        "items": [
            {
                "user_id": ANN,
                "nickname": "ann",
                "gender": 0,
                "motto": "",
                "avatar": "",
                "remark": "Annie",
                "group_id": 0,
                "is_block": 2,
            }
        ]
    }


async def test_applying_again_is_another_application_unless_it_was_repeated_by_the_client(client: Client) -> None:
    for _ in range(2):
        for _ in range(2):
            assert await client.post(ANN, "contact-apply/create", user_id=BOB, remark="hi") == {}
        (item,) = (await client.post(BOB, "contact-apply/list"))["items"]
        await client.post(BOB, "contact-apply/decline", apply_id=item["id"])
    await client.befriend(ANN, BOB)
    refused = await client.refused(ANN, "contact-apply/create", user_id=BOB, remark="again")
    assert refused == (409, "对方已经是你的好友")
    assert await client.post(ANN, "contact-apply/create", user_id=BOB, remark="hi") == {}


async def test_lists_are_empty_and_never_null(client: Client) -> None:
    for path in ("contact/list", "contact-apply/list", "contact-group/list"):
        assert await client.post(ANN, path) == {"items": []}


async def test_detail_and_search(client: Client) -> None:
    found = await client.post(ANN, "contact/search", mobile=13800000002)
    assert found == {
        "user_id": BOB,
        "mobile": "13800000002",
        "nickname": "bob",
        "avatar": "",
        "gender": 0,
        "motto": "",
    }
    stranger = await client.post(ANN, "contact/detail", user_id=BOB)
    assert stranger == {
        **found,
        "mobile": "",
        "email": "",
        "relation": 1,
        "contact_remark": "",
        "contact_group_id": 0,
        "is_block": 2,
        "online_status": "N",
    }
    await client.befriend(ANN, BOB)
    client.world.online.add(BOB)
    friend = await client.post(ANN, "contact/detail", user_id=BOB)
    assert (friend["relation"], friend["mobile"], friend["online_status"]) == (2, "13800000002", "Y")
    assert (await client.post(ANN, "contact/detail", user_id=ANN))["relation"] == 4
    assert await client.post(ANN, "contact/online-status", user_id=BOB) == {"online_status": "Y"}


async def test_remark_group_block_and_removal(client: Client) -> None:
    await client.befriend(ANN, BOB)
    items = [{"id": 0, "sort": 1, "name": "family"}, {"name": "work"}]
    assert await client.post(ANN, "contact-group/save", items=items) == {}
    work, family = (await client.post(ANN, "contact-group/list"))["items"]
    assert (work["name"], family) == ("work", {"id": family["id"], "name": "family", "sort": 1, "count": 0})
    assert await client.post(ANN, "contact/change-group", user_id=BOB, group_id=family["id"]) == {}
    assert await client.post(ANN, "contact/edit-remark", user_id=BOB, remark="Bobby") == {}
    assert await client.post(ANN, "contact/block", user_id=BOB, action=1) == {}
    detail = await client.post(ANN, "contact/detail", user_id=BOB)
    assert (detail["contact_remark"], detail["contact_group_id"], detail["is_block"]) == ("Bobby", family["id"], 1)
    assert await client.post(ANN, "contact/change-group", user_id=BOB, group_id=0) == {}
    assert await client.post(ANN, "contact/block", user_id=BOB, action=2) == {}
    assert await client.post(ANN, "contact/delete", user_id=BOB) == {}
    assert await client.post(ANN, "contact/list") == {"items": []}
    assert await client.post(ANN, "contact-group/save", items=[]) == {}
    assert await client.post(ANN, "contact-group/list") == {"items": []}


async def test_refusals_have_the_contracts_words_and_are_never_401(client: Client) -> None:
    await client.befriend(ANN, BOB)
    await client.post(CID, "contact-apply/create", user_id=ANN)
    (pending,) = (await client.post(ANN, "contact-apply/list"))["items"]
    expected = {
        ("contact/detail", 99): (404, "获取联系人详情失败"),
        ("contact/online-status", 99): (404, "获取用户在线状态失败"),
        ("contact/online-status", 0): (400, "missing uid"),
        ("contact/edit-remark", CID): (404, "修改联系人备注失败"),
        ("contact/change-group", CID): (404, "修改联系人分组失败"),
        ("contact/delete", CID): (404, "删除联系人失败"),
        ("contact-apply/create", BOB): (409, "对方已经是你的好友"),
        ("contact-apply/create", ANN): (400, "不能对自己进行此操作"),
        ("contact-apply/create", 99): (404, "用户不存在"),
    }
    for (path, user_id), refusal in expected.items():
        assert await client.refused(ANN, path, user_id=user_id) == refusal, path
    assert await client.refused(ANN, "contact/search", mobile="13899999999") == (404, "用户不存在")
    assert await client.refused(ANN, "contact/block", user_id=BOB, action=3) == (400, "action must be 1 or 2")
    for path in ("accept", "decline"):
        for user_id, apply_id in ((CID, pending["id"]), (ANN, 999), (ANN, 0)):
            code, _ = await client.refused(user_id, f"contact-apply/{path}", apply_id=apply_id)
            assert code == 404
    assert await client.refused(ANN, "contact-group/save", items=[{"name": ""}]) == (
        400,
        "保存联系人分组失败",
    )
    assert await client.refused(ANN, "contact-group/save", items=[{"id": 5, "name": "x"}]) == (
        404,
        "保存联系人分组失败",
    )
    assert (await client.refused(ANN, "contact-group/save"))[0] == 400


@pytest.mark.parametrize("user_id", [-1, 2**60, 1.5, "x", [1], {"a": 1}, True])
async def test_ids_that_cannot_be_are_refused_before_any_store_sees_them(client: Client, user_id: object) -> None:
    for path in ("contact/detail", "contact-apply/create", "contact/delete", "contact/block"):
        assert (await client.refused(ANN, path, user_id=user_id, action=1))[0] == 400


async def test_an_accept_whose_effect_is_pending_is_a_503_that_can_be_repeated(client: Client) -> None:
    await client.post(ANN, "contact-apply/create", user_id=BOB)
    (item,) = (await client.post(BOB, "contact-apply/list"))["items"]
    client.world.message.failures = [Unavailable()]
    assert await client.refused(BOB, "contact-apply/accept", apply_id=item["id"]) == (503, "操作已提交，稍后生效")
    answer = await client.post(BOB, "contact-apply/accept", apply_id=item["id"])
    assert answer["session"]["to_from_id"] == ANN
