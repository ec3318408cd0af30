"""The folder: staged and kept bytes apart, nothing left behind, nothing outside it."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.media import read_blob, stage
from xinyu.kernel.ids import new_hex_id
from xinyu.media import blobs_local
from xinyu.media.blobs_local import CHUNK, LocalBlobs
from xinyu.media.errors import BlobMissing, BlobsFull
from xinyu.media.port import content_key, part_key
from xinyu.media.types import BlobKey, StagedId


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[LocalBlobs]:
    blobs = LocalBlobs(tmp_path / "blobs")
    yield blobs
    blobs.close()


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "blobs").rglob("*") if path.is_file())


async def test_bytes_are_read_back_whole_and_in_ranges(blobs: LocalBlobs) -> None:
    data = os.urandom(CHUNK * 2 + 17)
    writer = await blobs.stage()
    for start in range(0, len(data), 10_000):
        await writer.write(data[start : start + 10_000])
    staged = await writer.finish()
    assert (staged.size, staged.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    key = content_key(staged.sha256)
    await blobs.keep(staged.staged_id, key)
    assert await read_blob(blobs, key) == data
    assert await read_blob(blobs, key, CHUNK - 1, 3) == data[CHUNK - 1 : CHUNK + 2]
    assert await read_blob(blobs, key, len(data) - 5) == data[-5:]


async def test_what_is_given_up_or_discarded_is_gone(blobs: LocalBlobs, tmp_path: Path) -> None:
    writer = await blobs.stage()
    await writer.write(b"x" * CHUNK)
    await writer.abort()
    await writer.abort()
    staged = await stage(blobs, b"y")
    await blobs.discard(staged.staged_id)
    await blobs.discard(staged.staged_id)
    assert files(tmp_path) == []


async def test_discarding_never_hits_what_was_kept(blobs: LocalBlobs) -> None:
    staged = await stage(blobs, b"kept")
    key = part_key(staged.staged_id)
    await blobs.keep(staged.staged_id, key)
    await blobs.discard(staged.staged_id)
    await blobs.keep(staged.staged_id, key)
    assert await read_blob(blobs, key) == b"kept"


async def test_the_same_content_is_stored_once(blobs: LocalBlobs, tmp_path: Path) -> None:
    for _ in range(2):
        staged = await stage(blobs, b"same")
        await blobs.keep(staged.staged_id, content_key(staged.sha256))
    assert len(files(tmp_path)) == 1


async def test_joined_bytes_are_one_after_the_other(blobs: LocalBlobs) -> None:
    keys = []
    for part in (b"a" * CHUNK, b"b", b"c" * 5):
        staged = await stage(blobs, part)
        keys.append(part_key(staged.staged_id))
        await blobs.keep(staged.staged_id, keys[-1])
    joined = await blobs.join(keys)
    whole = b"a" * CHUNK + b"b" + b"c" * 5
    assert (joined.size, joined.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert await blobs.read_staged(joined.staged_id, CHUNK + 3) == whole[: CHUNK + 3]


async def test_joining_a_missing_part_leaves_nothing(blobs: LocalBlobs, tmp_path: Path) -> None:
    with pytest.raises(BlobMissing):
        await blobs.join([part_key(StagedId(new_hex_id()))])
    assert files(tmp_path) == []


@pytest.mark.parametrize("key", ["", "../x", "part.../../etc/passwd", "sha256." + "A" * 64, "part." + "0" * 32 + "\n"])
async def test_keys_that_are_no_keys_open_nothing(blobs: LocalBlobs, key: str) -> None:
    with pytest.raises(BlobMissing):
        await blobs.open(BlobKey(key))
    staged = await stage(blobs, b"z")
    with pytest.raises(BlobMissing):
        await blobs.keep(staged.staged_id, BlobKey(key))
    with pytest.raises(BlobMissing):
        await blobs.read_staged(StagedId("../" + staged.staged_id), 1)


async def test_a_full_disk_is_said_and_leaves_nothing(
    blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = os.write, 0

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal written
        if written >= CHUNK:
            raise OSError(errno.ENOSPC, "No space left on device")
        written += len(data)
        return real(descriptor, data)

    writer = await blobs.stage()
    monkeypatch.setattr(blobs_local.os, "write", write)
    await writer.write(b"x" * CHUNK)
    with pytest.raises(BlobsFull):
        await writer.write(b"x" * CHUNK)
    await writer.abort()
    monkeypatch.undo()
    assert files(tmp_path) == []


async def test_room_is_kept_free_for_others(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs", min_free_bytes=2**60)
    with pytest.raises(BlobsFull):
        await blobs.stage()
    blobs.close()


async def test_a_sweep_takes_what_is_old_and_leaves_objects(blobs: LocalBlobs, tmp_path: Path) -> None:
    old, young, part, thing = [await stage(blobs, data) for data in (b"old", b"young", b"part", b"thing")]
    await blobs.keep(part.staged_id, part_key(part.staged_id))
    await blobs.keep(thing.staged_id, content_key(thing.sha256))
    for path in files(tmp_path):
        if path.name != young.staged_id:
            os.utime(path, (1000, 1000))
    assert await blobs.sweep(2_000_000, 500_000, 100) == 1
    assert {path.name for path in files(tmp_path)} == {young.staged_id, part.staged_id, thing.sha256}
    assert await blobs.sweep(2_000_000, 2_000_000, 100) == 1
    assert {path.name for path in files(tmp_path)} == {young.staged_id, thing.sha256}
    assert old.staged_id not in {path.name for path in files(tmp_path)}


async def test_files_are_for_this_user_alone(blobs: LocalBlobs, tmp_path: Path) -> None:
    await stage(blobs, b"secret")
    assert [path.stat().st_mode & 0o777 for path in files(tmp_path)] == [0o600]
    assert (tmp_path / "blobs" / "staging").stat().st_mode & 0o777 == 0o700
