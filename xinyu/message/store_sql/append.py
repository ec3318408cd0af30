"""The group commit's transaction: ids first, then rights, then rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from xinyu.kernel.ids import ConversationId, MsgId, UserId
from xinyu.message.errors import BadQuote, ConversationClosed, MsgIdConflict, NotAMember, SenderMuted
from xinyu.message.store import (
    Append,
    Appended,
    BatchResult,
    Busy,
    Membership,
    NotAccepted,
    Outcome,
    Refused,
    Repeated,
)
from xinyu.message.store_sql.rows import Conversation, LogTransaction, entry_of, read_membership
from xinyu.message.store_sql.tables import CONVERSATION, ENTRY, FORWARD
from xinyu.message.types import Kind, Role
from xinyu.storage.schema import AnyRow, upsert

_E, _C = ENTRY.c, CONVERSATION.c
SELECT_ENTRY = sa.select(ENTRY).where(_E.conversation_id == bindparam("id"), _E.seq == bindparam("seq"))
SELECT_HEAD = sa.select(_C.kind, _C.party_a, _C.party_b, _C.last_seq).where(_C.id == bindparam("id"))


def append_batch(
    connection: Connection, items: Sequence[Append], known: Mapping[ConversationId, Membership], now_ms: int
) -> BatchResult:
    """The group commit. Conversations are locked before ids are looked up: after an ambiguous COMMIT the lock waits
    for the transaction in doubt, so the look-up knows."""
    transaction = LogTransaction(connection, now_ms)
    transaction.lock([item.conversation_id for item in items], skip_locked=True)
    taken = transaction.find_keys([item.msg_id for item in items])
    memberships: dict[ConversationId, Membership] = {}
    outcomes: list[Outcome] = []
    fresh: dict[MsgId, tuple[Append, Appended]] = {}
    forwards: list[dict[str, Any]] = []
    for item in items:
        conversation = transaction.get(item.conversation_id)
        if conversation is None:
            outcomes.append(Busy())
            continue
        if item.msg_id in taken:
            outcomes.append(_receipt(connection, item, taken[item.msg_id]))
            continue
        if item.msg_id in fresh:  # twice in one batch
            first, stored = fresh[item.msg_id]
            same = first.digest == item.digest and first.sender_id == item.sender_id
            outcomes.append(Repeated(stored.entry) if same else Refused(MsgIdConflict()))
            continue
        if item.quote is None:
            outcomes.append(Refused(BadQuote()))
            continue
        membership = memberships.get(conversation.id) or known.get(conversation.id)
        if membership is None or membership.version != conversation.members_version:
            membership = read_membership(connection, conversation.id, conversation.members_version)
            memberships[conversation.id] = membership
        refusal = _check_rights(conversation, membership, item, now_ms)
        if refusal is not None:
            outcomes.append(refusal)
        else:
            entry = transaction.append(
                conversation,
                msg_id=item.msg_id,
                type_=item.type,
                sender_id=item.sender_id,
                content=item.content,
                quote=item.quote,
                digest=item.digest,
                origin_session=item.origin_session,
                trace_id=item.trace_id,
            )
            entry = msgspec.structs.replace(entry, sender_name=item.sender_name, sender_avatar=item.sender_avatar)
            appended = Appended(entry, membership.recipients, item.origin_session, item.trace_id)
            fresh[item.msg_id] = (item, appended)
            forwards += [
                {"source_id": source, "conversation_id": conversation.id, "seq": entry.seq} for source in item.sources
            ]
            outcomes.append(appended)
    transaction.flush()
    upsert(connection, FORWARD, forwards)
    return BatchResult(outcomes, memberships)


def _receipt(connection: Connection, item: Append, key: AnyRow) -> Outcome:
    if key.sender_id != item.sender_id or key.digest != item.digest:
        return Refused(MsgIdConflict())
    row = connection.execute(SELECT_ENTRY, {"id": key.conversation_id, "seq": key.seq}).one()
    head = connection.execute(SELECT_HEAD, {"id": key.conversation_id}).one()
    return Repeated(entry_of(row, Kind(head.kind), (head.party_a, head.party_b)))


def _check_rights(
    conversation: Conversation, membership: Membership, item: Append, now_ms: int
) -> NotAccepted | Refused | None:
    """None when the sender may send now."""
    me = membership.members.get(item.sender_id)
    if conversation.dismissed:
        return Refused(ConversationClosed())
    if me is None or not me.active:
        return Refused(NotAMember())
    if me.muted_until_ms > now_ms:
        return Refused(SenderMuted(until_ms=me.muted_until_ms))
    if conversation.mute_all and me.role is Role.MEMBER:
        return Refused(SenderMuted())
    if conversation.kind is Kind.PRIVATE:
        peer = membership.members.get(
            UserId(conversation.party_b if conversation.party_a == item.sender_id else conversation.party_a)
        )
        if peer is None or not peer.active or not peer.accepts:
            return NotAccepted()
    return None
