"""What one member may see of a conversation: intervals, what he cleared, what he deleted for himself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, bindparam

from xinyu.kernel.ids import ConversationId, UserId
from xinyu.message.store_sql.rows import entry_of
from xinyu.message.store_sql.tables import CONVERSATION, HIDDEN, INTERVAL, MEMBER
from xinyu.message.types import Entry, Kind
from xinyu.storage.schema import AnyRow

_C, _M, _I, _H = CONVERSATION.c, MEMBER.c, INTERVAL.c, HIDDEN.c
_SELECT = (
    sa.select(
        _C.kind, _C.party_a, _C.party_b, _C.last_seq, _M.active, _M.cleared_seq, _M.read_seq, _I.join_seq, _I.leave_seq
    )
    .select_from(
        MEMBER.join(CONVERSATION, _C.id == _M.conversation_id).join(
            INTERVAL, sa.and_(_I.conversation_id == _M.conversation_id, _I.user_id == _M.user_id)
        )
    )
    .where(_M.conversation_id == bindparam("id"), _M.user_id == bindparam("user"))
    .order_by(_I.join_seq)
)
_DELETED = sa.select(_H.seq).where(
    _H.user_id == bindparam("user"),
    _H.conversation_id == bindparam("id"),
    _H.seq.between(bindparam("first"), bindparam("last")),
)


@dataclass(frozen=True, slots=True)
class MemberSight:
    """A member's view of one log."""

    conversation_id: ConversationId
    user_id: UserId
    kind: Kind
    parties: tuple[int, int]
    last_seq: int
    active: bool
    cleared_seq: int
    intervals: tuple[tuple[int, int | None], ...]

    def can_read(self, seq: int) -> bool:
        """Whether an entry lies inside a membership."""
        return any(join < seq and (leave is None or seq <= leave) for join, leave in self.intervals)

    @property
    def head(self) -> int:
        """The newest seq inside a membership."""
        leave = self.intervals[-1][1]
        return self.last_seq if leave is None else leave

    def readable(self, seq: sa.ColumnElement[int]) -> ColumnElement[bool]:
        """`can_read` as SQL."""
        return sa.or_(
            *(sa.and_(seq > join, sa.true() if leave is None else seq <= leave) for join, leave in self.intervals)
        )

    def not_deleted(self, seq: sa.ColumnElement[int]) -> ColumnElement[bool]:
        """That the member has not deleted it for himself, as SQL."""
        deleted = sa.select(_H.seq).where(_H.user_id == self.user_id, _H.conversation_id == self.conversation_id)
        return seq.not_in(deleted)

    def deleted(self, connection: Connection, seqs: Sequence[int]) -> set[int]:
        """Which of these the member deleted for himself."""
        if not seqs:
            return set()
        between = {"user": self.user_id, "id": self.conversation_id, "first": min(seqs), "last": max(seqs)}
        return set(connection.execute(_DELETED, between).scalars())

    def entries(self, connection: Connection, rows: Sequence[AnyRow]) -> list[Entry]:
        """Log rows as this member sees them: cleared and deleted ones as tombstones."""
        deleted = self.deleted(connection, [row.seq for row in rows])
        return [
            entry_of(row, self.kind, self.parties, row.seq <= self.cleared_seq or row.seq in deleted) for row in rows
        ]

    def named(self, reader: UserId) -> dict[str, int]:
        """The conversation as its member's clients name it, for entries of his self conversation."""
        target = self.parties[0]
        if self.kind is Kind.PRIVATE and target == reader:
            target = self.parties[1]
        return {"talk_mode": int(self.kind), "to_from_id": target, "talk_id": self.conversation_id}


def read_sight(connection: Connection, user_id: UserId, conversation_id: ConversationId) -> MemberSight | None:
    """What the user sees of a conversation; None when he never was in it."""
    rows = connection.execute(_SELECT, {"id": conversation_id, "user": user_id}).all()
    if not rows:
        return None
    first = rows[0]
    return MemberSight(
        conversation_id,
        user_id,
        Kind(first.kind),
        (first.party_a, first.party_b),
        first.last_seq,
        bool(first.active),
        first.cleared_seq,
        tuple((row.join_seq, row.leave_seq) for row in rows),
    )
