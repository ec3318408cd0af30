"""The conversation list on the socket (CONTRACT.md section 2.6)."""

from __future__ import annotations

from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.present.session import session_items
from xinyu.gateway.talks import TalkRequest
from xinyu.gateway.ws.events.event import Event, EventCall, NoPayload


class ReadRequest(TalkRequest):
    """conversation.read; without `seq`, all of it"""

    seq: IdNumber | None = None


async def list_conversations(call: EventCall[NoPayload]) -> object:
    """The list, with where the log and the caller's reading stand."""
    views = await call.ports.conversations.list_conversations(call.user_id)
    return {"items": await session_items(call.services, call.user_id, views, with_cursors=True)}


async def read(call: EventCall[ReadRequest]) -> object:
    """Move the read cursor up."""
    payload = call.payload
    ref = payload.ref_or_self(call.user_id)
    return {"unread_num": await call.ports.conversations.mark_read(call.user_id, ref, payload.seq)}


async def typing(call: EventCall[TalkRequest]) -> None:
    """Tell the others that the caller is writing. It costs as much as a message, and counts as one."""
    await call.services.limits.check_send(call.user_id)
    await call.ports.conversations.signal_typing(call.user_id, call.payload.ref())


EVENTS: dict[str, Event] = {
    "conversation.list": Event(list_conversations),
    "conversation.read": Event(read, ReadRequest),
    "typing": Event(typing, TalkRequest, counts_as_send=True),
}
