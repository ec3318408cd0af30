"""A sender alone: his messages, each until it is acked, whatever becomes of the server meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Sequence

import msgspec

from bench.accounts import Friends
from bench.chat import BadFrame, SendTemplate, connect_user
from bench.checker import Conversation
from bench.wire import HandshakeRefused, Socket

PAUSE_SECONDS = 0.05
"""Before a message is sent again, or a gateway dialled again."""


class _Payload(msgspec.Struct):
    sequence: int = 0
    error: str = ""


class _Frame(msgspec.Struct):
    event: str
    id: str = ""
    payload: _Payload | None = None


_decode = msgspec.json.Decoder(_Frame).decode


class Sender:
    """The first of two friends. `log` is what he sent and was acked."""

    def __init__(self, friends: Friends, size: int = 0) -> None:
        """`size` messages, 0 for any number."""
        self.log = Conversation(f"talk {friends.talk_id}")
        self.acked_at: list[float] = []
        """When each ack came (time.monotonic)."""
        self._friends = friends
        self._numbers = itertools.count(1) if not size else iter(range(1, size + 1))
        self._template = SendTemplate(1, friends.receiver.uid)
        self._answers: dict[str, asyncio.Future[int]] = {}
        self._device = f"sender-{secrets.token_hex(4)}"
        self._socket: Socket | None = None

    async def connect(self, ws_url: str) -> None:
        """Raises BadFrame, HandshakeRefused, OSError."""
        self._socket = await connect_user(ws_url, self._friends.sender, self._device, self._hear)

    def close(self) -> None:
        """Leave."""
        if self._socket is not None:
            self._socket.close()

    async def send_all(self, outstanding: int) -> None:
        """All messages, so many at a time, over the socket there is. Raises BadFrame when one is refused."""

        async def some() -> None:
            for number in self._numbers:
                await self._acked(number, secrets.token_hex(16))

        await asyncio.gather(*(some() for _ in range(outstanding)))

    async def insist(self, ws_urls: Sequence[str], done: asyncio.Event) -> None:
        """One message after the other until `done`, each until it is acked: over a new socket, to the next gateway,
        where the old one broke; `ws_urls` may change meanwhile."""
        turns = itertools.count()
        for number in self._numbers:
            if done.is_set():
                return
            msg_id = secrets.token_hex(16)
            while True:
                try:
                    if self._socket is None or self._socket.closed:
                        await self.connect(ws_urls[next(turns) % len(ws_urls)])
                    await self._acked(number, msg_id)
                    break
                except (BadFrame, HandshakeRefused, OSError, TimeoutError):
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _acked(self, number: int, msg_id: str) -> None:
        assert self._socket is not None
        request = f"{number:08d}"
        answer = self._answers[request] = asyncio.get_running_loop().create_future()
        self.log.sent.add(msg_id)
        self._socket.send(self._template.frame(request, msg_id))
        seq = await self._answer(answer)
        self.log.acked.append((msg_id, seq))
        self.acked_at.append(time.monotonic())

    async def _answer(self, answer: asyncio.Future[int]) -> int:
        """Raises BadFrame, ConnectionError."""
        assert self._socket is not None
        while True:
            done, _ = await asyncio.wait([answer], timeout=0.25)
            if done:
                return answer.result()
            if self._socket.closed:
                raise ConnectionError("the socket broke before the answer")

    def _hear(self, data: bytes) -> None:
        frame = _decode(data)
        answer = self._answers.pop(frame.id, None) if frame.id else None
        if answer is None or frame.payload is None or answer.done():
            return
        if frame.event == "reply":
            answer.set_result(frame.payload.sequence)
        else:
            answer.set_exception(BadFrame(f"a send was answered with {frame.payload.error}"))
