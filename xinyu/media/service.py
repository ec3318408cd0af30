"""What was uploaded, and the emoticons made of it."""

from __future__ import annotations

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import MediaId, UploadId, UserId, is_hex_id
from xinyu.media.assembly import upload_origin
from xinyu.media.errors import EmoticonNotFound, MediaNotFound, NotAnImage, TooManyEmoticons, UploadNotFound
from xinyu.media.port import EmoticonPort, MediaPort
from xinyu.media.settings import MediaSettings
from xinyu.media.store import MediaStore
from xinyu.media.types import Emoticon, Kind, MediaObject

MAX_LISTED = 200


class MediaService(MediaPort):
    """Serves `MediaPort`."""

    def __init__(self, store: MediaStore) -> None:
        self._store = store

    async def get_object(self, media_id: MediaId) -> MediaObject:
        found = await self._store.list_objects([media_id])
        if not found:
            raise MediaNotFound()
        return found[0]

    async def get_by_upload(self, owner_id: UserId, upload_id: UploadId) -> MediaObject:
        media = await self._store.find_by_origin(upload_origin(upload_id)) if is_hex_id(upload_id) else None
        if media is None or media.owner_id != owner_id:
            raise UploadNotFound()
        return media

    async def list_objects(self, media_ids: list[MediaId]) -> list[MediaObject]:
        return await self._store.list_objects(media_ids[:MAX_LISTED])


class EmoticonService(EmoticonPort):
    """Serves `EmoticonPort`."""

    def __init__(self, store: MediaStore, clock: Clock, settings: MediaSettings) -> None:
        self._store = store
        self._clock = clock
        self._most = settings.max_emoticons

    async def list_emoticons(self, owner_id: UserId) -> list[Emoticon]:
        return await self._store.list_emoticons(owner_id)

    async def add_emoticon(self, owner_id: UserId, media_id: MediaId) -> Emoticon:
        found = await self._store.list_objects([media_id])
        if not found:
            raise MediaNotFound()
        if found[0].kind is not Kind.IMAGE:
            raise NotAnImage()
        emoticon_id = await self._store.add_emoticon(owner_id, media_id, self._clock.now_ms(), self._most)
        if emoticon_id is None:
            raise TooManyEmoticons()
        return Emoticon(emoticon_id, found[0])

    async def remove_emoticon(self, owner_id: UserId, emoticon_id: int) -> None:
        await self._store.remove_emoticon(owner_id, emoticon_id)

    async def get_emoticon(self, owner_id: UserId, emoticon_id: int) -> Emoticon:
        for emoticon in await self._store.list_emoticons(owner_id):
            if emoticon.emoticon_id == emoticon_id:
                return emoticon
        raise EmoticonNotFound()
