"""How requests name conversations and messages, and what is wrong with those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from xinyu.gateway.http.body import IdNumber
from xinyu.kernel.errors import InvalidInput
from xinyu.kernel.ids import MsgId, UserId, is_hex_id
from xinyu.message.errors import BadMsgId
from xinyu.message.types import Kind, Ref

MAX_MSG_IDS = 200
Limit = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
"""How many a client asks for; 0 is the default, and each port has its own bound."""


class BadTalkMode(InvalidInput):
    """talk_mode must be 1 (private) or 2 (group)."""

    code = "request.bad_talk_mode"


class BadTarget(InvalidInput):
    """to_from_id must be a positive number."""

    code = "request.bad_target"


class BadMsgIds(InvalidInput):
    """msg_ids must be a list of 1 to 200 ids of 32 hex characters each."""

    code = "request.bad_msg_ids"


class BadAction(InvalidInput):
    """action must be 1 or 2."""

    code = "request.bad_action"


class TalkRequest(msgspec.Struct):
    """A request about one conversation."""

    talk_mode: int = 0
    to_from_id: IdNumber = 0

    def ref(self) -> Ref:
        """The private conversation or group that is meant. Raises BadTalkMode, BadTarget."""
        if self.talk_mode not in (Kind.PRIVATE, Kind.GROUP):
            raise BadTalkMode()
        if not self.to_from_id:
            raise BadTarget()
        return Ref(Kind(self.talk_mode), self.to_from_id)

    def ref_or_self(self, user_id: UserId) -> Ref:
        """The same, where the caller's own *self* conversation may be meant too (talk_mode 3)."""
        if self.talk_mode == Kind.SELF and self.to_from_id == user_id:
            return Ref(Kind.SELF, user_id)
        return self.ref()


def msg_id_of(text: str) -> MsgId:
    """A message id in either case. Raises BadMsgId."""
    msg_id = text.lower()
    if not is_hex_id(msg_id):
        raise BadMsgId()
    return MsgId(msg_id)


def msg_ids_of(found: object) -> list[MsgId]:
    """The ids of a request, in the order asked. Raises BadMsgIds."""
    if not isinstance(found, Sequence) or isinstance(found, str) or not 0 < len(found) <= MAX_MSG_IDS:
        raise BadMsgIds()
    msg_ids = [str(item).lower() for item in found]
    if not all(map(is_hex_id, msg_ids)):
        raise BadMsgIds()
    return [MsgId(item) for item in msg_ids]


def is_on(action: int) -> bool:
    """The contract's `action`: 1 does something, 2 undoes it. Raises BadAction."""
    if action not in (1, 2):
        raise BadAction()
    return action == 1
