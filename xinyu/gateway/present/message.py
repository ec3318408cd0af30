"""Log entries as the contract's MessageRecord (CONTRACT.md sections 1.5, 2.6 and 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from xinyu.gateway.names import NOBODY, Name, Names
from xinyu.gateway.present.times import LocalTimes
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import ConversationId, MsgId, UserId
from xinyu.message.types import Entry, EntryType, SyncItem, SyncPage
from xinyu.rpc.deadline import within
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
REVOKED, NOT_REVOKED = 1, 2
SENT, NOT_ACCEPTED = 1, 3
NOTICES = frozenset({EntryType.SELF_CONTACT_APPLY, EntryType.SELF_CONTACT_ACCEPTED, EntryType.SELF_GROUP_APPLY})
"""Entries about another user, named by `user_id`."""
_CONTENT_WITH_NAMES = NOTICES | {EntryType.FORWARD, EntryType.RECALLED}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class MessageRecord(msgspec.Struct, frozen=True, gc=False):
    """One message as clients read it. `extra` and `quote` are JSON in strings."""

    msg_id: MsgId
    sequence: int
    msg_type: int
    from_id: UserId
    nickname: str
    avatar: str
    is_revoked: int
    status: int
    send_time: str
    extra: str
    quote: str
    talk_id: ConversationId
    hidden: bool | msgspec.UnsetType = msgspec.UNSET
    """Only there, and true, for a tombstone: an entry that is not (or no longer) the reader's to see."""


def record(entry: Entry, name: Name, times: LocalTimes) -> MessageRecord:
    """An entry whose sender is shown as `name`. Entries that were never stored (`seq` 0) have status 3."""
    blank = entry.recalled or entry.hidden
    return MessageRecord(
        entry.msg_id,
        entry.seq,
        entry.type,
        entry.sender_id,
        name.nickname,
        name.avatar,
        REVOKED if entry.recalled else NOT_REVOKED,
        SENT if entry.seq else NOT_ACCEPTED,
        times.text(entry.sent_at_ms),
        "{}" if blank else entry.content,
        "{}" if blank else entry.quote,
        entry.conversation_id,
        True if entry.hidden else msgspec.UNSET,
    )


async def records(entries: Sequence[Entry], names: Names, times: LocalTimes) -> list[MessageRecord]:
    """Entries with all names that they show, looked up in one batch."""
    named = await with_names(entries, names)
    return [record(entry, Name(entry.sender_name, entry.sender_avatar), times) for entry in named]


async def with_names(entries: Sequence[Entry], names: Names) -> list[Entry]:
    """The same entries with the names that clients want to show filled in: of senders (where the entry has none), in
    merged forwards, quotes, recalls and notices about users. One batched look-up, none when all have theirs."""
    wanted = {user_id for entry in entries for user_id in _unnamed(entry)}
    if not wanted:
        return list(entries)
    known = await names.look_up(wanted)
    return [_with_names(entry, known) for entry in entries]


async def with_names_within(entries: Sequence[Entry], names: Names, seconds: float) -> list[Entry | None]:
    """As `with_names`; while `user` is away None for an entry with a name that cannot be told within `seconds`."""
    wanted = {user_id for entry in entries for user_id in _unnamed(entry)}
    if not wanted:
        return list(entries)
    try:
        with within(seconds):
            known = await names.look_up(wanted)
    except XinyuError as error:
        known = names.remembered(wanted)
        log.warning("pushes wait for names that cannot be asked for", error=error.code)
    return [_with_names(entry, known) if known.keys() >= set(_unnamed(entry)) else None for entry in entries]


async def sync_json(page: SyncPage, names: Names, times: LocalTimes) -> dict[str, Any]:
    """A page of a sync (CONTRACT.md section 2.6)."""
    entries = [entry for item in page.items for entry in item.entries]
    presented = iter(await records(entries, names, times))
    return {"items": [_sync_item(item, presented) for item in page.items], "more": page.more}


def _sync_item(item: SyncItem, presented: Iterable[MessageRecord]) -> dict[str, Any]:
    return {
        "talk_id": item.conversation_id,
        "talk_mode": int(item.ref.kind),
        "to_from_id": item.ref.target_id,
        "last_seq": item.last_seq,
        "read_seq": item.read_seq,
        "unread_num": item.unread,
        "messages": [found for _, found in zip(item.entries, presented, strict=False)],
        "more": item.more,
        "cursor": item.cursor,
    }


def _unnamed(entry: Entry) -> Iterable[UserId]:
    """Users whose names this entry shows but does not have."""
    if entry.sender_id and not entry.sender_name:
        yield entry.sender_id
    if entry.recalled or entry.hidden:
        return
    if entry.quote != "{}":
        yield _id_in(_decode(entry.quote), "from_id")
    if entry.type in _CONTENT_WITH_NAMES and entry.content != "{}":
        content = _decode(entry.content)
        if entry.type == EntryType.FORWARD:
            yield from (_id_in(item, "from_id") for item in content.get("records", ()))
        elif entry.type == EntryType.RECALLED:
            yield _id_in(content, "owner_id")
        else:
            yield _id_in(content, "user_id")


def _with_names(entry: Entry, known: Mapping[UserId, Name]) -> Entry:
    changes: dict[str, str] = {}
    if entry.sender_id and not entry.sender_name:
        name = known.get(entry.sender_id, NOBODY)
        changes = {"sender_name": name.nickname, "sender_avatar": name.avatar}
    if not (entry.recalled or entry.hidden):
        if entry.quote != "{}":
            quote = _decode(entry.quote)
            quote["nickname"] = known.get(_id_in(quote, "from_id"), NOBODY).nickname
            changes["quote"] = _encode(quote).decode()
        if entry.type in _CONTENT_WITH_NAMES and entry.content != "{}":
            changes["content"] = _encode(_named_content(entry.type, _decode(entry.content), known)).decode()
    return msgspec.structs.replace(entry, **changes) if changes else entry


def _named_content(type_: int, content: dict[str, Any], known: Mapping[UserId, Name]) -> dict[str, Any]:
    if type_ == EntryType.FORWARD:
        lines = [
            {**item, "nickname": known.get(_id_in(item, "from_id"), NOBODY).nickname}
            for item in content.get("records", ())
        ]
        return {**content, "records": lines}
    if type_ == EntryType.RECALLED:
        name = known.get(_id_in(content, "owner_id"), NOBODY)
        return {**content, "owner_name": content.get("owner_name") or name.nickname}
    name = known.get(_id_in(content, "user_id"), NOBODY)
    return {**content, "nickname": name.nickname, "avatar": name.avatar}


def _id_in(content: Mapping[str, Any], key: str) -> UserId:
    """A user's id in stored content; 0 where there is none."""
    value = content.get(key)
    return UserId(value) if isinstance(value, int) else UserId(0)
