"""File messages: the sender names an upload, the server says what it is."""

from __future__ import annotations

from typing import Any

from xinyu.kernel.errors import Category, XinyuError
from xinyu.kernel.ids import UploadId, UserId
from xinyu.media.port import MediaPort
from xinyu.message.errors import BadContent


class FileEnricher:
    """Fills in name, size and address from the sender's own finished upload."""

    def __init__(self, media: MediaPort) -> None:
        self._media = media

    async def enrich(self, sender_id: UserId, content: dict[str, Any]) -> dict[str, Any]:
        """`content` with what the upload is. Raises BadContent unless it is a finished upload of the sender."""
        upload_id = content.get("upload_id")
        if not isinstance(upload_id, str) or not upload_id:
            raise BadContent("a file message names its upload_id")
        try:
            found = await self._media.get_by_upload(sender_id, UploadId(upload_id))
        except XinyuError as error:
            if error.category is Category.NOT_FOUND:
                raise BadContent("upload_id is not a finished upload of yours") from error
            raise
        return {
            "upload_id": upload_id, "media_id": found.media_id, "name": found.name, "size": found.size,
            "path": found.url, "url": found.url, "drive": 1,
        }  # fmt: skip
