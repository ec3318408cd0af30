"""Links, applications, groups of contacts, effects."""

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
        "contact_link",
        sa.Column("owner_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("other_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("friend", sa.SmallInteger, nullable=False),
        sa.Column("blocked", sa.SmallInteger, nullable=False),
        sa.Column("remark", sa.String(64), nullable=False),
        sa.Column("group_id", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("effect_id", HexId, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_contact_link_friends", "contact_link", ["owner_id", "friend", "since_ms"])
    op.create_index("ix_contact_link_group", "contact_link", ["owner_id", "group_id"])
    op.create_table(
        "contact_application",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("applicant_id", sa.BigInteger, nullable=False),
        sa.Column("target_id", sa.BigInteger, nullable=False),
        sa.Column("remark", sa.String(128), nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("reply", sa.String(128), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("notified_ms", sa.BigInteger, nullable=False),
        sa.Column("handled_ms", sa.BigInteger, nullable=False),
        sa.Column("effect_id", HexId, nullable=False),
        sa.Column("pending_key", Ascii, nullable=True),
        sa.UniqueConstraint("pending_key", name="uq_contact_application_pending"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_contact_application_target", "contact_application", ["target_id", "state", "id"])
    op.create_index("ix_contact_application_applicant", "contact_application", ["applicant_id", "state"])
    op.create_table(
        "contact_group",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("owner_id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("sort", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
        **TABLE_OPTIONS,
    )
    op.create_index("ix_contact_group_owner", "contact_group", ["owner_id", "sort"])
    op.create_table(
        "contact_owner",
        sa.Column("owner_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("groups_version", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "contact_effect",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("effect_id", HexId, nullable=False),
        sa.Column("conversation", Ascii, nullable=False),
        sa.Column("body", LongText, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("done_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("last_error", sa.String(500), nullable=False, server_default=""),
        sa.UniqueConstraint("effect_id", name="uq_contact_effect_effect"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_contact_effect_done", "contact_effect", ["done_ms", "id"])
    op.create_index("ix_contact_effect_conversation", "contact_effect", ["conversation", "done_ms", "id"])
