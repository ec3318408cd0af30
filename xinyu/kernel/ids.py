"""Identifiers as distinct types, and how new ones are made (always from the system's CSPRNG)."""

from __future__ import annotations

import re
import secrets
import uuid
from typing import NewType

UserId = NewType("UserId", int)
GroupId = NewType("GroupId", int)
ConversationId = NewType("ConversationId", int)
"""The contract's talk_id. Positive, below 2**53."""
MsgId = NewType("MsgId", str)
"""32 lower-case hex characters; the sender's key for idempotent sends."""
LoginId = NewType("LoginId", str)
"""One log-in (the token's `jti`)."""
DeviceId = NewType("DeviceId", str)
"""What owns cursors: by default the login."""
SessionId = NewType("SessionId", str)
"""One authenticated device connection."""
NodeId = NewType("NodeId", str)
"""One process of the cluster, by name."""
MediaId = NewType("MediaId", str)
UploadId = NewType("UploadId", str)

MAX_JSON_INT = 2**53
_HEX_ID = re.compile("[0-9a-f]{32}").fullmatch


def new_hex_id() -> str:
    """32 random lower-case hex characters."""
    return secrets.token_hex(16)


def new_msg_id() -> MsgId:
    return MsgId(uuid.uuid4().hex)


def derived_msg_id(*parts: object) -> MsgId:
    """The same id for the same parts, for ever: what makes a repeated forward or effect one and the same message."""
    return MsgId(uuid.uuid5(uuid.NAMESPACE_OID, "\x1f".join(map(str, parts))).hex)


def is_hex_id(value: str) -> bool:
    """Whether `value` is 32 lower-case hex characters."""
    return _HEX_ID(value) is not None
