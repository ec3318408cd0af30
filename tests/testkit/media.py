"""The media domain over a real database and folder, and images to feed it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from testkit.clock import ManualClock
from xinyu.media import blobs_local
from xinyu.media.assembly import Assembler, UploadSweep
from xinyu.media.blobs_local import LocalBlobs
from xinyu.media.filing import Filing
from xinyu.media.images_pillow import PillowImages
from xinyu.media.port import Blobs
from xinyu.media.service import EmoticonService, MediaService
from xinyu.media.settings import MediaSettings
from xinyu.media.store_sql import MediaStoreSql
from xinyu.media.types import BlobKey, Staged
from xinyu.media.uploads import UploadService
from xinyu.storage.migrations import History, upgrade
from xinyu.storage.sql import Database, SqliteDatabase

HISTORY = History("media", Path(blobs_local.__file__).parent / "migrations")
SMALL_SHARD = 1024


@dataclass
class MediaWorld:
    """All of the media domain, wired."""

    root: Path
    clock: ManualClock
    settings: MediaSettings
    blobs: LocalBlobs
    store: MediaStoreSql
    images: PillowImages
    filing: Filing
    uploads: UploadService
    media: MediaService
    emoticons: EmoticonService
    sweep: UploadSweep

    def another_process(self) -> UploadService:
        """The upload service of a second process on the same database and folder."""
        assembler = Assembler(self.store, self.blobs, self.filing, self.clock, self.settings)
        return UploadService(self.store, self.blobs, self.filing, assembler, self.clock, self.settings)

    def files(self, folder: str = "") -> list[Path]:
        """All files below the blob folder, or one part of it."""
        return sorted(path for path in (self.root / folder).rglob("*") if path.is_file())


@asynccontextmanager
async def media_world(folder: Path, settings: MediaSettings | None = None) -> AsyncIterator[MediaWorld]:
    """A world on SQLite in `folder`."""
    database: Database = SqliteDatabase(folder / "media.db")
    await database.start()
    await upgrade(database, HISTORY)
    settings = settings or MediaSettings(shard_bytes=SMALL_SHARD, min_free_bytes=0)
    clock, store, root = ManualClock(), MediaStoreSql(database), folder / "blobs"
    blobs = LocalBlobs(root, settings.min_free_bytes)
    images = PillowImages(
        settings.max_image_pixels, settings.thumbnail_pixels, settings.image_workers, settings.image_queue
    )
    filing = Filing(blobs, images, clock, settings)
    assembler = Assembler(store, blobs, filing, clock, settings)
    yield MediaWorld(
        root=root,
        clock=clock,
        settings=settings,
        blobs=blobs,
        store=store,
        images=images,
        filing=filing,
        uploads=UploadService(store, blobs, filing, assembler, clock, settings),
        media=MediaService(store),
        emoticons=EmoticonService(store, clock, settings),
        sweep=UploadSweep(store, blobs, clock, settings),
    )
    images.close()
    blobs.close()
    await database.stop()


async def stage(blobs: Blobs, data: bytes) -> Staged:
    """Staged bytes."""
    writer = await blobs.stage()
    await writer.write(data)
    return await writer.finish()


async def read_blob(blobs: Blobs, key: BlobKey, offset: int = 0, length: int | None = None) -> bytes:
    """Stored bytes."""
    reader = await blobs.open(key, offset, length)
    try:
        return b"".join([chunk async for chunk in reader.chunks()])
    finally:
        await reader.close()


def picture(format: str = "PNG", size: tuple[int, int] = (8, 6), color: str = "red", mode: str = "RGB") -> bytes:
    """An encoded image."""
    out = io.BytesIO()
    Image.new(mode, size, color).save(out, format)
    return out.getvalue()
