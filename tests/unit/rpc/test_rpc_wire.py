"""Rock frames: the published vectors, gzip both ways, and the limits."""

from __future__ import annotations

import gzip
import struct
import time
import zlib

import pytest

from xinyu.rpc.wire import (
    GZIP_FROM,
    MAX_LENGTH,
    BadGzip,
    BadPayload,
    Frame,
    FrameDecoder,
    FrameTooLong,
    Notify,
    NotRock,
    Request,
    Response,
    encode_notify,
    encode_request,
    encode_response,
)

VECTORS: list[tuple[str, Frame]] = [
    ("abcd0100000000100101cc010174097b22756964223a377d", Request(1, 204, "t", b'{"uid":7}')),
    (
        "abcd01000000001d0201cc019403096e6f7420666f756e6401740a7b22756964223a377d0a",
        Response(1, 204, 404, "not found", "t", b'{"uid":7}\n'),
    ),
    ("abcd01000000000801ac026500027b7d", Request(300, 101, "", b"{}")),
    ("abcd01000000000703090174027b7d", Notify(9, "t", b"{}")),
]
"""CONTRACT.md section 5.2, verified there against the predecessor's codec."""


def encode(frame: Frame, compress: bool = False) -> bytes:
    if isinstance(frame, Request):
        return encode_request(frame.sn, frame.command, frame.trace_id, frame.body, compress)
    if isinstance(frame, Response):
        head = (frame.sn, frame.command, frame.result, frame.result_str)
        return encode_response(*head, frame.trace_id, frame.body, compress)
    return encode_notify(frame.notify, frame.trace_id, frame.body, compress)


def packed(payload: bytes, flag: int = 0, version: int = 1, magic: int = 0xABCD) -> bytes:
    return struct.pack(">HBBi", magic, version, flag, len(payload)) + payload


@pytest.mark.parametrize(("wire", "frame"), VECTORS)
def test_the_contracts_vectors(wire: str, frame: Frame) -> None:
    assert encode(frame).hex() == wire
    assert FrameDecoder().feed(bytes.fromhex(wire)) == [frame]


@pytest.mark.parametrize("sn", [0, 127, 128, 16383, 16384, 2**21 - 1, 2**21, 2**28, 2**32 - 1])
def test_numbers_of_every_length(sn: int) -> None:
    assert FrameDecoder().feed(encode_request(sn, 1, "", b"{}")) == [Request(sn, 1, "", b"{}")]


def test_numbers_have_32_bits() -> None:
    with pytest.raises(ValueError, match="32 bits"):
        encode_request(2**32, 1, "", b"")
    for number in (b"\xff\xff\xff\xff\x1f", b"\x80\x80\x80\x80\x80\x01", b"\x80" * 9):
        with pytest.raises(BadPayload):
            FrameDecoder().feed(packed(b"\x03" + number + b"\x00\x00"))


def test_gzip_is_sent_from_4096_bytes_to_those_who_want_it() -> None:
    head = len(encode_request(1, 2, "", b"x" * 4000)) - 8 - 4000
    small, large = b"x" * (GZIP_FROM - head - 1), b"x" * (GZIP_FROM - head)
    assert encode_request(1, 2, "", small, gzip=True)[3] == 0
    assert encode_request(1, 2, "", large, gzip=False)[3] == 0
    wire = encode_request(1, 2, "", large, gzip=True)
    assert wire[3] == 1
    assert struct.unpack(">i", wire[4:8])[0] == len(wire) - 8 < 200
    assert wire[8:18] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\x03", "no time, OS 3"
    assert gzip.decompress(wire[8:])[-len(large) :] == large
    assert FrameDecoder().feed(wire) == [Request(1, 2, "", large)]


def test_gzip_is_understood_at_any_size() -> None:
    frame = Notify(9, "t", b"{}")
    wire = packed(gzip.compress(encode(frame)[8:]), flag=1)
    assert FrameDecoder().feed(wire + encode(frame)) == [frame, frame]


def test_a_bomb_is_not_inflated() -> None:
    inflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(inflater.compress(bytes(2**20)) for _ in range(100)) + inflater.flush()
    with pytest.raises(FrameTooLong):
        FrameDecoder().feed(packed(bomb, flag=1))
    with pytest.raises(FrameTooLong):
        FrameDecoder(max_length=5000).feed(packed(gzip.compress(bytes(5000)), flag=1))


@pytest.mark.parametrize(
    "stream",
    [b"no gzip", gzip.compress(b"\x03\x09\x00\x00")[:-1], gzip.compress(b"\x03\x09\x00\x00") + b"x"],
    ids=["not", "cut", "more"],
)
def test_gzip_is_one_whole_stream(stream: bytes) -> None:
    with pytest.raises(BadGzip):
        FrameDecoder().feed(packed(stream, flag=1))
    with pytest.raises(NotRock):
        FrameDecoder(gzip=False).feed(packed(stream, flag=1))


@pytest.mark.parametrize("length", [0, -1, -(2**31), MAX_LENGTH, 2**31 - 1])
def test_lengths_are_checked_before_anything_is_kept(length: int) -> None:
    decoder = FrameDecoder()
    with pytest.raises(FrameTooLong):
        decoder.feed(struct.pack(">HBBi", 0xABCD, 1, 0, length) + b"x")
    assert decoder.held_bytes == 0


def test_what_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameTooLong):
        encode_request(1, 1, "", bytes(MAX_LENGTH))


@pytest.mark.parametrize(
    "wire", [packed(b"x", magic=0xABCE), packed(b"x", version=2), packed(b"x", flag=2), b"GET / HTTP/1.1\r\n"]
)
def test_other_protocols(wire: bytes) -> None:
    with pytest.raises(NotRock):
        FrameDecoder().feed(wire)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x00",
        b"\x04\x01\x00\x00",
        b"\x01",
        b"\x01\x01\x01\x05ab\x00",
        b"\x03\x09\x00\x05ab",
        b"\x03\x09\x00\x01ab",
        b"\x03\x09\x02\xff\xfe\x00",
        b"\x03\x09\x00\xff\xff\xff\xff\x0fab",
    ],
)
def test_payloads_of_another_form(payload: bytes) -> None:
    after = encode_notify(9, "t", b"{}")
    with pytest.raises(BadPayload):
        FrameDecoder().feed(packed(payload) + after)


def test_a_large_frame_in_tiny_pieces_takes_linear_time() -> None:
    def seconds(size: int) -> float:
        wire, decoder = encode_request(1, 2, "", bytes(size)), FrameDecoder()
        begin = time.process_time()
        frames = [frame for at in range(0, len(wire), 16) for frame in decoder.feed(wire[at : at + 16])]
        assert len(frames) == 1
        assert decoder.held_bytes == 0
        return time.process_time() - begin

    small = min(seconds(100_000) for _ in range(3))
    assert min(seconds(800_000) for _ in range(2)) < 8 * small * 4, "quadratic would be 64 times"


def test_no_more_is_held_than_the_unfinished_frame() -> None:
    frame, decoder = encode_request(1, 2, "", bytes(1000)), FrameDecoder()
    assert len(decoder.feed(frame * 50 + frame[:500])) == 50
    assert decoder.held_bytes == 500
    assert len(decoder.feed(frame[500:] + frame[:3])) == 1
    assert decoder.held_bytes == 3
