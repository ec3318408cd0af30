"""What web clients send without asking for an answer (CONTRACT.md section 2.3)."""

from __future__ import annotations

from xinyu.gateway.talks import TalkRequest
from xinyu.gateway.ws.events.event import Event, EventCall
from xinyu.message.types import Kind


class KeyboardRequest(TalkRequest):
    """im.message.keyboard; some clients leave `talk_mode` out (CONTRACT.md section 0, row 8)"""

    talk_mode: int = Kind.PRIVATE


async def keyboard(call: EventCall[KeyboardRequest]) -> None:
    """Tell the peer of a private conversation that the caller is writing; groups are not told."""
    ref = call.payload.ref()
    if ref.kind is Kind.PRIVATE:
        await call.services.limits.check_send(call.user_id)
        await call.ports.conversations.signal_typing(call.user_id, ref)


EVENTS: dict[str, Event] = {"im.message.keyboard": Event(keyboard, KeyboardRequest, legacy=True, counts_as_send=True)}
