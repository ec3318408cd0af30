"""Effects of contact and group over SQL: members come and go, rights change, events are logged."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.kernel.ids import ConversationId, UserId, derived_msg_id
from xinyu.message.store import Appended, EffectStore
from xinyu.message.store_sql.members import ensure_self, notify_self, read_membership, start_interval
from xinyu.message.store_sql.rows import Conversation, LogTransaction, ensure_conversation
from xinyu.message.store_sql.tables import INTERVAL, MEMBER
from xinyu.message.types import Effect, EntryType, MemberChange
from xinyu.storage.schema import AnyRow, insert_new
from xinyu.storage.sql import Database
from xinyu.telemetry.trace import current_trace_id

_M, _I = MEMBER.c, INTERVAL.c


def insert_member(
    connection: Connection,
    conversation_id: ConversationId,
    user_id: UserId,
    *,
    accepts: bool,
    hidden: bool,
    now_ms: int,
) -> bool:
    """Make a member of a private conversation that no effect has spoken of yet; whether he was none before."""
    row = _member_row(conversation_id, user_id, now_ms) | {"accepts": int(accepts), "hidden_seq": 0 if hidden else -1}
    if not insert_new(connection, MEMBER, row):
        return False
    start_interval(connection, conversation_id, user_id, 0)
    return True


def _member_row(conversation_id: int, user_id: int, now_ms: int) -> dict[str, Any]:
    return {
        "conversation_id": conversation_id, "user_id": user_id, "version": 0, "active": 1, "role": 1,
        "muted_until_ms": 0, "accepts": 1, "pinned": 0, "muted": 0, "hidden_seq": -1, "cleared_seq": 0, "read_seq": 0,
        "read_ordinal": 0, "read_ordinal_a": 0, "listed_at_ms": now_ms,
    }  # fmt: skip


class EffectStoreSql(EffectStore):
    """One schema on SQLite or MySQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def apply(self, effect: Effect, now_ms: int) -> tuple[ConversationId, list[Appended]]:
        return await self._db.write(lambda connection: _Application(connection, effect, now_ms).run())


class _Application:
    """One effect in one transaction."""

    def __init__(self, connection: Connection, effect: Effect, now_ms: int) -> None:
        self.connection = connection
        self.effect = effect
        self.now_ms = now_ms
        self.log = LogTransaction(connection, now_ms)
        self.about_conversation = effect.parties != (0, 0)
        self.late: set[UserId] = set()
        """Members for whom a newer change is known."""

    def run(self) -> tuple[ConversationId, list[Appended]]:
        effect, now_ms = self.effect, self.now_ms
        id_ = ConversationId(0)
        if self.about_conversation:
            id_ = ensure_conversation(self.connection, effect.kind, effect.parties, now_ms)
        told = sorted({notice.user_id for notice in effect.notices})
        selves = [ensure_self(self.connection, user_id, now_ms) for user_id in told]
        self.log.lock([*([id_] if id_ else []), *selves])
        appended: list[Appended] = []
        fresh = True
        if id_:
            conversation = self.log.get(id_)
            assert conversation is not None
            found = self._change(conversation)
            fresh = found is not None
            appended += found or []
        if fresh:
            appended += self._notify()
        self.log.flush()
        return id_, appended

    def _change(self, conversation: Conversation) -> list[Appended] | None:
        """What the effect does to its conversation; None when all of it is older than what is known."""
        event_id = derived_msg_id("effect", self.effect.effect_id)
        if self.log.find_keys([event_id]):
            return None
        rows = self._member_rows(conversation.id)
        wanted = sorted(self.effect.members, key=lambda c: c.user_id)  # rows are locked in this order everywhere
        changes = [c for c in wanted if c.version > (rows[c.user_id].version if c.user_id in rows else 0)]
        self.late = {c.user_id for c in wanted} - {c.user_id for c in changes}
        state = self.effect.state
        newer_state = state is not None and state.version > conversation.state_version
        if (self.effect.members or state is not None) and not changes and not newer_state:
            return None
        if state is not None and newer_state:
            conversation.state_version = state.version
            conversation.mute_all = int(state.mute_all)
            conversation.dismissed = int(state.dismissed)
        start = {
            "read_seq": conversation.last_seq,
            "read_ordinal": conversation.last_ordinal,
            "read_ordinal_a": conversation.last_ordinal_a,
        }
        event = self.effect.event
        entry = None
        if event is not None:
            entry = self.log.append(
                conversation,
                msg_id=event_id,
                type_=event.type,
                sender_id=event.sender_id if event.type < EntryType.SYSTEM_TEXT else UserId(0),
                content=msgspec.json.encode(_reduced(event.content, self.late)).decode(),
            )
        leavers = []
        for change in changes:
            row = rows.get(change.user_id)
            if row is not None and row.active and not change.active:
                leavers.append(change.user_id)
            self._write_member(conversation, change, row, start)
        conversation.members_version += 1
        self.log.touch(conversation)
        if entry is None:
            return []
        membership = read_membership(self.connection, conversation.id, conversation.members_version)
        return [Appended(entry, [*membership.recipients, *leavers], trace_id=current_trace_id())]

    def _member_rows(self, conversation_id: int) -> dict[UserId, AnyRow]:
        ids = [change.user_id for change in self.effect.members]
        found = self.connection.execute(
            sa.select(MEMBER).where(_M.conversation_id == conversation_id, _M.user_id.in_(ids))
        )
        return {row.user_id: row for row in found}

    def _write_member(
        self,
        conversation: Conversation,
        change: MemberChange,
        row: AnyRow | None,
        start: dict[str, int],
    ) -> None:
        """`start` is where a new membership begins, with nothing unread."""
        rights = {
            "version": change.version, "active": int(change.active), "role": int(change.role),
            "muted_until_ms": change.muted_until_ms, "accepts": int(change.accepts),
        }  # fmt: skip
        joins = change.active and (row is None or not row.active)
        shown = {}
        if joins or (row is not None and change.accepts and not row.accepts):
            shown = {"hidden_seq": -1, "listed_at_ms": self.now_ms}
        begun = start if joins else {}
        if row is None:
            new = _member_row(conversation.id, change.user_id, self.now_ms)
            self.connection.execute(sa.insert(MEMBER), new | rights | shown | begun)
        else:
            self.connection.execute(
                sa.update(MEMBER)
                .where(_M.conversation_id == conversation.id, _M.user_id == change.user_id)
                .values(**rights, **shown, **begun)
            )
        if joins:
            start_interval(self.connection, conversation.id, change.user_id, start["read_seq"])
        elif row is not None and row.active and not change.active:
            self.connection.execute(
                sa.update(INTERVAL)
                .where(_I.conversation_id == conversation.id, _I.user_id == change.user_id, _I.leave_seq.is_(None))
                .values(leave_seq=conversation.last_seq)
            )

    def _notify(self) -> list[Appended]:
        appended = []
        for index, notice in enumerate(self.effect.notices):
            msg_id = derived_msg_id("notice", self.effect.effect_id, index)
            if notice.user_id in self.late or self.log.find_keys([msg_id]):
                continue
            content = msgspec.json.encode(notice.content).decode()
            appended.append(notify_self(self.log, notice.user_id, notice.type, content, msg_id))
        return appended


def _reduced(content: dict[str, Any], late: set[UserId]) -> dict[str, Any]:
    """An event's content without the members for whom its change came too late."""
    members = content.get("members")
    if not late or not isinstance(members, list):
        return content
    return {**content, "members": [member for member in members if member.get("user_id") not in late]}
