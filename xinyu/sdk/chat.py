"""What a user does in conversations, over the connection (CONTRACT.md 2.6)."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import new_msg_id
from xinyu.sdk.api.uploads import Image, MediaApi
from xinyu.sdk.backoff import Backoff
from xinyu.sdk.catchup import CatchUp
from xinyu.sdk.errors import ContractViolation, SendTimeout, is_temporary
from xinyu.sdk.requests import TakeLate
from xinyu.sdk.socket import Socket
from xinyu.sdk.types import (
    Conversation,
    Forwarded,
    Frame,
    HistoryPage,
    Json,
    Message,
    Presence,
    Record,
    RecordPage,
    Talk,
    Tuning,
)

T = TypeVar("T")
R = TypeVar("R")


class _Conversations(msgspec.Struct):
    items: list[Conversation]


class _Presences(msgspec.Struct):
    items: list[Presence]


class _ForwardReply(msgspec.Struct):
    items: list[Forwarded]


class _Unread(msgspec.Struct):
    unread_num: int


class _Done(msgspec.Struct):
    pass


class Chat:
    """Sending, and asking about conversations. Base of `Client`.

    Every request is idempotent and is repeated over reconnects, and while the server is unavailable or overloaded,
    until `timeout` (seconds) is over.
    """

    def __init__(self, socket: Socket, catchup: CatchUp, media: MediaApi, tuning: Tuning, clock: Clock) -> None:
        self._socket = socket
        self._catchup = catchup
        self._images = media
        self._tuning = tuning
        self._clock = clock
        self._uid = 0

    async def send(
        self, talk: Talk, kind: str, body: Json, *, msg_id: str | None = None, quote_id: str | None = None,
        timeout: float = 60.0,
    ) -> Message:  # fmt: skip
        """Send a message (`kind` as in CONTRACT.md 3.1) and return it as stored, with `talk_id` and `seq`.

        Repeated under one `msg_id`, over reconnects, until acknowledged: it is stored once however often it is sent.
        A receiver who does not accept it (not a friend) is no error: see `Message.accepted`. For a fixed order await
        each send before the next. Raises ApiError (refused), SendTimeout (after `timeout` seconds; may be stored).
        """
        draft: Json = {**talk.fields(), "type": kind, "body": body, "msg_id": msg_id or new_msg_id()}
        if quote_id is not None:
            draft["quote_id"] = quote_id

        def place(record: Record) -> Message:
            message = record.message(talk, record.talk_id, self._uid)
            if message.accepted:
                if message.talk_id <= 0 or message.msg_id != draft["msg_id"]:
                    raise ContractViolation("the receipt of a message lacks its talk_id or has another msg_id")
                self._catchup.inbox.put(message)
            return message

        return await self._send(draft, Record, timeout, place)

    async def send_text(
        self, talk: Talk, text: str, *, mentions: Sequence[int] = (), quote_id: str | None = None, timeout: float = 60.0
    ) -> Message:
        """Send text, mentioning users by id; see `send`."""
        body: Json = {"text": text, "content": text}
        if mentions:
            body["mentions"] = list(mentions)
        return await self.send(talk, "text", body, quote_id=quote_id, timeout=timeout)

    async def reply(self, message: Message, text: str, timeout: float = 60.0) -> Message:
        """Send text that quotes `message`, in its conversation; see `send`."""
        return await self.send_text(message.talk, text, quote_id=message.msg_id, timeout=timeout)

    async def send_image(
        self, talk: Talk, path: str | os.PathLike[str], *, width: int = 0, height: int = 0, timeout: float = 60.0
    ) -> Message:
        """Upload an image and send it; see `MediaApi.upload_image` and `send`."""
        image: Image = await self._images.upload_image(path)
        body = {"url": image.src, "width": width, "height": height, "size": os.stat(path).st_size}
        return await self.send(talk, "image", body, timeout=timeout)

    async def send_file(self, talk: Talk, upload_id: str, timeout: float = 60.0) -> Message:
        """Send a file that `client.media.upload` has stored; see `send`."""
        return await self.send(talk, "file", {"upload_id": upload_id}, timeout=timeout)

    async def forward(
        self, source: Talk, msg_ids: Sequence[str], targets: Sequence[Talk], *, merged: bool = False,
        msg_id: str | None = None, timeout: float = 60.0,
    ) -> list[Forwarded]:  # fmt: skip
        """Forward messages of `source`, one by one or `merged` into one; a result per target (and message).

        Stored once however often it is repeated under one `msg_id` (the key of the request, not of the copies).
        """
        body: Json = {
            "action": 2 if merged else 1,
            "msg_ids": list(msg_ids),
            "user_ids": [talk.to_from_id for talk in targets if talk.talk_mode == 1],
            "group_ids": [talk.to_from_id for talk in targets if talk.talk_mode == 2],
        }
        draft: Json = {**source.fields(), "type": "forward", "body": body, "msg_id": msg_id or new_msg_id()}

        def look_for(reply: _ForwardReply) -> list[Forwarded]:
            self._catchup.refresh()  # the receipts do not tell the copies' places
            return reply.items

        return await self._send(draft, _ForwardReply, timeout, look_for)

    async def _send(self, draft: Json, kind: type[T], timeout: float, take: Callable[[T], R]) -> R:
        """`take` gets the receipt, also one that comes when nobody waits for it any more: what is stored after the
        refresh is not pushed to the session that sent it."""

        def take_late(frame: Frame) -> None:
            if frame.event == "reply":
                take(msgspec.json.decode(frame.payload, type=kind))
            else:
                self._catchup.refresh()

        try:
            return take(await self._persist("message.send", draft, kind, timeout, take_late))
        except XinyuError as error:
            if not is_temporary(error):
                raise
            self._catchup.refresh()  # it may be stored, and is not pushed to the session that sent it
            raise SendTimeout(f"not acknowledged within {timeout:g} s", msg_id=draft["msg_id"]) from error
        except asyncio.CancelledError:
            self._catchup.refresh()
            raise

    # The rest.

    async def recall(self, talk: Talk, msg_id: str, timeout: float = 30.0) -> None:
        """Take back an own message for everybody. ApiError 403 when it is not own or too old."""
        await self._persist("message.recall", {**talk.fields(), "msg_id": msg_id}, _Done, timeout)

    async def read(self, talk: Talk, seq: int, timeout: float = 30.0) -> int:
        """Mark everything up to `seq` as read, on all devices of this user; what remains unread. Never goes back."""
        return (await self._persist("conversation.read", {**talk.fields(), "seq": seq}, _Unread, timeout)).unread_num

    async def mark_read(self, message: Message, timeout: float = 30.0) -> int:
        """Mark everything up to `message` as read; what remains unread in its conversation."""
        return await self.read(message.talk, message.seq, timeout)

    async def typing(self, talk: Talk, timeout: float = 5.0) -> None:
        """Tell the others that this user is typing; at most one in 3 s makes sense. Sent once, not repeated."""
        await self._socket.request("typing", talk.fields(), timeout)

    async def history(
        self, talk: Talk, *, before: int | None = None, after: int | None = None, limit: int = 50, timeout: float = 30.0
    ) -> HistoryPage:
        """A page of the log: newest first below `before` (default: the end), oldest first above `after`."""
        ask: Json = {**talk.fields(), "limit": limit}
        ask |= {name: seq for name, seq in (("before", before), ("after", after)) if seq is not None}
        page = await self._persist("message.history", ask, RecordPage, timeout)
        return HistoryPage([record.message(talk, record.talk_id, self._uid) for record in page.items], page.more)

    async def conversations(self, timeout: float = 30.0) -> list[Conversation]:
        """The conversation list with unread counts and the user's read cursors."""
        return (await self._persist("conversation.list", {}, _Conversations, timeout)).items

    async def presence(self, user_ids: Sequence[int], timeout: float = 30.0) -> dict[int, Presence]:
        """Who is online, by user id."""
        reply = await self._persist("presence.get", {"user_ids": list(user_ids)}, _Presences, timeout)
        return {presence.user_id: presence for presence in reply.items}

    async def _persist(
        self, event: str, payload: Mapping[str, object], kind: type[T], timeout: float,
        take_late: TakeLate | None = None,
    ) -> T:  # fmt: skip
        deadline = self._clock.monotonic() + timeout
        backoff = Backoff(self._tuning.backoff_base_seconds, self._tuning.backoff_cap_seconds, random.Random())
        while True:
            left = deadline - self._clock.monotonic()
            try:
                raw = await self._socket.request(event, payload, min(left, self._tuning.request_seconds), take_late)
                return msgspec.json.decode(raw, type=kind)
            except msgspec.DecodeError as error:
                raise ContractViolation(f"{event} answered {error}") from error
            except XinyuError as error:
                if not is_temporary(error):
                    raise
                delay = backoff.next_delay(error.retry_after_ms)
                if self._clock.monotonic() + delay >= deadline:
                    raise
            await self._clock.sleep(delay)
