"""Members of conversations inside a transaction: who they are, when they joined, and each user's self conversation."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from xinyu.kernel.ids import ConversationId, MsgId, UserId
from xinyu.message.store import Appended, MemberRights, Membership
from xinyu.message.store_sql.rows import LogTransaction, ensure_conversation, find_conversation
from xinyu.message.store_sql.tables import INTERVAL, MEMBER
from xinyu.message.types import Kind, Role
from xinyu.storage.schema import insert_new, upsert
from xinyu.telemetry.trace import current_trace_id

_M = MEMBER.c
_SELECT_MEMBERS = sa.select(_M.user_id, _M.active, _M.role, _M.muted_until_ms, _M.accepts).where(
    _M.conversation_id == bindparam("id")
)


def read_membership(connection: Connection, conversation_id: ConversationId, version: int) -> Membership:
    """The member list as it is now, labelled with the version that was read under the same lock or snapshot."""
    members: dict[UserId, MemberRights] = {}
    recipients: list[UserId] = []
    for user_id, active, role, muted_until_ms, accepts in connection.execute(_SELECT_MEMBERS, {"id": conversation_id}):
        members[user_id] = MemberRights(bool(active), Role(role), muted_until_ms, bool(accepts))
        if active:
            recipients.append(user_id)
    return Membership(version, members, recipients)


def notify_self(transaction: LogTransaction, user_id: UserId, type_: int, content: str, msg_id: MsgId) -> Appended:
    """Append to a user's self conversation, which must exist and be locked."""
    conversation = transaction.get(
        ensure_conversation(transaction.connection, Kind.SELF, (user_id, 0), transaction.now_ms)
    )
    assert conversation is not None, "the self conversation is not locked"
    entry = transaction.append(conversation, msg_id=msg_id, type_=type_, sender_id=UserId(0), content=content)
    return Appended(entry, [user_id], trace_id=current_trace_id())


def ensure_self(connection: Connection, user_id: UserId, now_ms: int) -> ConversationId:
    """The user's self conversation with himself as its one member, made when there is none."""
    found = find_conversation(connection, Kind.SELF, (user_id, 0))
    if found is not None:
        return found
    id_ = ensure_conversation(connection, Kind.SELF, (user_id, 0), now_ms)
    insert_new(
        connection,
        MEMBER,
        {
            "conversation_id": id_, "user_id": user_id, "version": 1, "active": 1, "role": 1, "muted_until_ms": 0,
            "accepts": 1, "pinned": 0, "muted": 0, "hidden_seq": -1, "cleared_seq": 0, "read_seq": 0,
            "read_ordinal": 0, "read_ordinal_a": 0, "listed_at_ms": now_ms,
        },
    )  # fmt: skip
    start_interval(connection, id_, user_id, 0)
    return id_


def lock_self(connection: Connection, user_id: UserId, now_ms: int) -> LogTransaction:
    """Changes of one user's own view come one after the other. Conversations are locked before members' rows,
    everywhere, so that effects and these do not wait for one another in a circle."""
    transaction = LogTransaction(connection, now_ms)
    transaction.lock([ensure_self(connection, user_id, now_ms)])
    return transaction


def start_interval(connection: Connection, conversation_id: int, user_id: int, join_seq: int) -> None:
    """A membership begins after `join_seq`."""
    upsert(
        connection,
        INTERVAL,
        [{"conversation_id": conversation_id, "user_id": user_id, "join_seq": join_seq, "leave_seq": None}],
        update=("leave_seq",),
    )
