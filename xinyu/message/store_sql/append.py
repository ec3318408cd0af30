"""The group commit's transaction: ids first, then rights, then rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from xinyu.kernel.ids import ConversationId, MsgId, UserId
from xinyu.message.errors import ConversationClosed, MsgIdConflict, NotAMember, SenderMuted
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
from xinyu.message.store_sql.members import read_membership
from xinyu.message.store_sql.rows import Conversation, LogTransaction, TakenKey, entry_of
from xinyu.message.store_sql.tables import CONVERSATION, ENTRY, FORWARD, KEY
from xinyu.message.types import Kind, Role
from xinyu.storage.packets import Packet
from xinyu.storage.schema import upsert

_E, _C, _F, _K = ENTRY.c, CONVERSATION.c, FORWARD.c, KEY.c
SELECT_ENTRY = sa.select(ENTRY).where(_E.conversation_id == bindparam("id"), _E.seq == bindparam("seq"))
SELECT_HEAD = sa.select(_C.kind, _C.party_a, _C.party_b, _C.last_seq).where(_C.id == bindparam("id"))
_CARRIED_BY = (
    sa.select(_K.msg_id.label("carrier"), _F.source_id)
    .select_from(KEY.join(FORWARD, sa.and_(_F.conversation_id == _K.conversation_id, _F.seq == _K.seq)))
    .where(_K.msg_id.in_(bindparam("ids", expanding=True)))
)
MAX_CARRIED = 2000
"""Messages that one forward message makes readable, those inside forwards inside it included."""


def append_batch(
    packet: Packet, items: Sequence[Append], known: Mapping[ConversationId, Membership], now_ms: int
) -> BatchResult:
    """The group commit, written together with what `packet` holds already. Conversations are locked before ids are
    looked up: after an ambiguous COMMIT the transaction in doubt holds its lock or is over. So an item is busy, and
    tried again, or the look-up knows."""
    batch = _Batch(packet, items, known, now_ms)
    outcomes = [batch.decide(item) for item in items]
    batch.flush()
    return BatchResult(outcomes, batch.memberships)


class _Batch:
    """One batch in one transaction."""

    def __init__(
        self,
        packet: Packet,
        items: Sequence[Append],
        known: Mapping[ConversationId, Membership],
        now_ms: int,
    ) -> None:
        self.memberships: dict[ConversationId, Membership] = {}
        """Member lists that `known` did not have, or not any more."""
        self._connection = packet.connection
        self._known = known
        self._now_ms = now_ms
        self._log = LogTransaction(packet.connection, now_ms, packet)
        self._taken = self._log.lock_free([item.conversation_id for item in items], [item.msg_id for item in items])
        self._fresh: dict[MsgId, tuple[Append, Appended]] = {}

    def decide(self, item: Append) -> Outcome:
        """What becomes of one item. Rows are written by `flush`."""
        conversation = self._log.get(item.conversation_id)
        if conversation is None:
            return Busy()
        if item.msg_id in self._taken:
            return _receipt(self._connection, item, self._taken[item.msg_id])
        if item.msg_id in self._fresh:  # twice in one batch
            first, stored = self._fresh[item.msg_id]
            same = first.digest == item.digest and first.sender_id == item.sender_id
            return Repeated(stored.entry) if same else Refused(MsgIdConflict())
        if item.refusal is not None:
            return Refused(item.refusal)
        membership = self._membership(conversation)
        return _check_rights(conversation, membership, item, self._now_ms) or self._append(
            conversation, item, membership.recipients
        )

    def flush(self) -> None:
        """Write what was decided."""
        self._log.flush()
        carriers = [stored for stored in self._fresh.values() if stored[0].sources]
        if carriers:
            upsert(self._connection, FORWARD, _forward_rows(self._connection, carriers))

    def _membership(self, conversation: Conversation) -> Membership:
        membership = self.memberships.get(conversation.id) or self._known.get(conversation.id)
        if membership is None or membership.version != conversation.members_version:
            membership = read_membership(self._connection, conversation.id, conversation.members_version)
            self.memberships[conversation.id] = membership
        return membership

    def _append(self, conversation: Conversation, item: Append, recipients: list[UserId]) -> Appended:
        entry = self._log.append(
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
        appended = Appended(entry, recipients, item.origin_session, item.trace_id)
        self._fresh[item.msg_id] = (item, appended)
        return appended


def _receipt(connection: Connection, item: Append, key: TakenKey) -> Outcome:
    if key.sender_id != item.sender_id or key.digest != item.digest:
        return Refused(MsgIdConflict())
    row = connection.execute(SELECT_ENTRY, {"id": key.conversation_id, "seq": key.seq}).one()
    head = connection.execute(SELECT_HEAD, {"id": key.conversation_id}).one()
    return Repeated(entry_of(row, Kind(head.kind), (head.party_a, head.party_b)))


def _forward_rows(connection: Connection, carriers: Sequence[tuple[Append, Appended]]) -> list[dict[str, Any]]:
    """What each forward message makes readable: its sources, and what a source that is a forward itself carries."""
    wanted = sorted({source for item, _ in carriers for source in item.sources})
    inside: dict[str, list[str]] = {}
    for row in connection.execute(_CARRIED_BY, {"ids": wanted}):
        inside.setdefault(row.carrier, []).append(row.source_id)
    rows: list[dict[str, Any]] = []
    for item, appended in carriers:
        carried = dict.fromkeys([*item.sources, *(deep for source in item.sources for deep in inside.get(source, ()))])
        place = {"conversation_id": appended.entry.conversation_id, "seq": appended.entry.seq}
        rows += [{"source_id": source, **place} for source in list(carried)[:MAX_CARRIED]]
    return rows


def _check_rights(
    conversation: Conversation, membership: Membership, item: Append, now_ms: int
) -> NotAccepted | Refused | None:
    """None when the sender may send now."""
    me = membership.members.get(item.sender_id)
    if conversation.kind is Kind.PRIVATE:
        peer = membership.members.get(
            UserId(conversation.party_b if conversation.party_a == item.sender_id else conversation.party_a)
        )
        if me is None or peer is None or not peer.active or not peer.accepts:
            return NotAccepted()
    if me is None:
        return Refused(NotAMember())
    if conversation.dismissed:
        return Refused(ConversationClosed())
    if not me.active:
        return Refused(NotAMember())
    if me.muted_until_ms > now_ms:
        return Refused(SenderMuted(until_ms=me.muted_until_ms))
    if conversation.mute_all and me.role is Role.MEMBER:
        return Refused(SenderMuted())
    return None
