"""Uploads, downloads, emoticons (CONTRACT.md sections 1.4 file-download, 1.9, 1.10)."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from xinyu.gateway.auth import Caller
from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.http.call import Call, RawRoute, Route
from xinyu.gateway.http.download import FOREVER, PRIVATE, Download, send_blob
from xinyu.gateway.http.multipart import FormFile, receive_form
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.media import (
    present_emoticon,
    present_emoticons,
    present_image,
    present_part,
    present_upload,
)
from xinyu.kernel.errors import Category, Unauthenticated, XinyuError
from xinyu.kernel.ids import MediaId, MsgId, UploadId, UserId, is_hex_id
from xinyu.media.errors import BadUpload, MediaNotFound
from xinyu.media.types import Kind, MediaObject
from xinyu.message.types import Entry

UPLOAD_SECONDS = 600.0
"""An upload may take this long as a whole; one that stalls is given up earlier."""
_PATH = re.compile(r"/media/\d{4}/\d{2}/\d{2}/([0-9a-f]{32})(_thumb)?\.[a-z0-9]{1,8}")


class MissingFile(XinyuError):
    """The form has no file."""

    category = Category.INVALID
    code = "request.missing_file"


class MissingFields(XinyuError):
    """The form lacks upload_id or split_index."""

    category = Category.INVALID
    code = "request.missing_fields"


ERRORS: dict[str, str] = {
    "request.bad_form": "parse multipart failed",
    "request.missing_file": "missing file",
    "request.missing_fields": "missing params",
    "media.not_an_image": "invalid file type, only images allowed",
    "media.bad_upload": "invalid params",
    "media.no_upload": "upload session not found",
    "media.upload_expired": "upload session is not active",
    "media.blob_missing": "文件不存在",
    "media.not_found": "文件不存在",
    "media.too_large": "文件过大",
    "media.too_many_pixels": "图片尺寸过大",
    "media.too_many_uploads": "未完成的上传过多，请稍后再试",
    "media.images_busy": "操作过于频繁，请稍后再试",
    "media.busy": "文件正在合并，请稍后再试",
    "media.blobs_unavailable": "文件服务暂不可用，请稍后再试",
    "media.no_room": "存储空间不足",
    "media.no_emoticon": "表情不存在",
    "media.too_many_emoticons": "表情数量已达上限",
}


class InitUpload(msgspec.Struct):
    """Begin an upload, or go on with one's own `upload_id`."""

    file_name: str = ""
    file_size: int = 0
    upload_id: str = ""


class CreateEmoticon(msgspec.Struct):
    """Keep the image behind a media URL."""

    url: str = ""


class DeleteEmoticon(msgspec.Struct):
    """Forget an emoticon."""

    emoticon_id: IdNumber = 0


async def upload_image(request: Request, ports: Ports, caller: Caller | None) -> Response:
    """`upload/media-file`: one image, by content."""
    return _json(present_image(await _store_image(request, ports, _user(caller))))


async def init_upload(call: Call[InitUpload]) -> object:
    """`upload/init-multipart`. With an `upload_id`, what is stored of it already (resume)."""
    body = call.body
    if not body.upload_id:
        return present_upload(await call.ports.uploads.open_upload(call.user_id, body.file_name, body.file_size))
    state = await call.ports.uploads.resume_upload(call.user_id, UploadId(body.upload_id))
    if body.file_size not in (0, state.size):
        raise BadUpload(f"upload {state.upload_id} is of {state.size} bytes")
    return present_upload(state)


async def upload_part(request: Request, ports: Ports, caller: Caller | None) -> Response:
    """`upload/multipart`: one part, `split_index` 1 to `split_num` (CONTRACT.md section 0, row 11)."""
    user_id = _user(caller)
    limits = await ports.uploads.get_limits()
    async with receive_form(request, ports.blobs, limits.shard_bytes) as form:
        upload_id, index = UploadId(form.fields.get("upload_id", "").strip()), form.number("split_index")
        if not upload_id or "split_index" not in form.fields:
            raise MissingFields()
        if form.file is None:
            raise MissingFile()
        staged, count = form.file.staged, form.number("split_num")
        return _json(present_part(await ports.uploads.store_part(user_id, upload_id, index, staged, count)))


async def download_media(request: Request, ports: Ports, _caller: Caller | None) -> Response:
    """`GET /media/…`: whoever knows the URL may read it. The path is looked up, never opened."""
    found = _PATH.fullmatch(request.url.path)
    if found is None:
        raise MediaNotFound()
    media = await ports.media.get_object(MediaId(found[1]))
    if found[2]:
        small = media.thumbnail
        if small is None or small.url != request.url.path:
            raise MediaNotFound()
        digest = small.blob.partition(".")[2]
        return await send_blob(
            request, ports.blobs, Download(small.blob, small.size, small.mime, digest, media.name, True, FOREVER)
        )
    if media.url != request.url.path:
        raise MediaNotFound()
    return await send_blob(request, ports.blobs, _download(media, media.kind is Kind.IMAGE, FOREVER))


async def download_message_file(request: Request, ports: Ports, caller: Caller | None) -> Response:
    """`talk/file-download`: the file of a message that the caller may read, for saving."""
    msg_id = request.query_params.get("msg_id", "")
    entries = await ports.messages.list_messages(_user(caller), [MsgId(msg_id)]) if is_hex_id(msg_id) else []
    if not entries or entries[0].recalled or entries[0].hidden:
        raise MediaNotFound()
    media = await _media_of(entries[0], ports)
    return await send_blob(request, ports.blobs, _download(media, False, PRIVATE))


async def list_emoticons(call: Call[Any]) -> object:
    """`emoticon/customize/list`."""
    return present_emoticons(await call.ports.emoticons.list_emoticons(call.user_id))


async def create_emoticon(call: Call[CreateEmoticon]) -> object:
    """`emoticon/customize/create`."""
    media_id = _media_id_of(call.body.url)
    if media_id is None:
        raise MediaNotFound()
    return present_emoticon(await call.ports.emoticons.add_emoticon(call.user_id, media_id))


async def delete_emoticon(call: Call[DeleteEmoticon]) -> object:
    """`emoticon/customize/delete`."""
    await call.ports.emoticons.remove_emoticon(call.user_id, call.body.emoticon_id)
    return {}


async def upload_emoticon(request: Request, ports: Ports, caller: Caller | None) -> Response:
    """`emoticon/customize/upload`: an image that becomes an emoticon at once."""
    user_id = _user(caller)
    media = await _store_image(request, ports, user_id)
    return _json(present_emoticon(await ports.emoticons.add_emoticon(user_id, media.media_id)))


async def _store_image(request: Request, ports: Ports, user_id: UserId) -> MediaObject:
    limits = await ports.uploads.get_limits()
    async with receive_form(request, ports.blobs, limits.max_image_bytes) as form:
        file: FormFile | None = form.file
        if file is None:
            raise MissingFile()
        return await ports.uploads.store_image(user_id, file.staged, file.name)


async def _media_of(entry: Entry, ports: Ports) -> MediaObject:
    content = msgspec.json.decode(entry.content or "{}")
    fields: dict[str, Any] = content if isinstance(content, dict) else {}
    media_id = fields.get("media_id")
    if not isinstance(media_id, str) or not is_hex_id(media_id):
        media_id = _media_id_of(fields.get("url"))
    if media_id is not None:
        return await ports.media.get_object(MediaId(media_id))
    upload_id = fields.get("upload_id")
    if isinstance(upload_id, str) and upload_id:
        return await ports.media.get_by_upload(entry.sender_id, UploadId(upload_id))
    raise MediaNotFound()


def _media_id_of(url: object) -> MediaId | None:
    """The object that a media URL names, with or without an address in front."""
    found = _PATH.search(url.partition("?")[0]) if isinstance(url, str) else None
    return MediaId(found[1]) if found else None


def _download(media: MediaObject, inline: bool, cache: str) -> Download:
    return Download(media.blob, media.size, media.mime, media.sha256, media.name, inline, cache)


def _user(caller: Caller | None) -> UserId:
    if caller is None:
        raise Unauthenticated()
    return caller.user_id


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


ROUTES: list[Route | RawRoute] = [
    RawRoute("/api/v1/upload/media-file", upload_image, timeout_seconds=UPLOAD_SECONDS),
    Route("/api/v1/upload/init-multipart", init_upload, InitUpload),
    RawRoute("/api/v1/upload/multipart", upload_part, timeout_seconds=UPLOAD_SECONDS),
    RawRoute("/media/{path:path}", download_media, methods=("GET", "HEAD"), auth=False),
    RawRoute("/api/v1/talk/file-download", download_message_file, methods=("GET", "HEAD"), token_in_query=True),
    Route("/api/v1/emoticon/customize/list", list_emoticons),
    Route("/api/v1/emoticon/customize/create", create_emoticon, CreateEmoticon),
    Route("/api/v1/emoticon/customize/delete", delete_emoticon, DeleteEmoticon),
    RawRoute("/api/v1/emoticon/customize/upload", upload_emoticon, timeout_seconds=UPLOAD_SECONDS),
]
