"""What the message domain itself makes of a group's changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

import xinyu.message
from testkit.clock import ManualClock
from testkit.groups import ANNA, BORIS, CLARA, OWNER, GroupWorld
from xinyu.group.tables import group_member
from xinyu.group.types import MUTED_FOR_GOOD_MS
from xinyu.kernel.ids import ConversationId, GroupId
from xinyu.message.port import EffectPort
from xinyu.message.store_sql.effects import EffectStoreSql
from xinyu.message.store_sql.tables import CONVERSATION, ENTRY, MEMBER
from xinyu.message.types import Effect, EntryType, Kind
from xinyu.storage.migrations import History, upgrade
from xinyu.storage.sql import Database, SqliteDatabase


class RealLog(EffectPort):
    """The message domain's own store; nobody is connected."""

    def __init__(self, database: Database) -> None:
        self._store = EffectStoreSql(database)

    async def apply(self, effect: Effect) -> ConversationId:
        return (await self._store.apply(effect, 1))[0]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GroupWorld]:
    database = SqliteDatabase(tmp_path / "both.db")
    await database.start()
    await upgrade(database, History("message", Path(xinyu.message.__file__).parent / "migrations"))
    world = GroupWorld(database, ManualClock(), effects=RealLog(database))
    await world.start()
    yield world
    await database.stop()


async def both_sides(world: GroupWorld, group_id: GroupId) -> tuple[list[object], list[object]]:
    """Members as group and as message have them."""
    ours, theirs = group_member.c, MEMBER.c
    group_rows = (
        sa.select(ours.user_id, ours.version, sa.case((ours.left_ms == 0, 1), else_=0), ours.role, ours.muted_until_ms)
        .where(ours.group_id == group_id)
        .order_by(ours.user_id)
    )
    message_rows = (
        sa.select(theirs.user_id, theirs.version, theirs.active, theirs.role, theirs.muted_until_ms)
        .join(CONVERSATION, CONVERSATION.c.id == theirs.conversation_id)
        .where(CONVERSATION.c.kind == int(Kind.GROUP), CONVERSATION.c.party_a == group_id)
        .order_by(theirs.user_id)
    )
    return await world.database.read(
        lambda connection: (
            [tuple(row) for row in connection.execute(group_rows)],
            [tuple(row) for row in connection.execute(message_rows)],
        )
    )


async def entries(world: GroupWorld, kind: Kind, party: int) -> list[tuple[int, object]]:
    """(type, content) of a log, in order."""
    query = (
        sa.select(ENTRY.c.type, ENTRY.c.content)
        .join(CONVERSATION, CONVERSATION.c.id == ENTRY.c.conversation_id)
        .where(CONVERSATION.c.kind == int(kind), CONVERSATION.c.party_a == party)
        .order_by(ENTRY.c.seq)
    )
    return await world.database.read(
        lambda connection: [(row.type, msgspec.json.decode(row.content)) for row in connection.execute(query)]
    )


async def test_rights_and_events_arrive(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, admins=(BORIS,))
    await world.members.invite(ANNA, group_id, [CLARA])
    await world.members.set_muted_until(BORIS, group_id, CLARA, MUTED_FOR_GOOD_MS)
    await world.members.remove(BORIS, group_id, [CLARA])
    await world.members.invite(ANNA, group_id, [CLARA])
    await world.groups.hand_over(OWNER, group_id, ANNA)
    await world.members.leave(OWNER, group_id)
    await world.groups.set_mute_all(BORIS, group_id, True)
    ours, theirs = await both_sides(world, group_id)
    assert ours == theirs and len(ours) == 4
    await world.groups.dismiss(ANNA, group_id)
    assert [kind for kind, _ in await entries(world, Kind.GROUP, group_id)] == [
        EntryType.GROUP_CREATED,
        EntryType.MEMBERS_JOINED,
        EntryType.MEMBERS_MUTED,
        EntryType.MEMBERS_REMOVED,
        EntryType.MEMBERS_JOINED,
        EntryType.OWNER_CHANGED,
        EntryType.MEMBER_LEFT,
        EntryType.GROUP_MUTED,
        EntryType.GROUP_DISMISSED,
    ]
    state = sa.select(CONVERSATION.c.mute_all, CONVERSATION.c.dismissed).where(CONVERSATION.c.party_a == group_id)
    rows = await world.database.read(lambda connection: connection.execute(state.where(CONVERSATION.c.kind == 2)).all())
    assert [tuple(row) for row in rows] == [(1, 1)]
    assert (
        await entries(world, Kind.SELF, CLARA)
        == [(EntryType.SELF_CONVERSATION, {"talk_mode": 2, "to_from_id": group_id})] * 2
    )


async def test_managers_find_applications_in_their_own_logs(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    await world.applications.apply(BORIS, group_id, "please")
    content = {"group_id": group_id, "user_id": BORIS, "remark": "please", "apply_time": world.clock.now_ms()}
    assert (EntryType.SELF_GROUP_APPLY, content) in await entries(world, Kind.SELF, OWNER)
    assert EntryType.SELF_GROUP_APPLY not in [kind for kind, _ in await entries(world, Kind.SELF, ANNA)]
