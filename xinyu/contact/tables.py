"""The contact domain's tables. `migrations/` makes them; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa

from xinyu.contact.types import APPLICATION_REMARK_LENGTH, GROUP_NAME_LENGTH, REMARK_LENGTH
from xinyu.storage.effects import effect_table
from xinyu.storage.schema import TABLE_OPTIONS, Ascii, BigId, HexId

METADATA = sa.MetaData()

links = sa.Table(
    "contact_link",
    METADATA,
    sa.Column("owner_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("other_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("friend", sa.SmallInteger, nullable=False),
    sa.Column("blocked", sa.SmallInteger, nullable=False),
    sa.Column("remark", sa.String(REMARK_LENGTH), nullable=False),
    sa.Column("group_id", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
    sa.Column("effect_id", HexId, nullable=False),
    sa.Index("ix_contact_link_friends", "owner_id", "friend", "since_ms"),
    sa.Index("ix_contact_link_group", "owner_id", "group_id"),
    **TABLE_OPTIONS,
)
"""`friend`, `blocked`: 0 or 1. `group_id` 0: in no group. `effect_id` "": never had an effect."""

applications = sa.Table(
    "contact_application",
    METADATA,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("applicant_id", sa.BigInteger, nullable=False),
    sa.Column("target_id", sa.BigInteger, nullable=False),
    sa.Column("remark", sa.String(APPLICATION_REMARK_LENGTH), nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("reply", sa.String(APPLICATION_REMARK_LENGTH), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("notified_ms", sa.BigInteger, nullable=False),
    sa.Column("handled_ms", sa.BigInteger, nullable=False),
    sa.Column("effect_id", HexId, nullable=False),
    sa.Column("pending_key", Ascii, nullable=True),
    sa.UniqueConstraint("pending_key", name="uq_contact_application_pending"),
    sa.Index("ix_contact_application_target", "target_id", "state", "id"),
    sa.Index("ix_contact_application_applicant", "applicant_id", "state"),
    **TABLE_OPTIONS,
)
"""`pending_key` is "<applicant>:<target>" while pending, then NULL: one pending application per direction."""

groups = sa.Table(
    "contact_group",
    METADATA,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("owner_id", sa.BigInteger, nullable=False),
    sa.Column("name", sa.String(GROUP_NAME_LENGTH), nullable=False),
    sa.Column("sort", sa.BigInteger, nullable=False),
    sa.Index("ix_contact_group_owner", "owner_id", "sort"),
    sqlite_autoincrement=True,
    **TABLE_OPTIONS,
)
"""An id is never given twice, so that a client's old list cannot name another group."""

owners = sa.Table(
    "contact_owner",
    METADATA,
    sa.Column("owner_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("groups_version", sa.BigInteger, nullable=False),
    **TABLE_OPTIONS,
)
"""The lock under which an owner's list of groups changes."""

effects = effect_table(METADATA, "contact_effect")
