"""Uploads, downloads and emoticons over REST, on the real media domain."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from testkit.media import SMALL_SHARD, MediaWorld, media_world, picture
from testkit.rest import TokenIsUserId, ports_of
from xinyu.gateway.http.app import RestApplication
from xinyu.gateway.http.errors import ErrorTexts
from xinyu.gateway.http.routes import media
from xinyu.gateway.services import services_over
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.ids import ConversationId, MsgId, UserId, new_hex_id, new_msg_id
from xinyu.media.settings import MediaSettings
from xinyu.message.types import Entry, EntryType, Kind
from xinyu.telemetry.metrics import Metrics

ME, YOU = 1, 2


@dataclass
class Log:
    """Messages and who may read them: the one question that downloads ask."""

    entries: dict[MsgId, tuple[Entry, set[int]]] = field(default_factory=dict)

    async def list_messages(self, user_id: UserId, msg_ids: list[MsgId]) -> list[Entry]:
        known = [self.entries[msg_id] for msg_id in msg_ids if msg_id in self.entries]
        return [entry for entry, readers in known if user_id in readers]

    def add(self, content: object, readers: set[int], recalled: bool = False, sender: int = ME) -> MsgId:
        msg_id = new_msg_id()
        text = "{}" if recalled else json.dumps(content)
        entry = Entry(
            ConversationId(1),
            Kind.PRIVATE,
            (1, 2),
            1,
            msg_id,
            EntryType.FILE,
            UserId(sender),
            0,
            text,
            recalled=recalled,
        )
        self.entries[msg_id] = (entry, readers)
        return msg_id


@dataclass
class Rest:
    """A client, and what stands behind the server."""

    http: httpx.AsyncClient
    world: MediaWorld
    log: Log

    async def post(self, path: str, user: int | None = ME, **kwargs: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {user}"} if user else {}
        return await self.http.post(f"/api/v1/{path}", headers=headers, **kwargs)

    async def image(self, data: bytes, user: int = ME, name: str = "a.png") -> dict[str, Any]:
        response = await self.post("upload/media-file", user, files={"file": (name, data)})
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def part(self, upload_id: str, index: int, data: bytes, user: int = ME, **fields: Any) -> httpx.Response:
        form = {"upload_id": upload_id, "split_index": str(index), **fields}
        return await self.post("upload/multipart", user, data=form, files={"file": ("blob", data)})

    async def file(self, data: bytes, name: str) -> dict[str, Any]:
        begun = (await self.post("upload/init-multipart", json={"file_name": name, "file_size": len(data)})).json()
        shard = begun["shard_size"]
        answer = {}
        for index in range(1, begun["shard_num"] + 1):
            response = await self.part(
                begun["upload_id"],
                index,
                data[(index - 1) * shard : index * shard],
                split_num=begun["shard_num"],
            )
            assert response.status_code == 200, response.text
            answer = response.json()
        return answer


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    settings = MediaSettings(
        shard_bytes=SMALL_SHARD, max_image_bytes=200_000, max_image_pixels=500_000, min_free_bytes=0
    )
    async with media_world(tmp_path, settings) as world:
        log = Log()
        ports = ports_of(
            messages=log, uploads=world.uploads, media=world.media, emoticons=world.emoticons, blobs=world.blobs
        )
        gateway = GatewaySettings()
        application = RestApplication(
            gateway, services_over(ports, gateway), TokenIsUserId(), Metrics(), ErrorTexts(media.ERRORS)
        )
        transport = httpx.ASGITransport(application.build(media.ROUTES))
        async with httpx.AsyncClient(transport=transport, base_url="http://xinyu.test") as http:
            yield Rest(http, world, log)
        assert world.files("staging") == []


def error_of(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body["code"] == response.status_code and body["data"] is None
    return response.status_code, body["message"]


async def test_an_image_goes_up_and_comes_back_with_its_thumbnail(rest: Rest) -> None:
    data = picture("PNG", (800, 400))
    answer = await rest.image(data, name="猫.html")
    assert (answer["width"], answer["height"], answer["size"]) == (800, 400, len(data))
    assert answer["src"] == f"/media/2023/11/14/{answer['id']}.png"
    got = await rest.http.get(answer["src"])
    assert (got.status_code, got.content) == (200, data)
    assert got.headers["content-type"] == "image/png"
    assert got.headers["content-disposition"].startswith("inline;")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in got.headers["cache-control"]
    small = await rest.http.get(answer["thumbnail"])
    assert small.status_code == 200 and small.headers["content-type"] == "image/jpeg"
    assert 0 < len(small.content) == int(small.headers["content-length"])
    assert small.headers["etag"] != got.headers["etag"]


async def test_the_same_image_sent_again_is_the_same_object(rest: Rest) -> None:
    data = picture()
    assert await rest.image(data) == await rest.image(data)
    assert (await rest.image(data))["id"] != (await rest.image(data, YOU))["id"]


async def test_validators_and_ranges(rest: Rest) -> None:
    data = picture("BMP", (40, 40))
    url = (await rest.image(data))["src"]
    etag = (await rest.http.get(url)).headers["etag"]
    assert etag.startswith('"')

    async def get(**headers: str) -> httpx.Response:
        return await rest.http.get(url, headers={key.replace("_", "-"): value for key, value in headers.items()})

    unchanged = await get(if_none_match=f'"x", W/{etag}')
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    some = await get(range="bytes=10-19")
    assert (some.status_code, some.content) == (206, data[10:20])
    assert some.headers["content-range"] == f"bytes 10-19/{len(data)}"
    assert some.headers["content-length"] == "10"
    assert (await get(range="bytes=-7")).content == data[-7:]
    assert (await get(range="bytes=4000-")).content == data[4000:]
    beyond = await get(range=f"bytes={len(data)}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")
    assert (await get(range="bytes=0-1,4-5")).status_code == 200
    assert (await get(range="bytes=0-4", if_range=etag)).status_code == 206
    assert (await get(range="bytes=0-4", if_range='"old"')).content == data
    head = await rest.http.head(url, headers={"Range": "bytes=0-4"})
    assert (head.status_code, head.content) == (200, b"")
    assert (head.headers["content-length"], head.headers["etag"]) == (str(len(data)), etag)


async def test_paths_are_looked_up_never_opened(rest: Rest) -> None:
    answer = await rest.image(picture("PNG", (700, 700)))
    src: str = answer["src"]
    for path in (
        "/media/../../../../etc/passwd",
        "/media/%2e%2e/%2e%2e/media.db",
        "/media/2023/11/14/..%2f..%2fmedia.db",
        "/media/",
        src.replace("11/14", "11/15"),
        src.replace(".png", ".jpg"),
        src.replace(answer["id"], new_hex_id()),
        src.replace(".png", "_thumb.png"),
        src.upper(),
        src + "/x",
    ):
        response = await rest.http.get(path)
        assert response.status_code == 404, path
        assert response.json()["data"] is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "invalid file type, only images allowed"),
        (b"<html>", "invalid file type, only images allowed"),
        (b"\0\0\0\x20ftypisom" + b"\0" * 64, "invalid file type, only images allowed"),
        (picture()[:40], "invalid file type, only images allowed"),
        (b"", "invalid file type, only images allowed"),
        (picture("PNG", (1000, 501)), "图片尺寸过大"),
        (os.urandom(200_001), "文件过大"),
    ],
)
async def test_what_is_no_fit_image_is_refused_and_not_kept(rest: Rest, data: bytes, message: str) -> None:
    response = await rest.post("upload/media-file", files={"file": ("cat.png", data, "image/png")})
    assert error_of(response) == (400, message)
    assert rest.world.files() == []


async def test_bodies_that_are_no_forms(rest: Rest) -> None:
    assert error_of(await rest.post("upload/media-file", json={})) == (400, "parse multipart failed")
    assert error_of(await rest.post("upload/media-file", files={"x": (None, b"y")})) == (400, "missing file")
    assert error_of(await rest.post("upload/multipart", files={"file": ("a", b"y")})) == (400, "missing params")
    fields = {"upload_id": "0" * 32, "split_index": "1"}
    assert error_of(await rest.post("upload/multipart", files={k: (None, v) for k, v in fields.items()})) == (
        400,
        "missing file",
    )
    assert error_of(await rest.post("upload/multipart", data=fields, files={"file": ("a", b"y")})) == (
        404,
        "upload session not found",
    )
    assert error_of(await rest.post("upload/init-multipart", json={"file_name": "a"})) == (400, "invalid params")


async def test_the_caller_is_checked_before_the_body_is_read(rest: Rest) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for path in ("upload/media-file", "upload/multipart", "emoticon/customize/upload"):
        for token in ({}, {"Authorization": "Bearer forged"}):
            response = await rest.http.post(f"/api/v1/{path}", content=body(), headers=headers | token)
            assert response.status_code == 401


async def test_a_file_in_parts_is_resumed_and_completed_once(rest: Rest) -> None:
    data = os.urandom(SMALL_SHARD * 2 + 5)
    begun = (await rest.post("upload/init-multipart", json={"file_name": "a.iso", "file_size": len(data)})).json()
    upload_id = begun["upload_id"]
    assert (begun["shard_size"], begun["shard_num"], begun["uploaded"]) == (SMALL_SHARD, 3, [])
    third = await rest.part(upload_id, 3, data[2 * SMALL_SHARD :], split_num="3")
    assert third.json() == {"upload_id": upload_id, "is_completed": False, "is_merge": False}
    resumed = (await rest.post("upload/init-multipart", json={"upload_id": upload_id})).json()
    assert resumed == {**begun, "uploaded": [3]}
    assert error_of(await rest.post("upload/init-multipart", YOU, json={"upload_id": upload_id}))[0] == 404
    wrong_size = {"upload_id": upload_id, "file_size": 1}
    assert (await rest.post("upload/init-multipart", json=wrong_size)).status_code == 400
    answers = await asyncio.gather(
        rest.part(upload_id, 1, data[:SMALL_SHARD]),
        rest.part(upload_id, 2, data[SMALL_SHARD : 2 * SMALL_SHARD]),
        rest.part(upload_id, 1, data[:SMALL_SHARD]),
        rest.part(upload_id, 2, data[SMALL_SHARD : 2 * SMALL_SHARD]),
    )
    done = [answer.json() for answer in answers if answer.json()["is_completed"]]
    assert done and len({answer["file_id"] for answer in done}) == 1
    assert done[0]["is_merge"] and (done[0]["name"], done[0]["size"]) == ("a.iso", len(data))
    got = await rest.http.get(done[0]["url"])
    assert got.content == data
    assert got.headers["content-disposition"].startswith('attachment; filename="a.iso"')
    assert len(rest.world.files()) == 1
    again = (await rest.post("upload/init-multipart", json={"upload_id": upload_id})).json()
    assert (again["is_completed"], again["uploaded"]) == (True, [1, 2, 3])


async def test_parts_are_the_owners_and_of_their_size(rest: Rest) -> None:
    begun = (await rest.post("upload/init-multipart", json={"file_name": "a", "file_size": "2000"})).json()
    upload_id = begun["upload_id"]
    assert (await rest.part(upload_id, 1, b"x" * SMALL_SHARD, user=YOU)).status_code == 404
    for index, size in ((0, SMALL_SHARD), (3, 5), (1, 5), (2, SMALL_SHARD)):
        assert (await rest.part(upload_id, index, b"x" * size)).status_code == 400
    assert error_of(await rest.part(upload_id, 1, b"x" * (SMALL_SHARD + 1))) == (400, "文件过大")
    assert (await rest.part(upload_id, 1, b"x" * SMALL_SHARD)).status_code == 200
    assert (await rest.part(upload_id, 1, b"y" * SMALL_SHARD)).status_code == 409
    rest.world.clock.jump(rest.world.settings.upload_keep_seconds)
    assert error_of(await rest.part(upload_id, 2, b"x" * 976)) == (400, "upload session is not active")


async def test_a_chunked_body_is_as_good(rest: Rest) -> None:
    data = picture()
    whole = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + data + b"\r\n--b--\r\n"

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 11):
            yield whole[start : start + 11]

    response = await rest.http.post(
        "/api/v1/upload/media-file",
        content=body(),
        headers={"Authorization": "Bearer 1", "Content-Type": "multipart/form-data; boundary=b"},
    )
    assert response.status_code == 200
    assert (await rest.http.get(response.json()["src"])).content == data


async def test_what_a_browser_might_run_is_only_for_saving(rest: Rest) -> None:
    page = b"<html><script>alert(1)</script>"
    got = await rest.http.get((await rest.file(page, "x.html"))["url"])
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"].startswith("attachment;")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"]


async def test_a_messages_file_is_for_those_who_may_read_the_message(rest: Rest) -> None:
    data = os.urandom(1500)
    answer = await rest.file(data, "年报 2023.pdf")
    by_id = rest.log.add({"media_id": answer["file_id"], "name": "x"}, {ME, YOU})
    by_upload = rest.log.add({"upload_id": answer["upload_id"]}, {ME, YOU})
    by_url = rest.log.add({"url": "https://im.example" + answer["url"] + "?x=1"}, {ME, YOU})

    async def get(msg_id: str, user: int = YOU, **headers: str) -> httpx.Response:
        query = {"msg_id": msg_id, "talk_mode": "1", "token": str(user)}
        return await rest.http.get("/api/v1/talk/file-download", params=query, headers=headers)

    for msg_id in (by_id, by_upload, by_url):
        got = await get(msg_id)
        assert (got.status_code, got.content) == (200, data)
        assert "filename*=UTF-8''%E5%B9%B4%E6%8A%A5%202023.pdf" in got.headers["content-disposition"]
        assert got.headers["cache-control"].startswith("private")
    assert (await get(by_id, Range="bytes=1-2")).content == data[1:3]
    stranger = rest.log.add({"upload_id": answer["upload_id"]}, {ME, YOU}, sender=YOU)
    recalled = rest.log.add({"media_id": answer["file_id"]}, {ME, YOU}, recalled=True)
    text = rest.log.add({"content": "no file"}, {ME, YOU})
    odd = rest.log.add(["no", "object"], {ME, YOU})
    for msg_id, user in ((by_id, 3), (stranger, YOU), (recalled, YOU), (text, YOU), (odd, YOU), ("", YOU), ("x", YOU)):
        assert (await get(msg_id, user)).status_code == 404
    assert (await rest.http.get("/api/v1/talk/file-download", params={"msg_id": by_id})).status_code == 401


async def test_an_image_of_a_message_is_offered_for_saving_there(rest: Rest) -> None:
    answer = await rest.image(picture())
    msg_id = rest.log.add({"url": answer["src"]}, {ME})
    got = await rest.http.get("/api/v1/talk/file-download", params={"msg_id": msg_id, "token": "1"})
    assert got.headers["content-disposition"].startswith("attachment;")


async def test_a_blob_that_is_gone_is_a_404(rest: Rest) -> None:
    answer = await rest.image(picture())
    for path in rest.world.files():
        path.unlink()
    assert error_of(await rest.http.get(answer["src"])) == (404, "文件不存在")


async def test_emoticons(rest: Rest) -> None:
    assert (await rest.post("emoticon/customize/list")).json() == {"items": [], "list": []}
    image = await rest.image(picture(), YOU)
    kept = (await rest.post("emoticon/customize/create", json={"url": "http://im.example" + image["src"]})).json()
    assert kept["url"] == image["src"]
    mine = (await rest.post("emoticon/customize/upload", files={"file": ("a.gif", picture("GIF"))})).json()
    listed = (await rest.post("emoticon/customize/list")).json()
    assert listed["items"] == listed["list"] == [kept, mine]
    assert (await rest.post("emoticon/customize/list", YOU)).json()["items"] == []
    body = {"emoticon_id": kept["emoticon_id"]}
    for user in (YOU, ME, ME):
        assert (await rest.post("emoticon/customize/delete", user, json=body)).json() == {}
    assert (await rest.post("emoticon/customize/list")).json()["items"] == [mine]
    for url in ("", "https://elsewhere.example/cat.png", f"/media/2023/11/14/{new_hex_id()}.png"):
        assert (await rest.post("emoticon/customize/create", json={"url": url})).status_code == 404
    assert (await rest.post("emoticon/customize/list", None)).status_code == 401
