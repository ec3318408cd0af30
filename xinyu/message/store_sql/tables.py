"""The tables of the message domain."""

from __future__ import annotations

import sqlalchemy as sa

from xinyu.storage.schema import TABLE_OPTIONS, Ascii, BigId, HexId, LongText

METADATA = sa.MetaData()
Int64 = sa.BigInteger

CONVERSATION = sa.Table(
    "message_conversation",
    METADATA,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("party_a", Int64, nullable=False),
    sa.Column("party_b", Int64, nullable=False),
    sa.Column("last_seq", Int64, nullable=False, default=0),
    sa.Column("last_ordinal", Int64, nullable=False, default=0),
    sa.Column("last_ordinal_a", Int64, nullable=False, default=0),
    sa.Column("preview_seq", Int64, nullable=False, default=0),
    sa.Column("last_at_ms", Int64, nullable=False),
    sa.Column("members_version", Int64, nullable=False, default=1),
    sa.Column("state_version", Int64, nullable=False, default=0),
    sa.Column("mute_all", sa.SmallInteger, nullable=False, default=0),
    sa.Column("dismissed", sa.SmallInteger, nullable=False, default=0),
    sa.UniqueConstraint("kind", "party_a", "party_b", name="uq_message_conversation"),
    **TABLE_OPTIONS,
)
"""`last_ordinal` counts badge-worthy entries, `last_ordinal_a` those of party_a in a private conversation;
`preview_seq` is the newest entry with a preview; `members_version` changes with anything that decides who may send or
receive."""

MEMBER = sa.Table(
    "message_member",
    METADATA,
    sa.Column("conversation_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("user_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("version", Int64, nullable=False),
    sa.Column("active", sa.SmallInteger, nullable=False),
    sa.Column("role", sa.SmallInteger, nullable=False, default=1),
    sa.Column("muted_until_ms", Int64, nullable=False, default=0),
    sa.Column("accepts", sa.SmallInteger, nullable=False, default=1),
    sa.Column("pinned", sa.SmallInteger, nullable=False, default=0),
    sa.Column("muted", sa.SmallInteger, nullable=False, default=0),
    sa.Column("hidden_seq", Int64, nullable=False, default=-1),
    sa.Column("cleared_seq", Int64, nullable=False, default=0),
    sa.Column("read_seq", Int64, nullable=False, default=0),
    sa.Column("read_ordinal", Int64, nullable=False, default=0),
    sa.Column("read_ordinal_a", Int64, nullable=False, default=0),
    sa.Column("listed_at_ms", Int64, nullable=False, default=0),
    sa.Index("ix_message_member_user", "user_id", "conversation_id"),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)
"""What one user may do in a conversation (first half) and how he sees it (second half). Off the list while
`hidden_seq` >= the conversation's last_seq."""

INTERVAL = sa.Table(
    "message_interval",
    METADATA,
    sa.Column("conversation_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("user_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("join_seq", Int64, primary_key=True, autoincrement=False),
    sa.Column("leave_seq", Int64, nullable=True),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)
"""Membership (join_seq, leave_seq]; a null leave_seq is a present member."""

ENTRY = sa.Table(
    "message_entry",
    METADATA,
    sa.Column("conversation_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("seq", Int64, primary_key=True, autoincrement=False),
    sa.Column("msg_id", HexId, nullable=False),
    sa.Column("type", sa.SmallInteger, nullable=False),
    sa.Column("sender_id", Int64, nullable=False),
    sa.Column("ordinal", Int64, nullable=False),
    sa.Column("ordinal_a", Int64, nullable=False),
    sa.Column("sent_at_ms", Int64, nullable=False),
    sa.Column("recalled", sa.SmallInteger, nullable=False, default=0),
    sa.Column("content", LongText, nullable=False),
    sa.Column("quote", LongText, nullable=False),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)
"""The log. `ordinal` and `ordinal_a` are the conversation's counts up to here. Events have sender_id 0."""

OWN = sa.Table(
    "message_own",
    METADATA,
    sa.Column("conversation_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("user_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("seq", Int64, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)
"""Who sent what in groups, to leave own messages out of unread counts. Private conversations know it by their two
ordinals: an index over the whole log would cost every message a page of its own."""

KEY = sa.Table(
    "message_key",
    METADATA,
    sa.Column("msg_id", HexId, primary_key=True),
    sa.Column("conversation_id", Int64, nullable=False),
    sa.Column("seq", Int64, nullable=False),
    sa.Column("sender_id", Int64, nullable=False),
    sa.Column("digest", HexId, nullable=False),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)
"""msg_id → where it is, and a hash of the request that made it. Apart from the log, which may be partitioned later."""

FORWARD = sa.Table(
    "message_forward",
    METADATA,
    sa.Column("source_id", HexId, primary_key=True),
    sa.Column("conversation_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("seq", Int64, primary_key=True, autoincrement=False),
    sa.Index("ix_message_forward_carrier", "conversation_id", "seq"),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)
"""Which merged forwards carry a message: who can read one of them can read the message."""

HIDDEN = sa.Table(
    "message_hidden",
    METADATA,
    sa.Column("user_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("conversation_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("seq", Int64, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)
"""Deleted for one user."""

OUTBOX = sa.Table(
    "message_outbox",
    METADATA,
    sa.Column("conversation_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("seq", Int64, primary_key=True, autoincrement=False),
    sa.Column("created_ms", Int64, nullable=False),
    sa.Column("origin_session", Ascii, nullable=True),
    sa.Column("trace_id", Ascii, nullable=False),
    sa.Column("done_ms", Int64, nullable=True),
    sa.Column("owner", Ascii, nullable=True),
    sa.Column("lease_until_ms", Int64, nullable=False, default=0),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("quarantined", sa.SmallInteger, nullable=False, default=0),
    sa.Index("ix_message_outbox_pending", "done_ms", "created_ms"),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)
"""Entries whose push is not known to have arrived; removed some time after `done_ms`."""

DEVICE = sa.Table(
    "message_device",
    METADATA,
    sa.Column("user_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("device_id", Ascii, primary_key=True),
    sa.Column("opened_ms", Int64, nullable=False),
    sa.Column("catching_up", sa.SmallInteger, nullable=False, default=0),
    **TABLE_OPTIONS,
)
"""The devices that have cursors. `catching_up`: 1 while a reconnect is owed pushes, 2 of a device that pulls."""

CURSOR = sa.Table(
    "message_cursor",
    METADATA,
    sa.Column("user_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("device_id", Ascii, primary_key=True),
    sa.Column("conversation_id", Int64, primary_key=True, autoincrement=False),
    sa.Column("seq", Int64, nullable=False),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)
"""A device has everything of a conversation up to `seq`; without a row it counts from the join."""
