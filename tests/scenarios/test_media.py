"""Images and files over HTTP (CONTRACT.md section 1.10): ranges, entity tags, resuming, what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from testkit.people import Person, Town, write_file
from testkit.placement import SHARD
from xinyu.sdk import ApiError
from xinyu.sdk.api.uploads import Image as StoredImage

pytestmark = pytest.mark.scenario


def png(path: Path, width: int = 60, height: int = 40) -> Path:
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 50).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    return path


def http_of(person: Person) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=person.town.placement.http, headers={"Authorization": f"Bearer {person.client.token}"}, timeout=10
    )


async def form(http: httpx.AsyncClient, path: str, content: bytes, name: str, **fields: object) -> httpx.Response:
    data = {key: str(value) for key, value in fields.items()}
    return await http.post(f"/api/v1/upload/{path}", data=data, files={"file": (name, content, "image/png")})


async def stored_image(person: Person, path: Path) -> StoredImage:
    return await person.client.media.upload_image(path)


async def test_ranges_and_entity_tags(town: Town, tmp_path: Path) -> None:
    ann = await town.person("Ann")
    picture = png(tmp_path / "cat.png")
    content = picture.read_bytes()
    image = await stored_image(ann, picture)
    async with httpx.AsyncClient(base_url=town.placement.http) as http:  # no token: whoever knows the address
        whole = await http.get(image.src)
        assert (whole.status_code, whole.content) == (200, content)
        assert whole.headers["content-type"] == "image/png" and whole.headers["accept-ranges"] == "bytes"
        tag = whole.headers["etag"]
        head = await http.head(image.src)
        assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(content)), b"")
        for asked, part in (
            ("bytes=0-9", content[:10]), ("bytes=100-", content[100:]), ("bytes=-20", content[-20:]),
        ):  # fmt: skip
            answer = await http.get(image.src, headers={"Range": asked})
            assert (answer.status_code, answer.content) == (206, part), asked
            assert answer.headers["content-range"].endswith(f"/{len(content)}")
        beyond = await http.get(image.src, headers={"Range": f"bytes={len(content)}-"})
        assert beyond.status_code == 416
        assert (await http.get(image.src, headers={"If-None-Match": tag})).status_code == 304
        changed = await http.get(image.src, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
        assert (changed.status_code, changed.content) == (200, content)
        for path in ("/media/2024/01/01/" + "0" * 32 + ".png", "/media/../secrets/jwt_secret", "/media/%2e%2e/x",
                     image.src.replace(".png", ".jpg"), "/media//etc/passwd"):  # fmt: skip
            assert (await http.get(path)).status_code == 404, path


async def test_an_upload_resumes_and_parts_may_come_twice_and_in_any_order(town: Town, tmp_path: Path) -> None:
    ann, bob = await town.people("Ann", "Bob")
    content = write_file(tmp_path / "data.bin", 3 * SHARD + 7).read_bytes()
    parts = [content[start : start + SHARD] for start in range(0, len(content), SHARD)]
    started: dict[str, Any] = await ann.client.post(
        "upload/init-multipart", {"file_name": "../../data.bin", "file_size": len(content)}
    )
    upload_id = started["upload_id"]
    assert started["shard_size"] == SHARD
    async with http_of(ann) as http, http_of(bob) as others:
        for index in (3, 1, 3):
            answer = await form(
                http, "multipart", parts[index - 1], "x", upload_id=upload_id, split_index=index, split_num=4
            )
            assert answer.json()["is_completed"] is False
        other = await form(http, "multipart", parts[0][::-1], "x", upload_id=upload_id, split_index=1, split_num=4)
        assert other.status_code == 409
        stranger = await form(others, "multipart", parts[1], "x", upload_id=upload_id, split_index=2, split_num=4)
        assert stranger.status_code == 404
        for index in (0, 5):
            bad = await form(http, "multipart", parts[0], "x", upload_id=upload_id, split_index=index, split_num=4)
            assert bad.status_code == 400
        await town.placement.kill("media")
        await town.placement.start("media")
        resumed = await ann.client.post(
            "upload/init-multipart", {"file_name": "data.bin", "file_size": len(content), "upload_id": upload_id}
        )
        assert sorted(resumed["uploaded"]) == [1, 3]
        await form(http, "multipart", parts[3], "x", upload_id=upload_id, split_index=4, split_num=4)
        done = await form(http, "multipart", parts[1], "x", upload_id=upload_id, split_index=2, split_num=4)
        assert done.json()["is_completed"] is True
    sent = await ann.client.messages.send(bob.talk, "file", {"upload_id": upload_id})
    assert (sent.extra["name"], sent.extra["size"]) == ("data.bin", len(content))
    copy = await bob.client.media.download_file(ann.talk, sent.msg_id, tmp_path / "copy.bin")
    assert copy.read_bytes() == content


async def test_what_is_no_image_or_too_large_is_refused(town: Town, tmp_path: Path) -> None:
    ann = await town.person("Ann")
    bombs = {
        "text.png": b"this is no image, whatever its name says",
        "cut.png": png(tmp_path / "whole.png").read_bytes()[:100],
        "page.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "empty.png": b"",
    }
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ApiError) as refused:
            await stored_image(ann, tmp_path / name)
        assert refused.value.status == 400, name
    wide = tmp_path / "wide.png"
    Image.new("1", (2000, 1000)).save(wide, "PNG")
    for path in (wide, write_file(tmp_path / "large.png", 60_000)):
        with pytest.raises(ApiError) as refused:
            await stored_image(ann, path)
        assert refused.value.status == 400, path.name
    for size in (0, -1, 100_001, "many"):
        with pytest.raises(ApiError) as refused:
            await ann.client.post("upload/init-multipart", {"file_name": "a.bin", "file_size": size})
        assert refused.value.status == 400, size
    async with http_of(ann) as http:
        too_long = await form(http, "media-file", b"x" * 1_000_000, "huge.png")
        assert too_long.status_code in (400, 413) and too_long.json()["data"] is None
        unformed = await http.post("/api/v1/upload/media-file", content=b"no form at all")
        assert unformed.status_code == 400
    assert not [path for path in tmp_path.parent.glob("**/staged/*") if path.is_file()]


async def test_unfinished_uploads_are_bounded(town: Town) -> None:
    ann = await town.person("Ann")
    for _ in range(3):
        await ann.client.post("upload/init-multipart", {"file_name": "a.bin", "file_size": 10})
    with pytest.raises(ApiError) as refused:
        await ann.client.post("upload/init-multipart", {"file_name": "a.bin", "file_size": 10})
    assert refused.value.status == 429


async def test_files_of_messages_are_for_those_who_may_read_them(town: Town, tmp_path: Path) -> None:
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    stored = await ann.client.media.upload(write_file(tmp_path / "secret.bin", 5000))
    sent = await ann.client.messages.send(bob.talk, "file", {"upload_id": stored.upload_id})
    with pytest.raises(ApiError) as refused:
        await cleo.client.media.download_file(ann.talk, sent.msg_id, tmp_path / "stolen.bin")
    assert refused.value.status == 404
    with pytest.raises(ApiError) as others:
        await bob.client.messages.send(ann.talk, "file", {"upload_id": stored.upload_id})
    assert others.value.status == 400
    async with httpx.AsyncClient(base_url=town.placement.http) as http:  # links of pages carry the token in the query
        params = {"msg_id": sent.msg_id, "talk_mode": 1, "token": str(bob.client.token)}
        link = await http.get("/api/v1/talk/file-download", params=params)
        assert link.status_code == 200 and "secret.bin" in link.headers["content-disposition"]
        assert (await http.get("/api/v1/talk/file-download", params={**params, "token": ""})).status_code == 401
    await ann.client.messages.recall(bob.talk, sent.msg_id)
    with pytest.raises(ApiError) as gone:
        await bob.client.media.download_file(ann.talk, sent.msg_id, tmp_path / "gone.bin")
    assert gone.value.status == 404
