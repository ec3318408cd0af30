"""How many devices of a user are remembered, on each engine: no client fills the disk with names of its own."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from testkit.messages import ANN, BOB, LAPTOP, PHONE, MessageStores
from xinyu.kernel.ids import ConversationId, DeviceId, UserId
from xinyu.message.store_sql.tables import CURSOR
from xinyu.message.types import DeviceCursor


@pytest.fixture
def room_for_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinyu.message.store_sql.remembered.MAX_DEVICES", 3)


async def move(
    stores: MessageStores, user_id: UserId, where: ConversationId, seq: int, device: DeviceId = PHONE
) -> None:
    await stores.devices.move_cursors([DeviceCursor(user_id, device, where, seq)], stores.now_ms)


@pytest.mark.usefixtures("room_for_three")
async def test_the_first_of_too_many_devices_is_forgotten(stores: MessageStores) -> None:
    """A client that names a new device at each connection must not fill the disk."""
    pair = await stores.befriend(ANN, BOB)
    await stores.opened(ANN)
    for number in range(5):
        stores.now_ms += 1
        await stores.opened(BOB, DeviceId(f"d{number}"))
    await stores.say(ANN, pair)
    cursors = {n: (await stores.opened(BOB, DeviceId(f"d{n}"), sync=True))[pair] for n in range(5)}
    known = [await stores.devices.is_catching_up(BOB, DeviceId(f"d{n}")) is not None for n in range(5)]
    assert known == [False, False, True, True, True]
    assert cursors == dict.fromkeys(range(5), (0, 1))
    assert await stores.devices.is_catching_up(ANN, PHONE) is not None


async def cursors_of(stores: MessageStores, user_id: UserId) -> Counter[str]:
    """By device, how many cursors are stored."""
    found = sa.select(CURSOR.c.device_id).where(CURSOR.c.user_id == user_id)
    return Counter(await stores.database.read(lambda connection: connection.execute(found).scalars().all()))


@pytest.mark.usefixtures("room_for_three")
async def test_the_first_of_too_many_devices_that_pull_is_forgotten(stores: MessageStores) -> None:
    """`sync=1` with a device id of one's own invention each time leaves no more cursors than so many devices have."""
    pair = await stores.befriend(ANN, BOB)
    await stores.say(ANN, pair)
    await move(stores, ANN, pair, 1)
    for number in range(4):
        stores.now_ms += 1
        await move(stores, BOB, pair, 1, DeviceId(f"d{number}"))
    assert await cursors_of(stores, BOB) == {"d1": 1, "d2": 1, "d3": 1}
    await move(stores, BOB, pair, 1, DeviceId("d1"))
    stores.now_ms += 1
    await stores.opened(BOB, PHONE)
    assert await cursors_of(stores, BOB) == {"d2": 1, "d3": 1, PHONE: 1}, "pushed to or not, they are counted together"
    assert await cursors_of(stores, ANN) == {PHONE: 1}


async def three_logins(stores: MessageStores) -> ConversationId:
    """All that there is room for, one after the other."""
    pair = await stores.befriend(ANN, BOB)
    await stores.say(ANN, pair)
    for login in ("web0", "web1", "web2"):
        stores.now_ms += 1
        await stores.opened(BOB, DeviceId(login))
    return pair


@pytest.mark.usefixtures("room_for_three")
async def test_names_made_up_by_who_pulls_cost_one_login_at_most(stores: MessageStores) -> None:
    pair = await three_logins(stores)
    for round_ in range(3):
        stores.now_ms += 1
        made_up = [DeviceCursor(BOB, DeviceId(f"{round_}-{n}"), pair, 1) for n in range(5)]
        await stores.devices.move_cursors(made_up, stores.now_ms)
        assert await cursors_of(stores, BOB) == {"web1": 1, "web2": 1, f"{round_}-0": 1}
    stores.now_ms += 1
    await stores.opened(BOB, DeviceId("web3"))
    assert await cursors_of(stores, BOB) == {"web2": 1, "web3": 1, "2-0": 1}


@pytest.mark.usefixtures("room_for_three")
async def test_who_comes_is_remembered_whatever_the_clocks_say(stores: MessageStores) -> None:
    pair = await three_logins(stores)
    stores.now_ms -= 1000
    assert await stores.opened(BOB, DeviceId("behind")) == {pair: (1, 1)}
    assert await stores.devices.is_catching_up(BOB, DeviceId("behind")) is False
    assert await cursors_of(stores, BOB) == {"web1": 1, "web2": 1, "behind": 1}


@pytest.mark.usefixtures("room_for_three")
async def test_more_new_devices_at_once_than_are_remembered(stores: MessageStores) -> None:
    pair, crowd = await stores.befriend(ANN, BOB), await stores.gather(ANN, BOB)
    await stores.say(ANN, pair)
    for round_ in range(2):
        stores.now_ms += 1
        cursors = [DeviceCursor(BOB, DeviceId(f"{round_}-{n}"), c, 1) for n in range(5) for c in (pair, crowd)]
        await stores.devices.move_cursors(cursors, stores.now_ms)
        assert await cursors_of(stores, BOB) == {f"{round_}-{n}": 2 for n in range(3)}


@pytest.mark.usefixtures("room_for_three")
async def test_cursors_whose_device_is_not_remembered_leave_first(stores: MessageStores) -> None:
    """An older version left them; or another connection wrote them while their device was forgotten."""
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
    assert await stores.opened(BOB, sync=True) == {pair: (1, 2), crowd: (0, 1)}
    assert await stores.opened(BOB) == {pair: (2, 2), crowd: (1, 1)}, "it starts at the heads"
    assert await stores.devices.is_catching_up(BOB, PHONE) is False
    await stores.say(ANN, pair)
    assert await stores.opened(BOB) == {pair: (2, 3), crowd: (1, 1)}


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
