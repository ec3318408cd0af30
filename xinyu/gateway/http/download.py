"""Stored bytes to a client: ranges, validators, names (RFC 9110 sections 13 and 14, RFC 6266, RFC 8187)."""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from xinyu.media.port import BlobReader, Blobs
from xinyu.media.types import BlobKey

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})", re.IGNORECASE)
FOREVER = "public, max-age=31536000, immutable"
"""For URLs whose bytes never change."""
PRIVATE = "private, no-cache"
"""For URLs that ask who is reading."""


class Download(msgspec.Struct, frozen=True):
    """What is sent, and how."""

    blob: BlobKey
    size: int
    mime: str
    sha256: str
    name: str
    inline: bool
    """Only for what a browser may show: everything else is offered for saving."""
    cache: str

    @property
    def etag(self) -> str:
        """Strong: the bytes' digest."""
        return f'"{self.sha256[:40]}"'


class Unsatisfiable(Exception):
    """The range begins after the end."""


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Offset and length that a Range header asks for; None for the whole: no range, several, or not understood.
    Raises Unsatisfiable."""
    found = _RANGE.fullmatch(header.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise Unsatisfiable()
        return size - length, length
    begin = int(first)
    if last and int(last) < begin:
        return None
    if begin >= size:
        raise Unsatisfiable()
    end = min(int(last), size - 1) if last else size - 1
    return begin, end - begin + 1


def disposition(name: str, inline: bool) -> str:
    """A Content-Disposition with the name in ASCII for old clients and in full for all others."""
    plain = "".join(character if " " <= character <= "~" and character not in '"\\%;' else "_" for character in name)
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def etag_listed(header: str, etag: str) -> bool:
    """Whether an If-None-Match names `etag` (compared weakly) or anything."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags


async def send_blob(request: Request, blobs: Blobs, download: Download) -> Response:
    """Answer a GET or HEAD with stored bytes. Raises BlobMissing, BlobsUnavailable before anything is sent."""
    headers = {
        "ETag": download.etag,
        "Cache-Control": download.cache,
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if etag_listed(request.headers.get("if-none-match", ""), download.etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = disposition(download.name, download.inline)
    headers["Content-Type"] = download.mime
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(download.size)})
    wanted = None
    if request.headers.get("if-range", download.etag) == download.etag:
        try:
            wanted = parse_range(request.headers.get("range", ""), download.size)
        except Unsatisfiable:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{download.size}"})
    offset, length = wanted or (0, download.size)
    headers["Content-Length"] = str(length)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{download.size}"
    reader = await blobs.open(download.blob, offset, length)
    return _BlobResponse(reader, 200 if wanted is None else 206, headers)


class _BlobResponse(StreamingResponse):
    """Streams a reader and closes it, also when the client goes away before the first byte."""

    def __init__(self, reader: BlobReader, status: int, headers: dict[str, str]) -> None:
        super().__init__(reader.chunks(), status, headers)
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._reader.close()
