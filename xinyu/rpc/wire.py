"""Rock frames: bytes to values and back, without I/O (the layout is CONTRACT.md section 5.2).

    magic AB CD | version 01 | flag, bit 0 = gzip | length, int32 big-endian | payload
    payload: kind 1 REQUEST   sn command trace_id body
             kind 2 RESPONSE  sn command result result_str trace_id body
             kind 3 NOTIFY    notify trace_id body

Numbers are unsigned LEB128 of at most 32 bits; a text is its length in bytes and UTF-8. Any byte string that is fed to
`FrameDecoder` gives frames or raises one of the errors below; after an error the decoder is of no more use.
"""

from __future__ import annotations

import struct
import zlib
from typing import TypeAlias

import msgspec

MAX_LENGTH = 64 * 1024 * 1024
"""A payload is shorter than this, on the wire and inflated."""
GZIP_FROM = 4096
"""Payloads of at least this many bytes are compressed for peers that want it."""
HEADER_BYTES = 8
_HEADER = struct.Struct(">HBBi")
_MAGIC, _VERSION, _PLAIN, _GZIP = 0xABCD, 1, 0, 1
_GZIP_LEVEL = 1
_GZIP_STREAM = 31
"""zlib's `wbits` for a gzip stream; its header has no time and OS 3, as the predecessor's."""
_U32 = 0xFFFFFFFF


UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for a body that is no JSON of the form that is wanted: also where it is no UTF-8, or too deep."""


class WireError(Exception):
    """The peer's bytes are not Rock; nothing after them can be understood."""


class NotRock(WireError):
    """The bytes do not begin with the magic, version 1 and a known flag."""


class FrameTooLong(WireError):
    """A payload's length, as announced or inflated, is not within 1 byte and the limit."""


class BadGzip(WireError):
    """A payload said to be gzip is not exactly one whole gzip stream."""


class BadPayload(WireError):
    """A payload does not hold exactly the fields of its kind."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """Asks for `command`; the answer repeats `sn`."""

    sn: int
    command: int
    trace_id: str
    body: bytes


class Response(msgspec.Struct, frozen=True, gc=False):
    """Answers the request `sn`: 200 or an HTTP-like code, and its text."""

    sn: int
    command: int
    result: int
    result_str: str
    trace_id: str
    body: bytes


class Notify(msgspec.Struct, frozen=True, gc=False):
    """Says something that nobody answers."""

    notify: int
    trace_id: str
    body: bytes


Frame: TypeAlias = Request | Response | Notify


def encode_request(sn: int, command: int, trace_id: str, body: bytes, gzip: bool = False) -> bytes:
    """A REQUEST frame; compressed when `gzip` and long enough. Raises FrameTooLong."""
    head = b"\x01%b%b%b%b" % (_varint(sn), _varint(command), _field(trace_id), _varint(len(body)))
    return _framed(head, body, gzip)


def encode_response(
    sn: int, command: int, result: int, result_str: str, trace_id: str, body: bytes, gzip: bool = False
) -> bytes:
    """A RESPONSE frame; compressed when `gzip` and long enough. Raises FrameTooLong."""
    status = _OK if result == 200 and result_str == "ok" else _varint(result) + _field(result_str)
    head = b"\x02%b%b%b%b%b" % (_varint(sn), _varint(command), status, _field(trace_id), _varint(len(body)))
    return _framed(head, body, gzip)


def encode_notify(notify: int, trace_id: str, body: bytes, gzip: bool = False) -> bytes:
    """A NOTIFY frame; compressed when `gzip` and long enough. Raises FrameTooLong."""
    return _framed(b"\x03%b%b%b" % (_varint(notify), _field(trace_id), _varint(len(body))), body, gzip)


def _framed(head: bytes, body: bytes, gzip: bool) -> bytes:
    length = len(head) + len(body)
    if length >= MAX_LENGTH:
        raise FrameTooLong(f"a payload of {length} bytes")
    if gzip and length >= GZIP_FROM:
        deflater = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_STREAM)
        packed = deflater.compress(head) + deflater.compress(body) + deflater.flush()
        return _HEADER.pack(_MAGIC, _VERSION, _GZIP, len(packed)) + packed
    return b"".join((_HEADER.pack(_MAGIC, _VERSION, _PLAIN, length), head, body))


_SMALL = [bytes((value,)) for value in range(128)]


def _varint(value: int) -> bytes:
    if value < 128:
        return _SMALL[value]
    if value < 1 << 14:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 1 << 21:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    if value > _U32:
        raise ValueError(f"{value} has more than 32 bits")
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(text: str) -> bytes:
    data = text.encode()
    return _varint(len(data)) + data


_OK = _varint(200) + _field("ok")


class FrameDecoder:
    """Cuts a stream into frames. Between calls it holds less than one frame; its work is linear in the bytes fed."""

    def __init__(self, max_length: int = MAX_LENGTH, gzip: bool = True) -> None:
        """Refuse payloads of `max_length` bytes and more, and, without `gzip`, compressed ones."""
        self.max_length = max_length
        self.gzip = gzip
        self._held = bytearray()
        self._needed = HEADER_BYTES

    @property
    def held_bytes(self) -> int:
        """Bytes of a frame whose end has not come yet."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with `data`, in order. Raises a WireError; limits are checked before parsing."""
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return []
            data = bytes(self._held)
            self._held.clear()
        frames: list[Frame] = []
        at, size = 0, len(data)
        while size - at >= HEADER_BYTES:
            magic, version, flag, length = _HEADER.unpack_from(data, at)
            if magic != _MAGIC or version != _VERSION or flag > _GZIP or (flag and not self.gzip):
                raise NotRock(f"begins with {data[at : at + 4].hex()}")
            if not 0 < length < self.max_length:
                raise FrameTooLong(f"a payload of {length} bytes")
            start = at + HEADER_BYTES
            end = start + length
            if end > size:
                self._needed = HEADER_BYTES + length
                break
            if flag:
                payload = _inflate(data[start:end], self.max_length)
                frames.append(_parse(payload, 0, len(payload)))
            else:
                frames.append(_parse(data, start, end))
            at = end
        else:
            self._needed = HEADER_BYTES
        if at < size:
            self._held += data[at:] if at else data
        return frames


def _inflate(packed: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(_GZIP_STREAM)
    try:
        payload = inflater.decompress(packed, limit)
    except zlib.error as error:
        raise BadGzip(str(error)) from error
    if len(payload) >= limit:
        raise FrameTooLong(f"inflates to {limit} bytes or more")
    if not inflater.eof or inflater.unused_data:
        raise BadGzip("not one whole stream")
    if not payload:
        raise FrameTooLong("inflates to nothing")
    return payload


def _parse(data: bytes, at: int, end: int) -> Frame:
    """The frame in data[at:end]. Reading past `end` is noticed at the end: a field can only make `at` grow."""
    kind = data[at]
    try:
        if kind == 1:
            sn, at = _number(data, at + 1)
            command, at = _number(data, at)
            trace_id, at = _text(data, at)
            return Request(sn, command, trace_id, _last(data, at, end))
        if kind == 2:
            sn, at = _number(data, at + 1)
            command, at = _number(data, at)
            result, at = _number(data, at)
            result_str, at = _text(data, at)
            trace_id, at = _text(data, at)
            return Response(sn, command, result, result_str, trace_id, _last(data, at, end))
        if kind == 3:
            notify, at = _number(data, at + 1)
            trace_id, at = _text(data, at)
            return Notify(notify, trace_id, _last(data, at, end))
    except (IndexError, UnicodeDecodeError) as error:
        raise BadPayload(str(error)) from error
    raise BadPayload(f"kind {kind}")


def _number(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    if first < 128:
        return first, at + 1
    second = data[at + 1]
    if second < 128:
        return first & 0x7F | second << 7, at + 2
    value = first & 0x7F | (second & 0x7F) << 7
    at += 1
    for shift in (14, 21, 28):
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 128 and value <= _U32:
            return value, at + 1
    raise BadPayload("a number of more than 32 bits")


def _text(data: bytes, at: int) -> tuple[str, int]:
    size = data[at]
    at += 1
    if size > 127:
        size, at = _number(data, at - 1)
    end = at + size
    return data[at:end].decode(), end


def _last(data: bytes, at: int, end: int) -> bytes:
    size = data[at]
    at += 1
    if size > 127:
        size, at = _number(data, at - 1)
    if at + size != end:
        raise BadPayload("its fields and its length disagree")
    return data[at:end]
