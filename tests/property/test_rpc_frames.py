"""Any split of any frames gives these frames; any bytes give frames or a documented error."""

from __future__ import annotations

import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st

from xinyu.rpc.wire import (
    Frame,
    FrameDecoder,
    Notify,
    Request,
    Response,
    WireError,
    encode_notify,
    encode_request,
    encode_response,
)

NUMBERS = st.integers(0, 2**32 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=200)
BODIES = st.binary(max_size=300) | st.builds(
    lambda seed, times: seed * times, st.binary(min_size=1), st.integers(0, 999)
)
FRAMES = st.one_of(
    st.builds(Request, NUMBERS, NUMBERS, TEXTS, BODIES),
    st.builds(Response, NUMBERS, NUMBERS, NUMBERS, TEXTS, TEXTS, BODIES),
    st.builds(Notify, NUMBERS, TEXTS, BODIES),
)


def encode(frame: Frame, gzip: bool) -> bytes:
    if isinstance(frame, Request):
        return encode_request(frame.sn, frame.command, frame.trace_id, frame.body, gzip)
    if isinstance(frame, Response):
        head = (frame.sn, frame.command, frame.result, frame.result_str)
        return encode_response(*head, frame.trace_id, frame.body, gzip)
    return encode_notify(frame.notify, frame.trace_id, frame.body, gzip)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


@given(st.lists(st.tuples(FRAMES, st.booleans()), max_size=6), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_split_of_any_frames(frames: list[tuple[Frame, bool]], cuts: list[int]) -> None:
    wires = [encode(frame, gzip) for frame, gzip in frames]
    decoder, found, longest = FrameDecoder(), [], max(map(len, wires), default=0)
    for piece in pieces(b"".join(wires), cuts):
        found += decoder.feed(piece)
        assert decoder.held_bytes < max(longest, 1)
    assert found == [frame for frame, _ in frames]
    assert decoder.held_bytes == 0


@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda flag, body: struct.pack(">HBBi", 0xABCD, 1, flag, len(body)) + body,
            st.integers(0, 1),
            st.binary(min_size=1, max_size=100),
        ),
        st.builds(
            lambda kind, body: struct.pack(">HBBi", 0xABCD, 1, 0, len(body) + 1) + bytes((kind,)) + body,
            st.integers(1, 3),
            st.binary(max_size=60),
        ),
    ),
    st.lists(st.integers(0, 300), max_size=5),
)
def test_any_bytes(data: bytes, cuts: list[int]) -> None:
    decoder = FrameDecoder()
    try:
        for piece in pieces(data, cuts):
            for frame in decoder.feed(piece):
                assert isinstance(frame, Request | Response | Notify)
    except WireError:
        pass


@given(FRAMES, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte(frame: Frame, at: int, change: int) -> None:
    wire = bytearray(encode(frame, gzip=True))
    wire[at % len(wire)] ^= change
    try:
        FrameDecoder().feed(bytes(wire))
    except WireError:
        pass
