"""What bytes are, read from the bytes: kinds of file by their signatures, sizes of images by their headers.

The sizes are read before any decoder sees the bytes: some decoders allocate the whole canvas when they open a file.
"""

from __future__ import annotations

import abc
import struct
from collections.abc import Awaitable, Callable

import msgspec

from xinyu.media.types import Kind

HEAD_BYTES = 4096
"""How much of a file `recognise` wants to see."""
_MAX_SEGMENTS = 10_000
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)


class Format(msgspec.Struct, frozen=True):
    """A kind of file."""

    mime: str
    extension: str
    kind: Kind = Kind.FILE


UNKNOWN = Format("application/octet-stream", "bin")
PNG = Format("image/png", "png", Kind.IMAGE)
JPEG = Format("image/jpeg", "jpg", Kind.IMAGE)
GIF = Format("image/gif", "gif", Kind.IMAGE)
WEBP = Format("image/webp", "webp", Kind.IMAGE)
BMP = Format("image/bmp", "bmp", Kind.IMAGE)
_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"ID3", Format("audio/mpeg", "mp3", Kind.AUDIO)),
    (b"fLaC", Format("audio/flac", "flac", Kind.AUDIO)),
    (b"#!AMR", Format("audio/amr", "amr", Kind.AUDIO)),
    (b"\xff\xf1", Format("audio/aac", "aac", Kind.AUDIO)),
    (b"\xff\xf9", Format("audio/aac", "aac", Kind.AUDIO)),
    (b"\xff\xfb", Format("audio/mpeg", "mp3", Kind.AUDIO)),
    (b"\xff\xf3", Format("audio/mpeg", "mp3", Kind.AUDIO)),
    (b"\xff\xf2", Format("audio/mpeg", "mp3", Kind.AUDIO)),
    (b"%PDF-", Format("application/pdf", "pdf")),
    (b"PK\x03\x04", Format("application/zip", "zip")),
    (b"\x1f\x8b\x08", Format("application/gzip", "gz")),
)
_MP4_AUDIO = Format("audio/mp4", "m4a", Kind.AUDIO)
_MP4 = Format("video/mp4", "mp4", Kind.VIDEO)
_BRANDS = {
    b"M4A ": _MP4_AUDIO,
    b"M4B ": _MP4_AUDIO,
    b"qt  ": Format("video/quicktime", "mov", Kind.VIDEO),
    b"heic": Format("image/heic", "heic"),
    b"heix": Format("image/heic", "heic"),
    b"mif1": Format("image/heif", "heif"),
    b"avif": Format("image/avif", "avif"),
}


def recognise(head: bytes) -> Format:
    """The format of a file that begins with `head`; UNKNOWN for all that only a name could tell."""
    for signature, known in _SIGNATURES:
        if head.startswith(signature):
            return known
    if head[:4] == b"RIFF":
        return {b"WEBP": WEBP, b"WAVE": Format("audio/wav", "wav", Kind.AUDIO)}.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], _MP4)
    if head[:4] == b"\x1aE\xdf\xa3":
        webm = b"webm" in head[:64]
        return Format("video/webm", "webm", Kind.VIDEO) if webm else Format("video/x-matroska", "mkv", Kind.VIDEO)
    if head[:4] == b"OggS":
        video = b"\x80theora" in head[:256]
        return Format("video/ogg", "ogv", Kind.VIDEO) if video else Format("audio/ogg", "ogg", Kind.AUDIO)
    if head[:2] == b"BM" and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BITMAP_HEADERS:
        return BMP
    return UNKNOWN


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as an image's header states them; None where it states none."""
    reader = {PNG: _png, JPEG: _jpeg, GIF: _gif, WEBP: _webp, BMP: _bmp}.get(recognise(data[:HEAD_BYTES]))
    if reader is None:
        return None
    try:
        size = reader(data)
    except (struct.error, IndexError):
        return None
    return size if size is not None and min(size) > 0 else None


def _png(data: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack_from(">II", data, 16)
    return (width, height) if data[12:16] == b"IHDR" else None


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)  # a negative height: rows from top to bottom


def _webp(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    position = 2
    for _ in range(_MAX_SEGMENTS):
        while data[position] == 0xFF and data[position + 1] == 0xFF:
            position += 1
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a body
            position += 2
            continue
        position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])
    return None


class SmallPicture(msgspec.Struct, frozen=True):
    """An encoded thumbnail."""

    data: bytes
    format: Format
    width: int
    height: int


class Picture(msgspec.Struct, frozen=True):
    """An image that was decoded without trouble."""

    format: Format
    width: int
    height: int
    """As shown: a picture taken upright is upright."""
    thumbnail: SmallPicture | None
    """None where the image itself is small."""


class Images(abc.ABC):
    """Decodes images, few at a time."""

    @abc.abstractmethod
    async def inspect(self, read: Callable[[], Awaitable[bytes]]) -> Picture:
        """Decode an image wholly and make its thumbnail. `read` is called when it is this image's turn, so that waiting
        ones take no memory. Raises NotAnImage, ImageTooLarge, ImagesBusy."""
