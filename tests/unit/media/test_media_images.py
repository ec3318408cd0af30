"""Images are decoded wholly, within limits, and few at a time."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator

import pytest
from PIL import Image

from testkit.media import picture
from testkit.waiting import eventually
from xinyu.media.errors import ImagesBusy, ImageTooLarge, NotAnImage
from xinyu.media.formats import JPEG, PNG
from xinyu.media.images_pillow import PillowImages


@pytest.fixture
def images() -> Iterator[PillowImages]:
    images = PillowImages(max_pixels=1_000_000, thumbnail_pixels=100, workers=1, queue=1)
    yield images
    images.close()


def reading(data: bytes) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        return data

    return read


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that claims many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
async def test_a_thumbnail_fits_its_box(images: PillowImages, format: str) -> None:
    found = await images.inspect(reading(picture(format, (800, 400))))
    assert (found.width, found.height) == (800, 400)
    assert found.thumbnail is not None
    assert (found.thumbnail.width, found.thumbnail.height) == (100, 50)
    with Image.open(io.BytesIO(found.thumbnail.data)) as small:
        assert small.size == (100, 50)
        assert small.convert("RGB").getpixel((5, 5))[0] > 200


async def test_transparency_survives_in_a_png(images: PillowImages) -> None:
    found = await images.inspect(reading(picture("PNG", (200, 200), "#ff000000", "RGBA")))
    assert found.thumbnail is not None and found.thumbnail.format is PNG
    with Image.open(io.BytesIO(found.thumbnail.data)) as small:
        assert small.getpixel((1, 1))[3] == 0


async def test_a_small_image_is_its_own_thumbnail(images: PillowImages) -> None:
    assert (await images.inspect(reading(picture("PNG", (100, 100))))).thumbnail is None


async def test_a_turned_photo_stands_upright_and_its_place_stays_out_of_the_thumbnail(images: PillowImages) -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    Image.new("RGB", (400, 200), "blue").save(out, "JPEG", exif=exif)
    found = await images.inspect(reading(out.getvalue()))
    assert (found.width, found.height) == (200, 400)
    assert found.thumbnail is not None and found.thumbnail.format is JPEG
    with Image.open(io.BytesIO(found.thumbnail.data)) as small:
        assert small.size == (50, 100)
        assert not small.getexif()


@pytest.mark.parametrize("size", [(1_000_001, 1), (1001, 1000), (60_000, 60_000)])
async def test_too_many_pixels_are_refused_before_decoding(images: PillowImages, size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge):
        await images.inspect(reading(bomb(*size)))


async def test_a_gif_whose_frame_outgrows_its_screen_is_refused(images: PillowImages) -> None:
    data = bytearray(picture("GIF", (10, 10)))
    at = data.index(b",\0\0\0\0\x0a\0\x0a\0")
    data[at + 5 : at + 9] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises((ImageTooLarge, NotAnImage)):
        await images.inspect(reading(bytes(data)))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
async def test_a_torn_image_is_none(images: PillowImages, format: str) -> None:
    out = io.BytesIO()
    Image.effect_noise((300, 300), 80).convert("RGB").save(out, format)
    whole = out.getvalue()
    with pytest.raises(NotAnImage):
        await images.inspect(reading(whole[: len(whole) // 2]))


@pytest.mark.parametrize("data", [b"", b"text", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
async def test_other_bytes_are_no_image(images: PillowImages, data: bytes) -> None:
    with pytest.raises(NotAnImage):
        await images.inspect(reading(data))


async def test_one_at_a_time_is_read_and_too_many_waiting_are_refused(images: PillowImages) -> None:
    go, read = asyncio.Event(), []

    async def slow(number: int) -> bytes:
        read.append(number)
        await go.wait()
        return picture()

    first = asyncio.create_task(images.inspect(lambda: slow(1)))
    second = asyncio.create_task(images.inspect(lambda: slow(2)))
    await eventually(lambda: read == [1])
    with pytest.raises(ImagesBusy) as refused:
        await images.inspect(lambda: slow(3))
    assert refused.value.retry_after_ms
    assert [value for _, _, value in images.readings()] == [2, 1]
    assert read == [1]
    go.set()
    assert (await first).width == (await second).width == 8
    assert (await images.inspect(reading(picture()))).height == 6
