"""The message domain's stores over a database, and short words for what tests do with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

import xinyu.message
from testkit.clock import START_MS
from xinyu.kernel.ids import ConversationId, DeviceId, GroupId, MsgId, UserId, new_msg_id
from xinyu.message.contents import request_digest
from xinyu.message.store import Append, Appended, BatchResult, Membership, OutboxKey, Outcome
from xinyu.message.store_sql.devices import DeviceStoreSql
from xinyu.message.store_sql.effects import EffectStoreSql
from xinyu.message.store_sql.lists import ListStoreSql
from xinyu.message.store_sql.log import LogStoreSql
from xinyu.message.store_sql.outbox import OutboxStoreSql
from xinyu.message.store_sql.tables import CONVERSATION, METADATA
from xinyu.message.types import (
    ConversationState,
    ConversationView,
    Effect,
    EffectEvent,
    Entry,
    EntryType,
    Kind,
    MemberChange,
    Role,
    SelfNotice,
    private_parties,
)
from xinyu.storage.migrations import History, upgrade
from xinyu.storage.sql import Database, open_database

HISTORY = History("message", Path(xinyu.message.__file__).parent / "migrations")
ANN, BOB, CID, DAN = UserId(1), UserId(2), UserId(3), UserId(4)
CROWD = GroupId(50)
PHONE, LAPTOP = DeviceId("phone"), DeviceId("laptop")


class MessageStores:
    """All stores of the domain on one database. `now_ms` is the time of what is done next."""

    def __init__(self, database: Database, keep_outbox: bool = False) -> None:
        self.database = database
        self.log = LogStoreSql(database, keep_outbox)
        self.lists = ListStoreSql(database)
        self.devices = DeviceStoreSql(database)
        self.effects = EffectStoreSql(database)
        self.outbox = OutboxStoreSql(database, keep_outbox)
        self.now_ms = START_MS
        self.versions: Counter[object] = Counter()

    # Who is in what.

    async def befriend(self, a: UserId, b: UserId, accepts: bool = True) -> ConversationId:
        """A private conversation in which both accept the other, or `b` does not."""
        changes = [self.change(a, parties := private_parties(a, b)), self.change(b, parties, accepts=accepts)]
        return (await self.apply(Effect(new_msg_id(), Kind.PRIVATE, parties, changes)))[0]

    async def gather(self, *members: UserId, group_id: GroupId = CROWD) -> ConversationId:
        """A group with these members; its first entry says so."""
        return (await self.apply(self.joins(*members, group_id=group_id)))[0]

    def joins(self, *members: UserId, group_id: GroupId = CROWD, **rights: Any) -> Effect:
        """An effect: these join."""
        return self.group_effect(EntryType.MEMBERS_JOINED, members, group_id, active=True, **rights)

    def kicks(self, *members: UserId, group_id: GroupId = CROWD) -> Effect:
        """An effect: these are removed."""
        return self.group_effect(EntryType.MEMBERS_REMOVED, members, group_id, active=False)

    def group_effect(
        self, type_: EntryType | None, members: Sequence[UserId] = (), group_id: GroupId = CROWD, **rights: Any
    ) -> Effect:
        """An effect on a group, newer than all before."""
        parties = (group_id, 0)
        content = {"members": [{"user_id": member} for member in members]}
        return Effect(
            new_msg_id(),
            Kind.GROUP,
            parties,
            [self.change(member, parties, **rights) for member in members],
            event=None if type_ is None else EffectEvent(type_, UserId(0), content),
        )

    def change(self, user_id: UserId, parties: tuple[int, int], active: bool = True, **rights: Any) -> MemberChange:
        """The next change of a member."""
        self.versions[parties, user_id] += 1
        return MemberChange(user_id, self.versions[parties, user_id], active, **rights)

    async def apply(self, effect: Effect) -> tuple[ConversationId, list[Appended]]:
        return await self.effects.apply(effect, self.now_ms)

    # What devices have.

    async def opened(
        self, user_id: UserId, device_id: DeviceId = PHONE, sync: bool = False
    ) -> dict[ConversationId, tuple[int, int]]:
        """(cursor, last_seq) per conversation of a device that connects."""
        states = await self.devices.open_device(user_id, device_id, sync, self.now_ms)
        return {state.conversation_id: (state.cursor, state.last_seq) for state in states}

    # Messages.

    async def append(
        self,
        *items: Append,
        known: dict[ConversationId, Membership] | None = None,
        delivered: Sequence[OutboxKey] = (),
    ) -> list[Outcome]:
        """One batch."""
        return (await self.append_batch(*items, known=known, delivered=delivered)).outcomes

    async def append_batch(
        self,
        *items: Append,
        known: dict[ConversationId, Membership] | None = None,
        delivered: Sequence[OutboxKey] = (),
    ) -> BatchResult:
        return await self.log.append(items, known or {}, delivered, self.now_ms)

    async def say(self, sender: UserId, where: ConversationId, text: str = "hello", **more: Any) -> Entry:
        """Append one message that must be taken."""
        (outcome,) = await self.append(message(sender, where, text, **more))
        assert isinstance(outcome, Appended), outcome
        return outcome.entry

    async def recall(self, user_id: UserId, where: ConversationId, msg_id: MsgId) -> Appended | None:
        return await self.log.recall(user_id, where, msg_id, "name", 0, self.now_ms)

    async def hide(self, user_id: UserId, where: ConversationId, *msg_ids: MsgId) -> list[Appended]:
        return await self.log.hide_messages(user_id, where, msg_ids, new_msg_id(), self.now_ms)

    async def clear(self, user_id: UserId, where: ConversationId) -> list[Appended]:
        return await self.log.clear(user_id, where, new_msg_id(), self.now_ms)

    async def history(self, user_id: UserId, where: ConversationId, **options: Any) -> list[Entry]:
        """What a user reads, oldest first unless said otherwise."""
        options = {"before": 0, "after": 0, "limit": 1000, "types": None, "tombstones": True, **options}
        return (await self.log.history(user_id, where, **options)).entries

    async def seqs(self, user_id: UserId, where: ConversationId) -> list[int]:
        """The seqs a user can read."""
        return [entry.seq for entry in await self.history(user_id, where)]

    # The list.

    async def view(self, user_id: UserId, where: ConversationId, at: DeviceId | None = None) -> ConversationView:
        """A conversation in the user's list, where it must be."""
        return next(view for view in await self.lists.list_views(user_id, None, at) if view.conversation_id == where)

    async def unread(self, user_id: UserId, where: ConversationId, at: DeviceId | None = None) -> int:
        return (await self.view(user_id, where, at)).unread

    async def mark(self, user_id: UserId, where: ConversationId, seq: int | None = None) -> tuple[int, int, bool]:
        """(read_seq, unread left, whether it moved)."""
        mark = (await self.lists.mark_read({(user_id, where): seq}))[user_id, where]
        return mark.read_seq, mark.unread, mark.moved

    async def set_view(self, user_id: UserId, where: ConversationId, **view: bool) -> list[Appended]:
        return await self.lists.set_view(user_id, where, notice=new_msg_id(), now_ms=self.now_ms, **view)

    async def self_log(self, user_id: UserId) -> list[tuple[int, dict[str, Any]]]:
        """(type, content) of what a user's own conversation says."""
        where = await self.log.find_conversation(Kind.SELF, (user_id, 0))
        entries = await self.history(user_id, where) if where else []
        return [(entry.type, msgspec.json.decode(entry.content)) for entry in entries]

    async def rows(self, statement: sa.Select[Any]) -> list[tuple[Any, ...]]:
        """What a statement finds."""
        return await self.database.read(lambda connection: [tuple(row) for row in connection.execute(statement)])

    async def head(self, where: ConversationId) -> int:
        [(last_seq,)] = await self.rows(sa.select(CONVERSATION.c.last_seq).where(CONVERSATION.c.id == where))
        return int(last_seq)


def message(
    sender: UserId,
    where: ConversationId,
    text: str = "hello",
    msg_id: MsgId | None = None,
    type_: int = EntryType.TEXT,
    **more: Any,
) -> Append:
    """A message on its way to the log."""
    content = msgspec.json.encode({"content": text}).decode()
    digest = request_digest(sender, Kind.GROUP, (where, 0), type_, content, "")
    return Append(where, sender, msg_id or new_msg_id(), type_, content, "{}", digest, **more)


def state(version: int, **flags: bool) -> Effect:
    """An effect on the group as a whole."""
    return Effect(new_msg_id(), Kind.GROUP, (CROWD, 0), state=ConversationState(version, **flags))


def notice(user_id: UserId, type_: EntryType = EntryType.SELF_RELOAD, **content: Any) -> SelfNotice:
    return SelfNotice(user_id, type_, content)


def appended(outcomes: Sequence[object]) -> list[Entry]:
    """The entries, where all were appended."""
    assert all(isinstance(outcome, Appended) for outcome in outcomes), outcomes
    return [outcome.entry for outcome in outcomes if isinstance(outcome, Appended)]


@asynccontextmanager
async def message_database(dsn: str, **options: Any) -> AsyncIterator[Database]:
    """A migrated database without rows."""
    database = open_database(dsn, **options)
    await database.start()
    try:
        await upgrade(database, HISTORY)
        await database.write(_empty)
        yield database
    finally:
        await database.stop()


def _empty(connection: Connection) -> None:
    for table in METADATA.sorted_tables:
        connection.execute(sa.delete(table))


OWNER = Role.OWNER
