"""Uploading: images in one piece, anything in parts."""

from __future__ import annotations

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import UploadId, UserId, is_hex_id, new_hex_id
from xinyu.media.assembly import Assembler
from xinyu.media.errors import (
    BadPart,
    BadUpload,
    FileTooLarge,
    PartConflict,
    TooManyUploads,
    UploadExpired,
    UploadNotFound,
)
from xinyu.media.filing import Filing, clean_name
from xinyu.media.port import Blobs, UploadPort, part_key
from xinyu.media.settings import MediaSettings
from xinyu.media.store import MediaStore, Part, PartOutcome, Upload
from xinyu.media.types import MediaObject, Staged, UploadLimits, UploadState


class UploadService(UploadPort):
    """Serves `UploadPort`."""

    def __init__(
        self,
        store: MediaStore,
        blobs: Blobs,
        filing: Filing,
        assembler: Assembler,
        clock: Clock,
        settings: MediaSettings,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._filing = filing
        self._assembler = assembler
        self._clock = clock
        self._settings = settings

    async def get_limits(self) -> UploadLimits:
        settings = self._settings
        return UploadLimits(settings.max_image_bytes, settings.max_file_bytes, settings.shard_bytes)

    async def store_image(self, owner_id: UserId, staged: Staged, name: str) -> MediaObject:
        origin = f"image.{owner_id}.{staged.sha256}"
        known = await self._store.find_by_origin(origin)
        if known is not None:
            return known
        media = await self._filing.file_image(owner_id, staged, name)
        return await self._store.add_object(media, origin)

    async def open_upload(self, owner_id: UserId, name: str, size: int) -> UploadState:
        if size <= 0 or not name.strip():
            raise BadUpload()
        if size > self._settings.max_file_bytes:
            raise FileTooLarge(max_bytes=self._settings.max_file_bytes)
        now_ms, shard = self._clock.now_ms(), self._settings.shard_bytes
        upload = Upload(
            upload_id=UploadId(new_hex_id()),
            owner_id=owner_id,
            name=clean_name(name),
            size=size,
            shard_size=shard,
            shard_num=-(-size // shard),
            created_at_ms=now_ms,
            expires_at_ms=now_ms + self._settings.upload_keep_seconds * 1000,
        )
        if not await self._store.add_upload(upload, self._settings.max_open_uploads):
            raise TooManyUploads()
        return _state(upload)

    async def resume_upload(self, owner_id: UserId, upload_id: UploadId) -> UploadState:
        upload = await self._own(owner_id, upload_id)
        return await self._done(upload) if upload.media_id else await self._state(upload)

    async def store_part(
        self, owner_id: UserId, upload_id: UploadId, index: int, staged: Staged, count: int = 0
    ) -> UploadState:
        upload = await self._own(owner_id, upload_id)
        if not 1 <= index <= upload.shard_num or count not in (0, upload.shard_num):
            raise BadPart(f"there is no part {index} of {count or upload.shard_num}")
        if staged.size != upload.size_of(index):
            raise BadPart(f"part {index} must have {upload.size_of(index)} bytes")
        if upload.media_id:
            return await self._done(upload)
        await self._keep(upload, index, staged)
        upload = await self._own(owner_id, upload_id)
        if upload.media_id:
            return await self._done(upload)
        return await self._state(upload)

    async def _state(self, upload: Upload) -> UploadState:
        """How far it is; put together where nothing is missing."""
        if len(upload.parts) < upload.shard_num:
            return _state(upload)
        return _state(upload, await self._assembler.assemble(upload.upload_id))

    async def _keep(self, upload: Upload, index: int, staged: Staged) -> None:
        """Store a part; the same bytes again, or too late to matter, leave everything as it is."""
        part = Part(index, part_key(staged.staged_id), staged.size, staged.sha256)
        stored = next((known for known in upload.parts if known.index == index), None)
        if stored is not None:
            if stored.sha256 != part.sha256:
                raise PartConflict()
            return
        await self._blobs.keep(staged.staged_id, part.blob)
        # should this fail, the row may have been stored or not: if not, the sweep finds the bytes
        outcome = await self._store.add_part(upload.upload_id, part, self._clock.now_ms())
        if outcome is PartOutcome.ADDED:
            return
        current = await self._store.find_upload(upload.upload_id)
        if current is None or all(known.blob != part.blob for known in current.parts):
            await self._blobs.delete([part.blob])  # somebody else's bytes are there
        if outcome is PartOutcome.CONFLICT:
            raise PartConflict()

    async def _own(self, owner_id: UserId, upload_id: UploadId) -> Upload:
        upload = await self._store.find_upload(upload_id) if is_hex_id(upload_id) else None
        if upload is None or upload.owner_id != owner_id:
            raise UploadNotFound()
        if not upload.media_id and upload.expires_at_ms <= self._clock.now_ms():
            raise UploadExpired()
        return upload

    async def _done(self, upload: Upload) -> UploadState:
        found = await self._store.list_objects([upload.media_id]) if upload.media_id else []
        if not found:
            raise UploadNotFound()
        return _state(upload, found[0])


def _state(upload: Upload, media: MediaObject | None = None) -> UploadState:
    stored = range(1, upload.shard_num + 1) if media else (part.index for part in upload.parts)
    return UploadState(
        upload_id=upload.upload_id,
        name=upload.name,
        size=upload.size,
        shard_size=upload.shard_size,
        shard_num=upload.shard_num,
        uploaded=list(stored),
        expires_at_ms=upload.expires_at_ms,
        media=media,
    )
