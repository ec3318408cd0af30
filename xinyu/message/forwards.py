"""Sending messages on: each by itself, or merged into one forward message per target."""

from __future__ import annotations

import msgspec

from xinyu.kernel.errors import Category, XinyuError
from xinyu.kernel.ids import MsgId, UserId, derived_msg_id
from xinyu.message.contents import ForwardContent, ForwardRecord, encoded
from xinyu.message.errors import ForwardTooLarge, MessageNotFound
from xinyu.message.port import MAX_FORWARD_TARGETS, MAX_FORWARDED
from xinyu.message.sending import Checked, Sender
from xinyu.message.settings import MessageSettings
from xinyu.message.store import LogStore
from xinyu.message.types import Entry, EntryType, ForwardTarget, NewMessage, Ref
from xinyu.message.types_preview import text_of

SHOWN_RECORDS = 50


class Forwarder:
    """Forwards what the caller can read. Every copy's msg_id is derived from (request, target, source)."""

    def __init__(self, log: LogStore, sender: Sender, settings: MessageSettings) -> None:
        self._log = log
        self._sender = sender
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
        if len(msg_ids) > MAX_FORWARDED or len(targets) > MAX_FORWARD_TARGETS:
            raise ForwardTooLarge()
        wanted = list(dict.fromkeys(msg_ids))
        found = await self._log.find_messages(sender_id, wanted)
        sources = [found[i] for i in wanted if i in found and found[i].type < EntryType.SYSTEM_TEXT]
        if not sources:
            raise MessageNotFound()
        if merged:
            drafts = [_merged(wanted, sources, self._settings.max_content_bytes)]
        else:
            drafts = [_single(source) for source in sources]
        results: list[ForwardTarget] = []
        for target in dict.fromkeys(targets):
            for type_, key, checked in drafts:
                draft = NewMessage(
                    ref=target,
                    msg_id=derived_msg_id("forward", sender_id, request_id, int(target.kind), target.target_id, key),
                    type=type_,
                    content={},
                    sender_name=sender_name,
                    sender_avatar=sender_avatar,
                )
                results.append(await self._send(sender_id, draft, checked))
        return results

    async def _send(self, sender_id: UserId, draft: NewMessage, checked: Checked) -> ForwardTarget:
        try:
            result = await self._sender.append(sender_id, draft, checked)
        except XinyuError as error:
            if error.category in (Category.UNAVAILABLE, Category.DEADLINE, Category.EXHAUSTED, Category.INTERNAL):
                raise
            return ForwardTarget(draft.ref, error=error.code)
        return ForwardTarget(draft.ref, result.entry, result.accepted)


def _single(source: Entry) -> tuple[int, str, Checked]:
    """A message to be sent on with its own type and content; mentions were meant for its first readers. A forward
    that is sent on stays readable inside."""
    content = source.content
    if source.type == EntryType.TEXT:
        value = msgspec.json.decode(content)
        value.pop("mentions", None)
        content = msgspec.json.encode(value).decode()
    sources = [source.msg_id] if source.type == EntryType.FORWARD else []
    return source.type, source.msg_id, Checked(content, content, sources)


def _merged(wanted: list[MsgId], sources: list[Entry], max_bytes: int) -> tuple[int, str, Checked]:
    """One forward message of all sources. Names are filled in by the reader's gateway from `from_id`s. Its id and
    digest come from what was asked for, so that a repetition is one though a source was recalled in between."""
    records = [
        ForwardRecord(from_id=source.sender_id, content=text_of(source.type, source.content))
        for source in sources[:SHOWN_RECORDS]
    ]
    value = ForwardContent(msg_ids=[source.msg_id for source in sources], records=records)
    key = "+".join(wanted)
    return EntryType.FORWARD, key, Checked(encoded(value, max_bytes), key, [source.msg_id for source in sources])
