"""Row locks that others hold on MySQL: appends pass them by, and change at once never ends in a circle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pymysql
import pytest
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from testkit.clock import ManualClock
from testkit.contacts import port_of
from testkit.messages import ANN, BOB, CID, CROWD, DAN, MessageStores, message, message_database, notice
from xinyu.delivery.port import DeliveryPort
from xinyu.delivery.types import Completion
from xinyu.kernel.ids import ConversationId, UserId, new_msg_id
from xinyu.message.appender import Appender
from xinyu.message.pusher import Pusher
from xinyu.message.settings import MessageSettings
from xinyu.message.store import Appended, Busy, Repeated
from xinyu.message.types import Effect, Kind, private_parties

pytestmark = pytest.mark.engine
OUTBOX_ROWS = "SELECT seq FROM message_outbox WHERE conversation_id=%s"
SHORTER_THAN_A_LOCK_WAIT = 1.5


@pytest.fixture
async def stores(message_mysql_dsn: str) -> AsyncIterator[MessageStores]:
    async with message_database(message_mysql_dsn) as database:
        yield MessageStores(database)


def held(dsn: str, where: ConversationId) -> AbstractContextManager[None]:
    """Another connection has locked the conversation."""
    return locked(dsn, "SELECT id FROM message_conversation WHERE id=%s FOR UPDATE", where)


@contextmanager
def locked(dsn: str, statement: str, *values: int) -> Iterator[None]:
    """Another connection has locked rows, as our transactions do. Raises what that raises."""
    url = make_url(dsn)
    query = dict(url.query)
    connection = pymysql.connect(
        host=url.host, port=url.port or 3306, user=url.username, password=url.password or "", database=url.database,
        unix_socket=query.get("unix_socket"), init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )  # fmt: skip
    try:
        connection.begin()
        connection.cursor().execute(statement, values)
        yield
    finally:
        connection.rollback()
        connection.close()


async def test_a_locked_conversation_is_busy_and_holds_nobody_up(stores: MessageStores, message_mysql_dsn: str) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    stuck = message(ANN, crowd)
    with held(message_mysql_dsn, crowd):
        busy, free = await stores.append(stuck, message(ANN, pair))
        assert isinstance(busy, Busy) and isinstance(free, Appended)
        assert await stores.seqs(BOB, crowd) == [1], "readers wait for nobody"
        assert await stores.mark(BOB, crowd) == (1, 0, True), "nor do read marks"
        assert await stores.clear(BOB, crowd), "nor what concerns one user alone"
    assert isinstance((await stores.append(stuck))[0], Appended)


async def test_effects_appends_and_views_at_once_never_lock_in_a_circle(stores: MessageStores) -> None:
    users = (ANN, BOB, CID, DAN)
    crowd = await stores.gather(*users)
    pairs = [await stores.befriend(ANN, other) for other in users[1:]]
    for _ in range(6):
        told = [notice(user) for user in users]
        effects = [
            Effect(new_msg_id(), Kind.GROUP, (CROWD, 0), [stores.change(user, (CROWD, 0)) for user in order], notices=t)
            for order, t in ((users, told), (users[::-1], told[::-1]), (users[1:], told[1:]))
        ]
        calls = [stores.apply(effect) for effect in effects]
        calls += [stores.clear(user, crowd) for user in users]  # type: ignore[misc]  # results of any kind
        calls += [stores.set_view(user, crowd, pinned=True) for user in users]  # type: ignore[misc]
        calls += [stores.lists.mark_read({(u, c): None for u in users for c in (crowd, *pairs)})]  # type: ignore[list-item]
        calls += [stores.append(*(message(ANN, c) for c in (*pairs, crowd)))]  # type: ignore[list-item]
        calls += [stores.devices.open_device(user, "d", False, 0) for user in users]  # type: ignore[misc,arg-type]
        await asyncio.gather(*calls)
    seqs = await stores.seqs(ANN, crowd)
    assert seqs == list(range(1, len(seqs) + 1))


async def test_makers_of_one_conversation_at_once_get_the_same(stores: MessageStores) -> None:
    for number in range(5):
        a, b = UserId(100 + number), UserId(200 + number)
        parties = private_parties(a, b)
        one = Effect(new_msg_id(), Kind.PRIVATE, parties, [stores.change(a, parties)], notices=[notice(a), notice(b)])
        two = Effect(new_msg_id(), Kind.PRIVATE, parties, [stores.change(b, parties)], notices=[notice(b), notice(a)])
        opened, (first, _), (second, _) = await asyncio.gather(
            stores.lists.open(a, Kind.PRIVATE, parties, 0), stores.apply(one), stores.apply(two)
        )
        assert opened == first == second
        assert len(await stores.self_log(a)) == len(await stores.self_log(b)) == 2


async def test_one_id_at_once_through_two_connections(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    item = message(ANN, pair)
    results = await asyncio.gather(*(stores.append(item) for _ in range(5)))
    kinds = [type(outcome) for (outcome,) in results]
    assert kinds.count(Appended) == 1 and set(kinds) <= {Appended, Repeated, Busy}


async def test_a_send_waits_for_no_left_over_push_that_others_take_up(
    stores: MessageStores, message_mysql_dsn: str
) -> None:
    pair, clock = await stores.befriend(ANN, BOB), ManualClock()
    await stores.say(ANN, pair)
    pusher = Pusher(port_of(DeliveryPort), stores.outbox, clock)
    await pusher.complete([Completion(pair, 1)])
    appender = Appender(stores.log, pusher, clock, MessageSettings(), lanes=2)
    run = asyncio.create_task(appender.run())
    try:
        with locked(message_mysql_dsn, f"{OUTBOX_ROWS} FOR UPDATE", pair):
            async with asyncio.timeout(SHORTER_THAN_A_LOCK_WAIT):
                assert isinstance(await appender.append(message(ANN, pair)), Appended)
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    with pusher.settling() as keys:
        assert keys == [(pair, 1)], "still to be settled"


async def test_left_over_pushes_are_locked_while_they_are_taken_and_not_while_they_are_read(
    stores: MessageStores, message_mysql_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, reads = await stores.befriend(ANN, BOB), 0
    await stores.append(*(message(ANN, pair) for _ in range(3)))
    read = stores.database.read

    async def among_others(work: Callable[[Connection], object], *, brief: bool = False) -> object:
        nonlocal reads
        reads += 1
        with locked(message_mysql_dsn, f"{OUTBOX_ROWS} FOR UPDATE NOWAIT", pair):
            return await read(work, brief=brief)

    monkeypatch.setattr(stores.database, "read", among_others)
    rows = await stores.outbox.claim("me", stores.now_ms + 1, 1000, stores.now_ms, 100, 5)
    assert [row.entry.seq for row in rows] == [1, 2, 3]
    assert reads == 2, "whether there are any, and what they are"
