"""Who is connected (CONTRACT.md section 2.6)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.ws.events.event import Event, EventCall
from xinyu.kernel.ids import UserId

MAX_USERS = 500


class PresenceRequest(msgspec.Struct):
    """presence.get"""

    user_ids: Annotated[list[IdNumber], msgspec.Meta(max_length=MAX_USERS)] = []


async def get_presence(call: EventCall[PresenceRequest]) -> object:
    """Whether users are connected and on which platforms, each once, in the order asked. Who blocked the caller is not
    connected to him."""
    wanted = [UserId(user_id) for user_id in dict.fromkeys(call.payload.user_ids)]
    found = await call.ports.contacts.list_online(call.user_id, wanted) if wanted else []
    online = {user.user_id: user for user in found}
    return {
        "items": [
            {
                "user_id": user_id,
                "online_status": "Y" if user_id in online else "N",
                "platforms": online[user_id].platforms if user_id in online else [],
            }
            for user_id in wanted
        ]
    }


EVENTS: dict[str, Event] = {"presence.get": Event(get_presence, PresenceRequest)}
