"""A pair of sockets in one private chat: sends prepared frames, matches replies and pushes, acknowledges.

CONTRACT 2.6: `sync=1` sessions, so no per-frame acks; both ends acknowledge cumulatively every two seconds.
"""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections.abc import Callable
from urllib.parse import urlencode

import msgspec

from bench.accounts import Account, Friends
from bench.checker import Conversation
from bench.wire import Socket, SocketClosed, connect, text_frame

ACK_SECONDS = 2.0
DOUBTFUL = frozenset({"transport.deadline", "transport.unavailable", "storage.commit_unknown"})
"""Errors that do not tell whether the message was stored."""
_TEXT = "0123456789" * 10
_ID_HOLE, _MSG_ID_HOLE = "#" * 8, "@" * 32


class _Body(msgspec.Struct):
    msg_id: str = ""
    sequence: int = 0


class _Payload(msgspec.Struct):
    msg_id: str = ""
    sequence: int = 0
    body: _Body | None = None
    error: str = ""
    error_message: str = ""


class _Frame(msgspec.Struct):
    event: str
    id: str = ""
    payload: _Payload | None = None


_decode = msgspec.json.Decoder(_Frame).decode


class BadFrame(Exception):
    """The server said something that the contract does not know here."""


async def connect_user(
    ws_url: str, account: Account, device: str, on_text: Callable[[bytes], None], sync: bool = True
) -> Socket:
    """A socket of `account`, returned once the server's `connect` frame has come. Without `sync` it is pushed to with
    an `ackid` on each frame, as pages are. Raises BadFrame, HandshakeRefused."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def first(payload: bytes) -> None:
        if ready.done():
            return on_text(payload)
        event = _decode(payload).event
        if event == "connect":
            ready.set_result(None)
        else:
            ready.set_exception(BadFrame(f"the first frame is {payload[:200]!r}"))
        return None

    query = urlencode({"token": account.token, "platform": "web", "device_id": device, "sync": int(sync)})
    socket = await connect(f"{ws_url}/wss/default.io?{query}", first)
    try:
        await asyncio.wait_for(ready, 15.0)
    except TimeoutError:
        raise BadFrame("no `connect` frame within 15 s of the handshake") from None
    socket.on_text = on_text
    return socket


class Pair:
    """Sender and receiver. `on_done(pair)` is called when a message is acked and delivered, or refused."""

    def __init__(self, friends: Friends, on_done: Callable[[Pair], None]) -> None:
        self.friends = friends
        self.on_done = on_done
        self.log = Conversation(name=f"talk {friends.talk_id}")
        self.latencies: array[int] = array("q")
        self.refusals: dict[str, int] = {}
        self.delivered = 0
        self._open: dict[str, list[int]] = {}  # msg_id → [reference time in ns, halves still missing]
        self._requests: dict[str, str] = {}  # request id → msg_id
        self._number = 0
        self._seen = [0, 0]  # highest seq at sender, receiver
        self._told = [0, 0]  # of it acknowledged
        self._template = SendTemplate(1, friends.receiver.uid)

    async def open(self, ws_url: str, receiver_url: str = "") -> None:
        """Connect both ends, the receiver perhaps to another gateway."""
        self._sender, self._receiver = await asyncio.gather(
            connect_user(ws_url, self.friends.sender, f"load-{self.friends.sender.uid}", self._at_sender),
            connect_user(
                receiver_url or ws_url, self.friends.receiver, f"load-{self.friends.receiver.uid}", self._at_receiver
            ),
        )

    def close(self) -> None:
        """Close both ends."""
        self._sender.close()
        self._receiver.close()

    @property
    def outstanding(self) -> int:
        """Messages sent and not yet done."""
        return len(self._open)

    def check_open(self) -> None:
        """Raises SocketClosed when the server has closed an end."""
        for socket in (self._sender, self._receiver):
            if socket.closed:
                raise SocketClosed(f"{self.log.name}: the server closed a socket (code {socket.close_code})")

    def send(self, reference_ns: int) -> None:
        """Send the next message; its latency counts from `reference_ns` (perf_counter_ns)."""
        self._number += 1
        request, msg_id = f"{self._number:08d}", f"{random.getrandbits(128):032x}"
        self._open[msg_id] = [reference_ns, 2]
        self._requests[request] = msg_id
        self.log.sent.add(msg_id)
        self._sender.send(self._template.frame(request, msg_id))

    def acknowledge(self) -> None:
        """Send the cumulative acks that are due."""
        for end, socket in enumerate((self._sender, self._receiver)):
            seq = self._seen[end]
            if seq > self._told[end] and not socket.closed:
                self._told[end] = seq
                socket.send(text_frame(b'{"event":"ack","cursors":{"%d":%d}}' % (self.friends.talk_id, seq)))

    def _at_sender(self, data: bytes) -> None:
        frame = _decode(data)
        if frame.event == "reply" and frame.payload is not None:
            msg_id = self._requests.pop(frame.id, None)
            if msg_id is None:
                raise BadFrame(f"a reply to no request of ours: {data[:200]!r}")
            self.log.acked.append((msg_id, frame.payload.sequence))
            self._seen[0] = max(self._seen[0], frame.payload.sequence)
            self._half(msg_id)
        elif frame.event == "error" and frame.payload is not None:
            msg_id = self._requests.pop(frame.id, "")
            (self.log.doubtful if frame.payload.error in DOUBTFUL else self.log.refused).add(msg_id)
            self.refusals[frame.payload.error] = self.refusals.get(frame.payload.error, 0) + 1
            if self._open.pop(msg_id, None):
                self.on_done(self)

    def _at_receiver(self, data: bytes) -> None:
        frame = _decode(data)
        if frame.event != "im.message" or frame.payload is None or frame.payload.body is None:
            return
        body = frame.payload.body
        self.log.delivered.append((body.msg_id, body.sequence))
        self._seen[1] = max(self._seen[1], body.sequence)
        entry = self._open.get(body.msg_id)
        if entry is not None:
            self.latencies.append(time.perf_counter_ns() - entry[0])
            self.delivered += 1
            self._half(body.msg_id)

    def _half(self, msg_id: str) -> None:
        entry = self._open.get(msg_id)
        if entry is None:
            return
        entry[1] -= 1
        if entry[1] == 0:
            del self._open[msg_id]
            self.on_done(self)


class SendTemplate:
    """A send frame around its two holes, request id and msg_id (both of fixed length, so the head stays)."""

    def __init__(self, talk_mode: int, to: int) -> None:
        request = {
            "event": "message.send",
            "id": _ID_HOLE,
            "payload": {
                "type": "text",
                "talk_mode": talk_mode,
                "to_from_id": to,
                "body": {"text": _TEXT},
                "msg_id": _MSG_ID_HOLE,
            },
        }
        frame = text_frame(msgspec.json.encode(request))
        self._before, rest = frame.split(_ID_HOLE.encode())
        self._between, self._after = rest.split(_MSG_ID_HOLE.encode())

    def frame(self, request: str, msg_id: str) -> bytes:
        """With a request id of 8 characters and a msg_id of 32."""
        return b"".join((self._before, request.encode(), self._between, msg_id.encode(), self._after))
