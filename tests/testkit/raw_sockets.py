"""Sockets of web clients on which a test answers, or does not, by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from testkit.people import Person
from testkit.waiting import eventually


class RawSocket:
    """A socket on which a test answers, or does not, by hand."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.frames: list[dict[str, Any]] = []
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for text in self._socket:
            self.frames.append(json.loads(text))

    async def send(self, frame: object) -> None:
        await self._socket.send(json.dumps(frame))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["event"] == event]

    def copies(self, text: str) -> int:
        """How often a text was pushed."""
        return sum(text in frame["payload"]["body"]["extra"] for frame in self.named("im.message"))


@asynccontextmanager
async def raw_socket(person: Person, token: str) -> AsyncIterator[RawSocket]:
    async with connect(f"{person.town.placement.ws}?token={token}&platform=web", compression=None) as socket:
        raw = RawSocket(socket)
        try:
            await eventually(lambda: raw.named("connect"))
            yield raw
        finally:
            raw.reader.cancel()
            await asyncio.gather(raw.reader, return_exceptions=True)
