"""What the media services need kept, in their words."""

from __future__ import annotations

import abc
from enum import Enum

import msgspec

from xinyu.kernel.ids import MediaId, UploadId, UserId
from xinyu.media.types import BlobKey, Emoticon, MediaObject


class Part(msgspec.Struct, frozen=True):
    """A stored part of an upload."""

    index: int
    blob: BlobKey
    size: int
    sha256: str


class Upload(msgspec.Struct, frozen=True):
    """An upload in parts."""

    upload_id: UploadId
    owner_id: UserId
    name: str
    size: int
    shard_size: int
    shard_num: int
    created_at_ms: int
    expires_at_ms: int
    media_id: MediaId | None = None
    """Set when it is done; its parts are gone then."""
    parts: list[Part] = []
    """By index."""

    def size_of(self, index: int) -> int:
        """How many bytes part `index` must have."""
        return self.shard_size if index < self.shard_num else self.size - self.shard_size * (self.shard_num - 1)


class PartOutcome(Enum):
    """What became of adding a part."""

    ADDED = "added"
    PRESENT = "present"
    """The same bytes were there."""
    CONFLICT = "conflict"
    """Other bytes were there; they stay."""
    CLOSED = "closed"
    """The upload is done, being put together, over, or gone."""


class MediaStore(abc.ABC):
    """Objects, uploads and their parts, emoticons. Each method is one transaction."""

    @abc.abstractmethod
    async def add_object(self, media: MediaObject, origin: str) -> MediaObject:
        """Store `media` unless something of the same origin is there; return what is there now."""

    @abc.abstractmethod
    async def find_by_origin(self, origin: str) -> MediaObject | None:
        """What came from `origin`."""

    @abc.abstractmethod
    async def list_objects(self, media_ids: list[MediaId]) -> list[MediaObject]:
        """Those that exist, in no order."""

    @abc.abstractmethod
    async def add_upload(self, upload: Upload, max_open: int) -> bool:
        """Store an upload unless its owner has `max_open` unfinished, unexpired ones as of its creation."""

    @abc.abstractmethod
    async def find_upload(self, upload_id: UploadId) -> Upload | None:
        """An upload with its parts."""

    @abc.abstractmethod
    async def add_part(self, upload_id: UploadId, part: Part, now_ms: int) -> PartOutcome:
        """Store a part of an open, unexpired upload."""

    @abc.abstractmethod
    async def claim_assembly(self, upload_id: UploadId, claim: str, now_ms: int, until_ms: int) -> Upload | None:
        """Take the right to put a complete upload together, until `until_ms`. None when parts are missing, when
        another claim holds, when it is done or gone."""

    @abc.abstractmethod
    async def release_assembly(self, upload_id: UploadId, claim: str) -> None:
        """Give the claim back; nothing happens where it is held no more."""

    @abc.abstractmethod
    async def finish_upload(self, upload_id: UploadId, media: MediaObject, origin: str) -> MediaObject:
        """Store the object of an upload, mark the upload done and forget its parts. Where another claim was faster,
        its object stays and is returned."""

    @abc.abstractmethod
    async def remove_expired(self, now_ms: int, limit: int) -> list[BlobKey] | None:
        """Remove at most `limit` uploads whose time is over and that nobody is putting together; returns the blobs of
        their parts, None when no upload was over."""

    @abc.abstractmethod
    async def list_emoticons(self, owner_id: UserId) -> list[Emoticon]:
        """Oldest first."""

    @abc.abstractmethod
    async def add_emoticon(self, owner_id: UserId, media_id: MediaId, now_ms: int, most: int) -> int | None:
        """Store an emoticon and return its id; the one that is there for the same image; None when `most` are."""

    @abc.abstractmethod
    async def remove_emoticon(self, owner_id: UserId, emoticon_id: int) -> None:
        """Forget one of the owner's."""
