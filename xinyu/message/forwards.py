"""Sending messages on: each by itself, or merged into one forward message per target."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from xinyu.kernel.errors import Category, XinyuError
from xinyu.kernel.ids import MsgId, UserId, derived_msg_id
from xinyu.message.contents import ForwardContent, ForwardRecord, encoded
from xinyu.message.errors import MessageNotFound
from xinyu.message.settings import MessageSettings
from xinyu.message.store import LogStore
from xinyu.message.types import Entry, EntryType, ForwardTarget, NewMessage, Ref, SendResult
from xinyu.message.types_preview import text_of

Append = Callable[[UserId, NewMessage, str, list[MsgId]], Awaitable[SendResult]]
SHOWN_RECORDS = 50
MAX_SOURCES = 100
MAX_TARGETS = 50


class Forwarder:
    """Forwards what the caller can read. Every copy's msg_id is derived from (request, target, source)."""

    def __init__(self, log: LogStore, append: Append, settings: MessageSettings) -> None:
        self._log = log
        self._append = append
        self._settings = settings

    async def forward(
        self,
        sender_id: UserId,
        request_id: str,
        msg_ids: list[MsgId],
        targets: list[Ref],
        merged: bool,
        sender_name: str,
        sender_avatar: str,
    ) -> list[ForwardTarget]:
        """See MessagePort.forward."""
        wanted = list(dict.fromkeys(msg_ids))[:MAX_SOURCES]
        found = await self._log.find_messages(sender_id, wanted)
        sources = [found[i] for i in wanted if i in found and found[i].type < EntryType.SYSTEM_TEXT]
        if not sources:
            raise MessageNotFound()
        drafts = [_merged(sources, self._settings.max_content_bytes)] if merged else [_single(s) for s in sources]
        results: list[ForwardTarget] = []
        for target in list(dict.fromkeys(targets))[:MAX_TARGETS]:
            for type_, content, key in drafts:
                draft = NewMessage(
                    ref=target,
                    msg_id=derived_msg_id("forward", sender_id, request_id, int(target.kind), target.target_id, key),
                    type=type_,
                    content={},
                    sender_name=sender_name,
                    sender_avatar=sender_avatar,
                )
                carried = [source.msg_id for source in sources] if merged else []
                results.append(await self._send(sender_id, draft, content, carried))
        return results

    async def _send(self, sender_id: UserId, draft: NewMessage, content: str, carried: list[MsgId]) -> ForwardTarget:
        try:
            result = await self._append(sender_id, draft, content, carried)
        except XinyuError as error:
            if error.category in (Category.UNAVAILABLE, Category.DEADLINE, Category.EXHAUSTED, Category.INTERNAL):
                raise
            return ForwardTarget(draft.ref, error=error.code)
        return ForwardTarget(draft.ref, result.entry, result.accepted)


def _single(source: Entry) -> tuple[int, str, str]:
    """A message to be sent on with its own type and content; mentions were meant for its first readers."""
    content = source.content
    if source.type == EntryType.TEXT:
        value = msgspec.json.decode(content)
        value.pop("mentions", None)
        content = msgspec.json.encode(value).decode()
    return source.type, content, source.msg_id


def _merged(sources: list[Entry], max_bytes: int) -> tuple[int, str, str]:
    """One forward message of all sources. Names are filled in by the reader's gateway from `from_id`s."""
    records = [
        ForwardRecord(from_id=source.sender_id, content=text_of(source.type, source.content))
        for source in sources[:SHOWN_RECORDS]
    ]
    value = ForwardContent(msg_ids=[source.msg_id for source in sources], records=records)
    key = "+".join(source.msg_id for source in sources)
    return EntryType.FORWARD, encoded(value, max_bytes), key
