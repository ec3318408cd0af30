"""The media domain."""

from __future__ import annotations

from pathlib import Path

from dependency_injector import providers

from xinyu.app.containers.infrastructure import Infrastructure, database_of
from xinyu.app.settings import Settings
from xinyu.media.assembly import Assembler, UploadSweep
from xinyu.media.blobs_local import LocalBlobs
from xinyu.media.filing import Filing
from xinyu.media.images_pillow import PillowImages
from xinyu.media.service import EmoticonService, MediaService
from xinyu.media.store_sql import MediaStoreSql
from xinyu.media.uploads import UploadService


def _blobs(settings: Settings) -> LocalBlobs:
    folder = Path(settings.media.blob_dir.replace("{data_dir}", str(settings.data_dir)))
    return LocalBlobs(folder, settings.media.min_free_bytes)


class MediaContainer(Infrastructure):
    """Uploads, objects, emoticons; the blob store, which gateways open too."""

    _mine = Infrastructure.settings.provided.media
    media_db = database_of("media")
    media_store = providers.Singleton(MediaStoreSql, media_db)
    blobs = providers.Singleton(_blobs, Infrastructure.settings)
    images = providers.Singleton(
        PillowImages, _mine.max_image_pixels, _mine.thumbnail_pixels, _mine.image_workers, _mine.image_queue
    )
    filing = providers.Singleton(Filing, blobs, images, Infrastructure.clock, _mine)
    assembler = providers.Singleton(Assembler, media_store, blobs, filing, Infrastructure.clock, _mine)
    upload_service = providers.Singleton(
        UploadService, media_store, blobs, filing, assembler, Infrastructure.clock, _mine
    )
    media_service = providers.Singleton(MediaService, media_store)
    emoticon_service = providers.Singleton(EmoticonService, media_store, Infrastructure.clock, _mine)
    upload_sweep = providers.Singleton(UploadSweep, media_store, blobs, Infrastructure.clock, _mine)
