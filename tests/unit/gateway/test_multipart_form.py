"""Forms are received as a stream: limits first, memory bounded, nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from testkit.media import read_blob
from xinyu.gateway.http import multipart
from xinyu.gateway.http.body import BodyTooLarge
from xinyu.gateway.http.multipart import MAX_FIELD_BYTES, MAX_PARTS, BadForm, receive_form
from xinyu.kernel.errors import DeadlineExceeded, XinyuError
from xinyu.media.blobs_local import LocalBlobs
from xinyu.media.errors import FileTooLarge
from xinyu.media.port import content_key

BOUNDARY = "----XinyuBoundary"
LIMIT = 1_000_000


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[LocalBlobs]:
    blobs = LocalBlobs(tmp_path / "blobs")
    yield blobs
    blobs.close()
    assert not [path for path in (tmp_path / "blobs" / "staging").rglob("*") if path.is_file()]


def part(name: str, value: bytes, file_name: str | None = None) -> bytes:
    extra = f'; filename="{file_name}"' if file_name is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def request(chunks: Iterator[bytes], headers: dict[str, str] | None = None, hang: bool = False) -> Request:
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    named = {"content-type": content_type} | (headers or {})

    async def receive() -> dict[str, object]:
        for chunk in chunks:
            return {"type": "http.request", "body": chunk, "more_body": True}
        if hang:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "headers": [(key.encode(), value.encode()) for key, value in named.items()]}
    return Request(scope, receive)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
async def test_fields_and_file_however_the_body_is_cut(blobs: LocalBlobs, size: int) -> None:
    content = b"\r\n--" + BOUNDARY.encode()[:-1] + b"\r\n\0bytes"
    body = part("file", content, "名字 %22x%22.bin") + part("split_index", b" 3 ") + part("upload_id", b"abc") + END
    async with receive_form(request(cut(body, size)), blobs, LIMIT) as form:
        assert form.fields == {"split_index": " 3 ", "upload_id": "abc"}
        assert (form.number("split_index"), form.number("upload_id"), form.number("nothing")) == (3, 0, 0)
        assert form.file is not None and form.file.name == '名字 "x".bin'
        assert form.file.staged.sha256 == hashlib.sha256(content).hexdigest()
        await blobs.keep(form.file.staged.staged_id, content_key(form.file.staged.sha256))
    assert await read_blob(blobs, content_key(hashlib.sha256(content).hexdigest())) == content


async def test_the_first_file_is_taken_and_a_part_called_file_is_one(blobs: LocalBlobs) -> None:
    body = part("image", b"first", "a.png") + part("file", b"second", "b.png") + END
    async with receive_form(request(cut(body, 50)), blobs, LIMIT) as form:
        assert form.file is not None and (form.file.name, form.file.staged.size) == ("a.png", 5)
    async with receive_form(request(cut(part("file", b"x") + END, 50)), blobs, LIMIT) as form:
        assert form.file is not None and form.file.name == ""
    async with receive_form(request(cut(part("a", b"x") + END, 50)), blobs, LIMIT) as form:
        assert form.file is None


async def test_what_nobody_keeps_is_discarded_also_when_the_handler_fails(blobs: LocalBlobs) -> None:
    body = part("file", b"x" * 1000, "a") + END
    with pytest.raises(ZeroDivisionError):
        async with receive_form(request(cut(body, 100)), blobs, LIMIT):
            raise ZeroDivisionError


async def test_a_declared_length_is_refused_before_a_byte_is_read(blobs: LocalBlobs) -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("read")
        yield b""

    with pytest.raises(FileTooLarge):
        async with receive_form(request(never(), {"content-length": "9999999"}), blobs, LIMIT):
            pass


async def test_an_undeclared_length_is_refused_on_the_way(blobs: LocalBlobs) -> None:
    body = part("file", b"x" * (LIMIT + 1), "a") + END
    with pytest.raises(FileTooLarge):
        async with receive_form(request(cut(body, 10_000)), blobs, LIMIT):
            pass
    ignored = part("file", b"x", "a") + part("other", b"y" * (LIMIT * 2), "b") + END
    with pytest.raises(BodyTooLarge):
        async with receive_form(request(cut(ignored, 10_000)), blobs, LIMIT):
            pass


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        part("file", b"x" * 500, "a"),
        part("file", b"x" * 500, "a")[:100],
        b"".join(part(str(number), b"") for number in range(MAX_PARTS + 1)) + END,
        part("field", b"x" * (MAX_FIELD_BYTES + 1)) + END,
        part("file", b"x", "a" * 10_000) + END,
        f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nx\r\n".encode() + END,
        f"--{BOUNDARY}\r\n".encode() + b"A: b\r\n" * 50 + b"\r\nx\r\n" + END,
    ],
)
async def test_bad_forms_are_refused(blobs: LocalBlobs, body: bytes) -> None:
    with pytest.raises(BadForm):
        async with receive_form(request(cut(body, 64)), blobs, LIMIT):
            pass


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 500]
)
async def test_other_bodies_are_no_forms(blobs: LocalBlobs, content_type: str) -> None:
    with pytest.raises(BadForm):
        async with receive_form(request(cut(END, 10), {"content-type": content_type}), blobs, LIMIT):
            pass


async def test_a_client_that_stalls_is_given_up(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "IDLE_SECONDS", 0.01)
    with pytest.raises(DeadlineExceeded):
        async with receive_form(request(cut(part("file", b"x" * 100, "a"), 10), hang=True), blobs, LIMIT):
            pass


async def test_a_client_that_leaves_leaves_nothing(blobs: LocalBlobs) -> None:
    messages = iter([{"type": "http.request", "body": part("file", b"x" * 100, "a"), "more_body": True}])

    async def receive() -> dict[str, object]:
        return next(messages, {"type": "http.disconnect"})

    headers = [(b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode())]
    with pytest.raises(ClientDisconnect):
        async with receive_form(Request({"type": "http", "headers": headers}, receive), blobs, LIMIT):
            pass


async def test_fifty_megabytes_take_little_memory(blobs: LocalBlobs) -> None:
    chunk, chunks = b"x" * 65_536, 800

    def body() -> Iterator[bytes]:
        yield part("file", b"", "a")[:-2]
        for _ in range(chunks):
            yield chunk
        yield b"\r\n" + END

    tracemalloc.start()
    try:
        async with receive_form(request(body()), blobs, 60_000_000) as form:
            assert form.file is not None and form.file.staged.size == chunks * len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300), st.integers(1, 50), st.booleans())
async def test_any_bytes_give_a_form_or_an_error(tmp_path: Path, noise: bytes, size: int, inside: bool) -> None:
    store = LocalBlobs(tmp_path / "noise")
    body = part("file", noise, "a") + noise + END if inside else noise
    try:
        async with receive_form(request(cut(body, size)), store, 200):
            pass
    except XinyuError:
        pass
    finally:
        store.close()
    assert not [path for path in (tmp_path / "noise").rglob("*") if path.is_file()]
