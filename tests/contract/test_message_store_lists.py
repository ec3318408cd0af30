"""The conversation list on each engine: order, previews, hiding, and unread counts that are exact."""

from __future__ import annotations

import pytest

from testkit.messages import ANN, BOB, CID, DAN, LAPTOP, PHONE, MessageStores, message, state
from xinyu.kernel.ids import ConversationId, DeviceId, UserId, new_msg_id
from xinyu.message.errors import NotAMember
from xinyu.message.store import ReadMark
from xinyu.message.types import (
    DeviceCursor,
    Effect,
    EffectEvent,
    EntryType,
    Kind,
    Ref,
    group_ref,
    private_parties,
    private_ref,
)


async def listed(stores: MessageStores, user_id: UserId) -> list[ConversationId]:
    return [view.conversation_id for view in await stores.lists.list_views(user_id, None, None)]


async def preview(stores: MessageStores, user_id: UserId, where: ConversationId) -> int | None:
    """The seq of what the list shows of a conversation."""
    shown = (await stores.view(user_id, where)).preview
    return None if shown is None else shown.seq


# Unread.


async def test_unread_counts_what_others_sent_since_the_read_mark(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    for sender in (ANN, ANN, BOB, ANN):
        await stores.say(sender, pair)
    assert [await stores.unread(user, pair) for user in (ANN, BOB)] == [1, 3], "sending does not read"
    assert await stores.mark(BOB, pair, 2) == (2, 1, True)
    assert await stores.mark(ANN, pair) == (4, 0, True)
    assert [await stores.unread(user, pair) for user in (ANN, BOB)] == [0, 1]


async def test_recalls_events_and_forwards_of_ones_own_never_count(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    assert await stores.unread(BOB, crowd) == 0
    said = await stores.say(ANN, crowd)
    await stores.recall(ANN, crowd, said.msg_id)
    await stores.apply(stores.joins(CID))
    await stores.say(BOB, crowd, type_=EntryType.FORWARD)
    assert [await stores.unread(user, crowd) for user in (ANN, BOB, CID)] == [1, 1, 1]
    await stores.apply(stores.kicks(CID))
    assert await stores.mark(BOB, crowd, said.seq) == (said.seq, 0, True)


async def test_a_rejoin_starts_with_nothing_unread_but_what_comes(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.say(ANN, crowd)
    await stores.apply(stores.kicks(BOB))
    await stores.say(ANN, crowd)
    await stores.apply(stores.joins(BOB))
    assert await stores.unread(BOB, crowd) == 0
    await stores.say(ANN, crowd)
    assert await stores.unread(BOB, crowd) == 1


async def test_a_greeting_counts_for_the_one_who_is_greeted(stores: MessageStores) -> None:
    parties = private_parties(ANN, BOB)
    greeting = EffectEvent(EntryType.TEXT, ANN, {"content": "we are contacts"})
    changes = [stores.change(user, parties) for user in (ANN, BOB)]
    pair, (told,) = await stores.apply(Effect(new_msg_id(), Kind.PRIVATE, parties, changes, event=greeting))
    assert told.entry.sender_id == ANN
    assert [await stores.unread(user, pair) for user in (ANN, BOB)] == [0, 1]


async def test_read_marks_only_go_up(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    for _ in range(5):
        await stores.say(ANN, pair)
    assert await stores.mark(BOB, pair, 3) == (3, 2, True)
    assert await stores.mark(BOB, pair, 2) == (3, 2, False)
    assert await stores.mark(BOB, pair, 3) == (3, 2, False)
    assert await stores.mark(BOB, pair, 99) == (5, 0, True), "no further than the head"
    assert await stores.mark(BOB, pair, -1) == (5, 0, False)
    await stores.say(ANN, pair)
    assert await stores.unread(BOB, pair) == 1


async def test_who_left_reads_and_counts_up_to_his_leaving(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    for _ in range(2):
        await stores.say(ANN, crowd)
    assert await stores.mark(BOB, crowd, 2) == (2, 1, True)
    await stores.apply(stores.kicks(BOB))
    for _ in range(3):
        await stores.say(ANN, crowd)
    assert await stores.mark(BOB, crowd, 1) == (2, 1, False), "nothing of what came after he left"
    marks = {(BOB, crowd): None, (ANN, crowd): None}
    assert await stores.lists.mark_read(marks) == {
        (BOB, crowd): ReadMark(4, 0, moved=True),
        (ANN, crowd): ReadMark(7, 0, moved=True),
    }
    assert await stores.mark(BOB, crowd, 99) == (4, 0, False)
    await stores.apply(stores.joins(BOB))
    await stores.say(ANN, crowd)
    assert await stores.mark(BOB, crowd, 8) == (8, 1, True)


async def test_marks_of_many_share_a_transaction_and_strangers_are_left_out(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    await stores.say(ANN, pair)
    await stores.say(ANN, crowd)
    nowhere = ConversationId(999)
    marks = {(BOB, crowd): None, (CID, crowd): None, (ANN, pair): 1, (BOB, pair): 0, (BOB, nowhere): 3}
    assert await stores.lists.mark_read(marks) == {
        (BOB, crowd): ReadMark(2, 0, moved=True),
        (ANN, pair): ReadMark(1, 0, moved=True, mutual=True),
        (BOB, pair): ReadMark(0, 1, mutual=True),
    }


async def test_unread_at_a_device_is_what_it_will_not_be_pushed(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.say(ANN, pair)
    await stores.devices.open_device(BOB, PHONE, False, 0)
    for sender in (ANN, BOB, ANN):
        await stores.say(sender, pair)
    assert [await stores.unread(BOB, pair, at) for at in (None, PHONE)] == [3, 1]
    await stores.devices.move_cursors([DeviceCursor(BOB, PHONE, pair, 3)], stores.now_ms)
    assert [await stores.unread(BOB, pair, at) for at in (None, PHONE)] == [3, 2]
    await stores.mark(BOB, pair, 1)
    assert [await stores.unread(BOB, pair, at) for at in (None, PHONE)] == [2, 1]
    await stores.mark(BOB, pair, 4)
    assert [await stores.unread(BOB, pair, at) for at in (None, PHONE)] == [0, 0]
    crowd = await stores.gather(BOB, ANN)
    await stores.say(ANN, crowd)
    assert [await stores.unread(BOB, crowd, at) for at in (None, PHONE)] == [1, 0], "it has nothing of that one"
    assert await stores.unread(BOB, crowd, LAPTOP) == 0


# Order and what is on the list.


async def test_pinned_first_then_the_newest(stores: MessageStores) -> None:
    ab, ac, ad = [await stores.befriend(ANN, other) for other in (BOB, CID, DAN)]
    for where in (ad, ab, ac):
        stores.now_ms += 1000
        await stores.say(ANN, where)
    assert await listed(stores, ANN) == [ac, ab, ad]
    await stores.set_view(ANN, ad, pinned=True)
    assert await listed(stores, ANN) == [ad, ac, ab]
    stores.now_ms += 1000
    await stores.say(BOB, ab)
    assert await listed(stores, ANN) == [ad, ab, ac]


async def test_a_view_is_changed_once_and_the_users_devices_are_told(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    named = {"talk_mode": 1, "to_from_id": BOB, "talk_id": pair}
    for view, type_ in (
        ({"pinned": True}, EntryType.SELF_PINNED),
        ({"muted": True}, EntryType.SELF_MUTED),
        ({"hidden": True}, EntryType.SELF_HIDDEN),
        ({"pinned": False}, EntryType.SELF_PINNED),
    ):
        (told,) = await stores.set_view(ANN, pair, **view)
        assert told.recipients == [ANN]
        assert (await stores.self_log(ANN))[-1] == (type_, named | view)
        assert await stores.set_view(ANN, pair, **view) == []
    assert await stores.lists.list_muted(ANN, [private_ref(BOB), group_ref(5)]) == [True, False]  # type: ignore[arg-type]
    assert await stores.lists.list_muted(BOB, [private_ref(ANN)]) == [False]
    with pytest.raises(NotAMember):
        await stores.set_view(CID, pair, pinned=True)


async def test_hidden_until_its_next_entry(stores: MessageStores) -> None:
    pair, empty = await stores.befriend(ANN, BOB), await stores.befriend(ANN, CID)
    await stores.say(BOB, pair)
    await stores.set_view(ANN, pair, hidden=True)
    await stores.set_view(ANN, empty, hidden=True)
    assert (await listed(stores, ANN), await listed(stores, BOB)) == ([], [pair])
    (view,) = await stores.lists.list_views(ANN, pair, None)
    assert view.unread == 1, "asked for by itself it is there"
    await stores.say(BOB, pair)
    assert await listed(stores, ANN) == [pair]
    await stores.lists.open(ANN, Kind.PRIVATE, (ANN, CID), stores.now_ms)
    assert sorted(await listed(stores, ANN)) == sorted([pair, empty])


async def test_who_left_and_what_was_dismissed_is_off_the_list(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.apply(stores.kicks(BOB))
    assert (await listed(stores, ANN), await listed(stores, BOB)) == ([crowd], [])
    await stores.apply(stores.joins(BOB))
    assert await listed(stores, BOB) == [crowd]
    await stores.apply(state(1, dismissed=True))
    assert (await listed(stores, ANN), await listed(stores, BOB)) == ([], [])


async def test_opening_shows_a_conversation_to_the_opener_alone(stores: MessageStores) -> None:
    pair = await stores.lists.open(ANN, Kind.PRIVATE, (ANN, BOB), stores.now_ms)
    assert await stores.lists.open(ANN, Kind.PRIVATE, (ANN, BOB), stores.now_ms) == pair
    assert (await listed(stores, ANN), await listed(stores, BOB)) == ([pair], [])
    view = await stores.view(ANN, pair)
    assert (view.ref, view.unread, view.preview, view.last_seq) == (private_ref(BOB), 0, None, 0)
    crowd = await stores.gather(ANN)
    assert await stores.lists.open(ANN, Kind.GROUP, (50, 0), stores.now_ms) == crowd
    for user, kind, parties in ((BOB, Kind.GROUP, (50, 0)), (ANN, Kind.GROUP, (51, 0))):
        with pytest.raises(NotAMember):
            await stores.lists.open(user, kind, parties, stores.now_ms)


async def test_ids_by_ref(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN)
    refs = [Ref(Kind.GROUP, 50), Ref(Kind.PRIVATE, CID), Ref(Kind.PRIVATE, BOB), Ref(Kind.GROUP, 51)]
    assert await stores.lists.find_ids(ANN, refs) == [crowd, None, pair, None]
    assert await stores.lists.find_ids(BOB, [Ref(Kind.GROUP, 50), Ref(Kind.PRIVATE, ANN)]) == [None, pair]
    assert await stores.lists.find_ids(ANN, []) == []


# Previews.


async def test_the_preview_is_the_newest_that_this_user_can_see(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    assert await preview(stores, BOB, pair) is None
    one, two, three = [await stores.say(ANN, pair, f"t{n}") for n in (1, 2, 3)]
    assert await preview(stores, BOB, pair) == 3
    await stores.hide(BOB, pair, three.msg_id)
    assert [await preview(stores, user, pair) for user in (ANN, BOB)] == [3, 2]
    await stores.hide(BOB, pair, one.msg_id, two.msg_id)
    assert [await preview(stores, user, pair) for user in (ANN, BOB)] == [3, None]
    await stores.say(ANN, pair, "t4")
    assert await preview(stores, BOB, pair) == 4
    await stores.clear(BOB, pair)
    assert [await preview(stores, user, pair) for user in (ANN, BOB)] == [4, None]


async def test_a_recalled_preview_has_no_content(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    said = await stores.say(ANN, pair, "secret")
    await stores.recall(ANN, pair, said.msg_id)
    shown = (await stores.view(BOB, pair)).preview
    assert shown is not None
    assert (shown.seq, shown.recalled, shown.content) == (said.seq, True, "{}")


async def test_a_preview_never_comes_from_between_two_memberships(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.say(ANN, crowd, "mine to read")
    await stores.apply(stores.kicks(BOB))
    await stores.say(ANN, crowd, "not for Bob")
    await stores.apply(stores.group_effect(None, [BOB]))
    assert await preview(stores, BOB, crowd) == 3, "his removal is the newest he can read"
    assert await stores.seqs(BOB, crowd) == [1, 2, 3]
    await stores.apply(stores.group_effect(None, [CID]))
    assert await preview(stores, CID, crowd) is None


async def test_a_long_list_with_every_kind_of_row(stores: MessageStores) -> None:
    others = [UserId(100 + number) for number in range(30)]
    pairs = [await stores.befriend(ANN, other) for other in others]
    await stores.append(*(message(other, pair) for other, pair in zip(others, pairs, strict=True)))
    await stores.hide(ANN, pairs[3], (await stores.history(ANN, pairs[3]))[0].msg_id)
    await stores.clear(ANN, pairs[4])
    await stores.set_view(ANN, pairs[5], hidden=True)
    views = {view.conversation_id: view for view in await stores.lists.list_views(ANN, None, DeviceId("x"))}
    assert set(views) == set(pairs) - {pairs[5]}
    assert {id_ for id_, view in views.items() if view.preview is None} == {pairs[3], pairs[4]}
    assert [views[pair].ref.target_id for pair in pairs[:3]] == others[:3]
