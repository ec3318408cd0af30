"""Incoming messages: sync, order, gaps, duplicates, acks, cursors that persist."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from testkit.fake_gateway import FakeGateway, Peer, item, push, record
from testkit.waiting import eventually
from xinyu.sdk import Client, ContractViolation, CursorStore, FileCursors, MemoryCursors, Message, Talk, Tuning

MakeClient = Callable[..., Client]
QUICK = Tuning(
    request_seconds=2, backoff_base_seconds=0.01, backoff_cap_seconds=0.05, ack_seconds=0.02, gap_grace_seconds=0.02
)


async def take(client: Client, count: int) -> list[tuple[int, int]]:
    """The next `count` messages as (talk_id, seq)."""
    return [(message.talk_id, message.seq) for message in await messages(client, count)]


async def messages(client: Client, count: int) -> list[Message]:
    stream = client.incoming()
    async with asyncio.timeout(5):
        return [await anext(stream) for _ in range(count)]


async def start(gateway: FakeGateway, client: Client, *items: dict[str, Any]) -> Peer:
    """Connect with a store that knows cursors or a history other than "none": one sync."""
    task = asyncio.create_task(client.connect())
    peer = await gateway.accept()
    await peer.greet(*items)
    await task
    return peer


async def known(cursors: dict[int, int]) -> CursorStore:
    store = MemoryCursors()
    await store.save("1/", cursors)
    return store


async def nothing_more(client: Client) -> None:
    """No further message is ready, now that everything has been digested."""
    task = asyncio.create_task(anext(client.incoming()))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()


async def test_pushes_out_of_order_and_twice_come_once_in_order(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client(cursors=await known({5: 10}))
    peer = await start(gateway, client)
    for seq in (11, 13, 12, 12, 13, 10, 14, 11):
        await peer.send("im.message", push(5, seq))
    assert await take(client, 4) == [(5, 11), (5, 12), (5, 13), (5, 14)]
    assert client.cursors == {5: 14}
    await nothing_more(client)


async def test_a_gap_is_fetched_from_the_log(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client(cursors=await known({5: 10}))
    peer = await start(gateway, client)
    await peer.send("im.message", push(5, 13))
    asked = await peer.request("message.history")
    assert asked.payload == {"talk_mode": 1, "to_from_id": 2, "after": 10, "limit": 100}
    await peer.reply(asked, {"items": [record(11), record(12), record(13)], "more": False})
    assert await take(client, 3) == [(5, 11), (5, 12), (5, 13)]


async def test_what_the_log_leaves_out_is_not_waited_for(gateway: FakeGateway, make_client: MakeClient) -> None:
    """A rejoin: between two intervals of membership nothing is readable (DESIGN.md section 5, Membership)."""
    client = make_client(cursors=await known({5: 10}))
    peer = await start(gateway, client)
    await peer.send("im.message", push(5, 40, mode=2, peer=9))
    asked = await peer.request("message.history")
    await peer.reply(asked, {"items": [record(39), record(40)], "more": False})
    assert await take(client, 2) == [(5, 39), (5, 40)]
    await peer.send("im.message", push(5, 43, mode=2, peer=9))
    await peer.reply(await peer.request("message.history"), {"items": [], "more": False})
    assert await take(client, 1) == [(5, 43)]


async def test_a_late_page_says_nothing_about_what_came_after_it_was_asked_for(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client(cursors=await known({5: 10}))
    peer = await start(gateway, client)
    await peer.send("im.message", push(5, 12))
    asked = await peer.request("message.history")
    await peer.send("im.message", push(5, 14))  # 13 is committed, too, but was not when the page was read
    await peer.reply(asked, {"items": [record(11), record(12)], "more": False})
    assert await take(client, 2) == [(5, 11), (5, 12)]
    again = await peer.request("message.history")
    assert again.payload["after"] == 12
    await peer.reply(again, {"items": [record(13), record(14)], "more": False})
    assert await take(client, 2) == [(5, 13), (5, 14)]


async def test_a_conversation_that_may_no_longer_be_read_does_not_block(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client(cursors=await known({5: 10}))
    peer = await start(gateway, client)
    await peer.send("im.message", push(5, 12, mode=2, peer=9))
    await peer.refuse(await peer.request("message.history"), 403, "message.not_a_member")
    assert await take(client, 1) == [(5, 12)]


async def test_a_gap_is_asked_for_again_when_the_server_is_overloaded(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client(cursors=await known({5: 10}))
    peer = await start(gateway, client)
    await peer.send("im.message", push(5, 12))
    await peer.refuse(await peer.request("message.history"), 429, "request.overloaded", retry_after_ms=10)
    await peer.reply(await peer.request("message.history"), {"items": [record(11), record(12)], "more": False})
    assert await take(client, 2) == [(5, 11), (5, 12)]


async def test_a_new_device_begins_at_the_heads(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    task = asyncio.create_task(client.connect())
    peer = await gateway.accept()
    await peer.hello()
    asked = await peer.serve_sync(item(5, 10), item(6, 3))
    assert asked.payload == {"limit": 0}
    asked = await peer.serve_sync()
    assert asked.payload["cursors"] == {"5": 10, "6": 3}
    await task
    await peer.send("im.message", push(5, 11))
    assert await take(client, 1) == [(5, 11)]
    assert client.cursors == {5: 11, 6: 3}


async def test_a_message_during_the_first_sync_is_not_lost(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    task = asyncio.create_task(client.connect())
    peer = await gateway.accept()
    await peer.hello()
    await peer.send("im.message", push(5, 9))
    await peer.serve_sync(item(5, 10))
    await peer.serve_sync()
    await task
    assert await take(client, 1) == [(5, 9)]
    await peer.reply(await peer.request("message.history"), {"items": [record(10)], "more": False})
    assert await take(client, 1) == [(5, 10)]


async def test_history_all_reads_everything_in_pages(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client(history="all")
    task = asyncio.create_task(client.connect())
    peer = await gateway.accept()
    await peer.hello()
    first = await peer.request("sync")
    assert first.payload == {"cursors": {}}
    page = [item(5, 4, record(1), record(2), more=True), item(6, 1, record(1), peer=3)]
    await peer.reply(first, {"items": page, "more": True})
    second = await peer.request("sync")
    assert second.payload == {"cursors": {"5": 4, "6": 1}}
    await peer.reply(second, {"items": [item(7, 2, record(2), mode=2, peer=8)], "more": False})
    await task
    taken = await take(client, 4)
    asked = await peer.request("message.history")
    assert asked.payload["after"] == 2
    await peer.reply(asked, {"items": [record(3)], "more": True})
    assert await take(client, 1) == [(5, 3)]
    await peer.reply(await peer.request("message.history"), {"items": [record(4)], "more": False})
    taken += await take(client, 1)
    assert sorted(taken) == [(5, 1), (5, 2), (5, 4), (6, 1), (7, 2)]


async def test_history_since_a_time(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client(history=1234)
    task = asyncio.create_task(client.connect())
    peer = await gateway.accept()
    await peer.hello()
    asked = await peer.serve_sync(item(5, 9, record(8), record(9)), item(6, 4))
    assert asked.payload == {"cursors": {}, "since_ms": 1234}
    await task
    assert await take(client, 2) == [(5, 8), (5, 9)]
    assert client.cursors == {5: 9, 6: 4}


async def test_resume_goes_on_from_the_servers_cursors(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client(history="resume", device_id="d")
    task = asyncio.create_task(client.connect())
    peer = await gateway.accept()
    await peer.hello()
    asked = await peer.serve_sync(item(5, 9, cursor=8), item(6, 4, cursor=4))
    assert asked.payload == {"limit": 0}
    asked = await peer.serve_sync(item(5, 9, record(9)))
    assert asked.payload == {"cursors": {"5": 8, "6": 4}}
    await task
    assert await take(client, 1) == [(5, 9)]


async def test_after_a_reconnect_only_what_was_missed_is_asked_for(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client(cursors=await known({5: 10, 6: 1}))
    peer = await start(gateway, client)
    await peer.send("im.message", push(5, 11))
    assert await take(client, 1) == [(5, 11)]
    await peer.send("im.message", push(5, 12))  # held, not taken: need not come again
    task = asyncio.create_task(client.conversations())
    await peer.reply(await peer.request("conversation.list"), {"items": []})
    await task
    peer.abort()
    again = await gateway.accept()
    await again.hello()
    await again.send("im.message", push(5, 15))  # live pushes wait behind what sync brings
    asked = await again.serve_sync(item(5, 14, record(13), record(14)))
    assert asked.payload == {"cursors": {"5": 12, "6": 1}}
    assert await take(client, 4) == [(5, 12), (5, 13), (5, 14), (5, 15)]


async def test_what_came_between_two_pages_of_a_sync_proves_nothing_about_the_first(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client(cursors=await known({5: 10}))
    task = asyncio.create_task(client.connect())
    peer = await gateway.accept()
    await peer.hello()
    first = await peer.request("sync")
    page = item(5, 14, record(11), record(12), more=True)
    await peer.reply(first, {"items": [page], "more": True})
    second = await peer.request("sync")
    assert second.payload["cursors"] == {"5": 14}  # the rest is read by history; since then 15 was sent
    await peer.reply(second, {"items": [item(5, 15, record(15))], "more": False})
    await task
    read = asyncio.create_task(take(client, 5))
    asked = await peer.request("message.history")
    assert asked.payload["after"] == 12
    await peer.reply(asked, {"items": [record(13), record(14), record(15)], "more": False})
    assert await read == [(5, 11), (5, 12), (5, 13), (5, 14), (5, 15)]


async def test_a_conversation_nobody_told_of_is_placed_by_another_sync(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client(cursors=await known({5: 10}))
    peer = await start(gateway, client)
    await peer.send("im.message", push(8, 3, mode=2, peer=4))
    asked = await peer.serve_sync(item(8, 3, record(2), record(3), mode=2, peer=4))
    assert asked.payload == {"cursors": {"5": 10}}
    assert await take(client, 2) == [(8, 2), (8, 3)]
    await peer.send("im.message", push(9, 7))
    await peer.serve_sync()  # not listed: from the push on
    assert await take(client, 1) == [(9, 7)]


async def test_acks_are_cumulative_repeated_after_reconnect_and_sent_at_close(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client(cursors=await known({5: 10, 6: 1}))
    peer = await start(gateway, client)
    for seq in (11, 12):
        await peer.send("im.message", push(5, seq))
    assert await take(client, 2) == [(5, 11), (5, 12)]
    acked: dict[str, int] = {}
    while acked.get("5") != 12:
        acked |= await peer.ack()
    assert acked == {"5": 12}
    peer.abort()
    again = await gateway.accept()
    await again.hello()
    sync = await again.frame()
    assert sync["event"] == "sync"
    await again.send("reply", {"items": [], "more": False}, id=sync["id"])
    assert await again.ack() == {"5": 12}  # nobody knows whether the first arrived


async def test_what_was_taken_is_acknowledged_at_close(gateway: FakeGateway, make_client: MakeClient) -> None:
    store = await known({5: 10})
    client = make_client(cursors=store, tuning=msgspec.structs.replace(QUICK, ack_seconds=3600))
    peer = await start(gateway, client)
    for seq in (11, 12):
        await peer.send("im.message", push(5, seq))
    assert await take(client, 1) == [(5, 11)]
    closing = asyncio.create_task(client.close())
    assert await peer.ack() == {"5": 11}
    await peer.gone()
    await closing
    assert await store.load("1/") == {5: 11}


async def test_a_restart_with_a_file_goes_on_after_the_last_message_taken(
    gateway: FakeGateway, make_client: MakeClient, tmp_path: Path
) -> None:
    first = make_client(cursors=FileCursors(tmp_path / "cursors"), history="all")
    peer = await start(gateway, first, item(5, 2, record(1), record(2)))
    assert await take(first, 1) == [(5, 1)]
    await first.close()
    second = make_client(cursors=FileCursors(tmp_path / "cursors"), history="all")
    task = asyncio.create_task(second.connect())
    peer = await gateway.accept()
    await peer.hello()
    asked = await peer.serve_sync(item(5, 2, record(2)))
    await task
    assert asked.payload == {"cursors": {"5": 1}}
    assert await take(second, 1) == [(5, 2)]


async def test_a_slow_reader_costs_bounded_memory_and_loses_nothing(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    tuning = msgspec.structs.replace(QUICK, hold_per_conversation=4, hold_total=6, page=3)
    client = make_client(cursors=await known({5: 0, 6: 0}), tuning=tuning)
    peer = await start(gateway, client)
    for seq in range(1, 21):
        await peer.send("im.message", push(5, seq))
        await peer.send("im.message", push(6, seq, peer=3))
    held = client._catchup.inbox
    await eventually(lambda: all(line.head == 20 for line in held._lines.values()))
    assert sum(line.held for line in held._lines.values()) <= 6

    async def log() -> None:
        while True:
            asked = await peer.request("message.history")
            after, limit = asked.payload["after"], asked.payload["limit"]
            page = [record(seq) for seq in range(after + 1, min(after + limit, 20) + 1)]
            await peer.reply(asked, {"items": page, "more": after + limit < 20})

    serving = asyncio.create_task(log())
    taken = await take(client, 40)
    serving.cancel()
    for talk_id in (5, 6):
        assert [seq for talk, seq in taken if talk == talk_id] == list(range(1, 21))


async def test_tombstones_system_entries_and_the_self_conversation_keep_their_place(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client(cursors=await known({5: 0, 9: 0}))
    peer = await start(gateway, client)
    await peer.send("im.message", push(5, 1, is_revoked=1, extra="{}"))
    await peer.send("im.message", push(5, 2, msg_type=1105, extra='{"owner_id":2,"revoke_msg_id":"00"}'))
    await peer.send("im.message", push(5, 3, from_id=1, text="mine"))
    await peer.send("im.message", push(9, 1, mode=3, peer=1, msg_type=2001))
    by_talk = {(m.talk_id, m.seq): m for m in await messages(client, 4)}
    assert by_talk[5, 1].hidden and by_talk[5, 1].text == ""
    assert by_talk[5, 2].is_system and by_talk[5, 2].extra["revoke_msg_id"] == "00"
    assert by_talk[5, 3].own and by_talk[5, 3].text == "mine" and not by_talk[5, 3].hidden
    assert by_talk[9, 1].talk == Talk(3, 1) and by_talk[9, 1].talk.is_self


async def test_a_sync_that_makes_no_sense_ends_the_client(gateway: FakeGateway, make_client: MakeClient) -> None:
    task = asyncio.create_task(make_client(cursors=await known({5: 10})).connect())
    peer = await gateway.accept()
    await peer.hello()
    await peer.serve_sync(item(5, 12, record(12), record(11)))
    with pytest.raises(ContractViolation, match="came as"):
        await task


async def test_leaving_the_loop_and_coming_back_misses_nothing(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client(cursors=await known({5: 0}))
    peer = await start(gateway, client)
    for seq in (1, 2, 3):
        await peer.send("im.message", push(5, seq))
    async for message in client.incoming():
        if message.seq == 2:
            break
    assert await take(client, 1) == [(5, 3)]


async def test_a_wait_that_was_given_up_may_be_repeated(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client(cursors=await known({5: 0}))
    peer = await start(gateway, client)
    stream = client.incoming()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.01)
    await peer.send("im.message", push(5, 1))
    assert (await asyncio.wait_for(anext(stream), 5)).seq == 1
