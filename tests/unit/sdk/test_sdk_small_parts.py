"""Back-off, close codes, cursor stores, events, requests under way."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from xinyu.sdk import FileCursors, ForeignCursors, MemoryCursors, Talk
from xinyu.sdk.backoff import Backoff, Verdict, verdict_on
from xinyu.sdk.events import (
    ContactApplied,
    ConversationChanged,
    ConversationCreated,
    ConversationsStale,
    Event,
    EventQueue,
    EventsLost,
    OtherEvent,
    ReadReceipt,
    Typing,
    event_of,
)
from xinyu.sdk.requests import MOST_LATE, Requests
from xinyu.sdk.types import Frame


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1011, 3000, 3499, 4000, 4400, 4402, 4499])
def test_reconnect(code: int | None) -> None:
    assert verdict_on(code) is Verdict.RECONNECT


@pytest.mark.parametrize("code", [3500, 3999, 4500, 4999])
def test_stop(code: int) -> None:
    assert verdict_on(code) is Verdict.STOP


def test_a_bad_token() -> None:
    assert verdict_on(4401) is Verdict.LOG_IN_AGAIN


def test_back_off_grows_is_capped_and_spread() -> None:
    series = [Backoff(0.5, 10, random.Random(seed)) for seed in range(200)]
    for ceiling in (0.5, 1, 2, 4, 8, 10, 10):
        delays = [backoff.next_delay() for backoff in series]
        assert max(delays) <= ceiling
        assert min(delays) < ceiling * 0.1 and max(delays) > ceiling * 0.9
    series[0].reset()
    assert series[0].next_delay() <= 0.5
    assert series[1].next_delay(at_least_ms=2000) >= 2


async def test_cursor_stores(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cursors.json"
    for store in (MemoryCursors(), FileCursors(path)):
        assert await store.load("1/a") is None
        await store.save("1/a", {5: 1})
        await store.save("1/a", {5: 2, 2**52: 3})
        assert await store.load("1/a") == {5: 2, 2**52: 3}
    assert await FileCursors(path).load("1/a") == {5: 2, 2**52: 3}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ForeignCursors):
        await FileCursors(path).load("2/a")


def event(name: str, payload: Any) -> Event:
    return event_of(name, msgspec.Raw(json.dumps(payload).encode()))


def test_events_are_typed() -> None:
    read = event("im.message.read", {"talk_mode": 2, "to_from_id": 9, "user_id": 3, "seq": 4})
    assert isinstance(read, ReadReceipt) and (read.talk, read.user_id, read.seq) == (Talk.group(9), 3, 4)
    typing = event("im.message.keyboard", {"talk_mode": 1, "to_from_id": 1, "from_id": 2})
    assert isinstance(typing, Typing) and typing.talk == Talk.user(2)
    changed = event("im.session.update", {"talk_mode": 1, "to_from_id": 2, "msg_text": None, "updated_at": 5})
    assert isinstance(changed, ConversationChanged) and changed.msg_text is None
    untouched = event("im.session.update", {"talk_mode": 1, "to_from_id": 2, "avatar": "a", "updated_at": 5})
    assert isinstance(untouched, ConversationChanged) and untouched.msg_text is msgspec.UNSET
    assert event("im.session.reload", {}) == ConversationsStale()
    created = event("im.session.create", {"id": 5, "talk_mode": 1, "to_from_id": 2})
    assert isinstance(created, ConversationCreated) and created.conversation.talk == Talk.user(2)
    applied = event("im.contact.apply", {"remark": "hi", "nickname": "Bob", "apply_time": 1})
    assert isinstance(applied, ContactApplied) and applied.remark == "hi"
    assert event("im.future", {"a": 1}) == OtherEvent("im.future", {"a": 1})
    with pytest.raises(msgspec.DecodeError):
        event("im.message.read", {"seq": "x"})


async def test_the_event_queue_drops_the_oldest_and_says_so() -> None:
    queue = EventQueue(3)
    for group_id in range(5):
        queue.put(OtherEvent("e", {"n": group_id}))
    got = [await queue.get() for _ in range(4)]
    assert got == [EventsLost(2), *(OtherEvent("e", {"n": n}) for n in (2, 3, 4))]
    waiting = asyncio.create_task(queue.get())
    queue.put(ConversationsStale())
    assert await waiting == ConversationsStale()
    queue.put(ConversationsStale())
    queue.close(ForeignCursors())
    assert await queue.get() == ConversationsStale()
    with pytest.raises(ForeignCursors):
        await queue.get()


async def test_a_request_whose_socket_broke_before_it_was_sent_leaves_no_complaint() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    requests = Requests()
    request_id, _ = requests.open()
    requests.fail()
    requests.close(request_id)
    del _
    gc.collect()
    assert complaints == []
    await requests.quiet()


async def test_a_reply_that_comes_just_when_its_time_is_up_is_a_late_one() -> None:
    late: list[bytes] = []
    requests = Requests()
    for taken in (False, True):
        request_id, answer = requests.open(lambda frame: late.append(bytes(frame.payload)))
        requests.answer(Frame("reply", msgspec.Raw(b'{"a":1}'), request_id))
        assert answer.done()
        requests.close(request_id, taken)
    assert late == [b'{"a":1}']


async def test_late_replies_are_taken_once_within_bounds_and_over_the_same_socket() -> None:
    taken: list[str] = []
    requests = Requests()
    ids = [requests.open(lambda frame: taken.append(frame.id or ""))[0] for _ in range(MOST_LATE + 2)]
    for request_id in ids:
        requests.close(request_id)
    for request_id in (ids[0], ids[1], ids[2], ids[2], "999999"):
        requests.answer(Frame("reply", msgspec.Raw(b"{}"), request_id))
    assert taken == [ids[2]], "the first were forgotten"
    requests.fail()
    requests.answer(Frame("reply", msgspec.Raw(b"{}"), ids[3]))
    assert taken == [ids[2]]
