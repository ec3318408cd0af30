"""A small HTTP/1.1 client for making thousands of accounts quickly: POST JSON over kept-alive connections."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import msgspec


class RestError(Exception):
    """The server answered with an error, or not in HTTP."""


class Rest:
    """POSTs over at most `connections` connections at once; use as an async context manager."""

    def __init__(self, base_url: str, connections: int = 16, below: str = "/api/v1") -> None:
        parts = urlsplit(base_url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._prefix = parts.path.rstrip("/") + below
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Rest:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _reader, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def post(self, path: str, body: dict[str, Any], token: str = "") -> Any:
        """The decoded response to POST `path` below /api/v1. Raises RestError, OSError."""
        data = msgspec.json.encode(body)
        head = (
            f"POST {self._prefix}{path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
            + (f"Authorization: Bearer {token}\r\n" if token else "")
            + "\r\n"
        )
        async with self._slots:
            if self._idle:
                reader, writer = self._idle.pop()
            else:
                reader, writer = await asyncio.open_connection(self._host, self._port)
            try:
                writer.write(head.encode() + data)
                status, answer = await _read_response(reader)
            except BaseException:
                writer.close()
                raise
            self._idle.append((reader, writer))
        if status != 200:
            raise RestError(f"{path}: {status} {answer[:200].decode(errors='replace')}")
        return msgspec.json.decode(answer)


async def _read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        status = int(lines[0].split()[1])
        sizes = [line.split(b":")[1] for line in lines if line.lower().startswith(b"content-length:")]
        return status, await reader.readexactly(int(sizes[0]))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError, ValueError) as error:
        raise RestError("the server's answer is no HTTP response with a length") from error
