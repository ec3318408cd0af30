"""Fleeting signals as frames: typing, and that somebody has read (CONTRACT.md sections 2.4 and 2.6)."""

from __future__ import annotations

from typing import Any

import msgspec

from xinyu.kernel.ids import UserId
from xinyu.message.types import Kind

_encode = msgspec.json.Encoder().encode
READY_MADE = "ready_made"
"""A signal whose payload is the frame itself, made elsewhere."""


class _Signal(msgspec.Struct):
    """What the message domain says (`message/conversations.py`)."""

    kind: Kind
    parties: tuple[int, int]
    user_id: UserId
    seq: int = 0


_decode = msgspec.json.Decoder(_Signal).decode


def signal_frame(name: str, payload: msgspec.Raw | bytes, reader: UserId) -> bytes | None:
    """The frame that `reader` is sent; None for a signal that this version does not know."""
    if name == READY_MADE:
        return bytes(payload)
    signal = _decode(payload)
    target = signal.parties[0]
    if signal.kind is Kind.PRIVATE and target == reader:
        target = signal.parties[1]
    body: dict[str, Any] = {"talk_mode": int(signal.kind), "to_from_id": target}
    if name == "typing":
        return _encode({"event": "im.message.keyboard", "payload": {**body, "from_id": signal.user_id}})
    if name == "read":
        return _encode({"event": "im.message.read", "payload": {**body, "user_id": signal.user_id, "seq": signal.seq}})
    return None
