"""Images by Pillow, on a few threads: it lets go of the interpreter while it decodes and scales."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from PIL import Image, ImageOps

from xinyu.media.errors import ImagesBusy, ImageTooLarge, NotAnImage
from xinyu.media.formats import (
    BMP,
    GIF,
    HEAD_BYTES,
    JPEG,
    PNG,
    WEBP,
    Format,
    Images,
    Picture,
    SmallPicture,
    image_size,
    recognise,
)
from xinyu.telemetry.readings import Reading

_DECODERS = {PNG: "PNG", JPEG: "JPEG", GIF: "GIF", WEBP: "WEBP", BMP: "BMP"}
RETRY_MS = 1000
_TRANSPARENT = frozenset(("RGBA", "LA", "PA", "RGBa", "La"))


class PillowImages(Images):
    """At most `workers` images are in memory; more than `queue` waiting ones are refused."""

    def __init__(self, max_pixels: int, thumbnail_pixels: int, workers: int, queue: int) -> None:
        self._max_pixels = max_pixels
        self._box = thumbnail_pixels
        self._room = workers + queue
        self._present = 0
        self._refused = 0
        self._turn = asyncio.Semaphore(workers)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="images")

    async def inspect(self, read: Callable[[], Awaitable[bytes]]) -> Picture:
        if self._present >= self._room:
            self._refused += 1
            raise ImagesBusy(retry_after_ms=RETRY_MS)
        self._present += 1
        try:
            async with self._turn:
                data = await read()
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._inspect, data)
        finally:
            self._present -= 1

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_images_waiting", "Images that are checked or wait for it.", self._present),
            ("xinyu_images_refused_total", "Images refused because too many waited.", self._refused),
        ]

    def close(self) -> None:
        """Finish what runs."""
        self._threads.shutdown()

    def _inspect(self, data: bytes) -> Picture:
        known = recognise(data[:HEAD_BYTES])
        decoder, size = _DECODERS.get(known), image_size(data)
        if decoder is None or size is None:
            raise NotAnImage()
        self._check(size)
        try:
            with Image.open(io.BytesIO(data), formats=[decoder]) as image:
                self._check(image.size)  # what will be decoded, whatever the header said above
                return self._decode(image, known)
        except ImageTooLarge:
            raise
        except Exception as error:  # decoders raise whatever comes to their minds when bytes are damaged
            raise NotAnImage() from error

    def _check(self, size: tuple[int, int]) -> None:
        if size[0] * size[1] > self._max_pixels:
            raise ImageTooLarge(max_pixels=self._max_pixels)

    def _decode(self, image: Image.Image, known: Format) -> Picture:
        width, height = image.size
        if image.getexif().get(0x0112, 1) in (5, 6, 7, 8):  # turned by a quarter when shown
            width, height = height, width
        if max(width, height) <= self._box:
            image.load()
            return Picture(known, width, height, None)
        image.draft(None, (self._box * 2, self._box * 2))  # JPEG: decode at a fraction of the size
        image.load()
        return Picture(known, width, height, self._thumbnail(image))

    def _thumbnail(self, image: Image.Image) -> SmallPicture:
        transparent = image.mode in _TRANSPARENT or "transparency" in image.info
        small = image.convert("RGBA" if transparent else "RGB")
        small.thumbnail((self._box, self._box))
        small = ImageOps.exif_transpose(small)
        small.info.clear()  # no place, camera or comment travels on in a thumbnail
        out = io.BytesIO()
        if transparent:
            small.save(out, "PNG")
        else:
            small.save(out, "JPEG", quality=82)
        return SmallPicture(out.getvalue(), PNG if transparent else JPEG, small.width, small.height)
