"""Objects, uploads in parts, emoticons."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from xinyu.storage.schema import TABLE_OPTIONS, Ascii, BigId, HexId

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "media_object",
        sa.Column("media_id", HexId, primary_key=True),
        sa.Column("origin", Ascii, nullable=False),
        sa.Column("owner_id", sa.BigInteger, nullable=False),
        sa.Column("upload_id", Ascii, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mime", Ascii, nullable=False),
        sa.Column("sha256", Ascii, nullable=False),
        sa.Column("url", Ascii, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("thumb_sha256", Ascii, nullable=False),
        sa.Column("thumb_url", Ascii, nullable=False),
        sa.Column("thumb_mime", Ascii, nullable=False),
        sa.Column("thumb_size", sa.BigInteger, nullable=False),
        sa.Column("thumb_width", sa.Integer, nullable=False),
        sa.Column("thumb_height", sa.Integer, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("origin", name="uq_media_object_origin"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_media_object_sha256", "media_object", ["sha256"])
    op.create_table(
        "media_upload",
        sa.Column("upload_id", HexId, primary_key=True),
        sa.Column("owner_id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("shard_size", sa.BigInteger, nullable=False),
        sa.Column("shard_num", sa.Integer, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("claim", Ascii, nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger, nullable=False),
        sa.Column("media_id", Ascii, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_media_upload_owner", "media_upload", ["owner_id", "state"])
    op.create_index("ix_media_upload_expiry", "media_upload", ["expires_at_ms"])
    op.create_table(
        "media_part",
        sa.Column("upload_id", HexId, primary_key=True),
        sa.Column("part_index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("blob", Ascii, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", Ascii, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "media_emoticon",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("owner_id", sa.BigInteger, nullable=False),
        sa.Column("media_id", HexId, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("owner_id", "media_id", name="uq_media_emoticon"),
        sqlite_autoincrement=True,
        **TABLE_OPTIONS,
    )


def downgrade() -> None:
    for name in ("media_emoticon", "media_part", "media_upload", "media_object"):
        op.drop_table(name)
