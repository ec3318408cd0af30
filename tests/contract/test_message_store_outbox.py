"""The outbox on each engine: claimed by one, counted, quarantined, settled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import sqlalchemy as sa

from testkit.messages import ANN, BOB, CID, MessageStores, message
from xinyu.kernel.ids import ConversationId, SessionId
from xinyu.message.store_outbox import OutboxCounts, OutboxRow
from xinyu.message.store_sql.tables import OUTBOX

LEASE_MS = 1000


async def claim(
    stores: MessageStores, owner: str = "me", before_ms: int | None = None, limit: int = 100, attempts: int = 5
) -> list[OutboxRow]:
    before_ms = stores.now_ms + 1 if before_ms is None else before_ms
    return await stores.outbox.claim(owner, before_ms, LEASE_MS, stores.now_ms, limit, attempts)


def places(rows: Sequence[OutboxRow]) -> list[tuple[ConversationId, int]]:
    return [(row.entry.conversation_id, row.entry.seq) for row in rows]


async def test_what_is_left_over_is_claimed_with_all_that_a_push_needs(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    said = await stores.say(ANN, pair, "text", origin_session=SessionId("s1"), trace_id="t1")
    (row,) = await claim(stores)
    assert (row.entry, sorted(row.recipients)) == (said, [ANN, BOB])
    assert (row.origin_session, row.trace_id, row.attempts) == ("s1", "t1", 0)


async def test_recipients_are_who_was_a_member_at_that_entry(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.apply(stores.kicks(BOB))
    await stores.say(ANN, crowd)
    await stores.apply(stores.joins(CID))
    await stores.apply(stores.joins(BOB))
    recipients = [sorted(row.recipients) for row in await claim(stores)]
    assert recipients == [[ANN, BOB], [ANN, BOB], [ANN], [ANN, CID], [ANN, BOB, CID]]


async def test_more_are_claimed_at_once_than_one_statement_takes(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB, CID)
    said = [message(ANN, where, f"{where} {n}") for n in range(110) for where in (pair, crowd)]
    await stores.append(*said)
    rows = await claim(stores, limit=1000)
    assert places(rows) == [*((pair, seq) for seq in range(1, 111)), *((crowd, seq) for seq in range(1, 112))]
    assert {row.entry.msg_id for row in rows} >= {item.msg_id for item in said}
    assert {len(row.recipients) for row in rows if row.entry.conversation_id == crowd} == {3}
    assert await claim(stores) == []


async def test_a_recalled_one_is_pushed_without_content(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    said = await stores.say(ANN, pair, "secret")
    await stores.recall(ANN, pair, said.msg_id)
    assert "secret" not in str(await claim(stores))


async def test_a_claim_holds_until_its_lease_is_over(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.append(*(message(ANN, pair) for _ in range(3)))
    assert len(await claim(stores, "a")) == 3
    assert await claim(stores, "b") == []
    stores.now_ms += LEASE_MS - 1
    assert await claim(stores, "b") == []
    stores.now_ms += 1
    assert [row.attempts for row in await claim(stores, "b")] == [1, 1, 1]


async def test_only_what_is_old_enough_is_claimed_oldest_first(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    begin = stores.now_ms
    for _ in range(4):
        await stores.say(ANN, pair)
        stores.now_ms += 10
    assert places(await claim(stores, before_ms=begin + 20)) == [(pair, 1), (pair, 2)]
    assert places(await claim(stores, limit=1)) == [(pair, 3)]
    assert places(await claim(stores)) == [(pair, 4)]


async def test_two_claimers_at_once_share_without_overlap(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.append(*(message(ANN, pair) for _ in range(40)))
    claimed = await asyncio.gather(*(claim(stores, f"o{n}", limit=15) for n in range(4)))
    taken = [place for rows in claimed for place in places(rows)]
    while rows := await claim(stores, "rest", limit=15):
        taken += places(rows)
    assert sorted(taken) == [(pair, seq) for seq in range(1, 41)]


async def test_a_row_that_never_arrives_is_put_aside_and_stops_nobody(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.say(ANN, pair)
    for attempt in range(3):
        assert [row.attempts for row in await claim(stores, attempts=3)] == [attempt]
        stores.now_ms += LEASE_MS
    second = await stores.say(ANN, pair)
    assert places(await claim(stores, attempts=3)) == [(pair, second.seq)]
    assert (await stores.outbox.counts()).quarantined == 1
    stores.now_ms += LEASE_MS
    assert places(await claim(stores, attempts=3)) == [(pair, second.seq)]


async def test_what_was_put_aside_gets_another_chance_when_it_has_rested(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.append(*(message(ANN, pair) for _ in range(3)))
    await claim(stores, attempts=0)
    begin = stores.now_ms
    stores.now_ms += LEASE_MS
    late = await stores.say(ANN, pair)
    await claim(stores, attempts=0)
    await stores.outbox.settle([(pair, 1)], stores.now_ms)
    await stores.outbox.reopen(stores.now_ms)
    assert await stores.outbox.release(begin, 2, 10) == 0
    assert await stores.outbox.release(begin + 1, 2, 1) == 1
    assert await stores.outbox.release(begin + 1, 2, 10) == 1
    rows = await claim(stores, attempts=3)
    assert places(rows) == [(pair, 2), (pair, 3)], f"not {late.seq}, which is there since later, nor what is settled"
    assert [row.attempts for row in rows] == [2, 2], "one is left"
    stores.now_ms += LEASE_MS
    assert places(await claim(stores, attempts=3)) == []
    assert (await stores.outbox.counts()).quarantined == 3


async def test_settled_rows_are_gone(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.append(*(message(ANN, pair) for _ in range(3)))
    await stores.outbox.settle([(pair, 2), (pair, 1), (pair, 99)], stores.now_ms)
    await stores.outbox.settle([], stores.now_ms)
    assert places(await claim(stores)) == [(pair, 3)]
    assert await stores.rows(sa.select(OUTBOX.c.seq)) == [(3,)]


async def test_settled_rows_are_kept_for_replay_where_that_may_be_needed(stores: MessageStores) -> None:
    kept = MessageStores(stores.database, keep_outbox=True)
    pair = await kept.befriend(ANN, BOB)
    await kept.append(*(message(ANN, pair) for _ in range(3)))
    await kept.outbox.settle([(pair, 1)], kept.now_ms)
    await kept.append(message(BOB, pair), delivered=[(pair, 2)])
    assert places(await claim(kept)) == [(pair, 3), (pair, 4)]
    assert await kept.outbox.remove_done(kept.now_ms, 10) == 0
    assert await kept.outbox.remove_done(kept.now_ms + 1, 1) == 1
    assert await kept.outbox.remove_done(kept.now_ms + 1, 10) == 1
    assert await kept.rows(sa.select(OUTBOX.c.seq).order_by(OUTBOX.c.seq)) == [(3,), (4,)]


async def test_counts(stores: MessageStores) -> None:
    assert await stores.outbox.counts() == OutboxCounts(0, 0, 0)
    pair = await stores.befriend(ANN, BOB)
    begin = stores.now_ms
    await stores.say(ANN, pair)
    stores.now_ms += 10
    await stores.say(ANN, pair)
    assert await stores.outbox.counts() == OutboxCounts(2, begin, 0)
    await claim(stores, attempts=0)
    await stores.say(ANN, pair)
    assert await stores.outbox.counts() == OutboxCounts(1, begin + 10, 2), "the oldest that is still to be delivered"


async def test_what_was_dispatched_to_who_lost_it_is_free_again(stores: MessageStores) -> None:
    kept = MessageStores(stores.database, keep_outbox=True)
    pair = await kept.befriend(ANN, BOB)
    await kept.append(*(message(ANN, pair) for _ in range(3)))
    await kept.outbox.settle([(pair, 1)], kept.now_ms)
    assert len(await claim(kept, "a")) == 2
    assert await kept.outbox.reopen(kept.now_ms + 1) == 0, "none was delivered since then"
    assert places(await claim(kept, "b")) == [(pair, 2), (pair, 3)]
