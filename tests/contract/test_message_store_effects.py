"""Effects of contact and group on each engine: in one transaction, once, and only where newer."""

from __future__ import annotations

import asyncio
import itertools

import msgspec
import sqlalchemy as sa

from testkit.messages import ANN, BOB, CID, CROWD, DAN, MessageStores, message, notice, state
from xinyu.kernel.ids import ConversationId, GroupId, UserId, new_msg_id
from xinyu.message.store import Appended
from xinyu.message.store_sql.tables import CONVERSATION, ENTRY, INTERVAL, MEMBER
from xinyu.message.types import Effect, EffectEvent, EntryType, Kind, MemberChange


async def active(stores: MessageStores, where: ConversationId) -> set[UserId]:
    membership = await stores.lists.list_members(where)
    return set(membership.recipients) if membership else set()


async def intervals(stores: MessageStores, user_id: UserId) -> list[tuple[int, int | None]]:
    columns = sa.select(INTERVAL.c.join_seq, INTERVAL.c.leave_seq).where(INTERVAL.c.user_id == user_id)
    return [(join, leave) for join, leave in await stores.rows(columns.order_by(INTERVAL.c.join_seq))]


async def events(stores: MessageStores, where: ConversationId) -> list[int]:
    return [entry.type for entry in await stores.log.read_range(where, 1, 999)]


def about(effect: Appended) -> list[int]:
    """Whom an event names."""
    return [member["user_id"] for member in msgspec.json.decode(effect.entry.content)["members"]]


async def test_an_effect_makes_conversation_members_event_and_notices(stores: MessageStores) -> None:
    effect = msgspec.structs.replace(stores.joins(ANN, BOB), notices=[notice(BOB, n=1), notice(CID)])
    crowd, told = await stores.apply(effect)
    assert [(a.entry.kind, a.entry.type, sorted(a.recipients)) for a in told] == [
        (Kind.GROUP, EntryType.MEMBERS_JOINED, [ANN, BOB]),
        (Kind.SELF, EntryType.SELF_RELOAD, [BOB]),
        (Kind.SELF, EntryType.SELF_RELOAD, [CID]),
    ]
    assert (told[0].entry.conversation_id, told[0].entry.parties) == (crowd, (CROWD, 0))
    assert await stores.self_log(BOB) == [(EntryType.SELF_RELOAD, {"n": 1})]
    assert await active(stores, crowd) == {ANN, BOB}
    assert [row.attempts for row in await stores.outbox.claim("me", stores.now_ms + 1, 1, stores.now_ms, 9, 9)] == [
        0
    ] * 3


async def test_an_effect_again_appends_nothing(stores: MessageStores) -> None:
    effect = msgspec.structs.replace(stores.joins(ANN, BOB), notices=[notice(BOB)])
    crowd, _ = await stores.apply(effect)
    assert await stores.apply(effect) == (crowd, [])
    silent = stores.group_effect(None, [CID])
    await stores.apply(silent)
    version = (await stores.lists.list_members(crowd) or stores).version  # type: ignore[union-attr]
    assert await stores.apply(silent) == (crowd, [])
    assert (await stores.lists.list_members(crowd) or stores).version == version  # type: ignore[union-attr]
    assert await events(stores, crowd) == [EntryType.MEMBERS_JOINED]
    assert len(await stores.self_log(BOB)) == 1


async def test_a_late_kick_never_undoes_a_reinvitation(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    kick, invite = stores.kicks(BOB), stores.joins(BOB)
    _, (told,) = await stores.apply(invite)
    assert about(told) == [BOB]
    assert await stores.apply(kick) == (crowd, [])
    assert await active(stores, crowd) == {ANN, BOB}
    assert await events(stores, crowd) == [EntryType.MEMBERS_JOINED] * 2
    assert await intervals(stores, BOB) == [(0, None)], "he was never away"
    assert await stores.seqs(BOB, crowd) == [1, 2]


async def test_a_removal_before_its_invitation(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN)
    invite, kick = stores.joins(BOB), stores.kicks(BOB)
    await stores.apply(kick)
    assert await stores.apply(invite) == (crowd, [])
    assert await active(stores, crowd) == {ANN}
    assert await intervals(stores, BOB) == []
    await stores.apply(stores.joins(BOB))
    assert await stores.seqs(BOB, crowd) == [3]


async def test_of_an_effect_that_is_late_in_part_the_rest_applies(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB, CID)
    both = stores.kicks(BOB, CID)
    both = msgspec.structs.replace(both, notices=[notice(BOB), notice(CID), notice(DAN)])
    await stores.apply(stores.joins(BOB))
    _, told = await stores.apply(both)
    assert about(told[0]) == [CID]
    assert [a.recipients for a in told[1:]] == [[CID], [DAN]], "Bob is not told of what did not happen"
    assert sorted(told[0].recipients) == [ANN, BOB, CID]
    assert await active(stores, crowd) == {ANN, BOB}


async def test_kicked_and_invited_again_makes_two_intervals(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.say(ANN, crowd)
    await stores.apply(stores.kicks(BOB))
    assert await intervals(stores, BOB) == [(0, 3)], "his removal is inside"
    await stores.say(ANN, crowd)
    _, (told,) = await stores.apply(stores.joins(BOB))
    assert await intervals(stores, BOB) == [(0, 3), (4, None)]
    assert told.entry.seq == 5 and BOB in told.recipients
    for effect in (stores.group_effect(None, [BOB], active=False), stores.group_effect(None, [BOB])):
        await stores.apply(effect)
    assert await intervals(stores, BOB) == [(0, 3), (4, 5), (5, None)]
    for effect in (stores.group_effect(None, [BOB], active=False), stores.group_effect(None, [BOB])):
        await stores.apply(effect)
    assert await intervals(stores, BOB) == [(0, 3), (4, 5), (5, None)], "away for no entry at all"


async def test_joining_again_keeps_pin_and_mute_and_shows_the_conversation(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.set_view(BOB, crowd, pinned=True)
    await stores.set_view(BOB, crowd, muted=True)
    await stores.set_view(BOB, crowd, hidden=True)
    await stores.apply(stores.kicks(BOB))
    await stores.apply(stores.group_effect(None, [BOB]))
    view = await stores.view(BOB, crowd)
    assert (view.pinned, view.muted, view.unread) == (True, True, 0)


async def test_rights_change_without_an_event(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    assert await stores.apply(stores.group_effect(None, [BOB], role=2, muted_until_ms=5)) == (crowd, [])
    row = sa.select(MEMBER.c.role, MEMBER.c.muted_until_ms, MEMBER.c.active).where(MEMBER.c.user_id == BOB)
    assert await stores.rows(row) == [(2, 5, 1)]
    assert await intervals(stores, BOB) == [(0, None)]


async def test_an_old_state_never_replaces_a_newer(stores: MessageStores) -> None:
    await stores.gather(ANN)
    await stores.apply(state(5, mute_all=True))
    await stores.apply(state(4, dismissed=True))
    await stores.apply(state(5, dismissed=True))
    flags = sa.select(CONVERSATION.c.mute_all, CONVERSATION.c.dismissed, CONVERSATION.c.state_version)
    assert await stores.rows(flags.where(CONVERSATION.c.kind == int(Kind.GROUP))) == [(1, 0, 5)]


async def test_what_nothing_is_new_in_says_nothing(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    old = Effect(
        new_msg_id(), Kind.GROUP, (CROWD, 0), [MemberChange(BOB, 1, False)], state(0).state,
        EffectEvent(EntryType.MEMBERS_REMOVED, ANN, {"members": [{"user_id": BOB}]}), [notice(BOB)],
    )  # fmt: skip
    assert await stores.apply(old) == (crowd, [])
    assert await stores.self_log(BOB) == []


async def test_a_private_conversation_is_shown_to_who_is_accepted_again(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.set_view(BOB, pair, hidden=True)
    await stores.befriend(ANN, BOB, accepts=False)
    assert await stores.lists.list_views(BOB, None, None) == []
    await stores.befriend(ANN, BOB)
    assert (await stores.view(BOB, pair)).conversation_id == pair


async def test_notices_alone_need_no_conversation(stores: MessageStores) -> None:
    effect = Effect(new_msg_id(), notices=[notice(BOB, n=1), notice(ANN), notice(BOB, n=2)])
    where, told = await stores.apply(effect)
    assert where == 0
    assert [a.recipients for a in told] == [[BOB], [ANN], [BOB]]
    assert await stores.self_log(BOB) == [(EntryType.SELF_RELOAD, {"n": 1}), (EntryType.SELF_RELOAD, {"n": 2})]
    assert await stores.apply(effect) == (0, [])


async def test_an_event_of_a_kind_this_code_does_not_know_is_kept(stores: MessageStores) -> None:
    told = Effect(new_msg_id(), notices=[notice(BOB)])
    told = msgspec.structs.replace(told, notices=[msgspec.structs.replace(told.notices[0], type=2999)])
    await stores.apply(told)
    assert await stores.self_log(BOB) == [(2999, {})]


async def test_effects_at_once_on_one_group(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB, CID, DAN)
    for _ in range(5):
        effects = [stores.kicks(BOB, CID), stores.joins(CID, BOB), stores.kicks(CID, DAN), stores.joins(DAN)]
        await asyncio.gather(*(stores.apply(effect) for effect in effects))
    seqs = await stores.rows(sa.select(ENTRY.c.seq).where(ENTRY.c.conversation_id == crowd).order_by(ENTRY.c.seq))
    assert [seq for (seq,) in seqs] == list(range(1, len(seqs) + 1))
    assert await active(stores, crowd) == {ANN, BOB, DAN}
    for user in (ANN, BOB, CID, DAN):
        spans = await intervals(stores, user)
        assert all(leave is not None and leave <= later for (_, leave), (later, _) in itertools.pairwise(spans))


async def test_messages_and_effects_at_once_agree_on_who_receives(stores: MessageStores) -> None:
    group = GroupId(70)
    crowd = await stores.gather(ANN, BOB, group_id=group)
    received: dict[int, list[UserId]] = {}

    async def talk() -> None:
        for _ in range(20):
            for outcome in await stores.append(message(ANN, crowd)):
                if isinstance(outcome, Appended):
                    received[outcome.entry.seq] = outcome.recipients
            await asyncio.sleep(0)

    async def come_and_go() -> None:
        for number in range(10):
            effect = stores.kicks(BOB, group_id=group) if number % 2 == 0 else stores.joins(BOB, group_id=group)
            for told in (await stores.apply(effect))[1]:
                received[told.entry.seq] = told.recipients

    await asyncio.gather(talk(), come_and_go())
    assert [seq for seq, users in sorted(received.items()) if BOB in users] == (await stores.seqs(BOB, crowd))[1:]
