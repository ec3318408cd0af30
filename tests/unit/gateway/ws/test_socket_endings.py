"""How sessions end, and what is kept of them (GUARANTEES.md G5, G8, G9)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from testkit.clock import ManualClock
from testkit.sockets import SocketWorld, socket_world
from testkit.waiting import eventually
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.housekeeping import SWEEP_OVERLAP_MS
from xinyu.gateway.ws.session import State
from xinyu.kernel.errors import Unavailable
from xinyu.presence.store import Put
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.presence.types import PresenceEntry
from xinyu.storage.errors import StorageUnavailable

pytestmark = [pytest.mark.whole, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SocketWorld]:
    async with socket_world(
        tmp_path_factory.mktemp("endings"), send_queue_frames=20, max_frame_bytes=2000, heartbeat_seconds=30
    ) as made:
        yield made


@asynccontextmanager
async def over_the_wire(world: SocketWorld, token: str) -> AsyncIterator[ClientConnection]:
    """A real socket; what it does not read stays on the wire."""
    url = f"{world.process.url('ws')}/wss/default.io?token={token}&sync=1"
    socket = await connect(url, compression=None, ping_interval=None, max_queue=1, proxy=None)
    try:
        assert json.loads(await socket.recv())["event"] == "connect"
        yield socket
    finally:
        socket.transport.abort()
        await socket.wait_closed()


async def close_code(socket: ClientConnection) -> int | None:
    try:
        while True:
            await socket.recv()
    except ConnectionClosed:
        return socket.close_code


async def test_a_slow_client_is_closed_and_comes_back_to_all_of_it(world: SocketWorld) -> None:
    """G8: the queue has a bound, and its code says reconnect and sync."""
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    page = await world.page(token)
    page.reads.clear()
    for number in range(30):
        await world.send(bob, ann, str(number))
    await eventually(lambda: world.hub.closes[CloseCode.SLOW] == 1)
    page.reads.set()
    assert await page.closed() == CloseCode.SLOW
    assert page.texts() == [str(number) for number in range(len(page.texts()))]
    again = await world.page(token)
    await again.has(*(str(number) for number in range(30)))


async def test_a_client_that_stands_still_is_cut_off(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads nothing, not even the close frame: its socket must not stay for ever."""
    monkeypatch.setattr("xinyu.gateway.ws.endpoint.CLOSE_SECONDS", 0.1)
    ann, bob = await world.friends("ann", "bob")
    slow = world.hub.closes[CloseCode.SLOW]

    async def full() -> bool:
        await asyncio.gather(*(world.send(bob, ann, "x" * 3000) for _ in range(100)))
        await world.quiet()
        return world.hub.closes[CloseCode.SLOW] > slow

    async with over_the_wire(world, await world.token(ann)):
        await eventually(full, within=30)
        await eventually(lambda: not world.hub.of_user(ann))


async def test_an_oversized_frame_is_closed_by_the_protocol(world: SocketWorld) -> None:
    async with over_the_wire(world, await world.token(await world.user("ann"))) as socket:
        await socket.send("x" * 1900)
        await socket.send("x" * 2100)
        assert await close_code(socket) == CloseCode.TOO_BIG


async def test_bytes_that_are_no_text_end_the_session_alone(world: SocketWorld) -> None:
    ann = await world.user("ann")
    token = await world.token(ann)
    kept = await world.page(token)
    async with over_the_wire(world, token) as socket:
        await socket.send(b"\xff\xfe", text=True)
        assert await close_code(socket) == 1007
    await kept.settled()
    await eventually(lambda: len(world.hub.of_user(ann)) == 1)


async def test_the_sweep_reads_all_pages_of_ended_logins(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """G11: however many end at once, all of their sockets close."""
    monkeypatch.setattr("xinyu.user.logins.ENDED_PAGE", 2)
    clock = ManualClock(world.process.container.clock().now_ms())
    monkeypatch.setattr(world.process.container.login_service(), "_clock", clock)
    ann = await world.user("ann")
    tokens = [await world.token(ann) for _ in range(5)]
    pages = [await world.page(token) for token in tokens]
    for token in tokens:
        await world.ports.logins.end_login(ann, await world.login_of(token))
        clock.jump(0.001)
    await world.housekeeping.close_ended_logins()
    assert [await page.closed() for page in pages] == [CloseCode.NORMAL] * 5


@pytest.mark.parametrize("ahead", [300, -300])
async def test_the_sweep_goes_by_the_clock_of_who_ends_logins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """G11: an end whose close order was lost is found however far the gateway's own clock is from it."""
    async with socket_world(tmp_path) as world:
        clock = ManualClock(world.process.container.clock().now_ms() - round(ahead * 1000))
        monkeypatch.setattr(world.process.container.login_service(), "_clock", clock)
        ann = await world.user("ann")
        tokens = [await world.token(ann) for _ in range(3)]
        pages = [await world.page(token) for token in tokens]
        for token, page in zip(tokens, pages, strict=True):
            await world.ports.logins.end_login(ann, await world.login_of(token))
            await world.housekeeping.close_ended_logins()
            assert await page.closed() == CloseCode.NORMAL
            clock.jump(20)


async def test_the_sweep_asks_for_what_is_new(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    store = world.process.container.login_store()
    real = store.list_ended_since

    async def noted(since_ms: int, limit: int) -> Any:
        asked.append(since_ms)
        return await real(since_ms, limit)

    monkeypatch.setattr(store, "list_ended_since", noted)
    ann = await world.user("ann")
    begin_ms = world.process.container.clock().now_ms()
    await world.ports.logins.end_login(ann, await world.login_of(await world.token(ann)))
    await world.housekeeping.close_ended_logins()
    asked.clear()
    await world.housekeeping.close_ended_logins()
    assert begin_ms - SWEEP_OVERLAP_MS <= asked[0] <= begin_ms


async def test_a_silent_socket_is_closed(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await world.user("ann")
    silent, heard = await world.device(await world.token(ann)), await world.page(await world.token(ann))
    binary = await world.device(await world.token(ann))
    clock = ManualClock()
    for keeper in (world.housekeeping, world.process.container.ws_endpoint()):
        monkeypatch.setattr(keeper, "_clock", clock)
    for connection in world.hub:
        connection.session.heard_at = 0.0
    clock.jump(29)
    binary.say_bytes(b"any frame is a sign of life")
    await heard.settled()
    await world.housekeeping.close_silent()
    assert silent.close_code is None
    clock.jump(2)
    await world.housekeeping.close_silent()
    assert await silent.closed() == CloseCode.IDLE
    assert heard.close_code is None and binary.close_code is None


async def test_cursors_are_stored_at_the_close(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    page = await world.page(token)
    talk_id = (await world.send(bob, ann, "1")).entry.conversation_id
    await page.has("1")
    await page.settled()
    assert await world.cursor(ann, token, talk_id) == 0
    await page.leave()
    assert await world.cursor(ann, token, talk_id) == 1


async def test_cursors_are_stored_by_the_flush(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    device = await world.device(token)
    talk_id = (await world.send(bob, ann, "1")).entry.conversation_id
    await device.has("1")
    await world.housekeeping.store_cursors()
    assert await world.cursor(ann, token, talk_id) == 0, "acks alone move it"
    device.say({"event": "ack", "cursors": {str(talk_id): 99}})
    await device.settled()

    async def away(*_: object) -> None:
        raise Unavailable()

    with monkeypatch.context() as patch:
        patch.setattr(world.process.container.device_store(), "move_cursors", away)
        with pytest.raises(Unavailable):
            await world.housekeeping.store_cursors()
    await world.housekeeping.store_cursors()
    assert await world.cursor(ann, token, talk_id) == 1


async def test_presence_that_is_away_at_the_close_costs_no_cursor(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    page = await world.page(token)
    talk_id = (await world.send(bob, ann, "1")).entry.conversation_id
    await page.has("1")
    await page.settled()

    async def away(*_: object) -> None:
        raise Unavailable()

    with monkeypatch.context() as patch:
        patch.setattr(world.process.container.presence_store(), "remove", away)
        await page.leave()
    assert await world.cursor(ann, token, talk_id) == 1
    await world.send(bob, ann, "2")  # delivery finds the session gone and says so
    await world.quiet()
    await eventually(lambda: not world.hub.of_user(ann))
    await (await world.page(token)).has("2")


async def test_leases_are_renewed_for_those_who_are_here(world: SocketWorld) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    await world.page(await world.token(ann))
    left = await world.page(await world.token(bob))
    await left.leave()
    await world.ports.presence.forget(world.process.container.node_ref(), [c.session.session_id for c in world.hub])
    assert await world.ports.presence.list_online([ann]) == []
    await world.housekeeping.renew_presence()
    assert [online.user_id for online in await world.ports.presence.list_online([ann, bob])] == [ann]


async def test_leases_are_renewed_in_batches(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node of 100 000 sessions must not send them all in one call."""
    monkeypatch.setattr("xinyu.gateway.ws.sessions.places.RENEWED_AT_ONCE", 2)
    store, sizes = world.process.container.presence_store(), []
    put = store.put

    async def counted(entries: Iterable[PresenceEntry], expires_ms: int, lease_ms: int = 0) -> Put:
        some = list(entries)
        sizes.append(len(some))
        return await put(some, expires_ms, lease_ms)

    token = await world.token(await world.user("ann"))
    for _ in range(5):
        await world.page(token)
    alive = [c for c in world.hub if c.session.state is not State.CLOSED]
    monkeypatch.setattr(store, "put", counted)
    await world.housekeeping.renew_presence()
    assert max(sizes) == 2 and sum(sizes) == len(alive) >= 5


async def test_a_node_that_leaves_delivers_until_its_clients_are_gone(tmp_path: Path) -> None:
    """G9: told first, spread over the delay, delivered to meanwhile, cursors stored."""
    async with socket_world(tmp_path) as world:
        ann, bob = await world.friends("ann", "bob")
        token = await world.token(ann)
        pages = [await world.page(token) for _ in range(4)]
        clock = ManualClock()
        world.housekeeping._clock = clock
        drain = asyncio.ensure_future(world.housekeeping.drain(10))
        await eventually(lambda: all(page.events("server.drain") for page in pages))
        delays = sorted(page.events("server.drain")[0]["delay_ms"] for page in pages)
        assert [delay // 2500 for delay in delays] == [0, 1, 2, 3], "each in its part of the ten seconds"
        await clock.advance((delays[0] + delays[1]) / 2000)
        await eventually(lambda: [page.close_code for page in pages].count(CloseCode.DRAIN) == 1)
        talk_id = (await world.send(bob, ann, "still here")).entry.conversation_id
        stay = [page for page in pages if page.close_code is None]
        for page in stay:
            await page.has("still here")
            await page.settled()
        while not drain.done():
            await clock.advance(1)
            await asyncio.sleep(0)
        await drain
        assert {await page.closed() for page in pages} == {CloseCode.DRAIN}
        assert len(world.hub) == 0
        assert await world.cursor(ann, token, talk_id) == 1


async def test_a_page_that_lost_its_socket_in_the_middle_of_a_write(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    page = await world.page(token)
    page.reads.clear()
    await world.send(bob, ann, "1")
    await world.quiet()
    await page.leave()
    await (await world.page(token)).has("1")


@contextmanager
def nobody_registers(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Presence is away for whoever opens a session."""

    async def away(*_: object) -> None:
        raise Unavailable()

    with monkeypatch.context() as patch:
        patch.setattr(world.process.container.presence_store(), "put", away)
        yield


@pytest.mark.parametrize("kind", ["page", "device"])
async def test_a_session_that_opened_while_presence_was_away_is_caught_up_when_it_is_back(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """G10: accepted, registered later, then brought what was committed meanwhile."""
    await world.housekeeping.renew_presence()  # or the next one is overdue, on a slow machine, and fails
    await world.housekeeping.notice_lost_presence()  # the first look renews too
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    await (await world.page(token)).leave()
    with nobody_registers(world, monkeypatch):
        socket = await (world.page(token) if kind == "page" else world.device(token))
        for text in ("1", "2"):
            await world.send(bob, ann, text)
        await world.quiet()
        await world.housekeeping.notice_lost_presence()
        await socket.settled()
        assert socket.texts() == [], "presence knows nobody to push to"
    await world.housekeeping.notice_lost_presence()
    await socket.has(*(("1", "2") if kind == "page" else ("2",)))  # a device fetches what is before by itself
    await world.send(bob, ann, "3")
    await socket.has(*(("1", "2", "3") if kind == "page" else ("2", "3")))


@pytest.mark.parametrize("kind", ["page", "device"])
async def test_a_session_that_is_late_in_more_conversations_than_a_page_has_is_brought_all(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("xinyu.message.store_sql.devices.SYNC_CONVERSATIONS", 1)
    ann, *others = await world.friends("ann", "bob", "carl", "dan")
    token = await world.token(ann)
    await (await world.page(token)).leave()
    with nobody_registers(world, monkeypatch):
        socket = await (world.page(token) if kind == "page" else world.device(token))
        for other in others:
            await world.send(other, ann, "while away")
        await world.quiet()
    await world.housekeeping.notice_lost_presence()
    await socket.has(*["while away"] * 3)


@pytest.mark.parametrize("kind", ["page", "device"])
async def test_sessions_whose_leases_ended_while_presence_was_away_are_caught_up_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """G4: the memory of presence is as it was, but what was sent before the next renewal found nobody. The same after
    this node stood still for longer than a lease."""
    async with socket_world(tmp_path) as world:
        await outlive_leases(world, monkeypatch, kind)


async def outlive_leases(world: SocketWorld, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    socket = await (world.page(token) if kind == "page" else world.device(token))
    await world.housekeeping.renew_presence()
    clock = world.process.container.clock()
    now_ms, monotonic, store = clock.now_ms, clock.monotonic, world.process.container.presence_store()
    put = store.put

    async def away(*_: object) -> None:
        raise Unavailable()

    with monkeypatch.context() as patch:
        patch.setattr(store, "put", away)
        patch.setattr(clock, "now_ms", lambda: now_ms() + 31_000)
        patch.setattr(clock, "monotonic", lambda: monotonic() + 31)
        for text in ("1", "2"):
            await world.send(bob, ann, text)
        await world.quiet()
        assert socket.texts() == [], "presence knows nobody to push to"
        patch.setattr(store, "put", put)
        await world.housekeeping.notice_lost_presence()
        await socket.has(*(("1", "2") if kind == "page" else ("2",)))  # a device fetches what is before by itself
        await world.send(bob, ann, "3")
        await socket.has(*(("1", "2", "3") if kind == "page" else ("2", "3")))


async def test_a_step_of_the_clock_ends_no_lease(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """G4: in one process it is known how long ago a session was renewed, whatever the time is said to be."""
    ann, bob = await world.friends("ann", "bob")
    page = await world.page(await world.token(ann))
    clock = world.process.container.clock()
    now_ms = clock.now_ms
    monkeypatch.setattr(clock, "now_ms", lambda: now_ms() + 3_600_000)
    await world.send(bob, ann, "1")
    await page.has("1")


@pytest.mark.parametrize("kind", ["page", "device"])
async def test_sessions_that_presence_did_not_know_any_more_are_caught_up(world: SocketWorld, kind: str) -> None:
    """G4: its clock made a step, say. What was pushed until the next renewal found nobody, and counts as delivered."""
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    socket = await (world.page(token) if kind == "page" else world.device(token))
    await world.housekeeping.notice_lost_presence()
    here, session_id = world.process.container.node_ref(), socket.frames[0]["payload"]["session_id"]
    await world.ports.presence.forget(here, [session_id])
    for text in ("1", "2"):
        await world.send(bob, ann, text)
    await world.quiet()
    assert socket.texts() == []
    await world.housekeeping.renew_presence()
    await world.housekeeping.notice_lost_presence()
    await socket.has(*(("1", "2") if kind == "page" else ("2",)))  # a device fetches what is before by itself


@pytest.mark.parametrize("kind", ["page", "device"])
async def test_sessions_that_register_again_after_the_replay_are_caught_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """G4: presence lost its memory while this node stood still or could not reach it. What was delivered again
    meanwhile found nobody either, though no lease had ended."""
    async with socket_world(tmp_path) as world:
        ann, bob = await world.friends("ann", "bob")
        token = await world.token(ann)
        socket = await (world.page(token) if kind == "page" else world.device(token))
        await world.housekeeping.notice_lost_presence()
        clock, store = world.process.container.clock(), world.process.container.presence_store()
        monotonic = clock.monotonic
        assert isinstance(store, MemoryPresenceStore)
        monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + 3)
        store.__init__()  # type: ignore[misc]
        for text in ("1", "2"):
            await world.send(bob, ann, text)
        await world.quiet()
        await world.housekeeping.notice_lost_presence()
        await socket.has(*(("1", "2") if kind == "page" else ("2",)))  # a device fetches what is before by itself


async def test_sessions_that_register_again_before_the_replay_are_left_to_it(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis away for long is no reason to catch everybody up: as long as it was away nothing was delivered again."""
    page = await world.page(await world.token(await world.user("ann")))
    container = world.process.container
    clock, store, asked = container.clock(), container.presence_store(), container.message_service()
    monotonic, reads = clock.monotonic, Counter[str]()
    sync = asked.sync

    async def counted(*args: Any, **named: Any) -> Any:
        reads["sync"] += 1
        return await sync(*args, **named)

    async def away() -> str:
        raise StorageUnavailable()

    assert isinstance(store, MemoryPresenceStore)
    monkeypatch.setattr(asked, "sync", counted)
    await world.housekeeping.notice_lost_presence()
    with monkeypatch.context() as patch:
        patch.setattr(clock, "monotonic", lambda: monotonic() + 9)
        patch.setattr(store, "incarnation", away)
        await world.housekeeping.notice_lost_presence()
    store.__init__()  # type: ignore[misc]
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + 10)
    await world.housekeeping.renew_presence()  # by chance before anybody looks
    await world.housekeeping.notice_lost_presence()
    assert store._by_user, "registered again"
    assert not reads
    await page.leave()


async def synced(socket: ClientConnection, talk_id: int, have: int) -> list[int]:
    """What a device that has everything up to `have` is told by sync, page by page."""
    found: list[int] = []
    while True:
        cursor = found[-1] if found else have
        await socket.send(json.dumps({"event": "sync", "id": 1, "payload": {"cursors": {str(talk_id): cursor}}}))
        while (frame := json.loads(await socket.recv())).get("id") != 1:
            assert frame["event"] != "error", frame
        [item] = [item for item in frame["payload"]["items"] if item["talk_id"] == talk_id] or [{"messages": []}]
        found += [message["sequence"] for message in item["messages"]]
        if not frame["payload"]["more"]:
            return found


async def test_a_socket_that_reads_nothing_is_closed_as_slow_and_resumes(world: SocketWorld) -> None:
    """G8, on a real socket: the code says reconnect and sync, and by that nothing is missing."""
    ann, bob = await world.friends("ann", "bob")
    token, slow, sent = await world.token(ann), world.hub.closes[CloseCode.SLOW], 0
    async with over_the_wire(world, token) as socket:
        while world.hub.closes[CloseCode.SLOW] == slow:
            await asyncio.gather(*(world.send(bob, ann, "x" * 3000) for _ in range(100)))
            sent += 100
            assert sent < 20_000
            await world.quiet()
        got, talk_id = [], 0
        with pytest.raises(ConnectionClosed):
            while True:
                frame = json.loads(await socket.recv())
                got.append(frame["payload"]["body"]["sequence"])
                talk_id = frame["payload"]["talk_id"]
        assert socket.close_code == CloseCode.SLOW
    assert got == list(range(1, len(got) + 1)) and len(got) < sent
    async with over_the_wire(world, token) as again:
        assert await synced(again, talk_id, len(got)) == list(range(len(got) + 1, sent + 1))


async def test_an_end_waits_for_what_is_away_once_and_not_in_turn(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a whole cluster stops at once each call waits for a peer that has gone, and the listener not for ever."""
    ann, bob = await world.friends("ann", "bob")
    page = await world.page(await world.token(ann))
    await world.send(bob, ann, "1")
    await page.has("1")
    await page.settled()
    waiting, most = 0, 0

    async def away(*_: object) -> None:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0.05)
        waiting -= 1
        raise Unavailable()

    [connection] = world.hub.of_user(ann)
    connection.session.is_behind = True
    with monkeypatch.context() as patch:
        patch.setattr(world.process.container.device_store(), "move_cursors", away)
        patch.setattr(world.process.container.device_store(), "set_caught_up", away)
        await page.leave()
    assert most == 2
