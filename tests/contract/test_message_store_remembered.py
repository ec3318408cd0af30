"""How many devices of a user are remembered, on each engine: no client fills the disk with names of its own."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from testkit.messages import ANN, BOB, LAPTOP, PHONE, MessageStores
from xinyu.kernel.ids import ConversationId, DeviceId, UserId
from xinyu.message.store_sql.tables import CURSOR
from xinyu.message.types import DeviceCursor, DeviceState


async def opened(
    stores: MessageStores, user_id: UserId, device_id: DeviceId = PHONE, sync: bool = False
) -> dict[ConversationId, tuple[int, int]]:
    """(cursor, last_seq) per conversation of a device that connects."""
    states: list[DeviceState] = await stores.devices.open_device(user_id, device_id, sync, stores.now_ms)
    return {state.conversation_id: (state.cursor, state.last_seq) for state in states}


async def move(
    stores: MessageStores, user_id: UserId, where: ConversationId, seq: int, device: DeviceId = PHONE
) -> None:
    await stores.devices.move_cursors([DeviceCursor(user_id, device, where, seq)], stores.now_ms)


async def test_the_first_of_too_many_devices_is_forgotten(
    stores: MessageStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that names a new device at each connection must not fill the disk."""
    monkeypatch.setattr("xinyu.message.store_sql.remembered.MAX_DEVICES", 3)
    pair = await stores.befriend(ANN, BOB)
    await opened(stores, ANN)
    for number in range(5):
        stores.now_ms += 1
        await opened(stores, BOB, DeviceId(f"d{number}"))
    await stores.say(ANN, pair)
    cursors = {n: (await opened(stores, BOB, DeviceId(f"d{n}"), sync=True))[pair] for n in range(5)}
    known = [await stores.devices.is_catching_up(BOB, DeviceId(f"d{n}")) is not None for n in range(5)]
    assert known == [False, False, True, True, True]
    assert cursors == dict.fromkeys(range(5), (0, 1))
    assert await stores.devices.is_catching_up(ANN, PHONE) is not None


async def cursors_of(stores: MessageStores, user_id: UserId) -> Counter[str]:
    """By device, how many cursors are stored."""
    found = sa.select(CURSOR.c.device_id).where(CURSOR.c.user_id == user_id)
    return Counter(await stores.database.read(lambda connection: connection.execute(found).scalars().all()))


async def test_the_first_of_too_many_devices_that_pull_is_forgotten(
    stores: MessageStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sync=1` with a device id of one's own invention each time leaves no more cursors than so many devices have."""
    monkeypatch.setattr("xinyu.message.store_sql.remembered.MAX_DEVICES", 3)
    pair = await stores.befriend(ANN, BOB)
    await stores.say(ANN, pair)
    await move(stores, ANN, pair, 1)
    for number in range(4):
        stores.now_ms += 1
        await move(stores, BOB, pair, 1, DeviceId(f"d{number}"))
    assert await cursors_of(stores, BOB) == {"d1": 1, "d2": 1, "d3": 1}
    await move(stores, BOB, pair, 1, DeviceId("d1"))
    stores.now_ms += 1
    await opened(stores, BOB, PHONE)
    assert await cursors_of(stores, BOB) == {"d2": 1, "d3": 1, PHONE: 1}, "pushed to or not, they are counted together"
    assert await cursors_of(stores, ANN) == {PHONE: 1}


async def test_more_new_devices_at_once_than_are_remembered(
    stores: MessageStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinyu.message.store_sql.remembered.MAX_DEVICES", 3)
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    await stores.say(ANN, pair)
    for round_ in range(2):
        stores.now_ms += 1
        cursors = [DeviceCursor(BOB, DeviceId(f"{round_}-{n}"), c, 1) for n in range(5) for c in (pair, crowd)]
        await stores.devices.move_cursors(cursors, stores.now_ms)
        assert await cursors_of(stores, BOB) == {f"{round_}-{n}": 2 for n in range(3)}


async def test_cursors_whose_device_is_not_remembered_leave_first(
    stores: MessageStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version left them; or another connection wrote them while their device was forgotten."""
    monkeypatch.setattr("xinyu.message.store_sql.remembered.MAX_DEVICES", 3)
    pair = await stores.befriend(ANN, BOB)
    await stores.say(ANN, pair)
    strays = [{"user_id": BOB, "device_id": f"old{n}", "conversation_id": pair, "seq": 1} for n in range(5)]
    await stores.database.write(lambda connection: connection.execute(sa.insert(CURSOR), strays))
    await move(stores, BOB, pair, 1)
    assert len(await cursors_of(stores, BOB)) == 3 and PHONE in await cursors_of(stores, BOB)
    for device in ("new", "newer"):
        stores.now_ms += 1
        await move(stores, BOB, pair, 1, DeviceId(device))
    assert await cursors_of(stores, BOB) == {PHONE: 1, "new": 1, "newer": 1}


async def test_a_device_that_pulled_is_owed_pushes_from_its_first_connection_without(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    for _ in range(2):
        await stores.say(ANN, pair)
    await move(stores, BOB, pair, 1)
    assert await stores.devices.is_catching_up(BOB, PHONE) is None, "it pulls"
    assert await opened(stores, BOB, sync=True) == {pair: (1, 2), crowd: (0, 1)}
    assert await opened(stores, BOB) == {pair: (2, 2), crowd: (1, 1)}, "it starts at the heads"
    assert await stores.devices.is_catching_up(BOB, PHONE) is False
    await stores.say(ANN, pair)
    assert await opened(stores, BOB) == {pair: (2, 3), crowd: (1, 1)}


async def test_moving_cursors_of_known_devices_takes_two_statements(stores: MessageStores) -> None:
    """Devices are looked up with the heads: no round trip more."""
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    devices = (PHONE, LAPTOP)
    await stores.devices.move_cursors(
        [DeviceCursor(BOB, d, c, 0) for d in devices for c in (pair, crowd)], stores.now_ms
    )
    statements: list[str] = []

    def note(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        statements.append(sql.split()[0])

    event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        cursors = [DeviceCursor(BOB, d, c, 1) for d in devices for c in (pair, crowd)]
        await stores.devices.move_cursors(cursors, stores.now_ms)
    finally:
        event.remove(sa.Engine, "before_cursor_execute", note)
    assert [word for word in statements if word in ("SELECT", "INSERT", "UPDATE", "DELETE")] == ["SELECT", "INSERT"]
