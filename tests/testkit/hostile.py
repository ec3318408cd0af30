"""What clients must never send, and what every refusal must look like."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx

TRACES = ("Traceback", ".py", "sqlite", "sqlalchemy", "Exception", "msgspec", "xinyu.", "site-packages")
"""A client must never read these."""

BAD_BODIES: dict[str, bytes] = {
    "not JSON": b"{",
    "an array": b"[1, 2]",
    "a number": b"7",
    "a string": b'"hello"',
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "a lone surrogate": b'{"nickname": "\\ud800", "name": "\\ud800", "remark": "\\ud800"}',
    "too deep": b'{"a":' * 2500 + b"1" + b"}" * 2500,
    "a NUL": b'{"a": "\x00"}',
    "a huge number": b'{"user_id": ' + b"9" * 4000 + b"}",
    "an infinite number": b'{"user_id": 1e999}',
}

UNREADABLE = ("not JSON", "an array", "a number", "a string", "not UTF-8", "too deep")
"""Those of the bodies above that no route can read anything from."""

ODD_VALUES: tuple[Any, ...] = (
    {"a": []}, "", -1, 2**53, 2**70, 1.5, True, "\u0000'\"\\; DROP TABLE", "x" * 5000, ["x"] * 300, [2**70, None],
)  # fmt: skip


def variations(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The body with each field left out, and with each field odd."""
    for name in body:
        yield {key: value for key, value in body.items() if key != name}
        for value in ODD_VALUES:
            yield {**body, name: value}


def check_refusal(answer: httpx.Response, *statuses: int) -> None:
    """The error envelope (CONTRACT.md section 1.0), of one of these statuses, without anything of the inside."""
    assert answer.status_code in statuses, f"{answer.request.url.path}: {answer.status_code} {answer.text[:300]}"
    told = answer.json()
    assert told["code"] == answer.status_code and told["data"] is None and isinstance(told["message"], str), told
    check_text(answer.text)


def check_text(text: str) -> None:
    """Nothing of the inside shows."""
    shown = [trace for trace in TRACES if trace in text]
    assert not shown, f"{shown} in {text[:500]}"


def noise(count: int, seed: int = 7) -> list[bytes]:
    """Bytes of all kinds for a port, the same in every run: pure noise, and beginnings of what is spoken there."""
    rng = random.Random(seed)
    begun = [
        b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST /api/v1/auth/login HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n{",
        b"POST /api/v1/auth/login HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"GET " + b"/a" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /api/v1/upload/media-file HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /wss/x HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 9\r\n\r\n",
    ]  # fmt: skip
    return begun + [rng.randbytes(rng.randrange(1, 2000)) for _ in range(count)]


def odd_frames() -> list[str]:
    """Frames without a request id that mean nothing: the server must stay silent."""
    return [
        "", "null", "7", "[]", "{", '"x"', "{}", '{"event":null}', '{"event":7}', '{"event":["ping"]}',
        '{"event":"ack"}', '{"event":"ack","ackid":7}', '{"event":"ack","ackid":"x"}', '{"event":"ack","ackid":"1.1"}',
        '{"event":"ack","cursors":[]}', '{"event":"ack","cursors":{"x":1}}', '{"event":"ack","cursors":{"1":-5}}',
        '{"event":"ack","cursors":{"1":99999999999999999999}}', '{"event":"nobody.knows","payload":{}}',
        '{"event":"message.send","payload":{"type":"text"}}', '{"event":"im.message.keyboard"}',
        '{"event":"im.message.keyboard","payload":{"to_from_id":"x"}}', '{"event":"pong","payload":[]}',
        json.dumps({"event": "ping\u0000", "payload": None}), '{"event":"' + "e" * 10_000 + '"}',
    ]  # fmt: skip
