"""The media store in SQL, on SQLite and MySQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.kernel.ids import MediaId, UploadId, UserId
from xinyu.media.port import content_key
from xinyu.media.store import MediaStore, Part, PartOutcome, Upload
from xinyu.media.tables import EMOTICON, OBJECT, PART, UPLOAD
from xinyu.media.types import BlobKey, Emoticon, Kind, MediaObject, Thumbnail
from xinyu.storage.schema import for_update, insert_new
from xinyu.storage.sql import Database

OPEN, ASSEMBLING, DONE = 0, 1, 2


class MediaStoreSql(MediaStore):
    """The tables `media_*`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add_object(self, media: MediaObject, origin: str) -> MediaObject:
        return await self._db.write(lambda connection: _add_object(connection, media, origin))

    async def find_by_origin(self, origin: str) -> MediaObject | None:
        return await self._db.read(lambda connection: _find_by_origin(connection, origin))

    async def list_objects(self, media_ids: list[MediaId]) -> list[MediaObject]:
        def work(connection: Connection) -> list[MediaObject]:
            rows = connection.execute(sa.select(OBJECT).where(OBJECT.c.media_id.in_(media_ids))).mappings()
            return [_object_of(row) for row in rows]

        return await self._db.read(work) if media_ids else []

    async def add_upload(self, upload: Upload, max_open: int) -> bool:
        def work(connection: Connection) -> bool:
            waiting = sa.select(sa.func.count()).where(
                UPLOAD.c.owner_id == upload.owner_id,
                UPLOAD.c.state != DONE,
                UPLOAD.c.expires_at_ms > upload.created_at_ms,
            )
            if connection.execute(waiting).scalar_one() >= max_open:
                return False
            row: dict[str, Any] = {"state": OPEN, "claim": "", "lease_until_ms": 0, "media_id": ""}
            for name in _UPLOAD_FIELDS:
                row[name] = getattr(upload, name)
            connection.execute(sa.insert(UPLOAD), row)
            return True

        return await self._db.write(work)

    async def find_upload(self, upload_id: UploadId) -> Upload | None:
        def work(connection: Connection) -> Upload | None:
            row = _upload_row(connection, upload_id, lock=False)
            return None if row is None else _upload_of(connection, row)

        return await self._db.read(work)

    async def add_part(self, upload_id: UploadId, part: Part, now_ms: int) -> PartOutcome:
        def work(connection: Connection) -> PartOutcome:
            row = _upload_row(connection, upload_id, lock=True)
            if row is None or row["state"] != OPEN or row["expires_at_ms"] <= now_ms:
                return PartOutcome.CLOSED
            where = (PART.c.upload_id == upload_id, PART.c.part_index == part.index)
            present = connection.execute(sa.select(PART.c.sha256).where(*where)).scalar()
            if present is not None:
                return PartOutcome.PRESENT if present == part.sha256 else PartOutcome.CONFLICT
            connection.execute(
                sa.insert(PART),
                {
                    "upload_id": upload_id,
                    "part_index": part.index,
                    "blob": part.blob,
                    "size": part.size,
                    "sha256": part.sha256,
                },
            )
            return PartOutcome.ADDED

        return await self._db.write(work)

    async def claim_assembly(self, upload_id: UploadId, claim: str, now_ms: int, until_ms: int) -> Upload | None:
        def work(connection: Connection) -> Upload | None:
            row = _upload_row(connection, upload_id, lock=True)
            if row is None or row["state"] == DONE:
                return None
            if row["state"] == ASSEMBLING and row["lease_until_ms"] > now_ms:
                return None
            upload = _upload_of(connection, row)
            if len(upload.parts) < upload.shard_num:
                return None
            changes = {"state": ASSEMBLING, "claim": claim, "lease_until_ms": until_ms}
            connection.execute(sa.update(UPLOAD).where(UPLOAD.c.upload_id == upload_id).values(changes))
            return upload

        return await self._db.write(work)

    async def release_assembly(self, upload_id: UploadId, claim: str) -> None:
        held = (UPLOAD.c.upload_id == upload_id, UPLOAD.c.state == ASSEMBLING, UPLOAD.c.claim == claim)
        changes = {"state": OPEN, "claim": "", "lease_until_ms": 0}
        await self._db.write(lambda connection: connection.execute(sa.update(UPLOAD).where(*held).values(changes)))

    async def finish_upload(self, upload_id: UploadId, media: MediaObject, origin: str) -> MediaObject:
        def work(connection: Connection) -> MediaObject:
            _upload_row(connection, upload_id, lock=True)
            stored = _add_object(connection, media, origin)
            changes = {"state": DONE, "claim": "", "media_id": stored.media_id}
            connection.execute(sa.update(UPLOAD).where(UPLOAD.c.upload_id == upload_id).values(changes))
            connection.execute(sa.delete(PART).where(PART.c.upload_id == upload_id))
            return stored

        return await self._db.write(work)

    async def remove_expired(self, now_ms: int, limit: int) -> list[BlobKey] | None:
        def work(connection: Connection) -> list[BlobKey] | None:
            held = sa.and_(UPLOAD.c.state == ASSEMBLING, UPLOAD.c.lease_until_ms > now_ms)
            over = sa.select(UPLOAD.c.upload_id).where(UPLOAD.c.expires_at_ms <= now_ms, sa.not_(held)).limit(limit)
            upload_ids = list(connection.execute(for_update(over, skip_locked=True)).scalars())
            if not upload_ids:
                return None
            parts = PART.c.upload_id.in_(upload_ids)
            blobs = [BlobKey(blob) for blob in connection.execute(sa.select(PART.c.blob).where(parts)).scalars()]
            connection.execute(sa.delete(PART).where(parts))
            connection.execute(sa.delete(UPLOAD).where(UPLOAD.c.upload_id.in_(upload_ids)))
            return blobs

        return await self._db.write(work)

    async def list_emoticons(self, owner_id: UserId) -> list[Emoticon]:
        def work(connection: Connection) -> list[Emoticon]:
            both = sa.select(EMOTICON.c.id, OBJECT).join(OBJECT, OBJECT.c.media_id == EMOTICON.c.media_id)
            rows = connection.execute(both.where(EMOTICON.c.owner_id == owner_id).order_by(EMOTICON.c.id)).mappings()
            return [Emoticon(row["id"], _object_of(row)) for row in rows]

        return await self._db.read(work)

    async def add_emoticon(self, owner_id: UserId, media_id: MediaId, now_ms: int, most: int) -> int | None:
        def work(connection: Connection) -> int | None:
            mine = sa.select(EMOTICON.c.id).where(EMOTICON.c.owner_id == owner_id)
            same = mine.where(EMOTICON.c.media_id == media_id)
            present = connection.execute(same).scalar()
            if present is not None:
                return int(present)
            if connection.execute(sa.select(sa.func.count()).select_from(mine.subquery())).scalar_one() >= most:
                return None
            insert_new(connection, EMOTICON, {"owner_id": owner_id, "media_id": media_id, "created_at_ms": now_ms})
            return int(connection.execute(same).scalar_one())

        return await self._db.write(work)

    async def remove_emoticon(self, owner_id: UserId, emoticon_id: int) -> None:
        mine = (EMOTICON.c.owner_id == owner_id, EMOTICON.c.id == emoticon_id)
        await self._db.write(lambda connection: connection.execute(sa.delete(EMOTICON).where(*mine)))


_UPLOAD_FIELDS = (
    "upload_id",
    "owner_id",
    "name",
    "size",
    "shard_size",
    "shard_num",
    "created_at_ms",
    "expires_at_ms",
)


def _upload_row(connection: Connection, upload_id: UploadId, lock: bool) -> sa.RowMapping | None:
    query = sa.select(UPLOAD).where(UPLOAD.c.upload_id == upload_id)
    return connection.execute(for_update(query) if lock else query).mappings().first()


def _upload_of(connection: Connection, row: sa.RowMapping) -> Upload:
    parts = connection.execute(
        sa.select(PART).where(PART.c.upload_id == row["upload_id"]).order_by(PART.c.part_index)
    ).mappings()
    return Upload(
        **{name: row[name] for name in _UPLOAD_FIELDS},
        media_id=MediaId(row["media_id"]) if row["media_id"] else None,
        parts=[Part(part["part_index"], BlobKey(part["blob"]), part["size"], part["sha256"]) for part in parts],
    )


def _find_by_origin(connection: Connection, origin: str) -> MediaObject | None:
    row = connection.execute(sa.select(OBJECT).where(OBJECT.c.origin == origin)).mappings().first()
    return None if row is None else _object_of(row)


def _add_object(connection: Connection, media: MediaObject, origin: str) -> MediaObject:
    insert_new(connection, OBJECT, {**_row_of(media), "origin": origin})
    stored = _find_by_origin(connection, origin)
    if stored is None:
        raise AssertionError(f"neither stored nor present: {origin}")
    return stored


def _row_of(media: MediaObject) -> dict[str, Any]:
    small = media.thumbnail
    return {
        "media_id": media.media_id,
        "owner_id": media.owner_id,
        "upload_id": media.upload_id or "",
        "kind": int(media.kind),
        "name": media.name,
        "size": media.size,
        "mime": media.mime,
        "sha256": media.sha256,
        "url": media.url,
        "width": media.width,
        "height": media.height,
        "thumb_sha256": small.blob.partition(".")[2] if small else "",
        "thumb_url": small.url if small else "",
        "thumb_mime": small.mime if small else "",
        "thumb_size": small.size if small else 0,
        "thumb_width": small.width if small else 0,
        "thumb_height": small.height if small else 0,
        "created_at_ms": media.created_at_ms,
    }


def _object_of(row: sa.RowMapping) -> MediaObject:
    thumbnail = None
    if row["thumb_sha256"]:
        thumbnail = Thumbnail(
            blob=content_key(row["thumb_sha256"]),
            url=row["thumb_url"],
            mime=row["thumb_mime"],
            size=row["thumb_size"],
            width=row["thumb_width"],
            height=row["thumb_height"],
        )
    return MediaObject(
        media_id=row["media_id"],
        owner_id=row["owner_id"],
        kind=Kind(row["kind"]),
        name=row["name"],
        size=row["size"],
        mime=row["mime"],
        sha256=row["sha256"],
        url=row["url"],
        created_at_ms=row["created_at_ms"],
        blob=content_key(row["sha256"]),
        width=row["width"],
        height=row["height"],
        upload_id=row["upload_id"] or None,
        thumbnail=thumbnail,
    )
