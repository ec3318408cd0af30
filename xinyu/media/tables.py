"""The tables of the media domain."""

from __future__ import annotations

import sqlalchemy as sa

from xinyu.storage.schema import TABLE_OPTIONS, Ascii, BigId, HexId

METADATA = sa.MetaData()
Int64 = sa.BigInteger

OBJECT = sa.Table(
    "media_object",
    METADATA,
    sa.Column("media_id", HexId, primary_key=True),
    sa.Column("origin", Ascii, nullable=False),
    sa.Column("owner_id", Int64, nullable=False),
    sa.Column("upload_id", Ascii, nullable=False),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("size", Int64, nullable=False),
    sa.Column("mime", Ascii, nullable=False),
    sa.Column("sha256", Ascii, nullable=False),
    sa.Column("url", Ascii, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("thumb_sha256", Ascii, nullable=False),
    sa.Column("thumb_url", Ascii, nullable=False),
    sa.Column("thumb_mime", Ascii, nullable=False),
    sa.Column("thumb_size", Int64, nullable=False),
    sa.Column("thumb_width", sa.Integer, nullable=False),
    sa.Column("thumb_height", sa.Integer, nullable=False),
    sa.Column("created_at_ms", Int64, nullable=False),
    sa.UniqueConstraint("origin", name="uq_media_object_origin"),
    sa.Index("ix_media_object_sha256", "sha256"),
    **TABLE_OPTIONS,
)
"""What was uploaded. `origin` says what it came from (an upload session, or an image of one owner by digest): that it
is unique is what makes a repeated or concurrent completion one object. Without a thumbnail `thumb_sha256` is empty."""

UPLOAD = sa.Table(
    "media_upload",
    METADATA,
    sa.Column("upload_id", HexId, primary_key=True),
    sa.Column("owner_id", Int64, nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("size", Int64, nullable=False),
    sa.Column("shard_size", Int64, nullable=False),
    sa.Column("shard_num", sa.Integer, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("claim", Ascii, nullable=False),
    sa.Column("lease_until_ms", Int64, nullable=False),
    sa.Column("media_id", Ascii, nullable=False),
    sa.Column("created_at_ms", Int64, nullable=False),
    sa.Column("expires_at_ms", Int64, nullable=False),
    sa.Index("ix_media_upload_owner", "owner_id", "state"),
    sa.Index("ix_media_upload_expiry", "expires_at_ms"),
    **TABLE_OPTIONS,
)
"""Uploads in parts. `state`: 0 open, 1 being put together by the holder of `claim` until its lease ends, 2 done."""

PART = sa.Table(
    "media_part",
    METADATA,
    sa.Column("upload_id", HexId, primary_key=True),
    sa.Column("part_index", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("blob", Ascii, nullable=False),
    sa.Column("size", Int64, nullable=False),
    sa.Column("sha256", Ascii, nullable=False),
    **TABLE_OPTIONS,
)

EMOTICON = sa.Table(
    "media_emoticon",
    METADATA,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("owner_id", Int64, nullable=False),
    sa.Column("media_id", HexId, nullable=False),
    sa.Column("created_at_ms", Int64, nullable=False),
    sa.UniqueConstraint("owner_id", "media_id", name="uq_media_emoticon"),
    sqlite_autoincrement=True,
    **TABLE_OPTIONS,
)
"""Ids are never used again: a message may still name a removed one."""
