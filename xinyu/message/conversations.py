"""The conversation list: views, read marks, typing."""

from __future__ import annotations

import asyncio

import msgspec

from xinyu.delivery.port import DeliveryPort
from xinyu.delivery.types import Signal
from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import ConversationId, DeviceId, UserId, new_msg_id
from xinyu.message.addressing import Conversations, clamped, is_possible
from xinyu.message.errors import NotAMember, SelfConversation
from xinyu.message.port import ConversationPort
from xinyu.message.pusher import Pusher
from xinyu.message.store import DeviceStore, ListStore, ReadMark
from xinyu.message.types import ConversationView, Kind, Ref, parties_of
from xinyu.presence.port import PresencePort

Mark = tuple[UserId, ConversationId]
MARKS_PER_TRANSACTION = 200
_encode = msgspec.json.Encoder().encode


class ReadMarks:
    """Read marks of many users share one transaction; marks of one user on one conversation coalesce to the highest.

    Web clients mark read at every message."""

    def __init__(self, lists: ListStore) -> None:
        self._lists = lists
        self._waiting: dict[Mark, tuple[int | None, asyncio.Future[ReadMark]]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def mark(self, user_id: UserId, conversation_id: ConversationId, seq: int | None) -> ReadMark:
        """Move a read cursor. Raises NotAMember, StorageUnavailable."""
        key = (user_id, conversation_id)
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = (seq, asyncio.get_running_loop().create_future())
        else:
            old, future = waiting
            self._waiting[key] = (None if old is None or seq is None else max(old, seq), future)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(self._waiting[key][1])

    async def _work(self) -> None:
        while self._waiting:
            batch = {key: self._waiting.pop(key) for key in list(self._waiting)[:MARKS_PER_TRANSACTION]}
            results: dict[Mark, ReadMark] = {}
            failure: Exception = NotAMember()
            try:
                results = await self._lists.mark_read({key: seq for key, (seq, _) in batch.items()})
            except Exception as error:
                failure = error
            for key, (_, future) in batch.items():
                if key in results:
                    future.set_result(results[key])
                else:
                    future.set_exception(failure)
                    future.exception()  # the caller may have left


class ConversationService(ConversationPort):
    """Serves `ConversationPort`."""

    def __init__(
        self,
        lists: ListStore,
        devices: DeviceStore,
        conversations: Conversations,
        pusher: Pusher,
        delivery: DeliveryPort,
        presence: PresencePort,
        clock: Clock,
    ) -> None:
        self._lists = lists
        self._devices = devices
        self._conversations = conversations
        self._pusher = pusher
        self._delivery = delivery
        self._presence = presence
        self._clock = clock
        self._marks = ReadMarks(lists)

    async def list_conversations(self, user_id: UserId, at_device: DeviceId | None = None) -> list[ConversationView]:
        if at_device is not None and not await self._is_owed(user_id, at_device):
            at_device = None
        return await self._lists.list_views(user_id, None, at_device)

    async def _is_owed(self, user_id: UserId, device_id: DeviceId) -> bool:
        """Whether the device will be pushed what it missed: it is catching up, or away after an earlier connection."""
        catching_up = await self._devices.is_catching_up(user_id, device_id)
        if catching_up is None:
            return False
        online = await self._presence.list_online([user_id])
        return catching_up or not any(device_id in user.device_ids for user in online)

    async def open(self, user_id: UserId, ref: Ref) -> ConversationView:
        if ref.kind is Kind.SELF or (ref.kind is Kind.PRIVATE and ref.target_id == user_id):
            raise SelfConversation()
        if not is_possible(ref):
            raise NotAMember()
        id_ = await self._lists.open(user_id, ref.kind, parties_of(ref, user_id), self._clock.now_ms())
        views = await self._lists.list_views(user_id, id_, None)
        if not views:
            raise NotAMember()
        return views[0]

    async def hide(self, user_id: UserId, ref: Ref) -> None:
        await self._set(user_id, ref, hidden=True)

    async def set_pinned(self, user_id: UserId, ref: Ref, pinned: bool) -> None:
        await self._set(user_id, ref, pinned=pinned)

    async def set_muted(self, user_id: UserId, ref: Ref, muted: bool) -> None:
        await self._set(user_id, ref, muted=muted)

    async def mark_read(self, user_id: UserId, ref: Ref, seq: int | None = None) -> int:
        id_ = await self._conversations.get(user_id, ref)
        read = await self._marks.mark(user_id, id_, None if seq is None else clamped(seq))
        if read.moved:
            recipients = [user_id, UserId(ref.target_id)] if read.mutual else [user_id]
            await self._signal("read", user_id, id_, ref, recipients, seq=read.read_seq)
        return read.unread

    async def find_ids(self, user_id: UserId, refs: list[Ref]) -> list[ConversationId | None]:
        known = [ref for ref in refs if is_possible(ref)]
        found = dict(zip(known, await self._lists.find_ids(user_id, known), strict=True))
        return [found.get(ref) for ref in refs]

    async def list_muted(self, user_id: UserId, refs: list[Ref]) -> list[bool]:
        known = [ref for ref in refs if is_possible(ref)]
        found = dict(zip(known, await self._lists.list_muted(user_id, known), strict=True))
        return [found.get(ref, False) for ref in refs]

    async def signal_typing(self, user_id: UserId, ref: Ref) -> None:
        id_ = await self._conversations.get(user_id, ref)
        membership = await self._lists.list_members(id_)
        if membership is None or user_id not in membership.recipients:
            raise NotAMember()
        others = [member for member in membership.recipients if member != user_id]
        if ref.kind is Kind.PRIVATE:
            others = [member for member in others if membership.members[member].accepts]
        await self._signal("typing", user_id, id_, ref, others)

    async def _signal(
        self, name: str, user_id: UserId, id_: ConversationId, ref: Ref, recipients: list[UserId], **more: int
    ) -> None:
        payload = {
            "conversation_id": id_, "kind": int(ref.kind), "parties": parties_of(ref, user_id), "user_id": user_id,
            **more,
        }  # fmt: skip
        await self._delivery.signal([Signal(name, recipients, msgspec.Raw(_encode(payload)))])

    async def _set(
        self,
        user_id: UserId,
        ref: Ref,
        *,
        pinned: bool | None = None,
        muted: bool | None = None,
        hidden: bool | None = None,
    ) -> None:
        id_ = await self._conversations.get(user_id, ref)
        appended = await self._lists.set_view(
            user_id, id_, pinned=pinned, muted=muted, hidden=hidden, notice=new_msg_id(), now_ms=self._clock.now_ms()
        )
        if appended:
            self._pusher.push(appended)
