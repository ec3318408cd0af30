"""The user domain's tables. `migrations/` makes them; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa

from xinyu.storage.schema import TABLE_OPTIONS, Ascii, BigId, HexId

METADATA = sa.MetaData()

accounts = sa.Table(
    "user_account",
    METADATA,
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

passwords = sa.Table(
    "user_password",
    METADATA,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(255), nullable=False),
    sa.Column("changed_ms", sa.BigInteger, nullable=False),
    **TABLE_OPTIONS,
)

preferences = sa.Table(
    "user_preference",
    METADATA,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("theme_mode", sa.String(16), nullable=False),
    sa.Column("theme_bag_img", sa.String(255), nullable=False),
    sa.Column("theme_color", sa.String(32), nullable=False),
    sa.Column("notify_cue_tone", sa.SmallInteger, nullable=False),
    sa.Column("keyboard_event_notify", sa.SmallInteger, nullable=False),
    **TABLE_OPTIONS,
)

logins = sa.Table(
    "user_login",
    METADATA,
    sa.Column("login_id", HexId, primary_key=True),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("platform", sa.String(32), nullable=False),
    sa.Column("ip", sa.String(64), nullable=False),
    sa.Column("user_agent", sa.String(200), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_ms", sa.BigInteger, nullable=False),
    sa.Column("ended_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_user_login_user", "user_id", "ended_ms"),
    sa.Index("ix_user_login_ended", "ended_ms"),
    sa.Index("ix_user_login_expires", "expires_ms"),
    **TABLE_OPTIONS,
)
"""`ended_ms` 0: not ended."""

codes = sa.Table(
    "user_code",
    METADATA,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("target", Ascii, nullable=False),
    sa.Column("channel", sa.String(20), nullable=False),
    sa.Column("code_hash", sa.String(64), nullable=False),
    sa.Column("ip", sa.String(64), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_ms", sa.BigInteger, nullable=False),
    sa.Column("used_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_user_code_target", "target", "channel", "id"),
    sa.Index("ix_user_code_expires", "expires_ms"),
    **TABLE_OPTIONS,
)
"""`used_ms` 0: not used. `target` is a mobile number or an e-mail address, normalised."""
