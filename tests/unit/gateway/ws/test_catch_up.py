"""What a client gets when it comes back (DESIGN.md section 5, Catch-up; GUARANTEES.md G3 to G6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from testkit.sockets import Away, MemorySocket, SocketWorld, socket_world
from testkit.waiting import eventually
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.session import State
from xinyu.kernel.ids import DeviceId, UserId

pytestmark = [pytest.mark.whole, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SocketWorld]:
    async with socket_world(tmp_path_factory.mktemp("catch_up"), catch_up_limit=20, ack_window_frames=8) as made:
        yield made


class Held:
    """Lets a test stop the log's `sync` reads and go on with them."""

    def __init__(self, world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.goes_on = asyncio.Event()
        self.waiting = 0
        store = world.process.container.device_store()
        real = store.sync

        async def sync(*arguments: Any) -> Any:
            self.waiting += 1
            await self.goes_on.wait()
            return await real(*arguments)

        monkeypatch.setattr(store, "sync", sync)


async def known_page(world: SocketWorld, user_id: UserId, token: str | None = None) -> str:
    """A log-in that was connected before: its token."""
    token = token or await world.token(user_id)
    await (await world.page(token)).leave()
    return token


async def is_live(page: MemorySocket, world: SocketWorld) -> None:
    session_id = page.frames[0]["payload"]["session_id"]

    def live() -> bool:
        connection = world.hub.find(session_id)
        return connection is not None and connection.session.state is State.LIVE

    await eventually(live)


def texts(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


async def test_the_first_connection_of_a_login_starts_at_the_heads(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    for text in texts(1, 5):
        await world.send(ann, bob, text)
    page = await world.page(await world.token(bob))
    await world.quiet()
    await page.settled()
    assert page.texts() == []
    await world.send(ann, bob, "6")
    await page.has("6")


async def test_a_reconnect_is_pushed_what_it_missed_in_order(world: SocketWorld) -> None:
    """G5 for a client without sync, several windows' worth, in two conversations."""
    ann, bob, cid = await world.friends("ann", "bob", "cid")
    token = await known_page(world, ann)
    for text in texts(1, 20):
        await world.send(bob, ann, text)
        await world.send(cid, ann, text)
    page = await world.page(token)
    await eventually(lambda: len(page.texts()) == 40)
    for peer in (bob, cid):
        assert [p["body"]["sequence"] for p in page.events("im.message") if p["from_id"] == peer] == list(range(1, 21))
    await is_live(page, world)
    await world.send(bob, ann, "21")
    await eventually(lambda: page.texts()[40:] == ["21"])
    assert page.close_code is None
    await page.leave()
    again = await world.page(token)
    await again.settled()
    await world.quiet()
    assert again.texts() == []


async def test_live_pushes_stay_behind_what_was_missed(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob, cid = await world.friends("ann", "bob", "cid")
    token = await known_page(world, ann)
    for text in texts(1, 10):
        await world.send(bob, ann, text)
    held = Held(world, monkeypatch)
    page = await world.page(token)
    await eventually(lambda: held.waiting)
    for text in texts(11, 15):
        await world.send(bob, ann, text)
    await world.send(cid, ann, "cid")
    await world.quiet()
    await page.settled()
    assert page.texts() == []
    held.goes_on.set()
    await eventually(lambda: len(page.texts()) == 16)
    assert [text for text in page.texts() if text != "cid"] == texts(1, 15)
    assert page.seqs().count(1) == 2


async def test_a_conversation_that_came_about_meanwhile_is_pushed_whole(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await world.friends("ann", "bob")
    cid = await world.user("cid")
    token = await known_page(world, ann)
    await world.befriend(ann, cid)
    await world.send(cid, ann, "while away")
    await world.send(bob, ann, "1")
    held = Held(world, monkeypatch)
    page = await world.page(token)
    await eventually(lambda: held.waiting)
    dan = await world.user("dan")
    await world.befriend(ann, dan)
    await world.send(dan, ann, "while coming back")
    held.goes_on.set()
    await eventually(lambda: set(page.texts()) == {"while away", "1", "while coming back"})
    await is_live(page, world)
    assert len(page.texts()) == 3


async def test_catching_up_is_bounded_per_conversation(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await known_page(world, ann)
    for text in texts(1, 30):
        await world.send(bob, ann, text)
    page = await world.page(token)
    await page.has(*texts(11, 30))
    conversation_id = page.events("im.message")[0]["talk_id"]
    await page.leave()
    assert await world.cursor(ann, token, conversation_id) == 30


async def test_a_sync_client_is_pushed_only_what_is_newer_than_its_heads(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    await (await world.device(token)).leave()
    for text in texts(1, 5):
        await world.send(bob, ann, text)
    device = await world.device(token)
    await world.quiet()
    await world.send(bob, ann, "6")
    await device.has("6")
    assert all("ackid" not in frame for frame in device.frames)
    page = (await device.ask("sync"))["payload"]
    assert [m["sequence"] for item in page["items"] for m in item["messages"]] == [1, 2, 3, 4, 5, 6]


async def test_what_is_not_acknowledged_is_owed_again(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    page = await world.page(token, acks=False)
    for text in texts(1, 4):
        await world.send(bob, ann, text)
    await page.has(*texts(1, 4))
    for frame in list(page.frames):
        if frame.get("ackid", "").endswith((".1", ".2")):
            page.say({"event": "ack", "ackid": frame["ackid"]})
    await page.settled()
    await page.leave()
    again = await world.page(token)
    await again.has("3", "4")
    assert {f["ackid"] for f in again.frames if "ackid" in f} <= {f["ackid"] for f in page.frames if "ackid" in f}


async def test_an_ackless_client_is_caught_up_too(world: SocketWorld) -> None:
    """It answers none of three repetitions, though it pings; the window (8 here) must not shut it out for ever."""
    ann, bob = await world.friends("ann", "bob")
    token = await known_page(world, ann)
    for text in texts(1, 18):
        await world.send(bob, ann, text)
    page = await world.page(token, acks=False)

    async def all_there() -> bool:
        page.say({"event": "ping"})
        await page.settled()
        await world.housekeeping.repeat_pushes()
        return len(set(page.texts())) == 18

    await eventually(all_there)
    assert page.close_code is None
    assert list(dict.fromkeys(page.texts())) == texts(1, 18)
    conversation_id = page.events("im.message")[0]["talk_id"]
    await page.leave()
    assert await world.cursor(ann, token, conversation_id) == 18


async def test_a_close_in_the_middle_loses_nothing(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob, cid = await world.friends("ann", "bob", "cid")
    token = await known_page(world, ann)
    for text in texts(1, 10):
        await world.send(bob, ann, f"b{text}")
        await world.send(cid, ann, f"c{text}")
    first = await world.page(token, acks=False)  # stops at the window, in the middle
    await eventually(lambda: len(first.texts()) >= 4)
    for frame in list(first.frames):
        if "ackid" in frame and frame["payload"]["body"]["sequence"] <= 2:
            first.say({"event": "ack", "ackid": frame["ackid"]})
    await first.settled()
    await first.leave()
    second = await world.page(token)
    await eventually(lambda: len(second.texts()) == 18)
    assert second.texts()[:8] == [f"b{text}" for text in texts(3, 10)]
    assert [text for text in second.texts() if text[0] == "c"] == [f"c{text}" for text in texts(1, 10)]


async def test_a_log_that_fails_in_the_middle_asks_the_client_to_come_back(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await known_page(world, ann)
    await world.send(bob, ann, "1")

    async def broken(*_: object) -> None:
        raise KeyError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(world.process.container.device_store(), "sync", broken)
        assert await (await world.page(token)).closed() == CloseCode.UNAVAILABLE
    await (await world.page(token)).has("1")


@pytest.mark.parametrize("away", ["the log", "names", "devices"])
async def test_what_is_away_in_the_middle_is_waited_for(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    """G10: the socket stays, and everything is brought, each once, when it is back."""
    ann, bob, cid = await world.friends("ann", "bob", "cid")
    token = await known_page(world, ann)
    await world.send(bob, ann, "1")
    unavailable = Away()

    container = world.process.container
    store, name = {
        "the log": (container.device_store(), "sync"),
        "names": (container.profile_store(), "list_profiles"),
        "devices": (container.device_store(), "set_caught_up"),
    }[away]
    with monkeypatch.context() as patch:
        patch.setattr(store, name, unavailable)
        page = await world.page(token)
        await eventually(lambda: unavailable.asked >= 2)
        await world.send(cid, ann, "2")
    await page.has("1", "2")
    await is_live(page, world)
    [connection] = world.hub.of_user(ann)
    await eventually(lambda: not connection.session.is_behind)
    await eventually(lambda: page.events("im.session.reload"))  # what it read meanwhile may have counted them
    assert page.close_code is None


async def test_a_session_that_ends_while_it_waits_asks_no_more(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await known_page(world, ann)
    await world.send(bob, ann, "1")
    unavailable = Away()

    with monkeypatch.context() as patch:
        patch.setattr(world.process.container.device_store(), "sync", unavailable)
        page = await world.page(token)
        await eventually(lambda: unavailable.asked >= 2)
        await page.leave()
        assert world.hub.of_user(ann) == []
        before = unavailable.asked
        await asyncio.sleep(0.5)
        assert unavailable.asked == before


@pytest.mark.parametrize("bound", [{"send_queue_frames": 10}, {"send_queue_bytes": 20_000}])
async def test_what_is_held_back_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: dict[str, int]
) -> None:
    """G8: a client that takes too long to come up is closed, and comes back."""
    size = 1 if "send_queue_frames" in bound else 2000
    async with socket_world(tmp_path, **bound) as world:
        ann, bob = await world.friends("ann", "bob")
        token = await known_page(world, ann)
        await world.send(bob, ann, "0")
        held = Held(world, monkeypatch)
        page = await world.page(token)
        for text in texts(1, 11):
            await world.send(bob, ann, text * size)
        assert await page.closed() == CloseCode.SLOW
        held.goes_on.set()
        again = await world.page(token)
        await again.has("0", *(text * size for text in texts(1, 11)))


async def test_what_no_longer_waits_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session is closed for what waits, not for all that ever did."""
    async with socket_world(tmp_path, send_queue_bytes=20_000) as world:
        ann, bob = await world.friends("ann", "bob")
        token = await known_page(world, ann)
        await world.send(bob, ann, "x")
        held = Held(world, monkeypatch)
        page = await world.page(token)
        await eventually(lambda: held.waiting)
        [connection] = world.hub.of_user(ann)
        for _ in range(3):
            await world.send(bob, ann, "y" * 5000)
        await eventually(lambda: len(connection.held or ()) == 3)
        held.goes_on.set()
        await eventually(lambda: len(page.texts()) == 4)
        await is_live(page, world)
        assert connection._kept_bytes == 0


async def test_a_membership_that_ended_while_away(world: SocketWorld) -> None:
    """The removed one gets what he may read, his own removal last, and is not behind for ever."""
    ann, bob = await world.friends("ann", "bob")
    talk_id = await world.gather(71, ann, bob)
    token = await known_page(world, bob)
    await world.say(ann, 71, "before")
    await world.remove(71, bob)
    await world.say(ann, 71, "after")
    page = await world.page(token)
    await eventually(lambda: page.seqs() == [2, 3])
    await is_live(page, world)
    assert page.texts() == ["before"]
    await page.leave()
    assert await world.cursor(bob, token, talk_id) == 3
    again = await world.page(token)
    await is_live(again, world)
    assert again.seqs() == []


async def test_a_rejoined_member_does_not_catch_up_on_what_lay_between(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    await world.gather(72, ann, bob)
    token = await known_page(world, bob)
    await world.remove(72, bob)
    await world.say(ann, 72, "between")
    await world.gather(72, bob)
    await world.say(ann, 72, "welcome back")
    page = await world.page(token)
    await eventually(lambda: page.seqs() == [2, 4, 5])
    assert page.texts() == ["welcome back"]


async def test_notices_come_when_the_list_counts_all_that_was_pushed(world: SocketWorld) -> None:
    """`im.session.reload` makes a page ask for its list: what it is told then must hold."""
    ann, bob = await world.friends("ann", "bob")
    token = await known_page(world, ann)
    login = DeviceId(await world.login_of(token))
    await world.notify(ann)
    for text in texts(1, 12):
        await world.send(bob, ann, text)
    await world.notify(ann)
    page = world.dial(token)
    page.acks = True
    unread: list[int] = []

    async def told() -> bool:
        if not page.events("im.session.reload"):
            return False
        unread.extend(v.unread for v in await world.ports.conversations.list_conversations(ann, login))
        return True

    await eventually(told)
    assert len(page.texts()) == 12, "messages first"
    assert unread == [12]
    await eventually(lambda: len(page.events("im.session.reload")) == 2)
    await world.notify(ann)
    await eventually(lambda: len(page.events("im.session.reload")) == 3)


async def test_the_list_counts_nothing_that_is_still_owed(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    login = DeviceId(await world.login_of(token))
    page = await world.page(token)
    await world.send(bob, ann, "read at no time")
    await page.has("read at no time")
    await page.leave()
    await world.send(bob, ann, "owed")
    [view] = await world.ports.conversations.list_conversations(ann, login)
    assert view.unread == 1
    await (await world.page(token)).has("owed")


async def test_a_session_that_ends_before_it_caught_its_device_up_owes_it_nothing_more(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client gave up a node that stood still, and is live at another when the first takes its connection."""
    ann, bob = await world.friends("ann", "bob")
    token = await known_page(world, ann)
    login = DeviceId(await world.login_of(token))
    page = await world.page(token, acks=False)
    await world.send(bob, ann, "1")
    await page.has("1")
    store = world.process.container.device_store()

    async def away(*_: object) -> None:
        assert await store.is_catching_up(ann, login), "this session is to bring what the other has not acknowledged"
        raise KeyError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(store, "sync", away)
        assert await (await world.page(token)).closed() == CloseCode.UNAVAILABLE

    async def is_caught_up() -> bool:
        return await store.is_catching_up(ann, login) is False

    await eventually(is_caught_up)
    [view] = await world.ports.conversations.list_conversations(ann, login)
    assert view.unread == 1, "which the other has on its screen, and counts no more by itself"
