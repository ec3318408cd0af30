"""No statement of the message stores reads a whole table: what a user does costs what concerns him."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, event

from testkit.messages import ANN, BOB, CID, PHONE, MessageStores, message, message_database
from xinyu.kernel.ids import DeviceId
from xinyu.message.types import DeviceCursor, EntryType, Kind, Ref


class Watched:
    """Stores whose statements are noted, once each."""

    def __init__(self, stores: MessageStores) -> None:
        self.stores = stores
        self.statements: dict[str, object] = {}

    def note(self, connection: Connection, _cursor: object, sql: str, parameters: object, *_: object) -> None:
        if not sql.startswith(("EXPLAIN", "PRAGMA", "BEGIN")):
            self.statements[sql] = parameters[0] if isinstance(parameters, list) else parameters

    async def plans(self) -> dict[str, list[str]]:
        """How SQLite goes about each."""

        def explain(connection: Connection) -> dict[str, list[str]]:
            return {
                sql: [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)]  # type: ignore[arg-type]
                for sql, parameters in dict(self.statements).items()
            }

        return await self.stores.database.read(explain)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with message_database(f"sqlite:///{tmp_path / 'message.db'}", sqlite_inline=True) as database:
        watched = Watched(MessageStores(database, keep_outbox=True))
        event.listen(sa.Engine, "before_cursor_execute", watched.note)
        yield watched
        event.remove(sa.Engine, "before_cursor_execute", watched.note)


async def everything(stores: MessageStores) -> None:
    """Each kind of statement at least once."""
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB, CID)
    first = await stores.say(ANN, pair)
    await stores.append(message(ANN, crowd), message(BOB, crowd), delivered=[(pair, 1)])
    await stores.append(message(ANN, pair, msg_id=first.msg_id))
    await stores.say(BOB, crowd, type_=EntryType.FORWARD, sources=[first.msg_id])
    await stores.log.find_messages(CID, [first.msg_id])
    last = await stores.say(ANN, pair)
    await stores.hide(BOB, pair, last.msg_id)
    await stores.devices.open_device(BOB, PHONE, False, 0)
    await stores.say(ANN, pair)
    for device in (PHONE, DeviceId("new")):
        await stores.devices.open_device(BOB, device, False, 0)
    await stores.devices.move_cursors([DeviceCursor(BOB, d, pair, 2) for d in (PHONE, DeviceId("pulls"))], 0)
    for user, at in ((BOB, None), (BOB, PHONE), (ANN, None)):
        await stores.lists.list_views(user, None, at)
        await stores.lists.list_views(user, pair, at)
    await stores.mark(BOB, pair, 1)
    await stores.set_view(BOB, pair, pinned=True)
    await stores.lists.open(ANN, Kind.PRIVATE, (ANN, CID), 0)
    await stores.lists.find_ids(ANN, [Ref(Kind.PRIVATE, BOB), Ref(Kind.GROUP, 50)])
    await stores.lists.list_members(crowd)
    await stores.apply(stores.kicks(CID))
    for user in (BOB, CID):
        await stores.devices.sync(user, PHONE, None, 0, 10)
        await stores.devices.sync(user, PHONE, {pair: 1}, 5, 10)
    await stores.recall(ANN, pair, last.msg_id)
    await stores.history(BOB, crowd, types=[1], tombstones=False)
    await stores.history(BOB, pair, before=3, after=None)
    await stores.log.read_range(pair, 1, 5)
    await stores.clear(BOB, pair)
    await stores.outbox.claim("me", stores.now_ms + 1, 1, stores.now_ms, 2, 5)
    await stores.outbox.claim("me", stores.now_ms + 1, 1, stores.now_ms, 2, 0)
    await stores.outbox.settle([(pair, 2)], stores.now_ms)
    await stores.outbox.remove_done(stores.now_ms + 1, 5)
    await stores.outbox.counts()
    await stores.devices.set_caught_up(BOB, PHONE)
    await stores.devices.is_catching_up(BOB, PHONE)
    await stores.devices.forget_device(BOB, PHONE)


async def test_no_statement_reads_a_whole_table(watched: Watched) -> None:
    await everything(watched.stores)
    plans = await watched.plans()
    assert len(plans) > 40
    scans = {
        sql: plan
        for sql, plan in plans.items()
        if any(step.startswith("SCAN ") and "CONSTANT ROW" not in step for step in plan)
    }
    assert not scans, "\n".join(f"{plan}\n  {sql}" for sql, plan in scans.items())
