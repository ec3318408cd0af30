"""What bytes are is read from the bytes."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testkit.media import picture
from xinyu.media.formats import UNKNOWN, image_size, recognise
from xinyu.media.types import Kind


@pytest.mark.parametrize(
    ("format", "mime", "extension"),
    [
        ("PNG", "image/png", "png"),
        ("JPEG", "image/jpeg", "jpg"),
        ("GIF", "image/gif", "gif"),
        ("WEBP", "image/webp", "webp"),
        ("BMP", "image/bmp", "bmp"),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (300, 7), (65, 1200)])
def test_images_are_known_by_content_and_their_size_read_from_the_header(
    format: str, mime: str, extension: str, size: tuple[int, int]
) -> None:
    data = picture(format, size)
    known = recognise(data)
    assert (known.mime, known.extension, known.kind) == (mime, extension, Kind.IMAGE)
    assert image_size(data) == size


def test_lossless_and_extended_webp_state_their_size_too() -> None:
    assert image_size(picture("WEBP", (33, 44), "#ff000080", "RGBA")) == (33, 44)


def test_a_progressive_header_after_filler_is_found() -> None:
    frame = b"\xff\xc2" + struct.pack(">HBHH", 11, 8, 480, 640) + b"\x01\x01\x11\x00"
    data = b"\xff\xd8" + b"\xff\xff\xff\xe0" + struct.pack(">H", 6) + b"JFIF" + frame
    assert image_size(data) == (640, 480)


@pytest.mark.parametrize(
    ("head", "mime", "kind"),
    [
        (b"\x00\x00\x00\x20ftypisom", "video/mp4", Kind.VIDEO),
        (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4", Kind.AUDIO),
        (b"\x1aE\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x1fB\x82\x84webm", "video/webm", Kind.VIDEO),
        (b"OggS\x00\x02", "audio/ogg", Kind.AUDIO),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav", Kind.AUDIO),
        (b"ID3\x04\x00", "audio/mpeg", Kind.AUDIO),
        (b"%PDF-1.7", "application/pdf", Kind.FILE),
        (b"PK\x03\x04\x14\x00", "application/zip", Kind.FILE),
    ],
)
def test_other_kinds_by_signature(head: bytes, mime: str, kind: Kind) -> None:
    assert (recognise(head).mime, recognise(head).kind) == (mime, kind)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<!doctype html><script>", b"BM is a tune"]
)
def test_what_only_a_name_could_tell_is_unknown(data: bytes) -> None:
    assert recognise(data) is UNKNOWN


def test_a_header_may_state_a_size_that_no_decoder_should_see() -> None:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    assert image_size(bomb) == (60_000, 60_000)


_STARTS = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBPVP8X",
    b"BM",
    b"RIFF\0\0\0\0WEBPVP8 ",
]


@given(st.sampled_from(_STARTS), st.binary(max_size=200))
def test_any_bytes_give_a_format_and_a_size_or_none(start: bytes, rest: bytes) -> None:
    recognise(start + rest)
    size = image_size(start + rest)
    assert size is None or min(size) > 0
