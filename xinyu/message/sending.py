"""From a draft to the log: checked, made into what is stored, appended."""

from __future__ import annotations

from typing import Any

import msgspec

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Category, XinyuError
from xinyu.kernel.ids import ConversationId, MsgId, UserId, is_hex_id
from xinyu.message.addressing import Conversations, is_possible
from xinyu.message.appender import Appender
from xinyu.message.contents import normalised, quote_of, request_digest
from xinyu.message.errors import BadMsgId, BadQuote, NotAMember
from xinyu.message.files import FileEnricher
from xinyu.message.settings import MessageSettings
from xinyu.message.store import Append, LogStore, NotAccepted, Repeated
from xinyu.message.types import Entry, EntryType, Kind, NewMessage, SendResult, parties_of
from xinyu.telemetry.logs import get_logger, hops, in_ms
from xinyu.telemetry.trace import current_trace_id

log = get_logger(__name__)


class Checked(msgspec.Struct, frozen=True):
    """What a draft comes to before the log is asked."""

    content: str
    """As it is stored."""
    request: str
    """What its sender asked for: a retry is told from another message by this, not by what the server made of it."""
    sources: list[MsgId] = []
    """See Append.sources."""
    refusal: XinyuError | None = None
    """See Append.refusal."""


class Sender:
    """Appends what users send and forward."""

    def __init__(
        self,
        log: LogStore,
        conversations: Conversations,
        appender: Appender,
        files: FileEnricher,
        clock: Clock,
        settings: MessageSettings,
    ) -> None:
        self._log = log
        self._conversations = conversations
        self._appender = appender
        self._files = files
        self._clock = clock
        self._settings = settings

    async def send(self, sender_id: UserId, draft: NewMessage) -> SendResult:
        """See MessagePort.send."""
        if not is_hex_id(draft.msg_id):
            raise BadMsgId()
        request = self._normalised(draft.type, draft.content)
        checked = Checked(request, request)
        if draft.type == EntryType.FILE:
            checked = await self._described(sender_id, draft, request)
        return await self.append(sender_id, draft, checked)

    async def append(self, sender_id: UserId, draft: NewMessage, checked: Checked) -> SendResult:
        """Append a message whose content is checked. Raises what MessagePort.send raises."""
        parties = parties_of(draft.ref, sender_id)
        conversation_id = await self._conversations.find(sender_id, draft.ref)
        if conversation_id is None or draft.ref.kind is Kind.SELF:
            possible = is_possible(draft.ref) and draft.ref.target_id != sender_id
            if draft.ref.kind is Kind.PRIVATE and possible:
                return self._not_accepted(sender_id, draft, ConversationId(0), checked.content)
            raise NotAMember()
        quote, refusal = "{}", checked.refusal
        if draft.quote_id:
            found = await self._quote(sender_id, conversation_id, draft.quote_id)
            quote, refusal = found or quote, refusal if found else BadQuote()
        begin = self._clock.monotonic() if hops.told else 0.0
        outcome = await self._appender.append(
            Append(
                conversation_id=conversation_id,
                sender_id=sender_id,
                msg_id=draft.msg_id,
                type=draft.type,
                content=checked.content,
                quote=quote,
                digest=request_digest(
                    sender_id, draft.ref.kind, parties, draft.type, checked.request, draft.quote_id or ""
                ),
                origin_session=draft.origin_session,
                trace_id=current_trace_id(),
                sender_name=draft.sender_name,
                sender_avatar=draft.sender_avatar,
                sources=checked.sources,
                refusal=refusal,
            )
        )
        if isinstance(outcome, NotAccepted):
            return self._not_accepted(sender_id, draft, conversation_id, checked.content)
        if hops.told:
            self._tell(sender_id, outcome.entry, begin)
        return SendResult(outcome.entry, repeated=isinstance(outcome, Repeated))

    def _tell(self, sender_id: UserId, entry: Entry, begin: float) -> None:
        log.debug(
            "message appended",
            uid=sender_id,
            msg_id=entry.msg_id,
            conversation_id=entry.conversation_id,
            seq=entry.seq,
            duration_ms=in_ms(self._clock.monotonic() - begin),
        )

    def _normalised(self, type_: int, content: dict[str, Any]) -> str:
        return normalised(type_, content, self._settings.max_text_chars, self._settings.max_content_bytes)

    async def _described(self, sender_id: UserId, draft: NewMessage, request: str) -> Checked:
        """A file message as the upload says it is. The retry of a stored one succeeds though the upload is gone."""
        asked = msgspec.json.encode({"upload_id": draft.content.get("upload_id")}).decode()
        try:
            content = await self._files.enrich(sender_id, draft.content)
        except XinyuError as error:
            if error.category is not Category.INVALID:
                raise
            return Checked(request, asked, refusal=error)
        return Checked(self._normalised(draft.type, content), asked)

    async def _quote(self, user_id: UserId, conversation_id: ConversationId, quote_id: MsgId) -> str | None:
        quoted = (await self._log.find_messages(user_id, [quote_id])).get(quote_id)
        if quoted is None or quoted.conversation_id != conversation_id:
            return None
        return quote_of(quoted.msg_id, quoted.sender_id, quoted.type, quoted.content)

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
