"""Files in and out: images, uploads in parts that resume, downloads that resume (CONTRACT.md 1.10).

Resuming an upload relies on this: `init-multipart` called again with the `upload_id` of an unfinished upload (and the
same name and size) returns it, with `uploaded`: the indices (1..n) of the parts that are there; a part may be sent
twice; whichever part completes the set is answered with `is_completed`.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

import httpx
import msgspec

from xinyu.kernel.errors import XinyuError
from xinyu.sdk.api.rest import Rest, refusal
from xinyu.sdk.errors import ConnectionLost, ContractViolation, TransferInterrupted, is_temporary
from xinyu.sdk.types import Talk

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) after each part; in all is 0 while unknown."""
TRIES = 3
"""Attempts per part before a transfer counts as interrupted."""


class Image(msgspec.Struct, frozen=True):
    """A stored image; `src` is its address below the server's."""

    id: str
    src: str


class Uploaded(msgspec.Struct, frozen=True):
    """A complete upload. Send it with `Client.send_file(talk, upload_id)`."""

    upload_id: str
    file_id: str = ""
    url: str = ""


class _Started(msgspec.Struct):
    upload_id: str
    shard_size: int
    uploaded: list[int] = []


class _Part(msgspec.Struct):
    is_completed: bool
    file_id: str = ""
    url: str = ""


class MediaApi:
    """Uploads and downloads."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def upload_image(self, path: str | os.PathLike[str]) -> Image:
        """Store an image (png, jpeg, gif, webp). ApiError 400 when the server does not take it for one."""
        file = Path(path)
        content = await asyncio.to_thread(file.read_bytes)
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return await self._rest.post_form("upload/media-file", Image, {}, (file.name, content, kind))

    async def upload(
        self, path: str | os.PathLike[str], *, upload_id: str | None = None, progress: Progress | None = None
    ) -> Uploaded:
        """Store a file in parts. Raises TransferInterrupted with `upload_id` in its details; pass that to resume."""
        file = Path(path)
        total = (await asyncio.to_thread(file.stat)).st_size
        body: dict[str, object] = {"file_name": file.name, "file_size": total}
        if upload_id is not None:
            body["upload_id"] = upload_id
        started = await self._rest.post_as("upload/init-multipart", _Started, body)
        if started.shard_size <= 0:
            raise ContractViolation("shard_size is not positive")
        try:
            part = await self._send_parts(file, total, started, progress)
        except XinyuError as error:
            if not is_temporary(error):
                raise
            raise TransferInterrupted(upload_id=started.upload_id) from error
        if not part.is_completed:
            raise ContractViolation("all parts are sent, but the upload is not complete")
        return Uploaded(started.upload_id, part.file_id, part.url)

    async def _send_parts(self, file: Path, total: int, started: _Started, progress: Progress | None) -> _Part:
        count = -(-total // started.shard_size)
        there = set(started.uploaded)
        # With everything there already, one part again asks for the completion.
        missing = [index for index in range(1, count + 1) if index not in there] or [count]
        done = sum(_part_bytes(index, total, started.shard_size) for index in there if index not in missing)
        part = _Part(is_completed=False)
        if progress is not None:
            progress(done, total)
        for index in missing:
            content = await asyncio.to_thread(_read_at, file, (index - 1) * started.shard_size, started.shard_size)
            fields = {"upload_id": started.upload_id, "split_index": str(index), "split_num": str(count)}
            part = await self._send_part(fields, (file.name, content, "application/octet-stream"))
            done += len(content)
            if progress is not None:
                progress(done, total)
        return part

    async def _send_part(self, fields: dict[str, str], file: tuple[str, bytes, str]) -> _Part:
        for left in reversed(range(TRIES)):
            try:
                return await self._rest.post_form("upload/multipart", _Part, fields, file)
            except XinyuError as error:
                if not left or not is_temporary(error):
                    raise
                await asyncio.sleep((error.retry_after_ms or 200) / 1000)
        raise AssertionError("unreachable")

    async def download(self, url: str, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Fetch `url` ("/media/…" or complete) into `path`, which appears when it is complete.

        What an interrupted download got stays beside it (`.part`, with the entity tag in `.part.etag`) and is taken
        up by the next call while the file is the same. Raises TransferInterrupted, ApiError.
        """
        return await self._download(url, {}, Path(path), progress)

    async def download_file(
        self, talk: Talk, msg_id: str, path: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> Path:
        """Fetch the file of a file message; otherwise as `download`."""
        params = {"msg_id": msg_id, "talk_mode": str(talk.talk_mode)}
        return await self._download("/api/v1/talk/file-download", params, Path(path), progress)

    async def _download(self, url: str, params: dict[str, str], target: Path, progress: Progress | None) -> Path:
        partial = _Partial(target)
        for left in reversed(range(TRIES)):
            try:
                await self._fetch(url, params, partial, progress)
                break
            except XinyuError as error:
                if not is_temporary(error):
                    raise
                if not left:
                    raise TransferInterrupted(f"{target.name} is not complete; call again to resume") from error
        return partial.finish()

    async def _fetch(self, url: str, params: dict[str, str], partial: _Partial, progress: Progress | None) -> None:
        have, headers = partial.resume()
        response = await self._rest.exchange(self._rest.get(url, headers, params), stream=True)
        try:
            if response.status_code == 416 and have:  # it was complete already, or is another file now
                partial.discard()
                return await self._fetch(url, params, partial, progress)
            if response.status_code not in (200, 206):
                await response.aread()
                raise refusal(response)
            start = have if response.status_code == 206 else 0
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else 0
            with partial.open(start, response.headers.get("ETag", "")) as file:
                await _copy(response.aiter_bytes(), file, start, total, progress)
        finally:
            await response.aclose()
        return None


class _Partial:
    """What is there of a file that is being downloaded, and the entity tag that says of which version."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        self._tag = target.with_name(f"{target.name}.part.etag")

    def resume(self) -> tuple[int, dict[str, str]]:
        """How many bytes are there, and the headers that ask for the rest of the same file."""
        plain = {"Accept-Encoding": "identity"}  # ranges count the bytes that are stored here
        if not (self._part.exists() and self._tag.exists()) or not (have := self._part.stat().st_size):
            return 0, plain
        return have, {**plain, "Range": f"bytes={have}-", "If-Range": self._tag.read_text()}

    def open(self, start: int, etag: str) -> BinaryIO:
        """The file, to write from `start` on (its end, or 0). Without a strong tag it cannot be resumed."""
        if etag and not etag.startswith("W/"):
            self._tag.write_text(etag)
        else:
            self._tag.unlink(missing_ok=True)
        return self._part.open("ab" if start else "wb")

    def discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)

    def finish(self) -> Path:
        self._tag.unlink(missing_ok=True)
        return self._part.replace(self._target)


async def _copy(
    chunks: AsyncIterator[bytes], file: BinaryIO, start: int, total: int, progress: Progress | None
) -> None:
    done = start
    try:
        async for chunk in chunks:
            await asyncio.to_thread(file.write, chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    except httpx.TransportError as error:
        raise ConnectionLost("the download broke off") from error


def _part_bytes(index: int, total: int, shard_size: int) -> int:
    return min(shard_size, total - (index - 1) * shard_size)


def _read_at(file: Path, offset: int, size: int) -> bytes:
    with file.open("rb") as handle:
        handle.seek(offset)
        return handle.read(size)
