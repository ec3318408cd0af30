"""Uploads: what they become, who may feed them, that they end once, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from testkit.media import SMALL_SHARD, MediaWorld, media_world, picture, read_blob, stage
from xinyu.kernel.ids import MediaId, UploadId, UserId, new_hex_id
from xinyu.media.errors import (
    BadPart,
    BadUpload,
    BlobsFull,
    EmoticonNotFound,
    FileTooLarge,
    MediaNotFound,
    NotAnImage,
    PartConflict,
    TooManyEmoticons,
    TooManyUploads,
    UploadBusy,
    UploadExpired,
    UploadNotFound,
)
from xinyu.media.filing import clean_name
from xinyu.media.settings import MediaSettings
from xinyu.media.types import BlobKey, Kind, MediaObject, Staged, UploadState

ME, YOU = UserId(1), UserId(2)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[MediaWorld]:
    settings = MediaSettings(
        shard_bytes=SMALL_SHARD, max_file_bytes=100 * SMALL_SHARD, max_open_uploads=3, max_emoticons=2, min_free_bytes=0
    )
    async with media_world(tmp_path, settings) as world:
        yield world


def parts_of(data: bytes) -> list[bytes]:
    return [data[start : start + SMALL_SHARD] for start in range(0, len(data), SMALL_SHARD)]


async def send_part(world: MediaWorld, upload: UploadState, index: int, data: bytes) -> UploadState:
    """As the gateway does it: stage, hand over, discard what was not kept."""
    staged = await stage(world.blobs, data)
    try:
        return await world.uploads.store_part(ME, upload.upload_id, index, staged)
    finally:
        await world.blobs.discard(staged.staged_id)


async def _full(_keys: list[BlobKey]) -> Staged:
    raise BlobsFull()


async def send_all(world: MediaWorld, data: bytes, name: str = "a.bin") -> MediaObject:
    upload = await world.uploads.open_upload(ME, name, len(data))
    for index, part in enumerate(parts_of(data), 1):
        upload = await send_part(world, upload, index, part)
    assert upload.media is not None
    return upload.media


async def test_parts_in_any_order_become_the_file(world: MediaWorld) -> None:
    data = os.urandom(3 * SMALL_SHARD + 100)
    upload = await world.uploads.open_upload(ME, "../../Bericht\x00.tar", len(data))
    assert (upload.shard_size, upload.shard_num, upload.uploaded) == (SMALL_SHARD, 4, [])
    for index in (4, 2, 1):
        state = await send_part(world, upload, index, parts_of(data)[index - 1])
        assert state.media is None
    assert (await world.uploads.resume_upload(ME, upload.upload_id)).uploaded == [1, 2, 4]
    state = await send_part(world, upload, 3, parts_of(data)[2])
    assert state.media is not None and state.uploaded == [1, 2, 3, 4]
    assert (state.media.name, state.media.size, state.media.kind) == ("Bericht.tar", len(data), Kind.FILE)
    assert state.media.mime == "application/octet-stream"
    assert await read_blob(world.blobs, state.media.blob) == data
    assert await world.media.get_by_upload(ME, upload.upload_id) == state.media
    assert len(world.files()) == 1


async def test_a_repeated_part_changes_nothing_and_other_bytes_are_refused(world: MediaWorld) -> None:
    data = os.urandom(2 * SMALL_SHARD)
    upload = await world.uploads.open_upload(ME, "a", len(data))
    for _ in range(2):
        state = await send_part(world, upload, 1, data[:SMALL_SHARD])
        assert (state.uploaded, state.media) == ([1], None)
    with pytest.raises(PartConflict):
        await send_part(world, upload, 1, os.urandom(SMALL_SHARD))
    assert len(world.files()) == 1
    done = await send_part(world, upload, 2, data[SMALL_SHARD:])
    again = await send_part(world, upload, 2, data[SMALL_SHARD:])
    assert done.media is not None and again.media == done.media
    assert await read_blob(world.blobs, done.media.blob) == data
    assert len(world.files()) == 1


async def test_the_same_call_twice_is_as_good_as_once(world: MediaWorld) -> None:
    upload = await world.uploads.open_upload(ME, "a", SMALL_SHARD * 2)
    first, second = await stage(world.blobs, b"1" * SMALL_SHARD), await stage(world.blobs, b"2" * SMALL_SHARD)
    for _ in range(2):
        assert (await world.uploads.store_part(ME, upload.upload_id, 1, first)).uploaded == [1]
    states = [await world.uploads.store_part(ME, upload.upload_id, 2, second) for _ in range(2)]
    assert states[0].media == states[1].media is not None
    image = await stage(world.blobs, picture())
    assert await world.uploads.store_image(ME, image, "x") == await world.uploads.store_image(ME, image, "x")


async def test_two_last_parts_at_once_complete_once(world: MediaWorld) -> None:
    data = os.urandom(4 * SMALL_SHARD)
    upload = await world.uploads.open_upload(ME, "a", len(data))
    parts = list(enumerate(parts_of(data), 1))
    states = await asyncio.gather(*(send_part(world, upload, index, part) for index, part in parts + parts))
    made = {state.media.media_id: state.media for state in states if state.media}  # by whoever found all parts there
    assert len(made) == 1
    assert await read_blob(world.blobs, next(iter(made.values())).blob) == data
    assert len(world.files()) == 1


async def test_two_processes_complete_once(world: MediaWorld) -> None:
    data = os.urandom(2 * SMALL_SHARD)
    upload = await world.uploads.open_upload(ME, "a", len(data))
    await send_part(world, upload, 1, data[:SMALL_SHARD])
    last = [await stage(world.blobs, data[SMALL_SHARD:]) for _ in range(2)]
    other = world.another_process()

    async def in_time(work: asyncio.Task[UploadState]) -> UploadState:
        while not work.done():
            await world.clock.advance(0.1)
            await asyncio.wait([work], timeout=0.01)
        return await work

    here = asyncio.create_task(world.uploads.store_part(ME, upload.upload_id, 2, last[0]))
    there = asyncio.create_task(other.store_part(ME, upload.upload_id, 2, last[1]))
    states = await asyncio.gather(in_time(here), in_time(there))
    assert states[0].media is not None and states[0].media == states[1].media


async def test_a_process_that_died_while_assembling_is_waited_for_then_replaced(
    world: MediaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await world.uploads.open_upload(ME, "a", SMALL_SHARD)
    monkeypatch.setattr(world.blobs, "join", _full)
    with pytest.raises(BlobsFull):
        await send_part(world, upload, 1, b"x" * SMALL_SHARD)
    monkeypatch.undo()
    now_ms = world.clock.now_ms()
    assert await world.store.claim_assembly(upload.upload_id, "dead", now_ms, now_ms + 120_000) is not None
    waiting = asyncio.create_task(send_part(world, upload, 1, b"x" * SMALL_SHARD))
    while not waiting.done():
        await world.clock.advance(1)
        await asyncio.wait([waiting], timeout=0.01)
    with pytest.raises(UploadBusy):
        await waiting
    world.clock.jump(120)
    assert (await send_part(world, upload, 1, b"x" * SMALL_SHARD)).media is not None


async def _any_part(world: MediaWorld, upload: UploadState, data: bytes) -> UploadState:
    return await send_part(world, upload, 1, data)


async def _resume(world: MediaWorld, upload: UploadState, _data: bytes) -> UploadState:
    return await world.uploads.resume_upload(ME, upload.upload_id)


@pytest.mark.parametrize("again", [_any_part, _resume])
async def test_when_there_is_no_room_the_parts_wait_and_the_next_request_tries_again(
    world: MediaWorld,
    monkeypatch: pytest.MonkeyPatch,
    again: Callable[[MediaWorld, UploadState, bytes], Awaitable[UploadState]],
) -> None:
    data = os.urandom(2 * SMALL_SHARD)
    upload = await world.uploads.open_upload(ME, "a", len(data))
    await send_part(world, upload, 1, data[:SMALL_SHARD])
    monkeypatch.setattr(world.blobs, "join", _full)
    with pytest.raises(BlobsFull):
        await send_part(world, upload, 2, data[SMALL_SHARD:])
    assert len(world.files("staging")) == 0
    monkeypatch.undo()
    state = await again(world, upload, data[:SMALL_SHARD])
    assert state.media is not None and await read_blob(world.blobs, state.media.blob) == data


async def test_a_caller_that_leaves_does_not_stop_the_assembly(world: MediaWorld) -> None:
    upload = await world.uploads.open_upload(ME, "a", SMALL_SHARD)
    staged = await stage(world.blobs, b"x" * SMALL_SHARD)
    begun, go, real = asyncio.Event(), asyncio.Event(), world.blobs.join

    async def slow(keys: list[BlobKey]) -> Staged:
        begun.set()
        await go.wait()
        return await real(keys)

    world.blobs.join = slow  # type: ignore[method-assign]  # held until the caller has left
    caller = asyncio.create_task(world.uploads.store_part(ME, upload.upload_id, 1, staged))
    await begun.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    go.set()
    again = await stage(world.blobs, b"x" * SMALL_SHARD)
    assert (await world.uploads.store_part(ME, upload.upload_id, 1, again)).media is not None


@pytest.mark.parametrize(
    ("index", "size", "count"),
    [(0, SMALL_SHARD, 0), (3, 10, 0), (-1, SMALL_SHARD, 0), (1, SMALL_SHARD - 1, 0), (2, 11, 0), (2, 10, 3)],
)
async def test_parts_must_fit(world: MediaWorld, index: int, size: int, count: int) -> None:
    upload = await world.uploads.open_upload(ME, "a", SMALL_SHARD + 10)
    staged = await stage(world.blobs, b"x" * size)
    with pytest.raises(BadPart):
        await world.uploads.store_part(ME, upload.upload_id, index, staged, count)
    assert (await world.uploads.resume_upload(ME, upload.upload_id)).uploaded == []


async def test_nobody_sees_or_feeds_the_upload_of_another(world: MediaWorld) -> None:
    upload = await world.uploads.open_upload(ME, "a", SMALL_SHARD)
    staged = await stage(world.blobs, b"x" * SMALL_SHARD)
    for work in (
        world.uploads.resume_upload(YOU, upload.upload_id),
        world.uploads.store_part(YOU, upload.upload_id, 1, staged),
        world.media.get_by_upload(YOU, upload.upload_id),
    ):
        with pytest.raises(UploadNotFound):
            await work
    await world.uploads.store_part(ME, upload.upload_id, 1, staged)
    with pytest.raises(UploadNotFound):
        await world.media.get_by_upload(YOU, upload.upload_id)
    for strange in ("", "../" + upload.upload_id, new_hex_id()):
        with pytest.raises(UploadNotFound):
            await world.uploads.resume_upload(ME, UploadId(strange))


async def test_uploads_have_limits(world: MediaWorld) -> None:
    for name, size in (("", 5), ("a", 0), ("a", -1)):
        with pytest.raises(BadUpload):
            await world.uploads.open_upload(ME, name, size)
    with pytest.raises(FileTooLarge):
        await world.uploads.open_upload(ME, "a", 100 * SMALL_SHARD + 1)
    uploads = [await world.uploads.open_upload(ME, "a", 1) for _ in range(3)]
    with pytest.raises(TooManyUploads):
        await world.uploads.open_upload(ME, "a", 1)
    await world.uploads.open_upload(YOU, "a", 1)
    await send_part(world, uploads[0], 1, b"x")
    await world.uploads.open_upload(ME, "a", 1)


async def test_an_upload_nobody_finished_is_over_and_swept(world: MediaWorld) -> None:
    kept = await send_all(world, b"done" * 10)
    upload = await world.uploads.open_upload(ME, "a", 2 * SMALL_SHARD)
    await send_part(world, upload, 1, b"x" * SMALL_SHARD)
    await world.sweep.sweep()
    assert (await world.uploads.resume_upload(ME, upload.upload_id)).uploaded == [1]
    world.clock.jump(world.settings.upload_keep_seconds)
    with pytest.raises(UploadExpired):
        await send_part(world, upload, 2, b"y" * SMALL_SHARD)
    await world.sweep.sweep()
    with pytest.raises(UploadNotFound):
        await world.uploads.resume_upload(ME, upload.upload_id)
    assert await world.media.get_object(kept.media_id) == kept
    assert [path.name for path in world.files()] == [kept.sha256]


async def test_the_sweep_takes_staged_bytes_of_the_dead(world: MediaWorld) -> None:
    await stage(world.blobs, b"nobody's")
    for path in world.files():
        os.utime(path, (1000, 1000))
    run = asyncio.create_task(world.sweep.run())
    while world.files():
        await asyncio.wait([run], timeout=0.01)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_an_image_is_stored_once_per_owner_and_its_bytes_once(world: MediaWorld) -> None:
    data = picture("PNG", (900, 450))
    mine, again, yours = [
        await world.uploads.store_image(owner, await stage(world.blobs, data), "a.exe") for owner in (ME, ME, YOU)
    ]
    assert mine == again and mine.media_id != yours.media_id and mine.blob == yours.blob
    assert (mine.kind, mine.mime, mine.width, mine.height) == (Kind.IMAGE, "image/png", 900, 450)
    assert mine.url == f"/media/2023/11/14/{mine.media_id}.png"
    assert mine.thumbnail is not None
    assert mine.thumbnail.url == f"/media/2023/11/14/{mine.media_id}_thumb.jpg"
    assert (mine.thumbnail.width, mine.thumbnail.height) == (400, 200)
    assert len(await read_blob(world.blobs, mine.thumbnail.blob)) == mine.thumbnail.size
    assert len(world.files("sha256")) == 2


async def test_what_is_no_image_is_not_stored(world: MediaWorld) -> None:
    staged = await stage(world.blobs, b"<html>")
    with pytest.raises(NotAnImage):
        await world.uploads.store_image(ME, staged, "cat.png")
    await world.blobs.discard(staged.staged_id)
    assert world.files() == []


async def test_an_image_in_parts_is_an_image_and_a_torn_one_is_a_mere_file(world: MediaWorld) -> None:
    data = picture("BMP", (60, 40))
    whole = await send_all(world, data, "x.bmp")
    assert (whole.kind, whole.width, whole.height) == (Kind.IMAGE, 60, 40)
    torn = await send_all(world, data[:-50], "x.bmp")
    assert (torn.kind, torn.mime, torn.url[-4:]) == (Kind.FILE, "application/octet-stream", ".bin")


async def test_emoticons_are_a_users_own_list(world: MediaWorld) -> None:
    images = [
        await world.uploads.store_image(YOU, await stage(world.blobs, picture(color=color)), "x")
        for color in ("red", "blue", "green")
    ]
    assert await world.emoticons.list_emoticons(ME) == []
    first = await world.emoticons.add_emoticon(ME, images[0].media_id)
    assert await world.emoticons.add_emoticon(ME, images[0].media_id) == first
    second = await world.emoticons.add_emoticon(ME, images[1].media_id)
    assert await world.emoticons.list_emoticons(ME) == [first, second]
    with pytest.raises(TooManyEmoticons):
        await world.emoticons.add_emoticon(ME, images[2].media_id)
    await world.emoticons.remove_emoticon(YOU, first.emoticon_id)
    assert await world.emoticons.get_emoticon(ME, first.emoticon_id) == first
    await world.emoticons.remove_emoticon(ME, second.emoticon_id)
    third = await world.emoticons.add_emoticon(ME, images[2].media_id)
    assert third.emoticon_id > second.emoticon_id
    with pytest.raises(EmoticonNotFound):
        await world.emoticons.get_emoticon(YOU, first.emoticon_id)
    with pytest.raises(MediaNotFound):
        await world.emoticons.add_emoticon(ME, MediaId(new_hex_id()))
    with pytest.raises(NotAnImage):
        await world.emoticons.add_emoticon(ME, (await send_all(world, b"text")).media_id)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("报告.pdf", "报告.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\a.txt", "a.txt"),
        ("a\r\nSet-Cookie: b", "aSet-Cookie: b"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("  . .. ", "file.bin"),
        ("/", "file.bin"),
        ("x" * 300 + ".tar", "x" * 196 + ".tar"),
        ("x" * 300, "x" * 200),
    ],
)
def test_names_are_cleaned(name: str, clean: str) -> None:
    assert clean_name(name, "bin") == clean
