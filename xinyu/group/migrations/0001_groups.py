"""Groups, members, applications, effects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from xinyu.storage.schema import TABLE_OPTIONS, Ascii, BigId, HexId, LongText

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "group_info",
        sa.Column("group_id", BigId, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("avatar", sa.String(255), nullable=False),
        sa.Column("profile", sa.String(255), nullable=False),
        sa.Column("owner_id", sa.BigInteger, nullable=False),
        sa.Column("creator_id", sa.BigInteger, nullable=False),
        sa.Column("mute_all", sa.SmallInteger, nullable=False),
        sa.Column("is_public", sa.SmallInteger, nullable=False),
        sa.Column("max_members", sa.Integer, nullable=False),
        sa.Column("member_count", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("dismissed_ms", sa.BigInteger, nullable=False),
        sa.Column("last_effect", HexId, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "group_member",
        sa.Column("group_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("role", sa.SmallInteger, nullable=False),
        sa.Column("card", sa.String(64), nullable=False),
        sa.Column("muted_until_ms", sa.BigInteger, nullable=False),
        sa.Column("joined_ms", sa.BigInteger, nullable=False),
        sa.Column("left_ms", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_group_member_user", "group_member", ["user_id", "left_ms"])
    op.create_table(
        "group_apply",
        sa.Column("application_id", BigId, primary_key=True, autoincrement=True),
        sa.Column("group_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("remark", sa.String(128), nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("handler_id", sa.BigInteger, nullable=False),
        sa.Column("handler_remark", sa.String(128), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("handled_ms", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_group_apply_group", "group_apply", ["group_id", "status", "application_id"])
    op.create_index("ix_group_apply_user", "group_apply", ["user_id", "group_id", "application_id"])
    op.create_table(
        "group_effect",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("effect_id", HexId, nullable=False),
        sa.Column("conversation", Ascii, nullable=False),
        sa.Column("body", LongText, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("done_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("last_error", sa.String(500), nullable=False, server_default=""),
        sa.UniqueConstraint("effect_id", name="uq_group_effect_effect"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_group_effect_done", "group_effect", ["done_ms", "id"])
    op.create_index("ix_group_effect_conversation", "group_effect", ["conversation", "done_ms", "id"])
