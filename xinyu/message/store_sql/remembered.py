"""How many devices are remembered of a user: clients name their devices themselves, and log-ins that run out are not
told of. Beyond the bound a newcomer takes the place of the device of its kind that came first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.kernel.ids import DeviceId, UserId
from xinyu.message.store_sql.tables import CURSOR, DEVICE
from xinyu.storage.schema import insert_new, upsert

_CU, _D = CURSOR.c, DEVICE.c
MAX_DEVICES = 100
"""Devices of one user that have cursors or that pushes are owed to."""
FORGOTTEN_AT_ONCE = 200
"""Devices that one transaction forgets of a user; more than it ever adds."""
PULLS = 2
"""Of `catching_up`: the device has cursors, and pushes were never owed to it."""
Device = tuple[UserId, DeviceId]

_NEWEST_FIRST = (
    sa.select(_D.user_id, _D.device_id, _D.catching_up)
    .where(_D.user_id.in_(sa.bindparam("users", expanding=True)))
    .order_by(_D.opened_ms.desc(), _D.device_id)
)
_WITH_CURSORS = (
    sa.select(_CU.user_id, _CU.device_id).where(_CU.user_id.in_(sa.bindparam("users", expanding=True))).distinct()
)


def remember_pushed(connection: Connection, device: Device, now_ms: int) -> bool:
    """Pushes are owed to a device from now on; False where they were already."""
    user_id, device_id = device
    if insert_new(connection, DEVICE, _row(device, now_ms, 0)):
        _make_room(connection, {device}, pulls=False)
        return True
    pulled = sa.update(DEVICE).where(_D.user_id == user_id, _D.device_id == device_id, _D.catching_up == PULLS)
    return connection.execute(pulled.values(catching_up=0)).rowcount > 0


def remember_pulling(connection: Connection, devices: Collection[Device], now_ms: int) -> set[Device]:
    """Devices are about to have their first cursors. Returns those that are forgotten for them."""
    if not devices:
        return set()
    upsert(connection, DEVICE, [_row(device, now_ms, PULLS) for device in sorted(devices)])
    return _make_room(connection, devices, pulls=True)


def forget(connection: Connection, device: Device) -> None:
    """Remove a device and its cursors."""
    user_id, device_id = device
    for table in (CURSOR, DEVICE):
        connection.execute(sa.delete(table).where(table.c.user_id == user_id, table.c.device_id == device_id))


def _make_room(connection: Connection, newcomers: Collection[Device], pulls: bool) -> set[Device]:
    """Forget what is too much of the newcomers' users; what was forgotten. First go cursors without a device (another
    connection wrote them while theirs was forgotten, or a version that did not know this bound), then the oldest of
    the newcomers' own kind, so that names made up by a client that pulls cost no login its pushes; one newcomer of each
    user stays, whatever the clocks say."""
    users = {"users": sorted({user_id for user_id, _ in newcomers})}
    devices: defaultdict[UserId, dict[Device, bool]] = defaultdict(dict)
    for user_id, device_id, catching_up in connection.execute(_NEWEST_FIRST, users):
        devices[user_id][user_id, device_id] = catching_up == PULLS
    strays: defaultdict[UserId, list[Device]] = defaultdict(list)
    for user_id, device_id in connection.execute(_WITH_CURSORS, users):
        if (user_id, device_id) not in devices[user_id]:
            strays[user_id].append((user_id, device_id))
    forgotten: set[Device] = set()
    for user_id, kinds in devices.items():
        stays = next(device for device in kinds if device in newcomers)
        oldest_first = [device for device in reversed(kinds) if device != stays]
        alike = [device for device in oldest_first if kinds[device] == pulls]
        others = [device for device in oldest_first if kinds[device] != pulls]
        too_many = len(strays[user_id]) + len(kinds) - MAX_DEVICES
        forgotten.update([*strays[user_id], *alike, *others][: max(0, min(too_many, FORGOTTEN_AT_ONCE))])
    for device in sorted(forgotten):
        forget(connection, device)
    return forgotten


def _row(device: Device, now_ms: int, catching_up: int) -> dict[str, object]:
    user_id, device_id = device
    return {"user_id": user_id, "device_id": device_id, "opened_ms": now_ms, "catching_up": catching_up}
