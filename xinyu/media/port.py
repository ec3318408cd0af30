"""Ports of the media domain: uploading (`UploadPort`), what was uploaded (`MediaPort`), emoticons (`EmoticonPort`).

Beside them, and no port, `Blobs`: the bytes. They never travel by RPC: the HTTP gateway and the media service open the
same blob store (ADR 0006). A gateway stages what it receives and hands over the staged id; the service keeps it.
"""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator

from xinyu.kernel.ids import MediaId, UploadId, UserId
from xinyu.kernel.port import Port, rpc
from xinyu.media.types import BlobKey, Emoticon, MediaObject, Staged, StagedId, UploadLimits, UploadState


class UploadPort(Port):
    """Bytes become objects. Staged bytes that are not kept in the end stay for their stager to discard."""

    @rpc(806, idempotent=True)
    async def get_limits(self) -> UploadLimits:
        """What may be uploaded."""

    @rpc(803, idempotent=True)
    async def store_image(self, owner_id: UserId, staged: Staged, name: str) -> MediaObject:
        """Keep an image and make its thumbnail. The same bytes by the same owner are the same object.
        Raises NotAnImage, ImageTooLarge, FileTooLarge, ImagesBusy, BlobsFull, BlobMissing."""

    @rpc(801)
    async def open_upload(self, owner_id: UserId, name: str, size: int) -> UploadState:
        """Begin an upload of `size` bytes in parts. Raises BadUpload, FileTooLarge, TooManyUploads."""

    @rpc(807, idempotent=True)
    async def resume_upload(self, owner_id: UserId, upload_id: UploadId) -> UploadState:
        """How far an upload is, to go on with it. Where all parts are there but could not be put together, that is
        tried again. Raises UploadNotFound (others' uploads too), UploadExpired, UploadBusy, BlobsFull, BlobMissing."""

    @rpc(802, idempotent=True)
    async def store_part(
        self, owner_id: UserId, upload_id: UploadId, index: int, staged: Staged, count: int = 0
    ) -> UploadState:
        """Keep part `index` (1 to shard_num, in any order); `count` is shard_num as the client believes, 0 if it does
        not say. Whoever brings the last missing part waits until all are put together: `media` is set then, exactly one
        object, also when two last parts come at once. The same bytes again change nothing.
        Raises UploadNotFound (others' uploads too), UploadExpired, BadPart, PartConflict, UploadBusy, BlobsFull,
        BlobMissing."""


class MediaPort(Port):
    """What was uploaded. Ids and URLs cannot be guessed: knowing one is the right to read it."""

    @rpc(804, idempotent=True)
    async def get_object(self, media_id: MediaId) -> MediaObject:
        """Raises MediaNotFound."""

    @rpc(805, idempotent=True)
    async def get_by_upload(self, owner_id: UserId, upload_id: UploadId) -> MediaObject:
        """What the owner's completed upload became: name, size and URL of a file message. Raises UploadNotFound for
        somebody else's, unknown or unfinished uploads."""

    @rpc(808, idempotent=True)
    async def list_objects(self, media_ids: list[MediaId]) -> list[MediaObject]:
        """Those of `media_ids` that exist, in no order. At most 200."""


class EmoticonPort(Port):
    """The emoticons of one user."""

    @rpc(810, idempotent=True)
    async def list_emoticons(self, owner_id: UserId) -> list[Emoticon]:
        """Oldest first."""

    @rpc(811, idempotent=True)
    async def add_emoticon(self, owner_id: UserId, media_id: MediaId) -> Emoticon:
        """Keep an image, one's own or one that was received; again: the same emoticon. Raises MediaNotFound,
        NotAnImage, TooManyEmoticons."""

    @rpc(812, idempotent=True)
    async def remove_emoticon(self, owner_id: UserId, emoticon_id: int) -> None:
        """Forget one; what was sent with it stays. Unknown and others' ids are skipped."""

    @rpc(813, idempotent=True)
    async def get_emoticon(self, owner_id: UserId, emoticon_id: int) -> Emoticon:
        """To send it as an image. Raises EmoticonNotFound."""


class BlobWriter(abc.ABC):
    """Receives bytes. Either `finish` or `abort` must be called."""

    @abc.abstractmethod
    async def write(self, data: bytes) -> None:
        """Append; waits for the disk, so memory stays bounded. Raises BlobsFull, BlobsUnavailable."""

    @abc.abstractmethod
    async def finish(self) -> Staged:
        """All is on disk, to survive a power cut. Raises BlobsFull, BlobsUnavailable; nothing is left then."""

    @abc.abstractmethod
    async def abort(self) -> None:
        """Remove what was written. Nothing happens after `finish`."""


class BlobReader(abc.ABC):
    """A range of stored bytes, open. `close` must be called."""

    @abc.abstractmethod
    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in pieces that fit in memory. Raises BlobsUnavailable."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Let go of the file. Idempotent."""


class Blobs(abc.ABC):
    """The blob store: bytes in, bytes out, under keys. Staged bytes and kept ones are apart, so that discarding what a
    failed request left can never hit what the service has kept."""

    @abc.abstractmethod
    async def stage(self) -> BlobWriter:
        """Begin to receive. Raises BlobsFull, BlobsUnavailable."""

    @abc.abstractmethod
    async def discard(self, staged_id: StagedId) -> None:
        """Remove staged bytes; nothing happens where they were kept or discarded before."""

    @abc.abstractmethod
    async def keep(self, staged_id: StagedId, key: BlobKey) -> None:
        """Store staged bytes under `key`; bytes that are there already stay, the staged ones go then. Repeating it
        after a success does nothing. Raises BlobMissing when neither is there, BlobsUnavailable."""

    @abc.abstractmethod
    async def join(self, keys: list[BlobKey]) -> Staged:
        """Stage the concatenation of stored bytes. Raises BlobMissing, BlobsFull, BlobsUnavailable."""

    @abc.abstractmethod
    async def read_staged(self, staged_id: StagedId, limit: int) -> bytes:
        """The first `limit` staged bytes. Raises BlobMissing, BlobsUnavailable."""

    @abc.abstractmethod
    async def open(self, key: BlobKey, offset: int = 0, length: int | None = None) -> BlobReader:
        """Open `length` bytes from `offset` on (None: to the end). Raises BlobMissing, BlobsUnavailable."""

    @abc.abstractmethod
    async def delete(self, keys: list[BlobKey]) -> None:
        """Remove stored bytes; missing ones are skipped. Raises BlobsUnavailable."""

    @abc.abstractmethod
    async def sweep(self, staged_before_ms: int, parts_before_ms: int, limit: int) -> int:
        """Remove at most `limit` staged bytes last written before `staged_before_ms`, and parts (keys made by
        `part_key`) before `parts_before_ms` (UTC ms): left over by processes that died. Returns how many."""


def part_key(staged_id: StagedId) -> BlobKey:
    """The key of an upload's part."""
    return BlobKey(f"part.{staged_id}")


def content_key(sha256: str) -> BlobKey:
    """The key of an object's bytes: the same content is stored once."""
    return BlobKey(f"sha256.{sha256}")
