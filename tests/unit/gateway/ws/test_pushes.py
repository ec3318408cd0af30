"""Pushes on their way to sockets: who gets them, in which order, and what a gap does (GUARANTEES.md G3, G4, G6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from testkit.sockets import Away, MemorySocket, SocketWorld, socket_world
from testkit.waiting import eventually
from xinyu.delivery.types import NodePush, Receipt
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.session import Session
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import ConversationId, SessionId, UserId
from xinyu.message.types import Entry
from xinyu.presence.types import SessionTarget
from xinyu.rpc.deadline import within

pytestmark = [pytest.mark.whole, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SocketWorld]:
    async with socket_world(tmp_path_factory.mktemp("pushes"), order_hold_ms=100) as made:
        yield made


class Post:
    """Stands between the fan-out and this node: keeps pushes back, to hand them over as a test wants."""

    def __init__(self, world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kept: list[NodePush] = []
        self._deliver = world.deliverer.deliver
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(world.deliverer, "deliver", self._keep)

    async def _keep(self, pushes: list[NodePush]) -> Receipt:
        self.kept += pushes
        return Receipt()

    async def hand_over(self, *seqs: int) -> None:
        """The kept pushes of these seqs, each batch by itself, in this order."""
        await eventually(lambda: {push.seq for push in self.kept}.issuperset(seqs))
        for seq in seqs:
            await self._deliver([push for push in self.kept if push.seq == seq])

    def open(self) -> None:
        """From now on everything goes through."""
        self._monkeypatch.undo()


async def pair(world: SocketWorld) -> tuple[UserId, UserId, MemorySocket, MemorySocket]:
    """Ann and Bob; a page and a sync device of Ann."""
    ann, bob = await world.friends("ann", "bob")
    return ann, bob, await world.page(await world.token(ann)), await world.device(await world.token(ann))


async def test_the_second_commit_dispatched_first(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN.md section 5, Order at the socket."""
    ann, bob, page, device = await pair(world)
    post = Post(world, monkeypatch)
    for text in ("1", "2", "3"):
        await world.send(bob, ann, text)
    await post.hand_over(3, 2, 2, 1, 3)
    await page.has("1", "2", "3")
    await device.has("1", "2", "3")
    assert world.order.held == 0


async def test_a_lost_push_is_read_from_the_log_for_a_page(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob, page, device = await pair(world)
    post = Post(world, monkeypatch)
    for text in ("1", "2", "3", "4"):
        await world.send(bob, ann, text)
    await post.hand_over(1, 4)
    await page.has("1", "2", "3", "4")
    await device.has("1", "4")  # an SDK asks for itself
    await post.hand_over(2, 3)
    post.open()
    await world.send(bob, ann, "5")
    await page.has("1", "2", "3", "4", "5")
    assert page.seqs() == [1, 2, 3, 4, 5]
    bodies = [payload["body"] for payload in page.events("im.message")]
    assert {body["nickname"] for body in bodies} == {"bob"}


async def test_what_waited_for_a_gap_may_lack_entries_itself(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G3, G4: 2 and 4 come too late to be put in order; the read that fills in 1 does not know of 3."""
    ann, bob, page, _ = await pair(world)
    post = Post(world, monkeypatch)
    for text in ("1", "2", "3", "4"):
        await world.send(bob, ann, text)
    await post.hand_over(4, 2)
    await page.has("1", "2", "3", "4")
    await post.hand_over(1, 3)
    await page.settled()
    assert page.seqs() == [1, 2, 3, 4]


async def test_pushes_that_come_while_a_gap_is_read_wait_for_it(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, page, _ = await pair(world)
    post = Post(world, monkeypatch)
    for number in range(1, 7):
        await world.send(bob, ann, str(number))
    store = world.process.container.log_store()
    goes_on, real = asyncio.Event(), store.history

    async def history(*arguments: Any, **named: Any) -> Any:
        await goes_on.wait()
        return await real(*arguments, **named)

    monkeypatch.setattr(store, "history", history)
    await post.hand_over(1, 3)
    connection = world.hub.find(page.frames[0]["payload"]["session_id"])
    assert connection is not None
    await eventually(lambda: connection.filling)
    await post.hand_over(4, 6, 5)
    await page.has("1")
    assert connection._kept_bytes > 0
    goes_on.set()
    await page.has("1", "2", "3", "4", "5", "6")
    assert (connection.filling, connection._kept_bytes) == ({}, 0)


async def test_a_gap_longer_than_a_page_of_the_log(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinyu.gateway.ws.gaps.GAP_PAGE", 3)
    ann, bob, page, _ = await pair(world)
    post = Post(world, monkeypatch)
    for number in range(1, 13):
        await world.send(bob, ann, str(number))
    await post.hand_over(1, 12)
    await page.has(*(str(number) for number in range(1, 13)))


class Reads:
    """Counts the pages of the log that are read, and lets a test stop them."""

    def __init__(self, world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages = 0
        self.goes_on = asyncio.Event()
        store = world.process.container.log_store()
        real = store.history

        async def history(*arguments: Any, **named: Any) -> Any:
            self.pages += 1
            await self.goes_on.wait()
            return await real(*arguments, **named)

        monkeypatch.setattr(store, "history", history)


@pytest.mark.parametrize("missing", [6, 7, 40])
async def test_a_gap_larger_than_the_window_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    """G8: thousands of sessions may lack thousands of entries after presence was away. What a session could not take
    is not read for it: it comes back, and is caught up page by page."""
    monkeypatch.setattr("xinyu.gateway.ws.gaps.GAP_PAGE", 3)
    async with socket_world(tmp_path, ack_window_frames=5, order_hold_ms=20) as world:
        ann, bob = await world.friends("ann", "bob")
        token = await world.token(ann)
        page = await world.page(token)
        with monkeypatch.context() as patch:
            post, reads = Post(world, patch), Reads(world, patch)
            reads.goes_on.set()
            for number in range(missing + 1):
                await world.send(bob, ann, str(number))
            await post.hand_over(missing + 1)
            assert await page.closed() == CloseCode.NO_ACKS
            assert (page.texts(), reads.pages) == ([], 2)
        await (await world.page(token)).has(*(str(number) for number in range(missing + 1)))


async def test_nothing_more_is_read_for_a_session_that_closed(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinyu.gateway.ws.gaps.GAP_PAGE", 1)
    ann, bob, page, _ = await pair(world)
    post, reads = Post(world, monkeypatch), Reads(world, monkeypatch)
    for text in ("1", "2", "3", "4"):
        await world.send(bob, ann, text)
    await post.hand_over(4)
    await eventually(lambda: reads.pages == 1)
    await page.leave()
    reads.goes_on.set()
    await eventually(lambda: not world.deliverer._fills)
    assert reads.pages == 1


async def test_a_gap_is_read_after_the_time_of_the_call_that_showed_it(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who called us has its answer long since; how long it would have waited is not what the reader has."""
    ann, bob, page, device = await pair(world)
    post, read = Post(world, monkeypatch), world.deliverer._gaps.read
    for text in ("1", "2"):
        await world.send(bob, ann, text)
    await eventually(lambda: len(post.kept) == 2)
    only_device = [target for target in post.kept[0].sessions if world.hub.find(target.session_id).session.sync]
    post.kept[0] = msgspec.structs.replace(post.kept[0], sessions=only_device)
    over = asyncio.get_running_loop().time() + 0.05

    async def late(session: Session, after: int, entry: Entry) -> list[Entry]:
        await eventually(lambda: asyncio.get_running_loop().time() > over)
        return await read(session, after, entry)

    monkeypatch.setattr(world.deliverer._gaps, "read", late)
    with within(0.05):
        await post.hand_over(1, 2)
    await page.has("1", "2")
    assert (device.texts(), page.close_code) == (["1", "2"], None)


async def test_a_gap_that_cannot_be_read_is_not_skipped(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going on would move the cursor over it: the client is asked to come back, and gets it then."""
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    page = await world.page(token)

    async def broken(*_: object, **__: object) -> None:
        raise KeyError("a defect")

    with monkeypatch.context() as patch:
        post = Post(world, patch)
        patch.setattr(world.process.container.log_store(), "history", broken)
        first = (await world.send(bob, ann, "x")).entry.seq
        await world.send(bob, ann, "y")
        await post.hand_over(first + 1)
        assert await page.closed() == CloseCode.UNAVAILABLE
        assert page.texts() == []
    await (await world.page(token)).has("x", "y")


@pytest.mark.parametrize("away", ["the log", "names"])
async def test_a_gap_is_waited_for_while_what_reads_it_is_away(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    """G10: the socket stays, and so does what other conversations bring."""
    ann, bob, cid = await world.friends("ann", "bob", "cid")
    page = await world.page(await world.token(ann))
    await world.send(cid, ann, "0")
    await page.has("0")
    unavailable = Away()

    with monkeypatch.context() as patch:
        post = Post(world, patch)
        first = (await world.send(bob, ann, "1")).entry.seq
        await world.send(bob, ann, "2")
        await eventually(lambda: len(post.kept) == 2)
        if away == "the log":
            patch.setattr(world.process.container.log_store(), "history", unavailable)
        else:  # a name that the second push brings, and the first one needs
            patch.setattr(world.process.container.profile_store(), "list_profiles", unavailable)
            entry = msgspec.json.decode(post.kept[1].payload, type=Entry)
            named = msgspec.Raw(msgspec.json.encode(msgspec.structs.replace(entry, sender_name="bob")))
            post.kept[1] = msgspec.structs.replace(post.kept[1], payload=named)
        await post.hand_over(first + 1)
        await eventually(lambda: unavailable.asked >= 2)
        await world.send(cid, ann, "3")
        await eventually(lambda: len(post.kept) == 3)
        await post._deliver(post.kept[2:])
        await page.has("0", "3")
    await page.has("0", "3", "1", "2")
    await eventually(lambda: page.events("im.session.reload"))  # a list that was read meanwhile counts them already
    assert page.close_code is None


async def test_a_rejoined_member_does_not_see_what_lay_between(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gap checks never cross intervals of membership: the log answers by rights."""
    ann, bob = await world.friends("ann", "bob")
    await world.gather(81, ann, bob)
    page = await world.page(await world.token(bob))
    await world.remove(81, bob)
    await world.say(ann, 81, "secret")
    await world.gather(81, bob)
    await world.say(ann, 81, "hello again")
    await eventually(lambda: page.seqs() == [2, 4, 5])
    assert page.texts() == ["hello again"]


async def test_a_new_conversation_whose_second_entry_comes_first(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    await world.gather(82, ann)
    page = await world.page(await world.token(bob))
    post = Post(world, monkeypatch)
    await world.gather(82, bob)
    await world.say(ann, 82, "welcome")
    await post.hand_over(3, 2)
    await eventually(lambda: page.seqs() == [2, 3])


async def test_a_rest_send_reaches_all_sessions_of_both(world: SocketWorld) -> None:
    """G6: without an origin session all of the sender's sessions get the push."""
    ann, bob, page, device = await pair(world)
    peer = await world.page(await world.token(bob))
    await world.send(ann, bob, "hi")
    for socket in (page, device, peer):
        await socket.has("hi")


async def test_two_tabs_of_one_log_in(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    one = await world.page(token)
    await world.send(bob, ann, "1")
    await one.has("1")
    await one.settled()
    other = await world.page(token)  # its cursor is the other's, as it is now
    await world.send(bob, ann, "2")
    await one.has("1", "2")
    await other.has("2")
    await other.leave()
    await world.send(bob, ann, "3")
    await one.has("1", "2", "3")
    assert len(world.hub.of_user(ann)) == 1


async def test_what_waited_for_its_predecessor_shows_its_sender(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, page, _ = await pair(world)
    post = Post(world, monkeypatch)
    await world.send(bob, ann, "1")
    await world.send(bob, ann, "2")
    await post.hand_over(2, 1)
    await page.has("1", "2")
    assert [payload["body"]["nickname"] for payload in page.events("im.message")] == ["bob", "bob"]


async def test_while_names_cannot_be_asked_for_only_what_needs_them_waits(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob's name is known, Cid's was never told: his two messages are to be brought again, the others arrive."""
    ann, bob, cid = await world.friends("ann", "bob", "cid")
    page = await world.page(await world.token(ann))
    await world.send(bob, ann, "known")
    await page.has("known")
    post = Post(world, monkeypatch)
    for sender, text in ((cid, "c1"), (bob, "b1"), (cid, "c2"), (bob, "b2")):
        await world.send(sender, ann, text)
    await eventually(lambda: len(post.kept) == 4)

    async def away(*_: object) -> None:
        raise Unavailable()

    with monkeypatch.context() as patch:
        patch.setattr(world.process.container.profile_store(), "list_profiles", away)
        receipt = await post._deliver(post.kept)
        assert [receipt.refused, world.order.held] == [[post.kept[0].key, post.kept[2].key], 0]
        await page.has("known", "b1", "b2")
    assert await post._deliver(post.kept) == Receipt()
    await page.has("known", "b1", "b2", "c1", "c2")


async def test_sessions_that_are_gone_are_named(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob, page, _ = await pair(world)
    post = Post(world, monkeypatch)
    await world.send(bob, ann, "1")
    await eventually(lambda: post.kept)
    [push] = post.kept
    stranger = SessionTarget(ann, SessionId("gone"))
    late = msgspec.structs.replace(push, sessions=[*push.sessions, stranger])
    receipt = await post._deliver([late])
    assert receipt.gone == ["gone"]
    await page.has("1")


async def test_nothing_is_kept_of_sessions_that_left(world: SocketWorld) -> None:
    ann, bob, page, device = await pair(world)
    await world.send(bob, ann, "1")
    await page.has("1")
    talk_id = ConversationId(page.events("im.message")[0]["talk_id"])
    await page.leave()
    await device.leave()
    assert talk_id not in world.order._conversations
    assert world.hub.of_user(ann) == []
    assert await world.ports.presence.list_online([ann]) == []


async def test_repetitions_until_the_ack(world: SocketWorld) -> None:
    """G4: retransmission per conversation, in order, until it is acknowledged."""
    ann, bob = await world.friends("ann", "bob")
    page = await world.page(await world.token(ann), acks=False)
    for text in ("1", "2"):
        await world.send(bob, ann, text)
    await page.has("1", "2")

    async def repeated() -> bool:
        await world.housekeeping.repeat_pushes()
        return len(page.texts()) >= 4

    await eventually(repeated)
    assert page.texts()[:4] == ["1", "2", "1", "2"]
    ackids = [frame["ackid"] for frame in page.frames if "ackid" in frame]
    assert ackids[:2] == ackids[2:4], "the same for every repetition"
    for ackid in ackids[:2]:
        page.say({"event": "ack", "ackid": ackid})
    await page.settled()
    [connection] = world.hub.of_user(ann)
    assert connection.session.unacked_count == 0


async def test_a_window_full_of_unacknowledged_pushes(tmp_path: Path) -> None:
    async with socket_world(tmp_path, ack_window_frames=5) as world:
        ann, bob = await world.friends("ann", "bob")
        token = await world.token(ann)
        page = await world.page(token, acks=False)
        for number in range(1, 8):
            await world.send(bob, ann, str(number))
        assert await page.closed() == CloseCode.NO_ACKS
        assert world.hub.closes[CloseCode.NO_ACKS] == 1
        await (await world.page(token)).has(*(str(number) for number in range(1, 8)))


async def test_a_window_full_of_unacknowledged_bytes(tmp_path: Path) -> None:
    """G8: what is kept to be repeated is bounded in bytes too, and catch-up keeps within."""
    async with socket_world(tmp_path, send_queue_bytes=20_000) as world:
        ann, bob = await world.friends("ann", "bob")
        token = await world.token(ann)
        page = await world.page(token, acks=False)
        texts = [f"{number}" * 5000 for number in range(1, 9)]
        for text in texts:
            await world.send(bob, ann, text)
        assert await page.closed() == CloseCode.NO_ACKS
        assert len(page.texts()) < 5
        await (await world.page(token)).has(*texts)
