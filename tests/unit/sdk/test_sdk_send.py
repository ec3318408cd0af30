"""Sending: one msg_id until acknowledged, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from testkit.fake_gateway import FakeGateway, Peer, item, push, record
from testkit.waiting import eventually
from xinyu.kernel.ids import is_hex_id
from xinyu.sdk import ApiError, Client, ContractViolation, Forwarded, SendTimeout, Talk

MakeClient = Callable[..., Client]
BOB = Talk.user(2)


async def connected(gateway: FakeGateway, client: Client) -> Peer:
    task = asyncio.create_task(client.connect())
    peer = await gateway.accept()
    await peer.greet(item(5, 10), first=True)
    await task
    return peer


def receipt(seq: int, msg_id: str, talk_id: int = 5) -> dict[str, object]:
    return {**record(seq, from_id=1, text="hi"), "msg_id": msg_id, "talk_id": talk_id}


async def test_a_message_takes_its_place_by_its_receipt(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.send_text(BOB, "hi", mentions=[3]))
    asked = await peer.request("message.send")
    msg_id = asked.payload.pop("msg_id")
    assert is_hex_id(msg_id)
    body = {"text": "hi", "content": "hi", "mentions": [3]}
    assert asked.payload == {"talk_mode": 1, "to_from_id": 2, "type": "text", "body": body}
    await peer.send("im.message", push(5, 12))  # the answer to it is faster than its receipt
    await peer.reply(asked, receipt(11, msg_id))
    sent = await task
    assert (sent.talk, sent.talk_id, sent.seq, sent.own, sent.accepted) == (BOB, 5, 11, True, True)
    stream = client.incoming()
    assert [(await anext(stream)).seq, (await anext(stream)).seq] == [11, 12]


async def test_a_lost_receipt_is_asked_for_again_under_the_same_id(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.send_text(BOB, "hi"))
    first = await peer.request("message.send")
    peer.abort()
    again = await gateway.accept()
    await again.greet(item(5, 11, record(11, from_id=1)))
    second = await again.request("message.send")
    assert second.payload == first.payload
    await again.reply(second, receipt(11, first.payload["msg_id"]))
    assert (await task).seq == 11
    stream = client.incoming()
    assert (await anext(stream)).seq == 11
    await again.send("im.message", push(5, 12))
    assert (await anext(stream)).seq == 12  # and 11 only once


@pytest.mark.parametrize(("code", "error"), [(503, "transport.unavailable"), (429, "request.overloaded")])
async def test_a_busy_server_is_asked_again_after_the_time_it_names(
    gateway: FakeGateway, make_client: MakeClient, code: int, error: str
) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(client.send_text(BOB, "hi"))
    first = await peer.request("message.send")
    refused = loop.time()
    await peer.refuse(first, code, error, retry_after_ms=150)
    second = await peer.request("message.send")
    assert loop.time() - refused >= 0.15
    assert second.payload == first.payload
    await peer.reply(second, receipt(11, first.payload["msg_id"]))
    assert (await task).seq == 11


async def test_a_refused_message_is_not_repeated(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.send_text(BOB, "hi"))
    await peer.refuse(await peer.request("message.send"), 403, "message.not_a_member")
    with pytest.raises(ApiError) as caught:
        await task
    assert caught.value.error == "message.not_a_member"


async def test_a_message_that_is_not_accepted_has_no_place(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.send_text(BOB, "hi"))
    asked = await peer.request("message.send")
    refused = {**receipt(0, asked.payload["msg_id"]), "status": 3, "extra": '{"content":"hi","invalid":true}'}
    await peer.reply(asked, refused)
    sent = await task
    assert not sent.accepted and sent.extra["invalid"] is True
    assert client.cursors == {5: 10}


async def test_the_callers_time_is_kept_and_the_error_names_the_id(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.send(BOB, "text", {"text": "hi"}, msg_id="a" * 32, timeout=0.1))
    await peer.request("message.send")
    with pytest.raises(SendTimeout) as caught:
        await task
    assert caught.value.details["msg_id"] == "a" * 32
    await peer.serve_sync(item(5, 11, record(11, from_id=1)))  # it was stored, and is not pushed to its sender
    assert (await anext(client.incoming())).seq == 11


@pytest.mark.parametrize("ends", ["timeout", "cancel"])
async def test_a_receipt_that_nobody_waits_for_any_more_gives_the_message_its_place(
    gateway: FakeGateway, make_client: MakeClient, ends: str
) -> None:
    """G3: it was stored after the client looked for it, and is not pushed to the session that sent it."""
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.send_text(BOB, "hi", timeout=0.1 if ends == "timeout" else 60.0))
    asked = await peer.request("message.send")
    if ends == "cancel":
        task.cancel()
    with pytest.raises(SendTimeout if ends == "timeout" else asyncio.CancelledError):
        await task
    await peer.serve_sync(item(5, 10))
    await peer.reply(asked, receipt(11, asked.payload["msg_id"]))
    assert (await anext(client.incoming())).seq == 11


async def test_an_error_that_nobody_waits_for_any_more_is_a_reason_to_look_again(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.send_text(BOB, "hi", timeout=0.1))
    asked = await peer.request("message.send")
    with pytest.raises(SendTimeout):
        await task
    await peer.serve_sync(item(5, 10))
    await peer.refuse(asked, 504, "request.deadline")
    await peer.serve_sync(item(5, 11, record(11, from_id=1)))
    assert (await anext(client.incoming())).seq == 11


async def test_what_is_sent_while_the_client_looks_is_looked_for_again(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    first = asyncio.create_task(client.forward(BOB, ["a" * 32], [Talk.user(3)]))
    await peer.reply(await peer.request("message.send"), {"items": []})
    await first
    looking = await peer.request("sync")
    second = asyncio.create_task(client.forward(BOB, ["b" * 32], [Talk.user(3)]))
    await peer.reply(await peer.request("message.send"), {"items": []})
    await second
    await peer.reply(looking, {"items": [], "more": False})
    await peer.serve_sync(item(6, 1, record(1, from_id=1), peer=3))
    assert (await anext(client.incoming())).talk_id == 6


async def test_what_is_sent_while_a_new_connection_synchronises_is_looked_for_again(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client()
    (await connected(gateway, client)).abort()
    peer = await gateway.accept()
    await peer.hello()
    looking = await peer.request("sync")
    task = asyncio.create_task(client.forward(BOB, ["a" * 32], [Talk.user(3)]))
    await peer.reply(await peer.request("message.send"), {"items": []})
    await task
    await peer.reply(looking, {"items": [], "more": False})
    await peer.serve_sync(item(6, 1, record(1, from_id=1), peer=3))
    assert (await anext(client.incoming())).talk_id == 6


async def test_a_receipt_of_another_message_is_refused(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.send_text(BOB, "hi"))
    await peer.reply(await peer.request("message.send"), receipt(11, "b" * 32))
    with pytest.raises(ContractViolation):
        await task


async def test_reply_quotes_and_mark_read_reads_up_to_the_message(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    await peer.send("im.message", push(5, 11))
    message = await anext(client.incoming())
    replying = asyncio.create_task(client.reply(message, "yes"))
    asked = await peer.request("message.send")
    assert (asked.payload["quote_id"], asked.payload["to_from_id"]) == (message.msg_id, 2)
    await peer.reply(asked, receipt(12, asked.payload["msg_id"]))
    await replying
    reading = asyncio.create_task(client.mark_read(message))
    asked = await peer.request("conversation.read")
    assert asked.payload == {"talk_mode": 1, "to_from_id": 2, "seq": 11}
    await peer.reply(asked, {"unread_num": 0})
    assert await reading == 0


async def test_forward_tells_each_targets_result_and_looks_for_the_copies(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.forward(BOB, ["a" * 32], [Talk.user(3), Talk.group(4)], merged=True))
    asked = await peer.request("message.send")
    assert asked.payload["type"] == "forward" and is_hex_id(asked.payload["msg_id"])
    assert asked.payload["body"] == {"action": 2, "msg_ids": ["a" * 32], "user_ids": [3], "group_ids": [4]}
    items = [{"ok": True, "msg_id": "c" * 32, "to_talk_mode": 1, "to_id": 3}, {"ok": False, "err": "no"}]
    await peer.reply(asked, {"items": items})
    assert await task == [Forwarded(True, "c" * 32, 1, 3), Forwarded(False, err="no")]
    await peer.serve_sync(item(6, 1, record(1, from_id=1), peer=3))
    assert (await anext(client.incoming())).talk_id == 6


async def test_asking_about_conversations(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    peer = await connected(gateway, client)

    async def answered(call: asyncio.Task[object], event: str, payload: dict[str, object]) -> dict[str, object]:
        asked = await peer.request(event)
        await peer.reply(asked, payload)
        return asked.payload

    listing = asyncio.create_task(client.conversations())
    line = {"id": 5, "talk_mode": 1, "to_from_id": 2, "unread_num": 3, "msg_text": None, "last_seq": 9, "read_seq": 6}
    await answered(listing, "conversation.list", {"items": [line]})  # type: ignore[arg-type]  # any task will do
    (conversation,) = await listing
    assert (conversation.talk, conversation.unread_num, conversation.last_seq) == (BOB, 3, 9)
    looking = asyncio.create_task(client.presence([2]))
    online = {"user_id": 2, "online_status": "Y", "platforms": ["web"]}
    assert await answered(looking, "presence.get", {"items": [online]}) == {"user_ids": [2]}  # type: ignore[arg-type]
    assert (await looking)[2].online
    paging = asyncio.create_task(client.history(BOB, before=9, limit=2))
    asked = await answered(paging, "message.history", {"items": [record(8), record(7)], "more": True})  # type: ignore[arg-type]
    assert asked == {"talk_mode": 1, "to_from_id": 2, "before": 9, "limit": 2}
    page = await paging
    assert [message.seq for message in page.messages] == [8, 7] and page.more
    typing = asyncio.create_task(client.typing(BOB))
    await answered(typing, "typing", {})  # type: ignore[arg-type]
    await typing
    await eventually(lambda: client.violations == [])
