"""Media values as the contract's JSON (CONTRACT.md sections 1.9 and 1.10)."""

from __future__ import annotations

from typing import Any

from xinyu.media.types import Emoticon, MediaObject, UploadState


def present_image(media: MediaObject) -> dict[str, Any]:
    """An uploaded image."""
    return {
        "id": media.media_id,
        "src": media.url,
        "url": media.url,
        "thumbnail": media.thumbnail.url if media.thumbnail else media.url,
        "name": media.name,
        "size": media.size,
        "mime": media.mime,
        "width": media.width,
        "height": media.height,
    }


def present_upload(state: UploadState) -> dict[str, Any]:
    """An upload in parts, new or to be resumed."""
    return {
        "upload_id": state.upload_id,
        "shard_size": state.shard_size,
        "shard_num": state.shard_num,
        "uploaded": state.uploaded,
        "expires_at": state.expires_at_ms,
        **_completion(state),
    }


def present_part(state: UploadState) -> dict[str, Any]:
    """What became of an upload with one more part."""
    return {"upload_id": state.upload_id, **_completion(state)}


def present_emoticon(emoticon: Emoticon) -> dict[str, Any]:
    """One emoticon."""
    return {"emoticon_id": emoticon.emoticon_id, "url": emoticon.media.url}


def present_emoticons(emoticons: list[Emoticon]) -> dict[str, Any]:
    """The list, under both keys (CONTRACT.md section 0, row 1)."""
    items = [present_emoticon(emoticon) for emoticon in emoticons]
    return {"items": items, "list": items}


def _completion(state: UploadState) -> dict[str, Any]:
    media = state.media
    if media is None:
        return {"is_completed": False, "is_merge": False}
    return {
        "is_completed": True,
        "is_merge": True,
        "file_id": media.media_id,
        "url": media.url,
        "name": media.name,
        "size": media.size,
        "mime": media.mime,
    }
