"""Devices and sync on each engine: nothing twice, nothing lost, cursors never back."""

from __future__ import annotations

from typing import Any

from testkit.messages import ANN, BOB, CID, LAPTOP, PHONE, MessageStores, message, notice
from xinyu.kernel.ids import ConversationId, DeviceId, GroupId, UserId, new_msg_id
from xinyu.message.types import DeviceCursor, Effect, Kind, MemberChange, SyncPage


async def sync(
    stores: MessageStores,
    user_id: UserId,
    cursors: dict[ConversationId, int] | None = None,
    device: DeviceId = LAPTOP,
    **options: Any,
) -> SyncPage:
    options = {"since_ms": 0, "limit": 1000, **options}
    return await stores.devices.sync(user_id, device, cursors, **options)  # type: ignore[arg-type]


def brought(page: SyncPage) -> dict[ConversationId, list[int]]:
    return {item.conversation_id: [entry.seq for entry in item.entries] for item in page.items}


async def move(stores: MessageStores, user_id: UserId, where: ConversationId, seq: int) -> None:
    await stores.devices.move_cursors([DeviceCursor(user_id, PHONE, where, seq)], stores.now_ms)


# Devices.


async def test_the_first_connection_of_a_login_starts_at_the_heads(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    await stores.say(ANN, pair)
    assert await stores.devices.is_catching_up(BOB, PHONE) is None
    assert await stores.opened(BOB) == {pair: (1, 1), crowd: (1, 1)}
    assert await stores.devices.is_catching_up(BOB, PHONE) is False
    await stores.say(ANN, pair)
    assert await stores.opened(BOB) == {pair: (1, 2), crowd: (1, 1)}
    assert await stores.devices.is_catching_up(BOB, PHONE) is True
    assert await stores.opened(BOB, LAPTOP) == {pair: (2, 2), crowd: (1, 1)}, "another login starts for itself"


async def test_a_reconnect_is_owed_what_it_has_not_until_it_has_it(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.opened(BOB)
    await stores.say(ANN, pair)
    assert await stores.opened(BOB) == {pair: (0, 1)}
    await stores.devices.set_caught_up(BOB, PHONE)
    assert await stores.devices.is_catching_up(BOB, PHONE) is False
    assert await stores.opened(BOB) == {pair: (0, 1)}, "only acknowledgements move the cursor"
    await move(stores, BOB, pair, 1)
    assert await stores.opened(BOB) == {pair: (1, 1)}
    assert await stores.devices.is_catching_up(BOB, PHONE) is False, "nothing is owed any more"


async def test_a_device_that_pulls_keeps_what_it_acknowledged(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.say(ANN, pair)
    assert await stores.opened(BOB, sync=True) == {pair: (0, 1)}
    assert await stores.devices.is_catching_up(BOB, PHONE) is None
    await move(stores, BOB, pair, 1)
    assert await stores.opened(BOB, sync=True) == {pair: (1, 1)}


async def test_cursors_never_go_back_nor_beyond_nor_where_one_is_no_member(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, CID)
    for _ in range(3):
        await stores.say(ANN, pair)
    await stores.opened(BOB, sync=True)
    for seq, expected in ((2, 2), (1, 2), (-5, 2), (99, 3)):
        await move(stores, BOB, pair, seq)
        assert await stores.opened(BOB, sync=True) == {pair: (expected, 3)}
    await stores.say(ANN, pair)
    assert await stores.opened(BOB, sync=True) == {pair: (3, 4)}, "it did not acknowledge what it could not have"
    await move(stores, BOB, crowd, 1)
    await move(stores, BOB, ConversationId(999), 1)
    await stores.apply(stores.joins(BOB))
    assert (await stores.opened(BOB, sync=True))[crowd] == (1, 2), "from his joining, which is the second entry"
    await stores.devices.move_cursors([], stores.now_ms)


async def test_many_cursors_at_once(stores: MessageStores) -> None:
    crowds = [await stores.gather(ANN, BOB, group_id=GroupId(60 + n)) for n in range(15)]
    cursors = [DeviceCursor(user, device, c, 1) for user in (BOB, ANN) for device in (PHONE, LAPTOP) for c in crowds]
    await stores.devices.move_cursors(cursors[::-1] + cursors, stores.now_ms)
    for user in (ANN, BOB):
        assert await stores.opened(user, LAPTOP, sync=True) == dict.fromkeys(crowds, (1, 1))


async def test_a_forgotten_login_begins_anew(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.opened(BOB)
    await stores.say(ANN, pair)
    await stores.devices.forget_device(BOB, PHONE)
    await stores.devices.forget_device(BOB, PHONE)
    assert await stores.devices.is_catching_up(BOB, PHONE) is None
    assert await stores.opened(BOB) == {pair: (1, 1)}


async def test_a_conversation_that_came_while_away_is_owed_from_the_join(stores: MessageStores) -> None:
    await stores.befriend(ANN, BOB)
    await stores.opened(BOB)
    crowd = await stores.gather(ANN)
    await stores.say(ANN, crowd)
    await stores.apply(stores.joins(BOB))
    assert (await stores.opened(BOB))[crowd] == (2, 3)


async def test_a_removal_without_its_invitation_is_no_conversation(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN)
    await stores.apply(stores.kicks(BOB))
    await stores.say(ANN, crowd)
    assert await stores.opened(BOB) == {}
    assert brought(await sync(stores, BOB, {})) == {}


async def test_who_left_before_the_first_entry_has_no_conversation(stores: MessageStores) -> None:
    for version, active in ((1, True), (2, False)):
        changes = [MemberChange(BOB, version, active)]
        await stores.apply(Effect(new_msg_id(), Kind.GROUP, (77, 0), changes))
    for limit in (0, 10):
        page = await sync(stores, BOB, {}, limit=limit)
        assert page.items == []


# Sync.


async def test_sync_brings_exactly_what_is_missing(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    for _ in range(3):
        await stores.append(message(ANN, pair), message(ANN, crowd))
    page = await sync(stores, BOB, {})
    assert brought(page) == {pair: [1, 2, 3], crowd: [1, 2, 3, 4]} and not page.more
    (item, _) = page.items
    assert (item.last_seq, item.read_seq, item.unread, item.more) == (3, 0, 3, False)
    assert item.ref.target_id == ANN
    assert brought(await sync(stores, BOB, {pair: 2, crowd: 4})) == {pair: [3]}
    assert brought(await sync(stores, BOB, {pair: 3, crowd: 9})) == {}
    assert brought(await sync(stores, BOB, {pair: 2})) == {pair: [3], crowd: [1, 2, 3, 4]}, "unnamed: from the join"
    assert brought(await sync(stores, BOB, {pair: -7, crowd: 4})) == {pair: [1, 2, 3]}


async def test_sync_without_cursors_takes_the_ones_the_server_keeps(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    for _ in range(3):
        await stores.say(ANN, pair)
    assert brought(await sync(stores, BOB, device=PHONE)) == {pair: [1, 2, 3]}
    assert brought(await sync(stores, BOB, device=PHONE)) == {pair: [1, 2, 3]}, "reading moves nothing"
    await move(stores, BOB, pair, 2)
    assert brought(await sync(stores, BOB, device=PHONE)) == {pair: [3]}
    assert brought(await sync(stores, BOB, device=LAPTOP)) == {pair: [1, 2, 3]}


async def test_pages_of_a_sync_join_without_gap_or_overlap(stores: MessageStores) -> None:
    wheres = [await stores.befriend(ANN, UserId(10 + n)) for n in range(4)]
    for where in wheres:
        await stores.append(*(message(ANN, where) for _ in range(5)))
    for limit in (1, 3, 5, 7, 20):
        have: dict[ConversationId, int] = {}
        seen: dict[ConversationId, list[int]] = {where: [] for where in wheres}
        for _ in range(99):
            page = await sync(stores, ANN, have, limit=limit)
            assert sum(len(item.entries) for item in page.items) <= limit
            for item in page.items:
                seen[item.conversation_id] += [entry.seq for entry in item.entries]
                have[item.conversation_id] = item.entries[-1].seq
                assert item.more == (item.entries[-1].seq < item.last_seq)
            if not page.more:
                break
        assert seen == {where: [1, 2, 3, 4, 5] for where in wheres}


async def test_a_sync_of_no_entries_tells_all_heads_and_cursors(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    await stores.say(ANN, pair)
    page = await sync(stores, BOB, {crowd: 1}, limit=0)
    assert [(i.conversation_id, i.last_seq, i.unread, i.entries, i.cursor) for i in page.items] == [
        (pair, 1, 1, [], 0),
        (crowd, 1, 0, [], 1),
    ]
    assert not page.more


async def test_sync_leaves_out_what_is_older_than_asked_for(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.say(ANN, pair)
    stores.now_ms += 1000
    await stores.say(ANN, pair)
    page = await sync(stores, BOB, {}, since_ms=stores.now_ms)
    assert brought(page) == {pair: [2]}
    page = await sync(stores, BOB, {}, since_ms=stores.now_ms + 1)
    assert brought(page) == {pair: []} and page.items[0].last_seq == 2, "its head is told all the same"


async def test_sync_shows_what_one_left_up_to_ones_leaving(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.say(ANN, crowd)
    await stores.apply(stores.kicks(BOB))
    for _ in range(3):
        await stores.say(ANN, crowd)
    page = await sync(stores, BOB, {crowd: 1})
    assert brought(page) == {crowd: [2, 3]}
    assert (page.items[0].last_seq, page.items[0].unread) == (3, 1), "what came later is not his to count"
    assert brought(await sync(stores, BOB, {crowd: 3})) == {}
    await stores.apply(stores.joins(BOB))
    assert brought(await sync(stores, BOB, {crowd: 3})) == {crowd: [7]}, "nor is what lay between"
    assert brought(await sync(stores, BOB, {crowd: 5})) == {crowd: [7]}


async def test_sync_shows_tombstones_where_content_is_hidden(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    one, two, three = [await stores.say(ANN, pair, f"t{n}") for n in (1, 2, 3)]
    await stores.hide(BOB, pair, one.msg_id)
    await stores.recall(ANN, pair, two.msg_id)
    page = await sync(stores, BOB, {})
    entries = next(item.entries for item in page.items if item.conversation_id == pair)
    assert [(e.seq, e.hidden, e.recalled, e.content == "{}") for e in entries[:3]] == [
        (1, True, False, True),
        (2, False, True, True),
        (3, False, False, False),
    ]
    assert entries[2].msg_id == three.msg_id


async def test_ones_own_conversation_is_synchronised_like_any(stores: MessageStores) -> None:
    await stores.apply(Effect(new_msg_id(), notices=[notice(BOB), notice(BOB, n=2)]))
    page = await sync(stores, BOB, {})
    (item,) = page.items
    assert (item.ref.kind, item.ref.target_id, item.unread, len(item.entries)) == (Kind.SELF, BOB, 0, 2)
    assert brought(await sync(stores, ANN, {})) == {}
    assert (await stores.opened(BOB, sync=True)) == {item.conversation_id: (0, 2)}
