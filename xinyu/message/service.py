"""Sending, forwarding, recalling and reading messages."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cachetools import LRUCache

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import ConversationId, DeviceId, MsgId, UserId, derived_msg_id, is_hex_id, new_msg_id
from xinyu.message.appender import Appender
from xinyu.message.contents import normalised, quote_of, request_digest
from xinyu.message.errors import BadMsgId, MessageNotFound, NotAMember
from xinyu.message.files import FileEnricher
from xinyu.message.forwards import Forwarder
from xinyu.message.port import MessagePort
from xinyu.message.pusher import Pusher
from xinyu.message.settings import MessageSettings
from xinyu.message.store import Append, Appended, DeviceStore, LogStore, NotAccepted, Repeated
from xinyu.message.types import (
    Entry,
    EntryType,
    ForwardTarget,
    Kind,
    NewMessage,
    Page,
    Ref,
    SendResult,
    SyncPage,
    parties_of,
)
from xinyu.telemetry.trace import current_trace_id

MAX_PAGE = 200
MAX_SYNC = 5000


class Conversations:
    """Which conversation a Ref means. Ids never change, so they are remembered."""

    def __init__(self, store: LogStore, remembered: int) -> None:
        self._store = store
        self._ids: LRUCache[tuple[Kind, tuple[int, int]], ConversationId] = LRUCache(remembered)

    async def find(self, user_id: UserId, ref: Ref) -> ConversationId | None:
        """The id of the conversation that `user_id` names `ref`."""
        parties = parties_of(ref, user_id)
        found = self._ids.get((ref.kind, parties))
        if found is None:
            found = await self._store.find_conversation(ref.kind, parties)
            if found is not None:
                self._ids[ref.kind, parties] = found
        return found


class MessageService(MessagePort):
    """Serves `MessagePort`."""

    def __init__(
        self,
        log: LogStore,
        devices: DeviceStore,
        conversations: Conversations,
        appender: Appender,
        pusher: Pusher,
        clock: Clock,
        settings: MessageSettings,
        files: FileEnricher,
    ) -> None:
        self._log = log
        self._devices = devices
        self._conversations = conversations
        self._appender = appender
        self._pusher = pusher
        self._clock = clock
        self._settings = settings
        self._files = files
        self._forwarder = Forwarder(log, self._append, settings)

    async def send(self, sender_id: UserId, draft: NewMessage) -> SendResult:
        if not is_hex_id(draft.msg_id):
            raise BadMsgId()
        content = draft.content
        if draft.type == EntryType.FILE:
            content = await self._files.enrich(sender_id, content)
        text = normalised(draft.type, content, self._settings.max_text_chars, self._settings.max_content_bytes)
        return await self._append(sender_id, draft, text, [])

    async def _append(self, sender_id: UserId, draft: NewMessage, content: str, carried: list[MsgId]) -> SendResult:
        parties = parties_of(draft.ref, sender_id)
        conversation_id = await self._conversations.find(sender_id, draft.ref)
        if conversation_id is None or draft.ref.kind is Kind.SELF:
            if draft.ref.kind is Kind.PRIVATE and draft.ref.target_id != sender_id:
                return self._not_accepted(sender_id, draft, ConversationId(0), content)
            raise NotAMember()
        digest = request_digest(sender_id, draft.ref.kind, parties, draft.type, content, draft.quote_id or "")
        quote = await self._quote(sender_id, conversation_id, draft.quote_id) if draft.quote_id else "{}"
        outcome = await self._appender.append(
            Append(
                conversation_id=conversation_id,
                sender_id=sender_id,
                msg_id=draft.msg_id,
                type=draft.type,
                content=content,
                quote=quote,
                digest=digest,
                origin_session=draft.origin_session,
                trace_id=current_trace_id(),
                sender_name=draft.sender_name,
                sender_avatar=draft.sender_avatar,
                sources=carried,
            )
        )
        if isinstance(outcome, NotAccepted):
            return self._not_accepted(sender_id, draft, conversation_id, content)
        return SendResult(outcome.entry, repeated=isinstance(outcome, Repeated))

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
        conversation_id = await self._need(user_id, ref)
        notice = derived_msg_id("delete", user_id, conversation_id, *sorted(set(msg_ids)))
        self._push(
            await self._log.hide_messages(user_id, conversation_id, msg_ids[:MAX_PAGE], notice, self._clock.now_ms())
        )

    async def clear(self, user_id: UserId, ref: Ref) -> None:
        conversation_id = await self._need(user_id, ref)
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
            before=before,
            after=after,
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
        have = None if cursors is None else {int(k): v for k, v in cursors.items() if k.isdigit()}
        return await self._devices.sync(user_id, device_id, have, since_ms, max(0, min(limit, MAX_SYNC)))

    async def read_range(self, conversation_id: ConversationId, first_seq: int, last_seq: int) -> list[Entry]:
        return await self._log.read_range(conversation_id, first_seq, min(last_seq, first_seq + MAX_SYNC))

    async def _need(self, user_id: UserId, ref: Ref) -> ConversationId:
        conversation_id = await self._conversations.find(user_id, ref)
        if conversation_id is None:
            raise NotAMember()
        return conversation_id

    async def _quote(self, user_id: UserId, conversation_id: ConversationId, quote_id: MsgId) -> str | None:
        quoted = (await self._log.find_messages(user_id, [quote_id])).get(quote_id)
        if quoted is None or quoted.conversation_id != conversation_id:
            return None
        return quote_of(quoted.msg_id, quoted.sender_id, quoted.type, quoted.content)

    def _push(self, appended: Sequence[Appended]) -> None:
        if appended:
            self._pusher.push(appended)

    def _not_accepted(
        self, sender_id: UserId, draft: NewMessage, conversation_id: ConversationId, content: str
    ) -> SendResult:
        """The message as the sender is shown it: status 3, sequence 0, never stored (CONTRACT.md section 3.3)."""
        shown = {**msgspec.json.decode(content), "invalid": True, "invalid_reason": "not_friend"}
        entry = Entry(
            conversation_id=conversation_id,
            kind=draft.ref.kind,
            parties=parties_of(draft.ref, sender_id),
            seq=0,
            msg_id=draft.msg_id,
            type=draft.type,
            sender_id=sender_id,
            sent_at_ms=self._clock.now_ms(),
            content=msgspec.json.encode(shown).decode(),
        )
        return SendResult(entry, accepted=False)
