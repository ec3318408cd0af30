"""Why the server closes a socket. The range says whether to come back (DESIGN.md section 10): 3000–3499 and 4000–4499
yes, 3500–3999 and 4500–4999 no. Clients without `sync=1` know only 1000 (stop) and the rest (reconnect).
"""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """Close codes of xinyu."""

    NORMAL = 1000
    """The client's own close, or a bad token of a client that would otherwise reconnect for ever."""
    PROTOCOL_ERROR = 1002
    """What came is no WebSocket (sent by the protocol itself, as the next two)."""
    NOT_TEXT = 1007
    """A text frame, or the reason of a close, is no UTF-8."""
    TOO_BIG = 1009
    """A frame over gateway.max_frame_bytes."""
    RESTART = 1012
    """The process stopped before it had sent its sessions away: reconnect."""
    IDLE = 4000
    """Nothing was heard for gateway.heartbeat_seconds."""
    SLOW = 4001
    """The send queue was full: reconnect and sync."""
    NO_ACKS = 4002
    """Pushes stayed unacknowledged: reconnect and catch up."""
    DRAIN = 4003
    """The node is leaving: reconnect to another."""
    OVERLOADED = 4004
    """The node takes no more sessions, or no more of this address for now: reconnect later."""
    UNAVAILABLE = 4005
    """The session could not be set up or kept right: reconnect later."""
    LOGIN_ENDED = 4401
    """The token is bad, expired, or its login was ended. Log in again; the same token will not do."""
    REPLACED = 4500
    """Another session of the user took this one's place: a newer one on a platform that is for one device
    (presence.platforms), or one over gateway.max_sessions_per_user. Coming back would take it in turn."""


RECONNECT_WITH_SAME_TOKEN = frozenset(
    {
        CloseCode.RESTART,
        CloseCode.IDLE,
        CloseCode.SLOW,
        CloseCode.NO_ACKS,
        CloseCode.DRAIN,
        CloseCode.OVERLOADED,
        CloseCode.UNAVAILABLE,
    }
)


def as_told(code: CloseCode, sync: bool) -> CloseCode:
    """The code that a client is told: one without `sync=1` must hear 1000 where coming back would be in vain, for it
    reconnects for ever on any other (CONTRACT.md section 2.6)."""
    return CloseCode.NORMAL if not sync and code in (CloseCode.LOGIN_ENDED, CloseCode.REPLACED) else code
