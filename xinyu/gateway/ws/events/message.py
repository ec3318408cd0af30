"""Sending, reading and recalling on the socket (CONTRACT.md section 2.6)."""

from __future__ import annotations

import msgspec

from xinyu.gateway.drafts import SendRequest, send
from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.present.message import records, sync_json
from xinyu.gateway.talks import Limit, TalkRequest, msg_id_of
from xinyu.gateway.ws.events.event import Event, EventCall


class HistoryRequest(TalkRequest):
    """message.history"""

    before: IdNumber | None = None
    after: IdNumber | None = None
    limit: Limit | None = None


class RecallRequest(TalkRequest):
    """message.recall"""

    msg_id: str = ""


class SyncRequest(msgspec.Struct):
    """sync"""

    cursors: dict[str, IdNumber] | None = None
    since_ms: IdNumber | None = None
    limit: Limit | None = None


async def send_message(call: EventCall[SendRequest]) -> object:
    """Send; this session gets the answer, the user's others the push."""
    return await send(call.services, call.user_id, call.payload, call.session_id)


async def history(call: EventCall[HistoryRequest]) -> object:
    """Entries below `before`, newest first, or above `after`, oldest first; what is not to be seen as tombstones, so
    that no number is missing."""
    payload, services = call.payload, call.services
    page = await call.ports.messages.history(
        call.user_id,
        payload.ref_or_self(call.user_id),
        before=payload.before or 0,
        after=payload.after,
        limit=payload.limit or 0,
    )
    return {"items": await records(page.entries, services.names, services.times), "more": page.more}


async def recall(call: EventCall[RecallRequest]) -> None:
    """Take one's own message back."""
    name = await call.services.names.of(call.user_id)
    msg_id = msg_id_of(call.payload.msg_id)
    await call.ports.messages.recall(call.user_id, call.payload.ref(), msg_id, name.nickname)


async def sync(call: EventCall[SyncRequest]) -> object:
    """What this device has not. Moves no cursor."""
    payload, services = call.payload, call.services
    limit = 500 if payload.limit is None else payload.limit
    page = await call.ports.messages.sync(call.user_id, call.device_id, payload.cursors, payload.since_ms or 0, limit)
    return await sync_json(page, services.names, services.times)


EVENTS: dict[str, Event] = {
    "message.send": Event(send_message, SendRequest, counts_as_send=True),
    "message.history": Event(history, HistoryRequest),
    "message.recall": Event(recall, RecallRequest),
    "sync": Event(sync, SyncRequest),
}
