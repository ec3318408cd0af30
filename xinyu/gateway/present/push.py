"""Log entries as frames that are pushed (CONTRACT.md sections 2.4 and 2.6).

The hottest code of the gateway: every entry is presented once per *variant* (`variant_of`), and those frames serve all
sessions that get the same bytes. Entries must have their names (`present.message.with_names`): what was sent a moment
ago has its sender's already.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import msgspec

from xinyu.gateway.names import Name
from xinyu.gateway.present.message import MessageRecord, record
from xinyu.gateway.present.times import LocalTimes
from xinyu.kernel.ids import ConversationId, UserId
from xinyu.message.types import Entry, EntryType, Kind
from xinyu.message.types_preview import text_of

RECALL_REMARK = "撤回了一条消息"
_RECALLED = int(EntryType.RECALLED)
_FIRST_UNSHOWN_EVENT = 1200
_SELF, _PRIVATE = Kind.SELF, Kind.PRIVATE
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Message(msgspec.Struct, gc=False):
    to_from_id: int
    from_id: UserId
    talk_mode: int
    talk_id: ConversationId
    body: MessageRecord


class _SessionUpdate(msgspec.Struct, gc=False):
    talk_mode: int
    to_from_id: int
    sender_id: UserId
    msg_text: str
    updated_at: int


class _MessageFrame(msgspec.Struct, gc=False):
    event: str
    payload: _Message
    ackid: str | msgspec.UnsetType = msgspec.UNSET


class _UpdateFrame(msgspec.Struct, gc=False):
    event: str
    payload: _SessionUpdate


class _Frame(msgspec.Struct):
    event: str
    payload: dict[str, Any]
    ackid: str | msgspec.UnsetType = msgspec.UNSET


def variant_of(entry: Entry, reader: UserId, sync: bool) -> Hashable:
    """Readers with equal variants get byte-identical frames for `entry`: all members of a group, and nobody else."""
    parties = entry.parties
    target = parties[1] if entry.kind is _PRIVATE and parties[0] == reader else parties[0]
    return -1 - target if sync else target


def frames_for(entry: Entry, reader: UserId, sync: bool, times: LocalTimes) -> list[bytes]:
    """What a session of `reader` is sent for an entry.

    `sync` sessions get exactly one frame, the entry itself, whatever it is. Web clients get what CONTRACT.md section
    2.4 has for it: nothing for tombstones, else a first frame with the entry's `ackid` and perhaps one more.
    """
    parties = entry.parties
    target = parties[1] if entry.kind is _PRIVATE and parties[0] == reader else parties[0]
    if sync:
        return [_encode(_MessageFrame("im.message", _message(entry, target, times)))]
    if entry.recalled or entry.hidden:
        return []
    ackid = f"{entry.conversation_id}.{entry.seq}"
    if entry.kind is _SELF:
        present = _NOTICES.get(entry.type)
        content = {"updated_at": entry.sent_at_ms, **_decode(entry.content)}
        return present(content, ackid) if present else []
    if entry.type == _RECALLED:
        return [_recall_frame(entry, target, ackid)]
    if entry.type >= _FIRST_UNSHOWN_EVENT:
        return []
    update = _SessionUpdate(
        int(entry.kind), target, entry.sender_id, text_of(entry.type, entry.content), entry.sent_at_ms
    )
    return [
        _encode(_MessageFrame("im.message", _message(entry, target, times), ackid)),
        _encode(_UpdateFrame("im.session.update", update)),
    ]


def _message(entry: Entry, target: int, times: LocalTimes) -> _Message:
    body = record(entry, Name(entry.sender_name, entry.sender_avatar), times)
    return _Message(target, entry.sender_id, int(entry.kind), entry.conversation_id, body)


def _recall_frame(entry: Entry, target: int, ackid: str) -> bytes:
    content = _decode(entry.content)
    payload = {
        "talk_mode": int(entry.kind),
        "to_from_id": target,
        "from_id": content.get("owner_id", 0),
        "msg_id": content.get("revoke_msg_id", ""),
        "remark": f"{content.get('owner_name', '')}{RECALL_REMARK}",
    }
    return _encode(_Frame("im.message.revoke", payload, ackid))


def _contact_apply(content: dict[str, Any], ackid: str) -> list[bytes]:
    keys = ("user_id", "remark", "nickname", "avatar", "apply_time")
    return [_encode(_Frame("im.contact.apply", _picked(content, keys), ackid))]


def _contact_accepted(content: dict[str, Any], ackid: str) -> list[bytes]:
    payload = {
        "acceptor_id": content.get("user_id"),
        "acceptor_name": content.get("nickname", ""),
        "acceptor_avatar": content.get("avatar", ""),
        "accept_time": content.get("accept_time"),
    }
    return [_encode(_Frame("im.contact.accept", payload, ackid)), _RELOAD]


def _group_created(content: dict[str, Any], ackid: str) -> list[bytes]:
    return [_encode(_Frame("im.group.create", _picked(content, ("group_id", "operator_id")), ackid))]


def _group_apply(content: dict[str, Any], ackid: str) -> list[bytes]:
    keys = ("group_id", "user_id", "remark", "nickname", "avatar", "apply_time")
    return [_encode(_Frame("im.group.apply", _picked(content, keys), ackid))]


def _cleared(content: dict[str, Any], ackid: str) -> list[bytes]:
    payload = {**_picked(content, ("talk_mode", "to_from_id", "updated_at")), "msg_text": None}
    return [_encode(_Frame("im.session.update", payload, ackid))]


def _reload(_content: dict[str, Any], ackid: str) -> list[bytes]:
    return [_encode(_Frame("im.session.reload", {}, ackid))]


def _picked(content: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: content[key] for key in keys if key in content}


_RELOAD = _encode(_Frame("im.session.reload", {}))
_NOTICES: dict[int, Callable[[dict[str, Any], str], list[bytes]]] = {
    # `im.session.update` could not say what an older preview is now: clients ask again
    EntryType.SELF_DELETED: _reload,
    EntryType.SELF_CLEARED: _cleared,
    EntryType.SELF_PINNED: _reload,
    EntryType.SELF_MUTED: _reload,
    EntryType.SELF_HIDDEN: _reload,
    EntryType.SELF_CONVERSATION: _reload,
    EntryType.SELF_RELOAD: _reload,
    EntryType.SELF_CONTACT_APPLY: _contact_apply,
    EntryType.SELF_CONTACT_ACCEPTED: _contact_accepted,
    EntryType.SELF_GROUP_APPLY: _group_apply,
    EntryType.SELF_GROUP_CREATED: _group_created,
}
