"""Group commit on each engine: dense order, idempotency, rights, and that a bad item answers alone."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from testkit.messages import ANN, BOB, CID, CROWD, DAN, MessageStores, appended, message, state
from xinyu.kernel.ids import ConversationId, GroupId, UserId, new_msg_id
from xinyu.message.errors import BadQuote, ConversationClosed, MsgIdConflict, NotAMember, SenderMuted
from xinyu.message.store import Appended, Busy, NotAccepted, Outcome, Refused, Repeated
from xinyu.message.store_sql.tables import CONVERSATION, ENTRY, KEY, METADATA, OUTBOX
from xinyu.message.types import Effect, Kind, Role
from xinyu.storage.errors import CommitUnknown, UniqueViolation
from xinyu.storage.sql import Database


def refusals(outcomes: list[Outcome]) -> list[type[Exception] | None]:
    return [type(outcome.error) if isinstance(outcome, Refused) else None for outcome in outcomes]


async def test_the_migrations_make_the_tables_of_the_code(stores: MessageStores) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {
            "compare_type": True,
            "include_name": lambda name, kind, _: kind != "table" or name in METADATA.tables,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))

    assert await stores.database.read(differences) == []


async def test_seq_is_dense_over_batches_and_conversations(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB, CID)
    for _ in range(3):
        entries = appended(
            await stores.append(
                message(ANN, pair), message(BOB, crowd), message(BOB, pair), message(CID, crowd), message(ANN, pair)
            )
        )
        assert [entry.conversation_id for entry in entries] == [pair, crowd, pair, crowd, pair]
    assert await stores.seqs(ANN, pair) == list(range(1, 10))
    assert await stores.seqs(ANN, crowd) == list(range(1, 8)), "the group's first entry tells of its members"
    assert await stores.rows(sa.select(sa.func.count()).select_from(OUTBOX)) == [(16,)]


async def test_an_appended_entry_is_what_is_read_back(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB, CID)
    text = "字 🎉 \x00 ' \\ %s"
    (outcome,) = await stores.append(message(ANN, crowd, text, sender_name="Ann", sender_avatar="/a.png"))
    assert isinstance(outcome, Appended)
    assert sorted(outcome.recipients) == [ANN, BOB, CID], "the sender's other devices get it too"
    assert (outcome.entry.sender_name, outcome.entry.sender_avatar) == ("Ann", "/a.png")
    assert (outcome.entry.kind, outcome.entry.parties, outcome.entry.sent_at_ms) == (
        Kind.GROUP,
        (CROWD, 0),
        stores.now_ms,
    )
    (stored,) = (await stores.history(BOB, crowd))[-1:]
    assert (stored.content, stored.msg_id, stored.sender_id) == (outcome.entry.content, outcome.entry.msg_id, ANN)


async def test_time_never_goes_back_in_a_conversation(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    first = await stores.say(ANN, pair)
    stores.now_ms -= 60_000
    assert (await stores.say(BOB, pair)).sent_at_ms == first.sent_at_ms


async def test_the_same_id_again_is_the_same_message(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    item = message(ANN, pair)
    first, twin = await stores.append(item, item)
    (again,) = await stores.append(item)
    assert isinstance(first, Appended) and isinstance(twin, Repeated) and isinstance(again, Repeated)
    assert first.entry == twin.entry == again.entry
    assert await stores.seqs(BOB, pair) == [1]


async def test_the_same_id_for_anything_else_is_a_conflict(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    item = message(ANN, pair, "one")
    others = [
        message(ANN, pair, "two", item.msg_id),
        message(BOB, pair, "one", item.msg_id),
        message(ANN, crowd, "one", item.msg_id),
    ]
    outcomes = await stores.append(item, *others)
    assert refusals(outcomes) == [None, *[MsgIdConflict] * 3]
    assert refusals(await stores.append(*others)) == [MsgIdConflict] * 3
    assert (await stores.seqs(ANN, pair), await stores.seqs(ANN, crowd)) == ([1], [1])


async def test_a_bad_item_answers_alone(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    outcomes = await stores.append(
        message(ANN, pair, "1"),
        message(DAN, crowd, "no member"),
        message(ANN, crowd, "2"),
        message(ANN, crowd, "cannot see what it quotes", refusal=BadQuote()),
        message(BOB, pair, "3"),
    )
    assert refusals(outcomes) == [None, NotAMember, None, BadQuote, None]
    assert (await stores.seqs(BOB, pair), await stores.seqs(BOB, crowd)) == ([1, 2], [1, 2])


async def test_a_retry_after_the_senders_removal_gets_its_receipt(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    item = message(BOB, crowd)
    (first,) = await stores.append(item)
    assert isinstance(first, Appended)
    await stores.apply(stores.kicks(BOB))
    assert await stores.append(item) == [Repeated(first.entry)]
    assert refusals(await stores.append(message(BOB, crowd))) == [NotAMember]


async def test_a_retry_gets_its_receipt_though_it_would_be_refused_now(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    item = message(ANN, pair)
    (first,) = await stores.append(item)
    await stores.befriend(ANN, BOB, accepts=False)
    late = message(ANN, pair, msg_id=item.msg_id, refusal=BadQuote())
    assert isinstance(first, Appended)
    assert await stores.append(item, late) == [Repeated(first.entry)] * 2


async def test_who_does_not_accept_gets_nothing(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB, accepts=False)
    assert await stores.append(message(ANN, pair)) == [NotAccepted()]
    assert await stores.seqs(ANN, pair) == []
    assert isinstance((await stores.append(message(BOB, pair)))[0], Appended), "the other way it goes"
    await stores.befriend(ANN, BOB)
    assert isinstance((await stores.append(message(ANN, pair)))[0], Appended)


async def test_strangers_conversation_takes_nothing_until_it_is_accepted(stores: MessageStores) -> None:
    opened = await stores.lists.open(ANN, Kind.PRIVATE, (ANN, BOB), stores.now_ms)
    assert await stores.append(message(ANN, opened), message(BOB, opened)) == [NotAccepted()] * 2
    assert await stores.befriend(ANN, BOB) == opened
    assert len(appended(await stores.append(message(ANN, opened), message(BOB, opened)))) == 2


async def test_only_one_side_is_known(stores: MessageStores) -> None:
    """An effect may speak of one of the two alone; a member list that was read before knows the other later."""
    one = Effect(new_msg_id(), Kind.PRIVATE, (ANN, BOB), [stores.change(BOB, (ANN, BOB), accepts=False)])
    pair, _ = await stores.apply(one)
    batch = await stores.append_batch(message(ANN, pair), message(BOB, pair))
    assert batch.outcomes == [NotAccepted()] * 2
    await stores.lists.open(ANN, Kind.PRIVATE, (ANN, BOB), stores.now_ms)
    members = (await stores.lists.list_members(pair)) or pytest.fail("no members")
    assert sorted(members.recipients) == [ANN, BOB]
    assert members.version > batch.memberships[pair].version
    accepting = Effect(new_msg_id(), Kind.PRIVATE, (ANN, BOB), [stores.change(ANN, (ANN, BOB))])
    await stores.apply(accepting)
    appended(await stores.append(message(BOB, pair), known=batch.memberships))


async def test_rights_are_read_under_the_lock_whatever_is_known(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    known = (await stores.append_batch(message(ANN, crowd))).memberships
    assert (await stores.append_batch(message(ANN, crowd), known=known)).memberships == {}, "read once"
    await stores.apply(stores.group_effect(None, [BOB], muted_until_ms=stores.now_ms + 1000))
    await stores.apply(stores.joins(CID))
    batch = await stores.append_batch(message(BOB, crowd), message(CID, crowd), known=known)
    assert refusals(batch.outcomes) == [SenderMuted, None]
    assert isinstance(batch.outcomes[1], Appended) and sorted(batch.outcomes[1].recipients) == [ANN, BOB, CID]
    stores.now_ms += 1000
    appended(await stores.append(message(BOB, crowd), known=batch.memberships))


async def test_a_muted_group_hears_its_admins_and_a_dismissed_one_nobody(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.apply(stores.joins(CID, role=Role.ADMIN))
    await stores.apply(stores.joins(DAN, role=Role.OWNER))
    await stores.apply(state(1, mute_all=True))
    items = [message(user, crowd) for user in (ANN, CID, DAN)]
    assert refusals(await stores.append(*items)) == [SenderMuted, None, None]
    await stores.apply(state(2))
    appended(await stores.append(message(ANN, crowd)))
    await stores.apply(state(3, dismissed=True))
    outcomes = await stores.append(*(message(user, crowd) for user in (ANN, DAN, UserId(99))))
    assert refusals(outcomes) == [ConversationClosed, ConversationClosed, NotAMember]


class Interrupted(RuntimeError):
    """Not the database's."""


async def test_a_failing_batch_leaves_nothing(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    taken = await stores.say(ANN, pair)

    def clash(connection: Connection) -> None:
        connection.execute(sa.update(CONVERSATION).where(CONVERSATION.c.id == pair).values(last_seq=0))

    await stores.database.write(clash)  # as a broken store would have it: the seq is taken already
    with pytest.raises(UniqueViolation):
        await stores.append(message(BOB, pair), delivered=[(pair, taken.seq)])
    assert await stores.rows(sa.select(sa.func.count()).select_from(KEY)) == [(1,)]
    assert await stores.rows(sa.select(OUTBOX.c.seq)) == [(1,)], "nor is anything settled"


async def test_two_writers_on_one_group_keep_it_dense(stores: MessageStores) -> None:
    crowds = [await stores.gather(ANN, BOB, group_id=GroupId(60 + number)) for number in range(3)]

    async def write_many(sender: UserId) -> None:
        for _ in range(10):
            waiting = [message(sender, crowd) for crowd in crowds]
            while waiting:
                outcomes = await stores.append(*waiting)
                assert all(isinstance(outcome, Appended | Busy) for outcome in outcomes)
                waiting = [item for item, o in zip(waiting, outcomes, strict=True) if isinstance(o, Busy)]
                await asyncio.sleep(0)

    await asyncio.gather(write_many(ANN), write_many(BOB), write_many(ANN))
    for crowd in crowds:
        assert await stores.seqs(ANN, crowd) == list(range(1, 32))


async def test_one_id_through_two_writers_at_once_is_one_message(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    for _ in range(10):
        msg_id = new_msg_id()
        same = [stores.append(message(ANN, pair, msg_id=msg_id)) for _ in range(2)]
        other = stores.append(message(ANN, crowd, msg_id=msg_id))
        results = await asyncio.gather(*same, other, return_exceptions=True)
        stored = 0
        for result in results:
            if isinstance(result, BaseException):
                assert isinstance(result, UniqueViolation)
            else:
                (outcome,) = result
                stored += isinstance(outcome, Appended)
                assert isinstance(outcome, Appended | Repeated | Busy) or refusals([outcome]) == [MsgIdConflict]
        assert stored == 1
        places = await stores.rows(sa.select(ENTRY.c.seq).where(ENTRY.c.msg_id == msg_id))
        assert len(places) == 1


class LostAnswer(Database):
    """A database whose next COMMIT is carried out, but whose answer is lost."""

    def __init__(self, inner: Database) -> None:
        super().__init__()
        self._inner = inner
        self.dialect = inner.dialect
        self.losses = 0

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def run_read(self, work, brief):  # type: ignore[no-untyped-def]  # as in Database
        return await self._inner.read(work)

    async def run_write(self, work, brief):  # type: ignore[no-untyped-def]  # as in Database
        result = await self._inner.write(work)
        if self.losses:
            self.losses -= 1
            raise CommitUnknown()
        return result


async def test_after_an_ambiguous_commit_a_second_look_finds_the_message(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    shaky = LostAnswer(stores.database)
    item, lost = message(ANN, pair), MessageStores(shaky)
    shaky.losses = 1
    with pytest.raises(CommitUnknown):
        await lost.append(item)
    (outcome,) = await lost.append(item)
    assert isinstance(outcome, Repeated) and outcome.entry.seq == 1
    assert await stores.seqs(BOB, pair) == [1]


async def test_delivered_entries_are_settled_by_the_way(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    first, second = await stores.say(ANN, pair), await stores.say(ANN, pair)
    await stores.append(message(BOB, pair), delivered=[(pair, first.seq), (pair, 99), (ConversationId(77), 1)])
    assert await stores.rows(sa.select(OUTBOX.c.seq).order_by(OUTBOX.c.seq)) == [(second.seq,), (3,)]
