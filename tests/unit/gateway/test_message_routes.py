"""Routes of messages and conversations over the real domain: CONTRACT.md sections 1.4, 1.5 and 2.6."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from testkit.rest import RestClient, rest_client
from testkit.talks import ANN, BOB, CID, CROWD, DAN, TalkWorld, media_object, talk_world
from testkit.waiting import eventually
from xinyu.gateway.http.routes import message, talk
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.ids import DeviceId, GroupId, UserId, new_msg_id
from xinyu.media.types import Emoticon
from xinyu.message.types import DeviceCursor, EffectEvent, EntryType

TO_BOB = {"talk_mode": 1, "to_from_id": BOB}
TO_ANN = {"talk_mode": 1, "to_from_id": ANN}
TO_CROWD = {"talk_mode": 2, "to_from_id": CROWD}


class Rest:
    """A world and its clients."""

    def __init__(self, world: TalkWorld, client: RestClient) -> None:
        self.world, self.client = world, client

    async def post(self, user_id: UserId, path: str, body: dict[str, Any]) -> Any:
        return await self.client.post(user_id, path, body)

    async def refused(self, user_id: UserId, path: str, body: dict[str, Any], status: int) -> str:
        answer = await self.client.post(user_id, path, body, status)
        assert answer["code"] == status and answer["data"] is None
        return str(answer["message"])

    async def say(self, user_id: UserId, talk: dict[str, Any], text: str, **more: Any) -> Any:
        body = {"type": "text", "body": {"text": text, "content": text}, **talk, **more}
        return await self.post(user_id, "message/send", body)

    async def texts(self, user_id: UserId, talk: dict[str, Any], **more: Any) -> list[str]:
        page = await self.post(user_id, "message/records", {**talk, **more})
        return [json.loads(item["extra"]).get("content") for item in page["items"]]


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    settings = GatewaySettings()
    async with (
        talk_world(tmp_path, settings) as world,
        rest_client(world.ports, [*message.ROUTES, *talk.ROUTES], message.ERRORS, settings) as client,
    ):
        yield Rest(world, client)


async def test_a_send_answers_with_the_whole_record_and_repeats_it(rest: Rest) -> None:
    msg_id = new_msg_id()
    first = await rest.say(ANN, TO_BOB, "hi", msg_id=msg_id.upper())
    assert {**first, "send_time": ""} == {
        "msg_id": msg_id, "sequence": 1, "msg_type": 1, "from_id": ANN, "nickname": "ann", "avatar": "/media/ann.png",
        "is_revoked": 2, "status": 1, "send_time": "", "extra": '{"content":"hi"}', "quote": "{}",
        "talk_id": first["talk_id"],
    }  # fmt: skip
    assert await rest.say(ANN, TO_BOB, "hi", msg_id=msg_id) == first
    (pushed,) = await eventually(lambda: [e for e in rest.world.pushed() if e.msg_id == msg_id])
    assert (pushed.sender_name, pushed.sender_avatar) == ("ann", "/media/ann.png")
    assert rest.world.pushes[-1].origin_session is None
    assert (
        await rest.refused(
            ANN, "message/send", {"type": "text", "body": {"text": "other"}, "msg_id": msg_id, **TO_BOB}, 409
        )
        == message.ERRORS["message.id_conflict"]
    )


async def test_without_a_msg_id_the_gateway_gives_one(rest: Rest) -> None:
    ids = {(await rest.say(ANN, TO_BOB, "hi"))["msg_id"] for _ in range(2)}
    assert len(ids) == 2 and all(len(id_) == 32 for id_ in ids)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"body": "text"}, "body 必须是 JSON 对象"),
        ({"body": None}, "body 必须是 JSON 对象"),
        ({"type": "telepathy"}, "未知消息类型"),
        ({"type": "login"}, "未知消息类型"),
        ({"type": ""}, "未知消息类型"),
        ({"msg_id": "xyz"}, "msg_id 必须为32位HEX字符串"),
        ({"body": {"text": "  "}}, "消息内容不能为空"),
        ({"body": {}}, "消息内容不能为空"),
        ({"body": {"text": None}}, "消息内容不能为空"),
        ({"body": {"text": 123}}, "消息内容不能为空"),
        ({"talk_mode": 0}, "非法会话类型"),
        ({"talk_mode": 3}, "非法会话类型"),
        ({"to_from_id": 0}, "会话对象不正确"),
        ({"type": "forward", "body": {"msg_ids": "x", "user_ids": [2]}}, "msg_ids 格式错误"),
        ({"type": "forward", "body": {"msg_ids": [], "user_ids": [2]}}, "msg_ids 格式错误"),
        ({"type": "forward", "body": {"action": 3, "msg_ids": ["a" * 32], "user_ids": [2]}}, "action 必须为 1 或 2"),
        ({"quote_id": "b" * 32}, "引用的消息不存在"),
    ],
)
async def test_a_bad_request_to_send_is_told_why(rest: Rest, change: dict[str, Any], words: str) -> None:
    assert (
        await rest.refused(ANN, "message/send", {"type": "text", "body": {"text": "x"}, **TO_BOB, **change}, 400)
        == words
    )


async def test_a_stranger_gets_status_3_and_nothing_is_stored(rest: Rest) -> None:
    answer = await rest.say(DAN, TO_ANN, "hello")
    assert (answer["status"], answer["sequence"]) == (3, 0)
    assert json.loads(answer["extra"]) == {"content": "hello", "invalid": True, "invalid_reason": "not_friend"}
    assert await rest.texts(DAN, TO_ANN) == []


async def test_a_stranger_to_a_group_may_not_send(rest: Rest) -> None:
    body = {"type": "text", "body": {"text": "x"}, **TO_CROWD}
    assert await rest.refused(DAN, "message/send", body, 403) == "你不在该会话中"


async def test_mentions_may_be_numeric_strings_and_voice_is_audio(rest: Rest) -> None:
    body = {"content": "hi @bob", "mentions": [str(BOB), CID]}
    sent = await rest.post(ANN, "message/send", {"type": "text", "body": body, **TO_CROWD})
    assert json.loads(sent["extra"]) == {"content": "hi @bob", "mentions": [BOB, CID]}
    voice = await rest.post(ANN, "message/send", {"type": "voice", "body": {"url": "/media/v.mp3"}, **TO_CROWD})
    assert voice["msg_type"] == EntryType.AUDIO


async def test_an_emoticon_becomes_an_image(rest: Rest) -> None:
    rest.world.emoticons[ANN, 5] = Emoticon(5, media_object(ANN, "cat.png"))
    body: dict[str, Any] = {"type": "emoticon", "body": {"emoticon_id": "5"}, **TO_BOB}
    sent = await rest.post(ANN, "message/send", body)
    assert sent["msg_type"] == EntryType.IMAGE
    assert json.loads(sent["extra"]) == {"url": "/media/cat.png", "width": 20, "height": 10, "size": 321}
    await rest.refused(ANN, "message/send", {**body, "body": {"emoticon_id": 6}}, 404)


async def test_a_file_message_says_what_the_upload_is(rest: Rest) -> None:
    rest.world.uploads[ANN, "u1"] = media_object(ANN, "plan.pdf")
    sent = await rest.post(ANN, "message/send", {"type": "file", "body": {"upload_id": "u1"}, **TO_BOB})
    extra = json.loads(sent["extra"])
    assert (extra["name"], extra["size"], extra["path"]) == ("plan.pdf", 321, "/media/plan.pdf")
    await rest.refused(BOB, "message/send", {"type": "file", "body": {"upload_id": "u1"}, **TO_ANN}, 400)


async def test_a_reply_carries_what_it_quotes(rest: Rest) -> None:
    first = await rest.say(BOB, TO_ANN, "question")
    reply = await rest.say(ANN, TO_BOB, "answer", quote_id=first["msg_id"])
    quote = json.loads(reply["quote"])
    assert (quote["quote_id"], quote["from_id"], quote["content"]) == (first["msg_id"], BOB, "question")
    assert quote["nickname"] == "bob"


async def test_records_are_read_downwards_by_cursor(rest: Rest) -> None:
    for number in range(5):
        await rest.say(ANN, TO_BOB, str(number))
    page = await rest.post(BOB, "message/records", {**TO_ANN, "limit": 2})
    assert [item["sequence"] for item in page["items"]] == [5, 4]
    assert {item["nickname"] for item in page["items"]} == {"ann"}
    assert page["cursor"] == 4
    assert await rest.texts(BOB, TO_ANN, cursor=4, limit="200") == ["2", "1", "0"]
    empty = await rest.post(BOB, "message/records", {**TO_ANN, "cursor": 1})
    assert empty == {"items": [], "cursor": 1}
    assert await rest.post(DAN, "message/records", TO_ANN) == {"items": [], "cursor": 0}
    assert await rest.refused(BOB, "message/records", {"to_from_id": ANN}, 400) == "非法会话类型"


async def test_history_is_filtered_before_it_is_cut(rest: Rest) -> None:
    await rest.post(ANN, "message/send", {"type": "code", "body": {"lang": "py", "code": "1"}, **TO_BOB})
    for number in range(5):
        await rest.say(ANN, TO_BOB, str(number))
    found = await rest.post(BOB, "message/history-records", {**TO_ANN, "msg_type": 2, "limit": 2})
    assert [item["msg_type"] for item in found["items"]] == [2]
    for impossible in (2**63, -1):
        await rest.refused(BOB, "message/history-records", {**TO_ANN, "msg_type": impossible}, 400)
    everything = await rest.post(BOB, "message/history-records", {**TO_ANN, "msg_type": 0})
    assert len(everything["items"]) == 6


async def test_a_recalled_message_stays_without_its_content(rest: Rest) -> None:
    sent = await rest.say(ANN, TO_BOB, "oops")
    await rest.say(ANN, TO_BOB, "better")
    revoke = {**TO_BOB, "msg_id": sent["msg_id"]}
    assert await rest.refused(BOB, "message/revoke", {**revoke, **TO_ANN}, 403) == "无权限撤回"
    assert await rest.post(ANN, "message/revoke", revoke) == {}
    assert await rest.post(ANN, "message/revoke", revoke) == {}
    items = (await rest.post(BOB, "message/records", TO_ANN))["items"]
    assert [(item["sequence"], item["is_revoked"], item["extra"]) for item in items] == [
        (2, 2, '{"content":"better"}'), (1, 1, "{}"),
    ]  # fmt: skip
    recall = await eventually(lambda: [e for e in rest.world.pushed() if e.type == EntryType.RECALLED])
    assert json.loads(recall[0].content)["owner_name"] == "ann"
    assert await rest.refused(ANN, "message/revoke", {**TO_BOB, "msg_id": "0" * 32}, 404) == "消息加载失败"


async def test_a_recall_comes_too_late(rest: Rest) -> None:
    sent = await rest.say(ANN, TO_BOB, "old")
    rest.world.clock.jump(3600)
    words = await rest.refused(ANN, "message/revoke", {**TO_BOB, "msg_id": sent["msg_id"]}, 400)
    assert words == message.ERRORS["message.recall_too_late"]


async def test_deleting_hides_from_oneself_alone(rest: Rest) -> None:
    sent = await rest.say(ANN, TO_BOB, "one")
    await rest.say(ANN, TO_BOB, "two")
    assert await rest.post(BOB, "message/delete", {**TO_ANN, "msg_ids": [sent["msg_id"]]}) == {}
    assert await rest.texts(BOB, TO_ANN) == ["two"]
    assert await rest.texts(ANN, TO_BOB) == ["two", "one"]
    assert await rest.refused(BOB, "message/delete", {**TO_ANN, "msg_ids": "x"}, 400) == "msg_ids 格式错误"


async def test_status_is_the_senders_and_of_messages_that_are_there(rest: Rest) -> None:
    sent = await rest.say(ANN, TO_BOB, "hi")
    body = {**TO_BOB, "msg_id": sent["msg_id"], "status": 1}
    assert await rest.post(ANN, "message/status", body) == {}
    assert await rest.refused(BOB, "message/status", {**body, **TO_ANN}, 403) == "无权限更新消息状态"
    assert await rest.refused(ANN, "message/status", {**body, "status": 4}, 400) == "status 必须为 1、2 或 3"
    assert await rest.refused(ANN, "message/status", {**body, "to_from_id": 0}, 400) == "会话对象不正确"
    assert await rest.refused(ANN, "message/status", {**body, **TO_CROWD}, 404) == "消息加载失败"


async def test_status_of_what_was_not_stored_is_taken_and_tells_nothing(rest: Rest) -> None:
    """Web clients report 1, then 3, after a send that its receiver does not accept; an error would be on the screen."""
    refused = await rest.say(DAN, TO_ANN, "hello")
    for status in (1, 3):
        body = {**TO_ANN, "msg_id": refused["msg_id"], "status": status}
        assert await rest.post(DAN, "message/status", body) == {}
    others = await rest.say(BOB, TO_ANN, "not for Dan")
    assert await rest.post(DAN, "message/status", {**TO_ANN, "msg_id": others["msg_id"], "status": 3}) == {}
    (shown,) = (await rest.post(BOB, "message/records", TO_ANN))["items"]
    assert shown["status"] == 1


async def test_forwarding_merged_shows_names_and_lets_its_readers_read(rest: Rest) -> None:
    ids = [(await rest.say(BOB, TO_ANN, text))["msg_id"] for text in ("one", "two")]
    body = {"action": 2, "msg_ids": ids, "user_ids": [CID], "group_ids": [CROWD]}
    answer = await rest.post(ANN, "message/send", {"type": "forward", "body": body, **TO_BOB})
    assert [(item["ok"], item["to_talk_mode"], item["to_id"]) for item in answer["items"]] == [
        (True, 1, CID), (True, 2, CROWD),
    ]  # fmt: skip
    (got,) = (await rest.post(CID, "message/records", TO_ANN))["items"]
    assert (got["msg_type"], got["msg_id"]) == (9, answer["items"][0]["msg_id"])
    assert json.loads(got["extra"]) == {
        "msg_ids": ids,
        "records": [{"from_id": BOB, "content": text, "nickname": "bob"} for text in ("one", "two")],
    }
    opened = await rest.post(CID, "message/forward-records", {"talk_mode": 1, "msg_ids": ids[::-1]})
    assert [json.loads(item["extra"])["content"] for item in opened["items"]] == ["two", "one"]
    assert (await rest.post(DAN, "message/forward-records", {"talk_mode": 1, "msg_ids": ids}))["items"] == []
    assert await rest.refused(CID, "message/forward-records", {"msg_ids": ["x"]}, 400) == "msg_ids 格式错误"


async def test_forwarding_one_by_one_keeps_types_and_a_repetition_sends_nothing_twice(rest: Rest) -> None:
    code = await rest.post(BOB, "message/send", {"type": "code", "body": {"code": "1"}, **TO_ANN})
    text = await rest.say(BOB, TO_ANN, "two")
    body = {"action": 1, "msg_ids": [code["msg_id"], text["msg_id"]], "user_ids": [CID, DAN]}
    request = {"type": "forward", "body": body, **TO_BOB}
    answer = await rest.post(ANN, "message/send", request)
    assert [item["ok"] for item in answer["items"]] == [True, True, False, False]
    assert answer["items"][2]["err"] == "对方已不是你的好友"
    assert await rest.post(ANN, "message/send", request) == answer  # the client's automatic repetition
    with_id = {**request, "msg_id": new_msg_id()}
    assert (await rest.post(ANN, "message/send", with_id))["items"][0]["msg_id"] != answer["items"][0]["msg_id"]
    items = (await rest.post(CID, "message/records", TO_ANN))["items"]
    assert [item["msg_type"] for item in items] == [1, 2, 1, 2]


async def test_a_forward_without_targets_goes_to_its_own_conversation(rest: Rest) -> None:
    sent = await rest.say(BOB, TO_ANN, "one")
    body = {"action": 2, "msg_ids": [sent["msg_id"]]}
    answer = await rest.post(ANN, "message/send", {"type": "forward", "body": body, "talk_mode": 1, "to_from_id": CID})
    assert (answer["msg_type"], answer["nickname"]) == (9, "ann")
    assert json.loads(answer["extra"])["records"][0]["nickname"] == "bob"
    elsewhere = {"type": "forward", "body": body, "talk_mode": 2, "to_from_id": 77}
    assert await rest.refused(ANN, "message/send", elsewhere, 403) == "你不在该会话中"


@pytest.mark.parametrize(
    "lists", [{"user_ids": [], "group_ids": []}, {"user_ids": [], "group_ids": None}, {"group_ids": []}]
)
@pytest.mark.parametrize("action", [1, 2])
async def test_a_forward_to_nobody_goes_to_nobody(rest: Rest, action: int, lists: dict[str, Any]) -> None:
    sent = await rest.say(BOB, TO_ANN, "one")
    body = {"action": action, "msg_ids": [sent["msg_id"]], **lists}
    assert await rest.post(ANN, "message/send", {"type": "forward", "body": body, **TO_BOB}) == {"items": []}
    assert await rest.texts(BOB, TO_ANN) == ["one"]


async def test_a_forward_of_too_many_messages_is_refused_and_not_cut(rest: Rest) -> None:
    ids = [new_msg_id() for _ in range(100)] + [(await rest.say(BOB, TO_ANN, "one"))["msg_id"]]
    body = {"action": 1, "msg_ids": ids, "user_ids": [CID]}
    request = {"type": "forward", "body": body, **TO_BOB}
    assert await rest.refused(ANN, "message/send", request, 400) == "一次最多转发 100 条消息给 50 个会话"
    body["msg_ids"] = ids[1:]
    assert [item["ok"] for item in (await rest.post(ANN, "message/send", request))["items"]] == [True]


async def test_sends_are_limited_per_user(tmp_path: Path) -> None:
    settings = GatewaySettings(sends_per_second_per_user=2)
    async with (
        talk_world(tmp_path, settings) as world,
        rest_client(world.ports, message.ROUTES, message.ERRORS, settings) as client,
    ):
        rest = Rest(world, client)
        for _ in range(2):
            await rest.say(ANN, TO_BOB, "hi")
        body = {"type": "text", "body": {"text": "hi"}, **TO_BOB}
        assert await rest.refused(ANN, "message/send", body, 429) == "操作过于频繁，请稍后再试"
        await rest.say(BOB, TO_ANN, "hi")


async def test_a_forward_counts_as_what_it_sends(tmp_path: Path) -> None:
    settings = GatewaySettings(sends_per_second_per_user=3)
    async with (
        talk_world(tmp_path, settings) as world,
        rest_client(world.ports, message.ROUTES, message.ERRORS, settings) as client,
    ):
        rest = Rest(world, client)
        ids = [(await rest.say(BOB, TO_ANN, text))["msg_id"] for text in ("one", "two")]
        body = {"action": 1, "msg_ids": ids, "user_ids": [CID], "group_ids": [CROWD]}
        answer = await rest.post(ANN, "message/send", {"type": "forward", "body": body})
        assert [item["ok"] for item in answer["items"]] == [True] * 4
        assert await rest.refused(ANN, "message/send", {"type": "text", "body": {"text": "hi"}, **TO_BOB}, 429)
        await rest.refused(ANN, "message/send", {"type": "forward", "body": {**body, "user_ids": [CID] * 51}}, 400)


async def test_polling_gets_what_a_device_has_not(rest: Rest) -> None:
    sent = await rest.say(ANN, TO_BOB, "one")
    await rest.say(ANN, TO_BOB, "two")
    page = await rest.post(BOB, "message/sync", {"cursors": {str(sent["talk_id"]): 1}})
    (item,) = [item for item in page["items"] if item["talk_id"] == sent["talk_id"]]
    assert {**item, "messages": []} == {
        "talk_id": sent["talk_id"], "talk_mode": 1, "to_from_id": ANN, "last_seq": 2, "read_seq": 0, "unread_num": 2,
        "messages": [], "more": False, "cursor": 1,
    }  # fmt: skip
    assert [(m["sequence"], m["nickname"]) for m in item["messages"]] == [(2, "ann")]
    assert page["more"] is False
    nothing = await rest.post(BOB, "message/sync", {"cursors": {str(sent["talk_id"]): 2}, "limit": 10})
    assert [i["messages"] for i in nothing["items"] if i["talk_id"] == sent["talk_id"]] in ([], [[]])


@pytest.mark.parametrize(("device_id", "brought"), [("", []), ("phone", [1, 2]), ("é", []), ("x" * 101, [])])
async def test_what_is_no_name_of_a_device_polls_as_its_login(rest: Rest, device_id: str, brought: list[int]) -> None:
    for text in ("one", "two"):
        talk_id = (await rest.say(ANN, TO_BOB, text))["talk_id"]
    await rest.world.ports.devices.move_cursors([DeviceCursor(BOB, DeviceId("0" * 32), talk_id, 2)])
    page = await rest.post(BOB, "message/sync", {"device_id": device_id})
    found = [item["messages"] for item in page["items"] if item["talk_id"] == talk_id]
    assert [message["sequence"] for messages in found for message in messages] == brought


async def test_the_list_shows_names_previews_and_badges(rest: Rest) -> None:
    rest.world.remarks[BOB, ANN] = "boss"
    await rest.say(ANN, TO_BOB, "hi")
    rest.world.clock.jump(1)
    await rest.post(ANN, "message/send", {"type": "image", "body": {"url": "/media/x.png"}, **TO_CROWD})
    items = (await rest.post(BOB, "talk/session-list", {}))["items"]
    crowd, ann = items
    assert {**ann, "id": 0, "updated_at": ""} == {
        "id": 0, "talk_mode": 1, "to_from_id": ANN, "is_top": 2, "is_disturb": 2, "is_robot": 2, "name": "ann",
        "avatar": "/media/ann.png", "remark": "boss", "unread_num": 1, "msg_text": "hi", "updated_at": "",
    }  # fmt: skip
    assert ann["updated_at"] == "2023-11-15 06:13:20"
    assert (crowd["talk_mode"], crowd["name"], crowd["avatar"]) == (2, "group 50", "/media/g.png")
    assert (crowd["msg_text"], crowd["remark"]) == ("[图片消息]", "")


async def test_the_list_of_200_conversations_takes_a_fixed_number_of_calls(rest: Rest) -> None:
    world = rest.world
    for number in range(100):
        await world.befriend(DAN, UserId(1000 + number))
        await world.gather(
            GroupId(2000 + number), DAN, event=EffectEvent(EntryType.SYSTEM_TEXT, UserId(0), {"content": "x"})
        )
    world.calls.clear()
    items = (await rest.post(DAN, "talk/session-list", {}))["items"]
    assert len(items) == 200
    assert world.calls == {"profiles": 1, "remarks": 1, "groups": 1}


async def test_a_conversation_is_shown_pinned_muted_hidden_and_cleared(rest: Rest) -> None:
    async def listed() -> dict[int, Any]:
        return {item["to_from_id"]: item for item in (await rest.post(BOB, "talk/session-list", {}))["items"]}

    await rest.say(ANN, TO_BOB, "hi")
    assert await rest.post(BOB, "talk/session-top", {**TO_ANN, "action": 1}) == {}
    assert await rest.post(BOB, "talk/session-disturb", {**TO_ANN, "action": 1}) == {}
    before = (await listed())[ANN]
    assert (before["is_top"], before["is_disturb"], before["unread_num"]) == (1, 1, 1)
    assert next(iter(await listed())) == ANN  # pinned ones first
    await rest.post(BOB, "talk/session-top", {**TO_ANN, "action": 2})
    await rest.post(BOB, "talk/session-disturb", {**TO_ANN, "action": 2})
    assert await rest.post(BOB, "talk/session-clear-unread-num", TO_ANN) == {}
    after = (await listed())[ANN]
    assert (after["is_top"], after["is_disturb"], after["unread_num"]) == (2, 2, 0)
    (signal,) = await eventually(lambda: rest.world.signals)
    assert (signal.name, set(signal.recipients)) == ("read", {ANN, BOB})
    assert await rest.post(BOB, "talk/session-clear-records", TO_ANN) == {}
    assert (await listed())[ANN]["msg_text"] == ""
    assert await rest.texts(BOB, TO_ANN) == []
    assert await rest.texts(ANN, TO_BOB) == ["hi"]
    assert await rest.post(BOB, "talk/session-delete", TO_ANN) == {}
    assert ANN not in await listed()
    await rest.say(ANN, TO_BOB, "again")
    assert (await listed())[ANN]["msg_text"] == "again"


async def test_opening_a_conversation(rest: Rest) -> None:
    opened = await rest.post(ANN, "talk/session-create", TO_BOB)
    assert (opened["name"], opened["is_online"]) == ("bob", "N")
    await rest.world.connect(BOB)
    assert (await rest.post(ANN, "talk/session-create", TO_BOB))["is_online"] == "Y"
    group = await rest.post(ANN, "talk/session-create", TO_CROWD)
    assert (group["name"], group["is_online"]) == ("group 50", "N")
    assert await rest.refused(ANN, "talk/session-create", TO_ANN, 400) == "不能与自己创建单聊会话"
    assert await rest.refused(ANN, "talk/session-create", {**TO_BOB, "talk_mode": 9}, 400) == "非法会话类型"
    await rest.refused(ANN, "talk/session-create", {**TO_BOB, "to_from_id": 999}, 404)
    await rest.refused(DAN, "talk/session-create", TO_CROWD, 403)
    assert await rest.refused(ANN, "talk/session-top", {**TO_BOB, "action": 5}, 400) == "action 必须为 1 或 2"
