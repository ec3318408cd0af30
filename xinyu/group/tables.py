"""The group domain's tables, as its migrations make them."""

from __future__ import annotations

import sqlalchemy as sa

from xinyu.storage.effects import effect_table
from xinyu.storage.schema import TABLE_OPTIONS, BigId, HexId

metadata = sa.MetaData()

group_info = sa.Table(
    "group_info",
    metadata,
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
"""`mute_all`, `is_public`: 0 or 1. `dismissed_ms`: 0 while the group lives."""

group_member = sa.Table(
    "group_member",
    metadata,
    sa.Column("group_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("role", sa.SmallInteger, nullable=False),
    sa.Column("card", sa.String(64), nullable=False),
    sa.Column("muted_until_ms", sa.BigInteger, nullable=False),
    sa.Column("joined_ms", sa.BigInteger, nullable=False),
    sa.Column("left_ms", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("ix_group_member_user", "user_id", "left_ms"),
    **TABLE_OPTIONS,
)
"""`left_ms`: 0 while the user is a member."""

group_apply = sa.Table(
    "group_apply",
    metadata,
    sa.Column("application_id", BigId, primary_key=True, autoincrement=True),
    sa.Column("group_id", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("remark", sa.String(128), nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("handler_id", sa.BigInteger, nullable=False),
    sa.Column("handler_remark", sa.String(128), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("handled_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_group_apply_group", "group_id", "status", "application_id"),
    sa.Index("ix_group_apply_user", "user_id", "group_id", "application_id"),
    **TABLE_OPTIONS,
)
"""`status`: types.ApplicationStatus. `handler_id`, `handled_ms`: 0 while it is pending."""

group_effect = effect_table(metadata, "group_effect")
