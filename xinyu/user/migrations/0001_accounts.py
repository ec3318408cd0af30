"""Accounts, passwords, settings, log-ins, codes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from xinyu.storage.schema import TABLE_OPTIONS, Ascii, BigId, HexId

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FIRST_USER_ID = 10_000
"""So that small numbers stay free."""


def upgrade() -> None:
    """Make the tables; user ids count up from FIRST_USER_ID."""
    op.create_table(
        "user_account",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("mobile", Ascii, nullable=False),
        sa.Column("email", Ascii, nullable=True),
        sa.Column("nickname", sa.String(64), nullable=False),
        sa.Column("avatar", sa.String(255), nullable=False),
        sa.Column("motto", sa.String(255), nullable=False),
        sa.Column("gender", sa.SmallInteger, nullable=False),
        sa.Column("birthday", sa.String(10), nullable=False),
        sa.Column("is_robot", sa.SmallInteger, nullable=False),
        sa.Column("is_qiye", sa.SmallInteger, nullable=False),
        sa.Column("disabled", sa.SmallInteger, nullable=False),
        sa.Column("token_version", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("mobile", name="uq_user_account_mobile"),
        sa.UniqueConstraint("email", name="uq_user_account_email"),
        sqlite_autoincrement=True,
        **TABLE_OPTIONS,
    )
    op.create_table(
        "user_password",
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.String(255), nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "user_preference",
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("theme_mode", sa.String(16), nullable=False),
        sa.Column("theme_bag_img", sa.String(255), nullable=False),
        sa.Column("theme_color", sa.String(32), nullable=False),
        sa.Column("notify_cue_tone", sa.SmallInteger, nullable=False),
        sa.Column("keyboard_event_notify", sa.SmallInteger, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "user_login",
        sa.Column("login_id", HexId, primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("platform", sa.String(32), nullable=False),
        sa.Column("ip", sa.String(64), nullable=False),
        sa.Column("user_agent", sa.String(200), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_user_login_user", "user_login", ["user_id", "ended_ms"])
    op.create_index("ix_user_login_ended", "user_login", ["ended_ms"])
    op.create_index("ix_user_login_expires", "user_login", ["expires_ms"])
    op.create_table(
        "user_code",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("target", Ascii, nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("ip", sa.String(64), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("used_ms", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_user_code_target", "user_code", ["target", "channel", "id"])
    op.create_index("ix_user_code_expires", "user_code", ["expires_ms"])
    _start_ids()


def _start_ids() -> None:
    """SQLite's AUTOINCREMENT keeps the count in sqlite_sequence; on MySQL it is an option of the table."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"INSERT INTO sqlite_sequence (name, seq) VALUES ('user_account', {FIRST_USER_ID - 1})")
    else:
        op.execute(f"ALTER TABLE user_account AUTO_INCREMENT = {FIRST_USER_ID}")
