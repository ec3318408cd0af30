"""The conversation list (CONTRACT.md section 1.4; the file download is in `media`)."""

from __future__ import annotations

from xinyu.gateway.drafts import ERRORS as MESSAGE_ERRORS
from xinyu.gateway.http.call import Call, NoBody, RawRoute, Route
from xinyu.gateway.present.session import session_item, session_items
from xinyu.gateway.talks import TalkRequest, is_on
from xinyu.kernel.ids import DeviceId, UserId
from xinyu.message.types import Kind

ERRORS = MESSAGE_ERRORS


class ActionBody(TalkRequest):
    """talk/session-top, talk/session-disturb: action 1 sets, 2 unsets"""

    action: int = 0


async def list_sessions(call: Call[NoBody]) -> object:
    """The caller's conversations, pinned ones first. The log-in is a web client's device: what it is still to be pushed
    is not counted as unread, for it counts that by itself."""
    views = await call.ports.conversations.list_conversations(call.user_id, DeviceId(call.login.login_id))
    return {"items": await session_items(call.services, call.user_id, views)}


async def create(call: Call[TalkRequest]) -> object:
    """Show a conversation in the caller's list."""
    ref = call.body.ref()
    online = False
    if ref.kind is Kind.PRIVATE and ref.target_id != call.user_id:
        online = await call.ports.contacts.is_online(call.user_id, UserId(ref.target_id))
    view = await call.ports.conversations.open(call.user_id, ref)
    return {**await session_item(call.services, call.user_id, view), "is_online": "Y" if online else "N"}


async def delete(call: Call[TalkRequest]) -> None:
    """Take a conversation off the caller's list, until its next message."""
    await call.ports.conversations.hide(call.user_id, call.body.ref())


async def set_top(call: Call[ActionBody]) -> None:
    """Pin a conversation, or do no longer."""
    await call.ports.conversations.set_pinned(call.user_id, call.body.ref(), is_on(call.body.action))


async def set_disturb(call: Call[ActionBody]) -> None:
    """Mute a conversation, or do no longer."""
    await call.ports.conversations.set_muted(call.user_id, call.body.ref(), is_on(call.body.action))


async def clear_unread(call: Call[TalkRequest]) -> None:
    """Everything in a conversation is read."""
    await call.ports.conversations.mark_read(call.user_id, call.body.ref())


async def clear_records(call: Call[TalkRequest]) -> None:
    """Delete everything in a conversation for the caller alone."""
    await call.ports.messages.clear(call.user_id, call.body.ref())


ROUTES: list[Route | RawRoute] = [
    Route("/api/v1/talk/session-list", list_sessions),
    Route("/api/v1/talk/session-create", create, TalkRequest),
    Route("/api/v1/talk/session-delete", delete, TalkRequest),
    Route("/api/v1/talk/session-top", set_top, ActionBody),
    Route("/api/v1/talk/session-disturb", set_disturb, ActionBody),
    Route("/api/v1/talk/session-clear-unread-num", clear_unread, TalkRequest),
    Route("/api/v1/talk/session-clear-records", clear_records, TalkRequest),
]
