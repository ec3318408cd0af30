"""From received bytes to an object: what it is, what it is called, its thumbnail, where it is found."""

from __future__ import annotations

import time
import unicodedata

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import MediaId, UploadId, UserId, new_hex_id
from xinyu.media.errors import FileTooLarge, ImageTooLarge, NotAnImage
from xinyu.media.formats import HEAD_BYTES, UNKNOWN, Format, Images, Picture, recognise
from xinyu.media.port import Blobs, content_key
from xinyu.media.settings import MediaSettings
from xinyu.media.types import Kind, MediaObject, Staged, Thumbnail

MAX_NAME_CHARS = 200
_LONGEST_EXTENSION = 16


class Filing:
    """Makes objects of staged bytes and keeps the bytes. It stores no row: an object exists when its caller has."""

    def __init__(self, blobs: Blobs, images: Images, clock: Clock, settings: MediaSettings) -> None:
        self._blobs = blobs
        self._images = images
        self._clock = clock
        self._settings = settings

    async def file_image(self, owner_id: UserId, staged: Staged, name: str) -> MediaObject:
        """An object that is a sound image. Raises NotAnImage, ImageTooLarge, FileTooLarge, ImagesBusy."""
        if staged.size > self._settings.max_image_bytes:
            raise FileTooLarge(max_bytes=self._settings.max_image_bytes)
        picture = await self._inspect(staged)
        return await self._file(owner_id, staged, name, picture.format, picture, None)

    async def file_any(self, owner_id: UserId, staged: Staged, name: str, upload_id: UploadId) -> MediaObject:
        """An object of any kind. What looks like an image but is not sound, or too large to check, is a mere file."""
        known, picture = recognise(await self._blobs.read_staged(staged.staged_id, HEAD_BYTES)), None
        if known.kind is Kind.IMAGE:
            try:
                if staged.size > self._settings.max_image_bytes:
                    raise ImageTooLarge()
                picture = await self._inspect(staged)
            except (NotAnImage, ImageTooLarge):
                known = UNKNOWN
        return await self._file(owner_id, staged, name, known, picture, upload_id)

    async def _inspect(self, staged: Staged) -> Picture:
        limit = self._settings.max_image_bytes
        return await self._images.inspect(lambda: self._blobs.read_staged(staged.staged_id, limit))

    async def _file(
        self,
        owner_id: UserId,
        staged: Staged,
        name: str,
        known: Format,
        picture: Picture | None,
        upload_id: UploadId | None,
    ) -> MediaObject:
        media_id, now_ms = MediaId(new_hex_id()), self._clock.now_ms()
        blob = content_key(staged.sha256)
        thumbnail = await self._keep_thumbnail(picture, media_id, now_ms)
        await self._blobs.keep(staged.staged_id, blob)
        return MediaObject(
            media_id=media_id,
            owner_id=owner_id,
            kind=known.kind,
            name=clean_name(name, known.extension),
            size=staged.size,
            mime=known.mime,
            sha256=staged.sha256,
            url=_url(media_id, now_ms, known.extension),
            created_at_ms=now_ms,
            blob=blob,
            width=picture.width if picture else 0,
            height=picture.height if picture else 0,
            upload_id=upload_id,
            thumbnail=thumbnail,
        )

    async def _keep_thumbnail(self, picture: Picture | None, media_id: MediaId, now_ms: int) -> Thumbnail | None:
        if picture is None or picture.thumbnail is None:
            return None
        small = picture.thumbnail
        writer = await self._blobs.stage()
        try:
            await writer.write(small.data)
            staged = await writer.finish()
        finally:
            await writer.abort()
        blob = content_key(staged.sha256)
        await self._blobs.keep(staged.staged_id, blob)
        return Thumbnail(
            blob=blob,
            url=_url(media_id, now_ms, small.format.extension, "_thumb"),
            mime=small.format.mime,
            size=staged.size,
            width=small.width,
            height=small.height,
        )


def _url(media_id: MediaId, created_ms: int, extension: str, suffix: str = "") -> str:
    day = time.strftime("%Y/%m/%d", time.gmtime(created_ms / 1000))
    return f"/media/{day}/{media_id}{suffix}.{extension}"


def clean_name(name: str, extension: str = "") -> str:
    """A name that can be shown: no folders, no control or direction-changing characters, not too long, never empty."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = "".join(character for character in name if unicodedata.category(character)[0] != "C")
    name = " ".join(name.split()).strip(". ")
    if not name:
        return f"file.{extension}" if extension else "file"
    if len(name) > MAX_NAME_CHARS:
        stem, dot, ending = name.rpartition(".")
        ending = dot + ending if stem and len(ending) <= _LONGEST_EXTENSION else ""
        name = name[: MAX_NAME_CHARS - len(ending)] + ending
    return name
