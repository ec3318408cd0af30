"""The log, its members, the outbox, devices."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "message_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "message_conversation",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("party_a", sa.BigInteger(), nullable=False),
        sa.Column("party_b", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_ordinal", sa.BigInteger(), nullable=False),
        sa.Column("last_ordinal_a", sa.BigInteger(), nullable=False),
        sa.Column("preview_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("members_version", sa.BigInteger(), nullable=False),
        sa.Column("state_version", sa.BigInteger(), nullable=False),
        sa.Column("mute_all", sa.SmallInteger(), nullable=False),
        sa.Column("dismissed", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "party_a", "party_b", name="uq_message_conversation"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "message_cursor",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "device_id",
            sa.String(length=190).with_variant(
                mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=190), "mysql"
            ),
            nullable=False,
        ),
        sa.Column("conversation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "device_id", "conversation_id"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "message_device",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "device_id",
            sa.String(length=190).with_variant(
                mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=190), "mysql"
            ),
            nullable=False,
        ),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("catching_up", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "device_id"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "message_entry",
        sa.Column("conversation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "msg_id",
            sa.String(length=32).with_variant(mysql.CHAR(charset="ascii", collation="ascii_bin", length=32), "mysql"),
            nullable=False,
        ),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("sender_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("ordinal_a", sa.BigInteger(), nullable=False),
        sa.Column("sent_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("recalled", sa.SmallInteger(), nullable=False),
        sa.Column("content", sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql"), nullable=False),
        sa.Column("quote", sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql"), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "seq"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "message_forward",
        sa.Column(
            "source_id",
            sa.String(length=32).with_variant(mysql.CHAR(charset="ascii", collation="ascii_bin", length=32), "mysql"),
            nullable=False,
        ),
        sa.Column("conversation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("source_id", "conversation_id", "seq"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_message_forward_carrier", "message_forward", ["conversation_id", "seq"], unique=False)
    op.create_table(
        "message_hidden",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("conversation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "conversation_id", "seq"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "message_interval",
        sa.Column("conversation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("join_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("leave_seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("conversation_id", "user_id", "join_seq"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "message_key",
        sa.Column(
            "msg_id",
            sa.String(length=32).with_variant(mysql.CHAR(charset="ascii", collation="ascii_bin", length=32), "mysql"),
            nullable=False,
        ),
        sa.Column("conversation_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("sender_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "digest",
            sa.String(length=32).with_variant(mysql.CHAR(charset="ascii", collation="ascii_bin", length=32), "mysql"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("msg_id"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "message_member",
        sa.Column("conversation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("active", sa.SmallInteger(), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("muted_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("accepts", sa.SmallInteger(), nullable=False),
        sa.Column("pinned", sa.SmallInteger(), nullable=False),
        sa.Column("muted", sa.SmallInteger(), nullable=False),
        sa.Column("hidden_seq", sa.BigInteger(), nullable=False),
        sa.Column("cleared_seq", sa.BigInteger(), nullable=False),
        sa.Column("read_seq", sa.BigInteger(), nullable=False),
        sa.Column("read_ordinal", sa.BigInteger(), nullable=False),
        sa.Column("read_ordinal_a", sa.BigInteger(), nullable=False),
        sa.Column("listed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "user_id"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_message_member_user", "message_member", ["user_id", "conversation_id"], unique=False)
    op.create_table(
        "message_outbox",
        sa.Column("conversation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "origin_session",
            sa.String(length=190).with_variant(
                mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=190), "mysql"
            ),
            nullable=True,
        ),
        sa.Column(
            "trace_id",
            sa.String(length=190).with_variant(
                mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=190), "mysql"
            ),
            nullable=False,
        ),
        sa.Column("done_ms", sa.BigInteger(), nullable=True),
        sa.Column(
            "owner",
            sa.String(length=190).with_variant(
                mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=190), "mysql"
            ),
            nullable=True,
        ),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "seq"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_message_outbox_pending", "message_outbox", ["done_ms", "created_ms"], unique=False)
    op.create_table(
        "message_own",
        sa.Column("conversation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "user_id", "seq"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
