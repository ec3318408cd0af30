"""Reading the log on each engine: intervals, tombstones, recalls, what one deleted or cleared, forwards."""

from __future__ import annotations

import msgspec
import pytest

from testkit.messages import ANN, BOB, CID, DAN, MessageStores, message
from xinyu.kernel.ids import ConversationId, MsgId, UserId, derived_msg_id, new_msg_id
from xinyu.message.errors import MessageNotFound, NotAMember, NotYourMessage, RecallTooLate
from xinyu.message.types import Entry, EntryType, Kind


async def texts(stores: MessageStores, user_id: UserId, where: ConversationId, **options: object) -> list[str]:
    """Seq and text of what a user reads: (hidden), [recalled], <event>."""
    shown = []
    for entry in await stores.history(user_id, where, **options):
        text = msgspec.json.decode(entry.content).get("content", "")
        if entry.type >= EntryType.SYSTEM_TEXT:
            text = f"<{entry.type}>"
        if entry.recalled:
            text += "[recalled]"
        shown.append(f"{entry.seq}{text}" if not entry.hidden else f"{entry.seq}(hidden){text}")
    return shown


# Intervals.


async def test_nobody_reads_what_lay_between_two_memberships(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.say(ANN, crowd, "before")
    await stores.apply(stores.kicks(BOB))
    await stores.say(ANN, crowd, "between")
    await stores.apply(stores.joins(BOB))
    await stores.say(ANN, crowd, "after")
    assert await texts(stores, BOB, crowd) == ["1<1102>", "2before", "3<1104>", "5<1102>", "6after"]
    assert await stores.seqs(ANN, crowd) == [1, 2, 3, 4, 5, 6]


async def test_the_removed_one_reads_his_removal_and_no_further(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    _, (told,) = await stores.apply(stores.kicks(BOB))
    await stores.say(ANN, crowd)
    assert BOB in told.recipients
    assert await texts(stores, BOB, crowd) == ["1<1102>", "2<1104>"]
    with pytest.raises(MessageNotFound):
        await stores.recall(BOB, crowd, (await stores.say(ANN, crowd)).msg_id)


async def test_who_joins_begins_with_his_own_joining(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.say(ANN, crowd)
    await stores.apply(stores.joins(CID))
    assert await stores.seqs(CID, crowd) == [3]
    assert await stores.history(DAN, crowd) == []
    assert await stores.history(ANN, ConversationId(999)) == []


# Pages.


async def test_pages_in_both_directions(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    for number in range(1, 8):
        await stores.say(ANN, pair, f"t{number}")

    async def page(**options: int | None) -> tuple[list[int], bool]:
        given = {"before": 0, "after": None, "limit": 3, **options}
        found = await stores.log.history(BOB, pair, types=None, tombstones=True, **given)  # type: ignore[arg-type]
        return [entry.seq for entry in found.entries], found.more

    assert await page() == ([7, 6, 5], True)
    assert await page(before=5) == ([4, 3, 2], True)
    assert await page(before=4) == ([3, 2, 1], False)
    assert await page(before=1) == ([], False)
    assert await page(after=0) == ([1, 2, 3], True)
    assert await page(after=4) == ([5, 6, 7], False)
    assert await page(after=7) == ([], False)
    assert await page(before=99) == ([7, 6, 5], True)


async def test_types_filter_before_the_page_is_cut(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    for number in range(1, 13):
        await stores.say(ANN, pair, type_=EntryType.IMAGE if number % 4 == 0 else EntryType.TEXT)
    images = [entry.seq for entry in await stores.history(BOB, pair, types=[EntryType.IMAGE], limit=2)]
    assert images == [4, 8]


# Recall.


async def test_a_recall_takes_the_content_and_says_so(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    said = await stores.say(ANN, crowd, "secret")
    told = await stores.recall(ANN, crowd, said.msg_id)
    assert told is not None and sorted(told.recipients) == [ANN, BOB]
    content = msgspec.json.decode(told.entry.content)
    assert content == {"owner_id": ANN, "owner_name": "name", "revoke_msg_id": said.msg_id, "revoke_seq": said.seq}
    assert (told.entry.type, told.entry.seq, told.entry.sender_id) == (EntryType.RECALLED, 3, 0)
    for reader in (ANN, BOB):
        assert await texts(stores, reader, crowd) == ["1<1102>", "2[recalled]", "3<1105>"]
        assert await texts(stores, reader, crowd, tombstones=False) == ["1<1102>", "2[recalled]"]
    assert "secret" not in str(await stores.log.read_range(crowd, 1, 9))
    assert await stores.recall(ANN, crowd, said.msg_id) is None, "again: nothing happens"
    assert await stores.head(crowd) == 3


async def test_who_may_recall_what_and_when(stores: MessageStores) -> None:
    crowd, pair = await stores.gather(ANN, BOB), await stores.befriend(ANN, BOB)
    said = await stores.say(ANN, crowd)
    event = (await stores.history(ANN, crowd))[0]
    for error, user, where, msg_id in (
        (NotYourMessage, BOB, crowd, said.msg_id),
        (MessageNotFound, CID, crowd, said.msg_id),
        (MessageNotFound, ANN, pair, said.msg_id),
        (MessageNotFound, ANN, crowd, new_msg_id()),
        (MessageNotFound, ANN, crowd, event.msg_id),
        (MessageNotFound, ANN, ConversationId(999), said.msg_id),
    ):
        with pytest.raises(error):
            await stores.recall(user, where, msg_id)
    with pytest.raises(RecallTooLate):
        await stores.log.recall(ANN, crowd, said.msg_id, "", said.sent_at_ms + 1, stores.now_ms)
    await stores.apply(stores.kicks(ANN))
    with pytest.raises(NotAMember):
        await stores.recall(ANN, crowd, said.msg_id)


async def test_nobody_can_forestall_a_recall(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    said = await stores.say(ANN, pair)
    await stores.append(message(BOB, pair, msg_id=derived_msg_id("recall", said.msg_id)))
    assert await stores.recall(ANN, pair, said.msg_id) is not None


# Deleted and cleared for one user.


async def test_deleted_for_me_is_a_tombstone_for_me_alone(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    one, two, three = [await stores.say(ANN, pair, f"t{n}") for n in (1, 2, 3)]
    (told,) = await stores.hide(BOB, pair, one.msg_id, three.msg_id, new_msg_id())
    assert (told.recipients, told.entry.kind, told.entry.type) == ([BOB], Kind.SELF, EntryType.SELF_DELETED)
    assert await texts(stores, BOB, pair) == ["1(hidden)", "2t2", "3(hidden)"]
    assert await texts(stores, BOB, pair, tombstones=False) == ["2t2"]
    assert await texts(stores, ANN, pair) == ["1t1", "2t2", "3t3"]
    content = {"talk_mode": 1, "to_from_id": ANN, "talk_id": pair, "msg_ids": [one.msg_id, three.msg_id]}
    ((_, said),) = await stores.self_log(BOB)
    assert said | {"msg_ids": sorted(said["msg_ids"])} == content | {"msg_ids": sorted([one.msg_id, three.msg_id])}
    assert await stores.hide(BOB, pair, one.msg_id) == [], "again: nothing happens"
    assert len(await stores.hide(BOB, pair, one.msg_id, two.msg_id)) == 1
    assert (await stores.self_log(BOB))[1][1]["msg_ids"] == [two.msg_id]


async def test_nobody_deletes_what_he_cannot_read(stores: MessageStores) -> None:
    crowd, pair = await stores.gather(ANN), await stores.befriend(ANN, BOB)
    early = await stores.say(ANN, crowd)
    await stores.apply(stores.joins(BOB))
    assert await stores.hide(BOB, crowd, early.msg_id) == []
    assert await stores.hide(BOB, pair, early.msg_id) == [], "it belongs to another conversation"
    with pytest.raises(NotAMember):
        await stores.hide(CID, crowd, early.msg_id)
    assert await stores.log.find_conversation(Kind.SELF, (CID, 0)) is None


async def test_cleared_is_hidden_and_read(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    await stores.say(ANN, pair, "one")
    await stores.say(ANN, pair, "two")
    (told,) = await stores.clear(BOB, pair)
    assert told.recipients == [BOB]
    assert await stores.self_log(BOB) == [
        (EntryType.SELF_CLEARED, {"talk_mode": 1, "to_from_id": ANN, "talk_id": pair, "seq": 2})
    ]
    assert await stores.clear(BOB, pair) == []
    await stores.say(ANN, pair, "three")
    assert await texts(stores, BOB, pair) == ["1(hidden)", "2(hidden)", "3three"]
    assert await texts(stores, BOB, pair, tombstones=False) == ["3three"]
    assert await stores.unread(BOB, pair) == 1
    assert await texts(stores, ANN, pair) == ["1one", "2two", "3three"]
    with pytest.raises(NotAMember):
        await stores.clear(CID, pair)


async def test_who_left_clears_what_was_his(stores: MessageStores) -> None:
    crowd = await stores.gather(ANN, BOB)
    await stores.say(ANN, crowd)
    await stores.apply(stores.kicks(BOB))
    await stores.say(ANN, crowd)
    (told,) = await stores.clear(BOB, crowd)
    assert msgspec.json.decode(told.entry.content)["seq"] == 3, "the last that was his, not the group's newest"
    assert await stores.mark(BOB, crowd) == (3, 0, False)
    assert await stores.clear(BOB, crowd) == []


# Messages by id.


async def find(stores: MessageStores, user_id: UserId, *entries: Entry) -> list[int]:
    found = await stores.log.find_messages(user_id, [entry.msg_id for entry in entries])
    assert all(entry.msg_id == msg_id and not entry.hidden for msg_id, entry in found.items())
    return [index for index, entry in enumerate(entries) if entry.msg_id in found]


async def test_messages_by_id_are_found_by_who_may_read_them(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    private, early = await stores.say(ANN, pair), await stores.say(ANN, crowd)
    await stores.apply(stores.joins(CID))
    late = await stores.say(ANN, crowd)
    entries = (private, early, late)
    assert [await find(stores, user, *entries) for user in (ANN, BOB, CID, DAN)] == [[0, 1, 2], [0, 1, 2], [2], []]
    await stores.hide(BOB, pair, private.msg_id)
    await stores.recall(ANN, crowd, early.msg_id)
    assert await find(stores, BOB, *entries) == [2]
    assert await stores.log.find_messages(ANN, []) == {}
    assert await stores.log.find_messages(ANN, [MsgId("no such id")]) == {}


async def forward(stores: MessageStores, sender: UserId, where: ConversationId, *sources: Entry) -> Entry:
    ids = [source.msg_id for source in sources]
    return await stores.say(sender, where, type_=EntryType.FORWARD, sources=ids)


async def test_who_reads_a_merged_forward_reads_what_it_carries(stores: MessageStores) -> None:
    ab, bc, cd = [await stores.befriend(a, b) for a, b in ((ANN, BOB), (BOB, CID), (CID, DAN))]
    one, two, three = [await stores.say(ANN, ab, f"t{n}") for n in (1, 2, 3)]
    carrier = await forward(stores, BOB, bc, one, two)
    assert await find(stores, CID, one, two, three) == [0, 1]
    assert await find(stores, DAN, one, carrier) == []
    outer = await forward(stores, CID, cd, carrier)
    assert await find(stores, DAN, one, two, three, carrier) == [0, 1, 3], "and what is inside forwards inside it"
    await stores.recall(ANN, ab, one.msg_id)
    assert await find(stores, DAN, one, two) == [1]
    await stores.recall(BOB, bc, carrier.msg_id)
    assert await find(stores, DAN, two) == [0], "his own copy of the forward is still there"
    await stores.recall(CID, cd, outer.msg_id)
    assert await find(stores, CID, two) == await find(stores, DAN, two) == []


async def test_a_range_is_read_whoever_asks(stores: MessageStores) -> None:
    pair = await stores.befriend(ANN, BOB)
    for _ in range(4):
        await stores.say(ANN, pair)
    assert [entry.seq for entry in await stores.log.read_range(pair, 2, 3)] == [2, 3]
    assert [entry.seq for entry in await stores.log.read_range(pair, 4, 99)] == [4]
    assert await stores.log.read_range(pair, 3, 2) == []
    assert await stores.log.read_range(ConversationId(999), 1, 2) == []
