"""How uploads in parts end: put together once, or over.

Any process may put an upload together; it claims it first, with a lease. That two of them finish does no harm: the
object's origin is unique, so the second finds the first one's object.
"""

from __future__ import annotations

import asyncio

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError, code_of
from xinyu.kernel.ids import UploadId, new_hex_id
from xinyu.media.errors import BlobMissing, BlobsUnavailable, UploadBusy, UploadNotFound
from xinyu.media.filing import Filing
from xinyu.media.port import Blobs
from xinyu.media.settings import MediaSettings
from xinyu.media.store import MediaStore, Upload
from xinyu.media.types import MediaObject, Staged
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
_POLL_SECONDS = 0.1
_SWEEP_BATCH = 100


def upload_origin(upload_id: UploadId) -> str:
    """The origin of the object that an upload becomes."""
    return f"upload.{upload_id}"


class Assembler:
    """Puts complete uploads together, each at most once at a time."""

    def __init__(self, store: MediaStore, blobs: Blobs, filing: Filing, clock: Clock, settings: MediaSettings) -> None:
        self._store = store
        self._blobs = blobs
        self._filing = filing
        self._clock = clock
        self._settings = settings
        self._running: dict[UploadId, asyncio.Task[MediaObject]] = {}

    async def assemble(self, upload_id: UploadId) -> MediaObject:
        """The object of an upload whose parts are all there. A caller that leaves does not stop the work. Raises
        UploadBusy, UploadNotFound, BlobsFull; then the parts are still there, and resuming, or any part sent again,
        tries again."""
        task = self._running.get(upload_id)
        if task is None:
            task = asyncio.create_task(self._claim_and_join(upload_id), name=f"assemble {upload_id}")
            self._running[upload_id] = task
            task.add_done_callback(lambda done: self._ended(upload_id, done))
        return await asyncio.shield(task)

    def _ended(self, upload_id: UploadId, task: asyncio.Task[MediaObject]) -> None:
        self._running.pop(upload_id, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.warning(
                "an upload could not be put together; its parts wait",
                upload_id=upload_id,
                error=code_of(error),
                reason=repr(error),
            )

    async def _claim_and_join(self, upload_id: UploadId) -> MediaObject:
        deadline = self._clock.monotonic() + self._settings.assembly_wait_seconds
        while True:
            now_ms, claim = self._clock.now_ms(), new_hex_id()
            until_ms = now_ms + self._settings.assembly_lease_seconds * 1000
            upload = await self._store.claim_assembly(upload_id, claim, now_ms, until_ms)
            if upload is not None:
                return await self._join(upload, claim)
            done = await self._store.find_by_origin(upload_origin(upload_id))
            if done is not None:
                return done
            if await self._store.find_upload(upload_id) is None:
                raise UploadNotFound()
            if self._clock.monotonic() >= deadline:
                raise UploadBusy()
            await self._clock.sleep(_POLL_SECONDS)

    async def _join(self, upload: Upload, claim: str) -> MediaObject:
        staged: Staged | None = None
        try:
            staged = await self._blobs.join([part.blob for part in upload.parts])
            if staged.size != upload.size:
                raise BlobsUnavailable("the stored parts are not as long as they were")
            media = await self._filing.file_any(upload.owner_id, staged, upload.name, upload.upload_id)
            stored = await self._store.finish_upload(upload.upload_id, media, upload_origin(upload.upload_id))
        except BaseException as error:
            if isinstance(error, BlobMissing):  # the parts are gone when another claim was faster
                done = await self._store.find_by_origin(upload_origin(upload.upload_id))
                if done is not None:
                    return done
            await self._store.release_assembly(upload.upload_id, claim)
            raise
        finally:
            if staged is not None:
                await self._blobs.discard(staged.staged_id)
        try:
            await self._blobs.delete([part.blob for part in upload.parts])
        except XinyuError as error:
            log.warning("parts of a finished upload stay until the next sweep", error=error.code)
        return stored


class UploadSweep:
    """The background run that removes what nobody finished: expired uploads, their parts, bytes nobody kept."""

    def __init__(self, store: MediaStore, blobs: Blobs, clock: Clock, settings: MediaSettings) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._settings = settings

    async def run(self) -> None:
        """Sweep now and then, for ever."""
        while True:
            await self.sweep()
            await self._clock.sleep(self._settings.sweep_seconds)

    async def sweep(self) -> None:
        """Remove all that is over now, in batches."""
        now_ms = self._clock.now_ms()
        while (blobs := await self._store.remove_expired(now_ms, _SWEEP_BATCH)) is not None:
            await self._blobs.delete(blobs)
        staged_before_ms = now_ms - self._settings.staged_keep_seconds * 1000
        # a part as old as this belongs to no living upload: its bytes outlived their row when a process died
        parts_before_ms = now_ms - (self._settings.upload_keep_seconds + self._settings.staged_keep_seconds) * 1000
        removed = _SWEEP_BATCH
        while removed == _SWEEP_BATCH:
            removed = await self._blobs.sweep(staged_before_ms, parts_before_ms, _SWEEP_BATCH)
