"""What the services add to their stores: files described, read marks together, unavailable told as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from testkit.messages import ANN, BOB, CID, DAN, MessageStores, message_database
from testkit.talks import TalkWorld, media_object, talk_world
from xinyu.kernel.ids import ConversationId, UserId, new_msg_id
from xinyu.message.conversations import MARKS_PER_TRANSACTION, ReadMarks
from xinyu.message.errors import BadContent, MsgIdConflict, NotAMember
from xinyu.message.store import ListStore
from xinyu.message.store_sql.lists import ListStoreSql, Mark
from xinyu.message.types import EntryType, NewMessage, private_ref
from xinyu.storage.errors import StorageUnavailable


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[TalkWorld]:
    async with talk_world(tmp_path) as world:
        yield world


def file_message(upload_id: object = "u1") -> NewMessage:
    return NewMessage(private_ref(BOB), new_msg_id(), EntryType.FILE, {"upload_id": upload_id, "name": "made up"})


async def test_a_file_message_says_what_the_upload_is(world: TalkWorld) -> None:
    world.uploads[ANN, "u1"] = media_object(ANN, "real.pdf")
    result = await world.messages.send(ANN, file_message())
    content = msgspec.json.decode(result.entry.content)
    assert (content["name"], content["size"], content["url"]) == ("real.pdf", 321, "/media/real.pdf")


async def test_only_ones_own_finished_uploads_can_be_sent(world: TalkWorld) -> None:
    world.uploads[BOB, "u1"] = media_object(BOB, "his.pdf")
    for upload_id in ("u1", "unknown", ""):
        with pytest.raises(BadContent):
            await world.messages.send(ANN, file_message(upload_id))
    with pytest.raises(BadContent):
        await world.messages.send(ANN, file_message(["u1"]))
    assert world.pushes == []


async def test_a_retry_of_a_file_message_succeeds_whatever_became_of_the_upload(world: TalkWorld) -> None:
    world.uploads[ANN, "u1"] = media_object(ANN, "old.pdf")
    draft = file_message()
    first = await world.messages.send(ANN, draft)
    world.uploads[ANN, "u1"] = media_object(ANN, "new.pdf")
    assert (await world.messages.send(ANN, draft)).entry == first.entry
    del world.uploads[ANN, "u1"]
    assert (await world.messages.send(ANN, draft)).entry == first.entry
    with pytest.raises(MsgIdConflict):
        await world.messages.send(ANN, msgspec.structs.replace(file_message("u2"), msg_id=draft.msg_id))


class WatchedLists(ListStoreSql):
    """The real store, whose transactions a test can count, hold back and make fail."""

    def __init__(self, stores: MessageStores) -> None:
        super().__init__(stores.database)
        self.batches: list[dict[Mark, int | None]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def mark_read(self, marks):  # type: ignore[no-untyped-def]  # as in ListStore
        self.batches.append(dict(marks))
        await self.gate.wait()
        if self.away:
            raise StorageUnavailable()
        return await super().mark_read(marks)


class Marking:
    """Read marks over a conversation with five messages."""

    def __init__(self, stores: MessageStores) -> None:
        self.stores = stores
        self.lists = WatchedLists(stores)
        lists: ListStore = self.lists
        self.marks = ReadMarks(lists)

    async def mark(self, user_id: UserId, where: ConversationId, seq: int | None) -> tuple[int, int, bool]:
        """(read_seq, unread left, whether it moved)."""
        mark = await self.marks.mark(user_id, where, seq)
        return mark.read_seq, mark.unread, mark.moved


@pytest.fixture
async def marking(tmp_path: Path) -> AsyncIterator[Marking]:
    async with message_database(f"sqlite:///{tmp_path / 'message.db'}") as database:
        yield Marking(MessageStores(database))


async def test_marks_made_meanwhile_share_a_transaction_and_the_highest_counts(marking: Marking) -> None:
    stores = marking.stores
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB, CID)
    for _ in range(5):
        await stores.say(ANN, pair)
    marking.lists.gate.clear()
    first = asyncio.create_task(marking.mark(BOB, pair, 1))
    await asyncio.sleep(0)
    later = [asyncio.create_task(marking.mark(BOB, pair, seq)) for seq in (2, 4, 3)]
    other = asyncio.create_task(marking.mark(CID, crowd, None))
    await asyncio.sleep(0)
    marking.lists.gate.set()
    assert await first == (1, 4, True)
    assert await asyncio.gather(*later) == [(4, 1, True)] * 3
    assert await other == (1, 0, True)
    assert [len(batch) for batch in marking.lists.batches] == [1, 2]


async def test_to_the_newest_is_higher_than_any(marking: Marking) -> None:
    pair = await marking.stores.befriend(ANN, BOB)
    for _ in range(3):
        await marking.stores.say(ANN, pair)
    results = await asyncio.gather(*(marking.mark(BOB, pair, seq) for seq in (2, None, 1)))
    assert results == [(3, 0, True)] * 3
    assert len(marking.lists.batches) == 1


async def test_one_who_is_no_member_fails_alone(marking: Marking) -> None:
    pair = await marking.stores.befriend(ANN, BOB)
    await marking.stores.say(ANN, pair)
    results = await asyncio.gather(marking.mark(DAN, pair, 1), marking.mark(BOB, pair, 1), return_exceptions=True)
    assert isinstance(results[0], NotAMember) and results[1] == (1, 0, True)
    assert len(marking.lists.batches) == 1


async def test_a_database_that_is_away_fails_those_who_wait_and_no_later_ones(marking: Marking) -> None:
    pair = await marking.stores.befriend(ANN, BOB)
    await marking.stores.say(ANN, pair)
    marking.lists.away = True
    results = await asyncio.gather(*(marking.mark(user, pair, 1) for user in (ANN, BOB)), return_exceptions=True)
    assert [type(result) for result in results] == [StorageUnavailable] * 2
    marking.lists.away = False
    assert await marking.mark(BOB, pair, 1) == (1, 0, True)


async def test_a_reader_that_leaves_disturbs_nobody(marking: Marking) -> None:
    pair = await marking.stores.befriend(ANN, BOB)
    await marking.stores.say(ANN, pair)
    marking.lists.gate.clear()
    left, stays = [asyncio.create_task(marking.mark(BOB, pair, 1)) for _ in range(2)]
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.sleep(0)
    marking.lists.gate.set()
    assert await stays == (1, 0, True)


async def test_a_transaction_of_marks_is_bounded(marking: Marking) -> None:
    pair = await marking.stores.befriend(ANN, BOB)
    users = range(1000, 1000 + MARKS_PER_TRANSACTION + 1)
    await asyncio.gather(*(marking.mark(user, pair, 1) for user in users), return_exceptions=True)  # type: ignore[arg-type]
    assert [len(batch) for batch in marking.lists.batches] == [MARKS_PER_TRANSACTION, 1]
