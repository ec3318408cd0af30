"""The media store means the same on every engine, and the ports say the same directly and encoded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from testkit.media import HISTORY, media_world, picture, stage
from xinyu.kernel.ids import MediaId, UploadId, UserId, new_hex_id
from xinyu.media.errors import NotAnImage, UploadNotFound
from xinyu.media.port import EmoticonPort, MediaPort, UploadPort, content_key, part_key
from xinyu.media.service import MediaService
from xinyu.media.store import Part, PartOutcome, Upload
from xinyu.media.store_sql import MediaStoreSql
from xinyu.media.tables import METADATA
from xinyu.media.types import BlobKey, Kind, MediaObject, StagedId, Thumbnail
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_loopback import LoopbackTransport
from xinyu.storage.migrations import upgrade
from xinyu.storage.sql import Database, open_database

ME, YOU = UserId(1), UserId(2)
NOW = 1_700_000_000_000
ENGINES = ["sqlite", pytest.param("mysql", marks=pytest.mark.engine)]


@pytest.fixture(params=ENGINES)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        dsn = f"sqlite:///{tmp_path / 'media.db'}"
    else:
        account_dsn: Callable[[str], str] = request.getfixturevalue("account_dsn")
        dsn = account_dsn("media")
    database = open_database(dsn)
    await database.start()
    await upgrade(database, HISTORY)
    yield database
    await database.stop()


@pytest.fixture
def store(database: Database) -> MediaStoreSql:
    return MediaStoreSql(database)


def upload(owner: UserId = ME, parts: int = 2, at_ms: int = NOW) -> Upload:
    return Upload(UploadId(new_hex_id()), owner, "名字 😀.bin", parts * 10, 10, parts, at_ms, at_ms + 1000)


def part(index: int, sha256: str = "a" * 64) -> Part:
    return Part(index, part_key(StagedId(new_hex_id())), 10, sha256)


def media(owner: UserId = ME, thumbnail: bool = False) -> MediaObject:
    media_id = MediaId(new_hex_id())
    small = Thumbnail(content_key("b" * 64), f"/media/2023/11/14/{media_id}_thumb.jpg", "image/jpeg", 9, 4, 3)
    return MediaObject(
        media_id=media_id,
        owner_id=owner,
        kind=Kind.IMAGE,
        name="图 😀.png",
        size=2**33,
        mime="image/png",
        sha256="a" * 64,
        url=f"/media/2023/11/14/{media_id}.png",
        created_at_ms=NOW,
        blob=content_key("a" * 64),
        width=40,
        height=30,
        thumbnail=small if thumbnail else None,
    )


async def test_the_schema_is_the_declared_one(database: Database) -> None:
    def columns(connection: Connection) -> dict[str, list[str]]:
        inspector = sa.inspect(connection)
        return {table: [column["name"] for column in inspector.get_columns(table)] for table in METADATA.tables}

    declared = {name: [column.name for column in table.columns] for name, table in METADATA.tables.items()}
    assert await database.read(columns) == declared


async def test_objects_are_found_by_id_and_origin(store: MediaStoreSql) -> None:
    plain, small = media(), media(thumbnail=True)
    assert await store.add_object(plain, "o.1") == plain
    assert await store.add_object(small, "o.2") == small
    assert await store.add_object(media(), "o.1") == plain
    assert await store.find_by_origin("o.2") == small
    assert await store.find_by_origin("o.3") is None
    found = await store.list_objects([plain.media_id, small.media_id, MediaId(new_hex_id())])
    assert sorted(item.media_id for item in found) == sorted([plain.media_id, small.media_id])
    assert await store.list_objects([]) == []


async def test_concurrent_objects_of_one_origin_are_one(store: MediaStoreSql) -> None:
    stored = await asyncio.gather(*(store.add_object(media(), "same") for _ in range(6)))
    assert len({item.media_id for item in stored}) == 1


async def test_parts_are_taken_once_while_the_upload_is_open(store: MediaStoreSql) -> None:
    item = upload()
    assert await store.add_upload(item, 5)
    second, first = part(2), part(1)
    assert await store.add_part(item.upload_id, second, NOW) is PartOutcome.ADDED
    assert await store.add_part(item.upload_id, first, NOW) is PartOutcome.ADDED
    assert await store.add_part(item.upload_id, part(1), NOW) is PartOutcome.PRESENT
    assert await store.add_part(item.upload_id, part(1, "c" * 64), NOW) is PartOutcome.CONFLICT
    assert await store.add_part(item.upload_id, part(1), NOW + 1000) is PartOutcome.CLOSED
    assert await store.add_part(UploadId(new_hex_id()), first, NOW) is PartOutcome.CLOSED
    found = await store.find_upload(item.upload_id)
    assert found is not None and found.parts == [first, second] and found.name == item.name
    assert await store.find_upload(UploadId(new_hex_id())) is None


async def test_the_same_part_at_once_is_added_once(store: MediaStoreSql) -> None:
    item = upload()
    await store.add_upload(item, 5)
    outcomes = await asyncio.gather(*(store.add_part(item.upload_id, part(1), NOW) for _ in range(5)))
    assert outcomes.count(PartOutcome.ADDED) == 1 and outcomes.count(PartOutcome.PRESENT) == 4


async def test_one_claim_holds_until_its_lease_ends(store: MediaStoreSql) -> None:
    item = upload()
    await store.add_upload(item, 5)
    await store.add_part(item.upload_id, part(1), NOW)
    assert await store.claim_assembly(item.upload_id, "a", NOW, NOW + 10) is None
    await store.add_part(item.upload_id, part(2), NOW)
    claims = await asyncio.gather(*(store.claim_assembly(item.upload_id, name, NOW, NOW + 10) for name in "abcd"))
    assert sum(claim is not None for claim in claims) == 1
    assert await store.add_part(item.upload_id, part(1), NOW) is PartOutcome.CLOSED
    await store.release_assembly(item.upload_id, "not mine")
    assert await store.claim_assembly(item.upload_id, "x", NOW + 9, NOW + 99) is None
    assert await store.claim_assembly(item.upload_id, "x", NOW + 10, NOW + 99) is not None
    await store.release_assembly(item.upload_id, "x")
    assert await store.claim_assembly(item.upload_id, "y", NOW + 11, NOW + 99) is not None


async def test_finishing_twice_is_one_object_and_the_parts_are_forgotten(store: MediaStoreSql) -> None:
    item = upload(parts=1)
    await store.add_upload(item, 5)
    await store.add_part(item.upload_id, part(1), NOW)
    one, other = await asyncio.gather(*(store.finish_upload(item.upload_id, media(), "u") for _ in range(2)))
    assert one == other
    found = await store.find_upload(item.upload_id)
    assert found is not None and (found.media_id, found.parts) == (one.media_id, [])
    assert await store.claim_assembly(item.upload_id, "late", NOW, NOW + 10) is None


async def test_unfinished_uploads_of_one_owner_are_counted(store: MediaStoreSql) -> None:
    done = upload()
    for item in (done, upload(), upload(YOU)):
        assert await store.add_upload(item, 2)
    assert not await store.add_upload(upload(), 2)
    await store.finish_upload(done.upload_id, media(), "u")
    assert await store.add_upload(upload(), 2)
    assert await store.add_upload(upload(at_ms=NOW + 1000), 2)


async def test_what_is_over_is_removed_but_not_under_a_living_claim(store: MediaStoreSql) -> None:
    over, held, young = upload(), upload(parts=1), upload(at_ms=NOW + 500)
    left = part(1)
    for item in (over, held, young):
        await store.add_upload(item, 9)
    await store.add_part(over.upload_id, left, NOW)
    await store.add_part(held.upload_id, part(1), NOW)
    assert await store.claim_assembly(held.upload_id, "a", NOW, NOW + 1200) is not None
    assert await store.remove_expired(NOW + 999, 10) is None
    assert await store.remove_expired(NOW + 1000, 10) == [left.blob]
    assert await store.remove_expired(NOW + 1000, 10) is None
    assert await store.find_upload(over.upload_id) is None
    assert await store.find_upload(held.upload_id) is not None
    assert await store.remove_expired(NOW + 1200, 10) is not None
    assert await store.find_upload(young.upload_id) is not None


async def test_emoticons(store: MediaStoreSql) -> None:
    images = [await store.add_object(media(), f"o.{number}") for number in range(3)]
    first = await store.add_emoticon(ME, images[0].media_id, NOW, 2)
    assert first is not None and await store.add_emoticon(ME, images[0].media_id, NOW, 2) == first
    second = await store.add_emoticon(ME, images[1].media_id, NOW, 2)
    assert second is not None and second > first
    assert await store.add_emoticon(ME, images[2].media_id, NOW, 2) is None
    await store.remove_emoticon(YOU, first)
    assert [(item.emoticon_id, item.media) for item in await store.list_emoticons(ME)] == [
        (first, images[0]),
        (second, images[1]),
    ]
    await store.remove_emoticon(ME, second)
    third = await store.add_emoticon(ME, images[2].media_id, NOW, 2)
    assert third is not None and third > second
    assert await store.list_emoticons(YOU) == []


async def test_removing_nothing_is_quiet(store: MediaStoreSql) -> None:
    assert await store.remove_expired(NOW, 10) is None
    await store.release_assembly(UploadId(new_hex_id()), "a")
    await store.remove_emoticon(ME, 5)


async def test_an_upload_id_that_is_none_is_nobodys(store: MediaStoreSql) -> None:
    for upload_id in ("名字", "", "x" * 500, "F" * 32):
        with pytest.raises(UploadNotFound):
            await MediaService(store).get_by_upload(ME, UploadId(upload_id))


@pytest.mark.parametrize("way", ["direct", "loopback"])
async def test_the_ports_say_the_same_directly_and_encoded(tmp_path: Path, way: str) -> None:
    async with media_world(tmp_path) as world:
        uploads: UploadPort = world.uploads
        objects: MediaPort = world.media
        emoticons: EmoticonPort = world.emoticons
        if way == "loopback":
            dispatcher = Dispatcher()
            dispatcher.add(UploadPort, world.uploads)
            dispatcher.add(MediaPort, world.media)
            dispatcher.add(EmoticonPort, world.emoticons)
            transport = LoopbackTransport(dispatcher)
            uploads, objects = make_stub(UploadPort, transport), make_stub(MediaPort, transport)
            emoticons = make_stub(EmoticonPort, transport)
        assert (await uploads.get_limits()).shard_bytes == world.settings.shard_bytes
        staged = await stage(world.blobs, picture(size=(500, 500)))
        image = await uploads.store_image(ME, staged, "名.png")
        assert await uploads.store_image(ME, staged, "名.png") == image
        assert image == await objects.get_object(image.media_id)
        assert await objects.list_objects([image.media_id]) == [image]
        with pytest.raises(NotAnImage):
            await uploads.store_image(ME, await stage(world.blobs, b"no"), "x")
        state = await uploads.open_upload(ME, "a", 3)
        assert await uploads.resume_upload(ME, state.upload_id) == state
        with pytest.raises(UploadNotFound):
            await objects.get_by_upload(ME, state.upload_id)
        last = await stage(world.blobs, b"abc")
        done = await uploads.store_part(ME, state.upload_id, 1, last)
        assert done.media is not None and done.media.blob == BlobKey(f"sha256.{last.sha256}")
        assert await uploads.store_part(ME, state.upload_id, 1, last, 1) == done
        assert await objects.get_by_upload(ME, state.upload_id) == done.media
        kept = await emoticons.add_emoticon(YOU, image.media_id)
        assert await emoticons.add_emoticon(YOU, image.media_id) == kept
        assert await emoticons.list_emoticons(YOU) == [await emoticons.get_emoticon(YOU, kept.emoticon_id)]
        for _ in range(2):
            await emoticons.remove_emoticon(YOU, kept.emoticon_id)
        assert await emoticons.list_emoticons(YOU) == []
