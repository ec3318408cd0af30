"""Files: uploads in parts that resume, downloads that resume."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testkit.fake_rest import serve_routes
from xinyu.sdk import ApiError, Client, Talk, TransferInterrupted

CONTENT = bytes(range(256)) * 10
UPLOAD = "e" * 32


class Store:
    """Takes uploads in parts of 1000 bytes; `broken` parts are answered with 503 so many times."""

    def __init__(self, broken: dict[int, int]) -> None:
        self.broken = broken
        self.parts: dict[int, bytes] = {}
        self.sent: list[int] = []
        self.inits: list[Any] = []

    async def init(self, request: Request) -> Response:
        self.inits.append(await request.json())
        return JSONResponse({"upload_id": UPLOAD, "shard_size": 1000, "uploaded": sorted(self.parts)})

    async def part(self, request: Request) -> Response:
        async with request.form() as form:
            index = int(str(form["split_index"]))
            assert (form["upload_id"], form["split_num"]) == (UPLOAD, "3")
            file = form["file"]
            assert not isinstance(file, str)
            content = await file.read()
        self.sent.append(index)
        if self.broken.get(index, 0) > 0:
            self.broken[index] -= 1
            return JSONResponse({"code": 503, "message": "later", "data": None}, 503)
        self.parts[index] = content
        done = len(self.parts) == 3
        return JSONResponse({"is_completed": done, **({"file_id": "f" * 32, "url": "/media/x"} if done else {})})

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/upload/init-multipart", self.init, methods=["POST"]),
            Route("/api/v1/upload/multipart", self.part, methods=["POST"]),
        ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    return path


async def test_upload_in_parts_with_progress(file: Path) -> None:
    store = Store({2: 1})
    progress: list[tuple[int, int]] = []
    async with serve_routes(store.routes) as address, Client(address, "t") as client:
        done = await client.media.upload(file, progress=lambda so_far, total: progress.append((so_far, total)))
    assert (done.upload_id, done.file_id, done.url) == (UPLOAD, "f" * 32, "/media/x")
    assert b"".join(store.parts[index] for index in (1, 2, 3)) == CONTENT
    assert store.sent == [1, 2, 2, 3]
    assert progress == [(0, 2560), (1000, 2560), (2000, 2560), (2560, 2560)]
    assert store.inits == [{"file_name": "a.bin", "file_size": 2560}]


async def test_an_interrupted_upload_sends_only_what_is_missing(file: Path) -> None:
    store = Store({3: 3})
    async with serve_routes(store.routes) as address, Client(address, "t") as client:
        with pytest.raises(TransferInterrupted) as caught:
            await client.media.upload(file)
        assert caught.value.details["upload_id"] == UPLOAD
        store.sent.clear()
        progress: list[tuple[int, int]] = []
        await client.media.upload(file, upload_id=UPLOAD, progress=lambda *now: progress.append(now))
        assert store.sent == [3]
        assert progress == [(2000, 2560), (2560, 2560)]
        assert store.inits[-1]["upload_id"] == UPLOAD
        store.sent.clear()
        await client.media.upload(file, upload_id=UPLOAD)  # all there: one part asks for the completion
        assert store.sent == [3]


async def test_upload_image(tmp_path: Path) -> None:
    got: list[tuple[str | None, str | None, bytes]] = []

    async def take(request: Request) -> Response:
        async with request.form() as form:
            part = form["file"]
            assert not isinstance(part, str)
            got.append((part.filename, part.content_type, await part.read()))
        return JSONResponse({"id": "a" * 32, "src": "/media/a.png"})

    path = tmp_path / "a.png"
    path.write_bytes(b"png")
    routes = [Route("/api/v1/upload/media-file", take, methods=["POST"])]
    async with serve_routes(routes) as address, Client(address, "t") as client:
        assert (await client.media.upload_image(path)).src == "/media/a.png"
    assert got == [("a.png", "image/png", b"png")]


class Files:
    """Serves CONTENT with ranges; breaks the first `breaks` answers off in the middle."""

    def __init__(self, breaks: int, etag: str = '"v1"') -> None:
        self.breaks = breaks
        self.etag = etag
        self.ranges: list[str | None] = []
        self.query: dict[str, str] = {}
        self.authorization: str | None = None

    async def get(self, request: Request) -> Response:
        asked = request.headers.get("range")
        self.ranges.append(asked)
        self.query = dict(request.query_params)
        self.authorization = request.headers.get("authorization")
        valid = asked is not None and request.headers.get("if-range") == self.etag
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and valid else 0
        body = CONTENT[start:]
        headers = {"Content-Length": str(len(body)), "ETag": self.etag}
        if self.breaks > 0:
            self.breaks -= 1
            return Cut(body[:700], 206 if start else 200, headers)
        return Response(body, 206 if start else 200, headers=headers)


class Cut(Response):
    """Promises more than it sends, then breaks off."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def init_headers(self, headers: Any = None) -> None:
        self.raw_headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]


async def test_a_broken_download_goes_on_where_it_was(tmp_path: Path) -> None:
    files = Files(breaks=2)
    async with serve_routes([Route("/media/x", files.get)]) as address, Client(address, "t") as client:
        done = await client.media.download("/media/x", tmp_path / "x")
    assert done.read_bytes() == CONTENT
    assert files.ranges == [None, "bytes=700-", "bytes=1400-"]
    assert os.listdir(tmp_path) == ["x"]


async def test_the_next_call_goes_on_unless_the_file_has_changed(tmp_path: Path) -> None:
    files = Files(breaks=3)
    async with serve_routes([Route("/media/x", files.get)]) as address, Client(address, "t") as client:
        with pytest.raises(TransferInterrupted):
            await client.media.download("/media/x", tmp_path / "x")
        assert not (tmp_path / "x").exists()
        files.etag = '"v2"'
        progress: list[tuple[int, int]] = []
        done = await client.media.download("/media/x", tmp_path / "x", progress=lambda *now: progress.append(now))
    assert done.read_bytes() == CONTENT
    assert files.ranges[-1] == "bytes=2100-"
    assert progress[-1] == (len(CONTENT), len(CONTENT))


async def test_the_file_of_a_message(tmp_path: Path) -> None:
    files = Files(breaks=0)
    routes = [Route("/api/v1/talk/file-download", files.get)]
    async with serve_routes(routes) as address, Client(address, "t") as client:
        await client.media.download_file(Talk.user(2), "a" * 32, tmp_path / "x")
        assert files.query == {"msg_id": "a" * 32, "talk_mode": "1"} and files.authorization == "Bearer t"
        with pytest.raises(ApiError) as caught:
            await client.media.download("/media/none", tmp_path / "y")
    assert caught.value.status == 404


async def test_the_token_is_not_given_to_strangers(tmp_path: Path) -> None:
    files = Files(breaks=0)
    async with (
        serve_routes([Route("/x", files.get)]) as stranger,
        serve_routes([]) as own,
        Client(own, "t") as client,
    ):
        await client.media.download(f"{stranger}/x", tmp_path / "x")
    assert files.authorization is None
