"""What happens besides messages, as typed values, and the bounded queue they wait in."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from xinyu.kernel.errors import XinyuError
from xinyu.sdk.types import Conversation, Json, Talk


class Event(msgspec.Struct, frozen=True):
    """Base of all events."""


class Connected(Event, frozen=True):
    """A connection is up and what was missed is synchronised."""

    uid: int
    resumed: bool
    """False for the first connection of this client."""


class Disconnected(Event, frozen=True):
    """The connection is gone. With `will_reconnect` the client is already at it."""

    close_code: int | None
    reason: str
    will_reconnect: bool


class EventsLost(Event, frozen=True):
    """The application was too slow: the `count` oldest events were dropped (messages never are)."""

    count: int


class ReadReceipt(Event, frozen=True):
    """`user_id` has read `talk` up to `seq`; the user himself when he read it on another device."""

    talk_mode: int
    to_from_id: int
    user_id: int
    seq: int

    @property
    def talk(self) -> Talk:
        return Talk(self.talk_mode, self.to_from_id)


class Typing(Event, frozen=True):
    """`from_id` is typing in `talk`."""

    from_id: int
    to_from_id: int
    talk_mode: int = 1

    @property
    def talk(self) -> Talk:
        """The conversation as this user names it (in a private one the server puts the receiver in `to_from_id`)."""
        return Talk.user(self.from_id) if self.talk_mode == 1 else Talk(self.talk_mode, self.to_from_id)


class MessageUpdated(Event, frozen=True):
    """The status of a message changed."""

    talk_mode: int
    to_from_id: int
    msg_id: str
    status: int


class ConversationChanged(Event, frozen=True):
    """A line of the conversation list changed; unset fields are as they were. `msg_text` None clears the preview."""

    talk_mode: int
    to_from_id: int
    sender_id: int = 0
    msg_text: str | msgspec.UnsetType | None = msgspec.UNSET
    avatar: str | msgspec.UnsetType = msgspec.UNSET
    updated_at: int = 0
    """Epoch milliseconds."""


class ConversationsStale(Event, frozen=True):
    """Ask for the conversation list again."""


class ConversationCreated(Event, frozen=True):
    """A conversation came into being."""

    conversation: Conversation


class ContactApplied(Event, frozen=True):
    """Somebody asks to be a contact; details by `client.contacts.applications()`."""

    user_id: int = 0
    nickname: str = ""
    remark: str = ""
    avatar: str = ""


class ContactAccepted(Event, frozen=True):
    """An application of this user was accepted."""

    acceptor_id: int
    acceptor_name: str = ""
    acceptor_avatar: str = ""


class ContactStatus(Event, frozen=True):
    """A contact came online (status 1) or went offline (2)."""

    user_id: int
    status: int


class GroupCreated(Event, frozen=True):
    """A group with this user was created."""

    group_id: int
    operator_id: int = 0


class GroupApplied(Event, frozen=True):
    """Somebody asks to join a group that this user manages."""

    group_id: int = 0
    user_id: int = 0
    remark: str = ""


class ServerTrouble(Event, frozen=True):
    """The server reported an error outside any request (`event_error`)."""

    error_code: int
    error_message: str = ""


class OtherEvent(Event, frozen=True):
    """A push that this version has no type for."""

    name: str
    payload: Json


_TYPES: dict[str, type[Event]] = {
    "im.message.read": ReadReceipt,
    "im.message.keyboard": Typing,
    "im.message.update": MessageUpdated,
    "im.session.update": ConversationChanged,
    "im.session.reload": ConversationsStale,
    "im.contact.apply": ContactApplied,
    "im.contact.accept": ContactAccepted,
    "im.contact.status": ContactStatus,
    "im.group.create": GroupCreated,
    "im.group.apply": GroupApplied,
    "event_error": ServerTrouble,
}


def event_of(name: str, payload: msgspec.Raw) -> Event:
    """The typed event of a pushed frame. Raises `msgspec.DecodeError` where the payload breaks the contract."""
    if name == "im.session.create":
        return ConversationCreated(msgspec.json.decode(payload, type=Conversation))
    known = _TYPES.get(name)
    if known is not None:
        return msgspec.json.decode(payload, type=known)
    return OtherEvent(name, msgspec.json.decode(payload, type=Json))


class EventQueue:
    """A bounded queue that drops the oldest and says so: an event is a hint, what it hints at can be asked for."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._waiting: deque[Event] = deque()
        self._lost = 0
        self._wake = asyncio.Event()
        self._end: XinyuError | None = None
        self._closed = False

    def put(self, event: Event) -> None:
        """Queue an event; never waits."""
        if len(self._waiting) >= self._bound:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(event)
        self._wake.set()

    def close(self, error: XinyuError | None = None) -> None:
        """No more events come; readers get what is queued, then `error` or the end."""
        self._end = self._end or error
        self._closed = True
        self._wake.set()

    async def get(self) -> Event | None:
        """The next event; None after the end. Raises the error that ended the client."""
        while not self._waiting and not self._closed:
            self._wake.clear()
            await self._wake.wait()
        if self._lost:
            lost, self._lost = self._lost, 0
            return EventsLost(lost)
        if self._waiting:
            return self._waiting.popleft()
        if self._end is not None:
            raise self._end
        return None
