"""A client that was away: connects and asks for what it missed, page after page (CONTRACT 2.6, `sync`)."""

from __future__ import annotations

import asyncio
import itertools

import msgspec

from bench.accounts import Account
from bench.chat import BadFrame, connect_user
from bench.wire import Socket, text_frame

ANSWER_SECONDS = 60.0


class _Record(msgspec.Struct):
    msg_id: str
    sequence: int


class _Item(msgspec.Struct):
    talk_id: int
    last_seq: int = 0
    messages: list[_Record] = []
    more: bool = False


class _Page(msgspec.Struct):
    items: list[_Item] = []
    more: bool = False
    error: str = ""


class _Frame(msgspec.Struct):
    event: str
    id: str = ""
    payload: _Page | None = None


_decode = msgspec.json.Decoder(_Frame).decode


class Returner:
    """One user who comes back. `cursors` is how far he has each conversation."""

    def __init__(self, account: Account, cursors: dict[int, int]) -> None:
        self._account = account
        self._cursors = cursors
        self._numbers = itertools.count(1)
        self._answers: dict[str, asyncio.Future[_Page]] = {}
        self._socket: Socket
        self.fetched: dict[int, list[tuple[str, int]]] = {}
        """conversation → (msg_id, seq) as they came."""
        self.count = 0
        """Entries of all conversations."""

    async def connect(self, ws_url: str, device: str) -> None:
        """Raises BadFrame, HandshakeRefused, OSError."""
        self._socket = await connect_user(ws_url, self._account, device, self._hear)

    async def sync(self) -> None:
        """Everything he lacks; acknowledged at the end. Raises BadFrame."""
        more = True
        while more:
            page = await self._ask()
            for item in page.items:
                self.count += len(item.messages)
                self.fetched.setdefault(item.talk_id, []).extend((m.msg_id, m.sequence) for m in item.messages)
                self._cursors[item.talk_id] = item.messages[-1].sequence if item.messages else item.last_seq
            more = page.more or any(item.more for item in page.items)
        self._send({"event": "ack", "cursors": self._named()})

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    async def _ask(self) -> _Page:
        request = str(next(self._numbers))
        answer = self._answers[request] = asyncio.get_running_loop().create_future()
        self._send({"event": "sync", "id": request, "payload": {"cursors": self._named()}})
        try:
            page: _Page = await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError:
            raise BadFrame(f"no answer to `sync` within {ANSWER_SECONDS:.0f} s") from None
        if page.error:
            raise BadFrame(f"`sync` was answered with {page.error}")
        return page

    def _named(self) -> dict[str, int]:
        return {str(talk_id): seq for talk_id, seq in self._cursors.items()}

    def _send(self, frame: object) -> None:
        self._socket.send(text_frame(msgspec.json.encode(frame)))

    def _hear(self, data: bytes) -> None:
        if data.startswith((b'{"event":"reply"', b'{"event":"error"')):
            frame = _decode(data)
            answer = self._answers.pop(frame.id, None)
            if answer is not None and frame.payload is not None and not answer.done():
                answer.set_result(frame.payload)
