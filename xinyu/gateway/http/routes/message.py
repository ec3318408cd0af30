"""Messages (CONTRACT.md section 1.5; `message/sync` is section 2.6's)."""

from __future__ import annotations

from typing import Any

import msgspec

from xinyu.gateway.drafts import ERRORS as MESSAGE_ERRORS
from xinyu.gateway.drafts import SendRequest, is_forward_without_id, send
from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.http.call import Call, RawRoute, Route
from xinyu.gateway.present.message import records, sync_json
from xinyu.gateway.talks import Limit, TalkRequest, msg_id_of, msg_ids_of
from xinyu.kernel.errors import InvalidInput
from xinyu.message.errors import MessageNotFound, NotYourMessage

ERRORS = MESSAGE_ERRORS
MAX_SYNC = 500


class BadStatus(InvalidInput):
    """status must be 1, 2 or 3."""

    code = "request.bad_status"


class RecordsBody(TalkRequest):
    """message/records, message/history-records"""

    cursor: IdNumber = 0
    limit: Limit = 0
    msg_type: IdNumber = 0


class MessagesBody(TalkRequest):
    """message/delete, message/forward-records"""

    msg_ids: Any = None


class RevokeBody(TalkRequest):
    """message/revoke"""

    msg_id: str = ""


class StatusBody(TalkRequest):
    """message/status"""

    msg_id: str = ""
    status: int = 0


class SyncBody(msgspec.Struct):
    """message/sync"""

    device_id: str = ""
    cursors: dict[str, IdNumber] | None = None
    since_ms: IdNumber = 0
    limit: Limit = MAX_SYNC


async def send_message(call: Call[SendRequest]) -> object:
    """Send; again with the same msg_id: the stored message is answered."""
    return await send(call.services, call.user_id, call.body, origin=None)


async def list_records(call: Call[RecordsBody]) -> object:
    """A page of a conversation, newest first, below `cursor`. Recalled messages stay, without content."""
    return await _page(call, None)


async def list_history(call: Call[RecordsBody]) -> object:
    """The same, of one type only; `msg_type` 0 is all."""
    return await _page(call, [call.body.msg_type] if call.body.msg_type else None)


async def _page(call: Call[RecordsBody], types: list[int] | None) -> object:
    body, services = call.body, call.services
    page = await call.ports.messages.history(
        call.user_id, body.ref(), before=body.cursor, limit=body.limit, types=types, tombstones=False
    )
    items = await records(page.entries, services.names, services.times)
    return {"items": items, "cursor": min((item.sequence for item in items), default=body.cursor)}


async def list_forwarded(call: Call[MessagesBody]) -> object:
    """Messages by id, as far as the caller may read them, in the order asked."""
    entries = await call.ports.messages.list_messages(call.user_id, msg_ids_of(call.body.msg_ids))
    return {"items": await records(entries, call.services.names, call.services.times)}


async def revoke(call: Call[RevokeBody]) -> None:
    """Take one's own message back."""
    name = await call.services.names.of(call.user_id)
    await call.ports.messages.recall(call.user_id, call.body.ref(), msg_id_of(call.body.msg_id), name.nickname)


async def delete(call: Call[MessagesBody]) -> None:
    """Hide messages from the caller alone."""
    await call.ports.messages.delete(call.user_id, call.body.ref(), msg_ids_of(call.body.msg_ids))


async def set_status(call: Call[StatusBody]) -> None:
    """What a client believes about its own message. A stored message is sent, whatever its client says: web clients
    report after every send, and nothing is to be done about it (CONTRACT.md section 8, A17). Nor is there about one
    that its receiver did not accept, which is stored nowhere."""
    body = call.body
    if body.status not in (1, 2, 3):
        raise BadStatus()
    ref = body.ref()
    found = await call.ports.messages.list_messages(call.user_id, [msg_id_of(body.msg_id)])
    if not found:
        return
    if found[0].ref_for(call.user_id) != ref:
        raise MessageNotFound()
    if found[0].sender_id != call.user_id:
        raise NotYourMessage("无权限更新消息状态")


async def sync(call: Call[SyncBody]) -> object:
    """What a device that polls has not. Moves no cursor."""
    body, services = call.body, call.services
    device_id = call.login.device(body.device_id)
    page = await call.ports.messages.sync(call.user_id, device_id, body.cursors, body.since_ms, body.limit)
    return await sync_json(page, services.names, services.times)


ROUTES: list[Route | RawRoute] = [
    Route("/api/v1/message/send", send_message, SendRequest, replay=is_forward_without_id),
    Route("/api/v1/message/records", list_records, RecordsBody),
    Route("/api/v1/message/history-records", list_history, RecordsBody),
    Route("/api/v1/message/forward-records", list_forwarded, MessagesBody),
    Route("/api/v1/message/revoke", revoke, RevokeBody),
    Route("/api/v1/message/delete", delete, MessagesBody),
    Route("/api/v1/message/status", set_status, StatusBody),
    Route("/api/v1/message/sync", sync, SyncBody),
]
