"""Sending, forwarding, recalling and reading messages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import ConversationId, DeviceId, MsgId, UserId, new_msg_id
from xinyu.message.addressing import Conversations, clamped
from xinyu.message.errors import MessageNotFound
from xinyu.message.forwards import Forwarder
from xinyu.message.port import MessagePort
from xinyu.message.pusher import Pusher
from xinyu.message.sending import Sender
from xinyu.message.settings import MessageSettings
from xinyu.message.store import Appended, DeviceStore, LogStore
from xinyu.message.types import Entry, ForwardTarget, NewMessage, Page, Ref, SendResult, SyncPage

_ID = re.compile("[0-9]{1,16}")
MAX_PAGE = 200
MAX_SYNC = 5000


class MessageService(MessagePort):
    """Serves `MessagePort`."""

    def __init__(
        self,
        log: LogStore,
        devices: DeviceStore,
        conversations: Conversations,
        sender: Sender,
        pusher: Pusher,
        clock: Clock,
        settings: MessageSettings,
    ) -> None:
        self._log = log
        self._devices = devices
        self._conversations = conversations
        self._sender = sender
        self._pusher = pusher
        self._clock = clock
        self._settings = settings
        self._forwarder = Forwarder(log, sender, settings)

    async def send(self, sender_id: UserId, draft: NewMessage) -> SendResult:
        return await self._sender.send(sender_id, draft)

    async def forward(
        self,
        sender_id: UserId,
        request_id: str,
        msg_ids: list[MsgId],
        targets: list[Ref],
        merged: bool,
        sender_name: str = "",
        sender_avatar: str = "",
    ) -> list[ForwardTarget]:
        return await self._forwarder.forward(
            sender_id, request_id, msg_ids, targets, merged, sender_name, sender_avatar
        )

    async def recall(self, user_id: UserId, ref: Ref, msg_id: MsgId, user_name: str = "") -> None:
        conversation_id = await self._conversations.find(user_id, ref)
        if conversation_id is None:
            raise MessageNotFound()
        now_ms, allowed = self._clock.now_ms(), self._settings.recall_seconds
        not_before_ms = now_ms - allowed * 1000 if allowed else 0
        appended = await self._log.recall(user_id, conversation_id, msg_id, user_name, not_before_ms, now_ms)
        if appended is not None:
            self._pusher.push([appended])

    async def delete(self, user_id: UserId, ref: Ref, msg_ids: list[MsgId]) -> None:
        conversation_id = await self._conversations.get(user_id, ref)
        wanted = list(dict.fromkeys(msg_ids))
        for start in range(0, max(len(wanted), 1), MAX_PAGE):
            part = wanted[start : start + MAX_PAGE]
            self._push(
                await self._log.hide_messages(user_id, conversation_id, part, new_msg_id(), self._clock.now_ms())
            )

    async def clear(self, user_id: UserId, ref: Ref) -> None:
        conversation_id = await self._conversations.get(user_id, ref)
        self._push(await self._log.clear(user_id, conversation_id, new_msg_id(), self._clock.now_ms()))

    async def history(
        self,
        user_id: UserId,
        ref: Ref,
        before: int = 0,
        after: int | None = None,
        limit: int = 30,
        types: list[int] | None = None,
        tombstones: bool = True,
    ) -> Page:
        conversation_id = await self._conversations.find(user_id, ref)
        if conversation_id is None:
            return Page([], False)
        return await self._log.history(
            user_id,
            conversation_id,
            before=clamped(before),
            after=None if after is None else clamped(after),
            limit=max(1, min(limit or 30, MAX_PAGE)),
            types=types,
            tombstones=tombstones,
        )

    async def list_messages(self, user_id: UserId, msg_ids: list[MsgId]) -> list[Entry]:
        wanted = list(dict.fromkeys(msg_ids))[:MAX_PAGE]
        found = await self._log.find_messages(user_id, wanted)
        return [found[msg_id] for msg_id in wanted if msg_id in found]

    async def sync(
        self,
        user_id: UserId,
        device_id: DeviceId,
        cursors: dict[str, int] | None = None,
        since_ms: int = 0,
        limit: int = 500,
    ) -> SyncPage:
        have = None if cursors is None else {int(k): clamped(v) for k, v in cursors.items() if _ID.fullmatch(k)}
        since_ms = clamped(since_ms)
        return await self._devices.sync(user_id, device_id, have, since_ms, max(0, min(limit, MAX_SYNC)))

    async def read_range(self, conversation_id: ConversationId, first_seq: int, last_seq: int) -> list[Entry]:
        return await self._log.read_range(conversation_id, first_seq, min(last_seq, first_seq + MAX_SYNC))

    def _push(self, appended: Sequence[Appended]) -> None:
        if appended:
            self._pusher.push(appended)
