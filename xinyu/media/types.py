"""Values of the media domain. All of them travel over RPC."""

from __future__ import annotations

from enum import IntEnum
from typing import NewType

import msgspec

from xinyu.kernel.ids import MediaId, UploadId, UserId

StagedId = NewType("StagedId", str)
"""Names bytes that were received and belong to nobody yet; 32 hex characters."""
BlobKey = NewType("BlobKey", str)
"""Names stored bytes. For clients it means nothing."""


class Staged(msgspec.Struct, frozen=True):
    """Bytes that have been received and are safe on disk, waiting for somebody to keep them."""

    staged_id: StagedId
    size: int
    sha256: str
    """64 hex characters."""


class Kind(IntEnum):
    """What an object is, read from its bytes."""

    FILE = 0
    """Anything: offered for download, never shown by a browser."""
    IMAGE = 1
    """A whole, decodable picture of a size that is safe to show."""
    AUDIO = 2
    VIDEO = 3


class Thumbnail(msgspec.Struct, frozen=True):
    """A small picture of an image."""

    blob: BlobKey
    url: str
    mime: str
    size: int
    width: int
    height: int


class MediaObject(msgspec.Struct, frozen=True):
    """Something that was uploaded. It never changes."""

    media_id: MediaId
    owner_id: UserId
    kind: Kind
    name: str
    """As the uploader called it, cleaned; for showing and as the name of a download."""
    size: int
    """In bytes."""
    mime: str
    """Sniffed; application/octet-stream where nothing is known."""
    sha256: str
    url: str
    """Where it is downloaded: `/media/YYYY/MM/DD/<id>.<extension>` (CONTRACT.md section 1.10). Knowing it is the right
    to read it."""
    created_at_ms: int
    blob: BlobKey
    width: int = 0
    height: int = 0
    upload_id: UploadId | None = None
    thumbnail: Thumbnail | None = None
    """None where the image itself is small enough."""


class UploadLimits(msgspec.Struct, frozen=True):
    """What an upload may be, in bytes, so that gateways refuse before they read."""

    max_image_bytes: int
    max_file_bytes: int
    shard_bytes: int


class UploadState(msgspec.Struct, frozen=True):
    """How far an upload in parts is."""

    upload_id: UploadId
    name: str
    size: int
    shard_size: int
    """Every part but the last has exactly this many bytes."""
    shard_num: int
    uploaded: list[int]
    """Indices of the parts that are stored, 1 to shard_num, ascending."""
    expires_at_ms: int
    """What is not complete by then is removed."""
    media: MediaObject | None = None
    """The object, once complete."""


class Emoticon(msgspec.Struct, frozen=True):
    """An image that a user keeps at hand."""

    emoticon_id: int
    media: MediaObject
