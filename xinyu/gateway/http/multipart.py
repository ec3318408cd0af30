"""Uploaded forms, streamed: the file goes to the blob store as it arrives, and memory holds one chunk of it.

Limits come before parsing: the body's declared and real length, the number of parts, of headers and their size, the
length of a field. Whatever becomes of the request, what was staged and not kept is discarded (CONTRACT.md section 8,
C10).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from xinyu.gateway.http.body import BodyTooLarge
from xinyu.kernel.errors import Category, DeadlineExceeded, XinyuError
from xinyu.media.errors import FileTooLarge
from xinyu.media.port import Blobs, BlobWriter
from xinyu.media.types import Staged

MAX_PARTS = 16
MAX_FIELD_BYTES = 4096
MAX_OVERHEAD_BYTES = 131_072
"""All that is not the file: boundaries, headers, fields."""
IDLE_SECONDS = 30.0
"""A client that sends nothing for longer is given up."""


class BadForm(XinyuError):
    """The body is not a multipart form."""

    category = Category.INVALID
    code = "request.bad_form"


class FormFile(msgspec.Struct, frozen=True):
    """The file of a form, staged."""

    name: str
    """As the client sent it: not to be trusted."""
    staged: Staged


class Form(msgspec.Struct, frozen=True):
    """A received form: its fields, and its file, if it had one."""

    fields: dict[str, str]
    file: FormFile | None

    def number(self, name: str) -> int:
        """A field as a number, 0 where it is none."""
        text = self.fields.get(name, "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0


@asynccontextmanager
async def receive_form(request: Request, blobs: Blobs, max_file_bytes: int) -> AsyncIterator[Form]:
    """Receive a form whose file has at most `max_file_bytes`. The staged file is there until the block is left, unless
    somebody keeps it. Raises BadForm, BodyTooLarge, FileTooLarge, DeadlineExceeded, and what `Blobs` raises."""
    limit = max_file_bytes + MAX_OVERHEAD_BYTES
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise FileTooLarge(max_bytes=max_file_bytes)
    receiver = _Receiver(blobs, max_file_bytes)
    try:
        parser = _parser(request, receiver)
        size = 0
        async for chunk in _chunks(request):
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge()
            try:
                parser.write(chunk)
            except FormParserError as error:
                raise BadForm() from error
            await receiver.work_off()
        yield receiver.form()
    finally:
        await receiver.clear()


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise DeadlineExceeded() from error
        if chunk:
            yield chunk


def _parser(request: Request, receiver: _Receiver) -> MultipartParser:
    content_type, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if content_type != b"multipart/form-data" or not boundary:
        raise BadForm()
    try:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": receiver.on_part_begin,
                "on_part_data": receiver.on_part_data,
                "on_part_end": receiver.on_part_end,
                "on_header_field": receiver.on_header_field,
                "on_header_value": receiver.on_header_value,
                "on_header_end": receiver.on_header_end,
                "on_headers_finished": receiver.on_headers_finished,
                "on_end": receiver.on_end,
            },
            max_header_count=8,
            max_header_size=4224,
        )
    except FormParserError as error:
        raise BadForm() from error


class _Part:
    """A part being read. Exactly one file is taken; further ones are read past."""

    def __init__(self) -> None:
        self.disposition = b""
        self.field = ""
        self.file_name: str | None = None
        self.value = bytearray()


class _Receiver:
    """Parser callbacks cannot wait, so they note what there is to do, and `work_off` does it after every chunk."""

    def __init__(self, blobs: Blobs, max_file_bytes: int) -> None:
        self._blobs = blobs
        self._max_file_bytes = max_file_bytes
        self._parts = 0
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._part = _Part()
        self._todo: list[tuple[_Part, bytes | None]] = []  # None: the part ended
        self._file_part: _Part | None = None
        self._file_size = 0
        self._writer: BlobWriter | None = None
        self._file: FormFile | None = None
        self._fields: dict[str, str] = {}
        self._ended = False

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadForm("the form has too many parts")
        self._part = _Part()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        if bytes(self._header_name).lower() == b"content-disposition":
            self._part.disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._part.disposition)
        if kind != b"form-data":
            raise BadForm()
        self._part.field = options.get(b"name", b"").decode("utf-8", "replace")
        name = options.get(b"filename")
        if name is not None:
            # browsers escape these three in names and nothing else (WHATWG HTML, multipart/form-data encoding)
            text = name.decode("utf-8", "replace").replace("%22", '"').replace("%0D", "").replace("%0A", "")
            self._part.file_name = text
        elif self._part.field == "file":
            self._part.file_name = ""
        if self._part.file_name is not None and self._file_part is None:
            self._file_part = self._part

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.file_name is None:
            part.value += data[start:end]
            if len(part.value) > MAX_FIELD_BYTES:
                raise BadForm("a field of the form is too long")
        elif part is self._file_part:
            self._file_size += end - start
            if self._file_size > self._max_file_bytes:
                raise FileTooLarge(max_bytes=self._max_file_bytes)
            self._todo.append((part, data[start:end]))

    def on_part_end(self) -> None:
        part = self._part
        if part.file_name is None:
            self._fields[part.field] = part.value.decode("utf-8", "replace")
        elif part is self._file_part:
            self._todo.append((part, None))

    def on_end(self) -> None:
        self._ended = True

    async def work_off(self) -> None:
        """Write what has arrived."""
        todo, self._todo = self._todo, []
        for part, data in todo:
            if self._writer is None:
                self._writer = await self._blobs.stage()
            if data is not None:
                await self._writer.write(data)
            else:
                self._file = FormFile(part.file_name or "", await self._writer.finish())

    def form(self) -> Form:
        """The whole form. Raises BadForm when its end is missing."""
        if not self._ended:
            raise BadForm("the form breaks off")
        return Form(self._fields, self._file)

    async def clear(self) -> None:
        """Leave nothing behind that nobody kept."""
        if self._file is not None:
            await self._blobs.discard(self._file.staged.staged_id)
        elif self._writer is not None:
            await self._writer.abort()
