"""One group whose members are connected, ten of whom send: what each saw, and when the last of them had a message."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from bench.accounts import Account, Room
from bench.chat import ACK_SECONDS, SendTemplate, connect_user
from bench.checker import Verdict
from bench.wire import Socket, text_frame

_OPEN_AT_ONCE = 25


class _Body(msgspec.Struct):
    msg_id: str = ""
    sequence: int = 0


class _Payload(msgspec.Struct):
    sequence: int = 0
    talk_id: int = 0
    body: _Body | None = None
    error: str = ""


class _Frame(msgspec.Struct):
    event: str
    id: str = ""
    ackid: str = ""
    payload: _Payload | None = None


_decode = msgspec.json.Decoder(_Frame).decode


class _Member:
    """A session and how far it has the log. A sender gets own messages as replies, all others as pushes; between the
    two there is no order."""

    __slots__ = ("ahead", "owed", "seen", "socket", "told")

    def __init__(self) -> None:
        self.socket: Socket
        self.seen = 0
        self.told = 0
        self.ahead: set[int] = set()
        """Of a sender: what he had by a reply before what comes before it."""
        self.owed: set[int] = set()
        """Of a sender: what a push has passed and a reply must still bring."""


class _Message:
    """One that is under way."""

    __slots__ = ("acked", "left", "sender", "sent_ns")

    def __init__(self, sender: int, left: int, sent_ns: int) -> None:
        self.sender = sender
        self.left = left
        self.sent_ns = sent_ns
        self.acked = False


class GroupLoad:
    """The first `senders` of the connected members send. `on_done(sender)` follows when a message is acked and
    everybody has it. With `acks` all but the senders are sessions that acknowledge each frame."""

    def __init__(self, room: Room, online: int, senders: int, acks: bool, on_done: Callable[[int], None]) -> None:
        self.latencies: array[int] = array("q")
        self.deliveries = 0
        self.messages = 0
        self.verdict = Verdict()
        self.senders = senders
        self._accounts: Sequence[Account] = room.members[:online]
        self._members = [_Member() for _ in self._accounts]
        self._acks = acks
        self._on_done = on_done
        self._open: dict[str, _Message] = {}
        self._requests: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._template = SendTemplate(2, room.group_id)
        self._talk_id = 0
        self._closing = False

    async def open(self, ws_urls: Sequence[str]) -> None:
        """Connect everybody, spread over the gateways. Raises BadFrame, HandshakeRefused, OSError."""
        slots, device = asyncio.Semaphore(_OPEN_AT_ONCE), f"room-{secrets.token_hex(4)}"

        async def one(number: int) -> None:
            sync = number < self.senders or not self._acks
            async with slots:
                self._members[number].socket = await connect_user(
                    ws_urls[number % len(ws_urls)], self._accounts[number], device, partial(self._hear, number), sync
                )

        await asyncio.gather(*(one(number) for number in range(len(self._members))))

    @property
    def outstanding(self) -> int:
        """Messages that somebody does not have yet."""
        return len(self._open)

    def send(self, sender: int) -> None:
        """The next message of a sender."""
        request, msg_id = f"{next(self._numbers):08d}", f"{random.getrandbits(128):032x}"
        self._requests[request] = msg_id
        self._open[msg_id] = _Message(sender, len(self._members) - 1, time.perf_counter_ns())
        self._members[sender].socket.send(self._template.frame(request, msg_id))

    async def acknowledge(self) -> None:
        """Cumulative acks, each member's once in ACK_SECONDS, for ever."""
        while True:
            for number, member in enumerate(self._members):
                if number % 20 == 0:
                    await asyncio.sleep(20 * ACK_SECONDS / len(self._members))
                if member.seen > member.told and not member.socket.closed:
                    member.told = member.seen
                    ack = b'{"event":"ack","cursors":{"%d":%d}}' % (self._talk_id, member.seen)
                    member.socket.send(text_frame(ack))

    def judge(self) -> Verdict:
        """After everything has settled: what is missing, too."""
        for msg_id, message in self._open.items():
            self.verdict.add("lost" if message.acked else "unanswered", f"{msg_id}: {message.left} members lack it")
        for number, member in enumerate(self._members):
            if member.owed:
                self.verdict.add("gap", f"member {number} has neither pushes nor replies of {sorted(member.owed)[:5]}")
        closed = sum(member.socket.closed for member in self._members)
        if closed:
            self.verdict.add("closed", f"{closed} of {len(self._members)} sockets were closed by the server")
        return self.verdict

    def close(self) -> None:
        """Close all sockets."""
        for member in self._members:
            member.socket.close()

    def _hear(self, number: int, data: bytes) -> None:
        frame = _decode(data)
        payload = frame.payload
        if payload is None:
            return
        if payload.body is not None and frame.event == "im.message":
            if frame.ackid:
                self._members[number].socket.send(text_frame(b'{"event":"ack","ackid":"%s"}' % frame.ackid.encode()))
            self._delivered(number, payload.talk_id, payload.body)
        elif frame.event in ("reply", "error") and (msg_id := self._requests.pop(frame.id, "")):
            self._answered(number, msg_id, payload)

    def _answered(self, number: int, msg_id: str, payload: _Payload) -> None:
        message = self._open[msg_id]
        if payload.error:
            self.verdict.refused += 1
            del self._open[msg_id]
            self._on_done(message.sender)
            return
        message.acked = True
        self.verdict.acked += 1
        member = self._members[number]
        if payload.sequence in member.owed:
            member.owed.remove(payload.sequence)
        else:
            member.ahead.add(payload.sequence)
        self._finish(msg_id, message)

    def _delivered(self, number: int, talk_id: int, body: _Body) -> None:
        message = self._open.get(body.msg_id)
        member = self._members[number]
        if message is None and not member.seen:
            return  # from before this run: joinings, another conversation's greeting
        if message is not None:
            self._talk_id = talk_id
        elif talk_id != self._talk_id:
            return
        self._place(number, member, body)
        if message is not None:
            message.left -= 1
            self.deliveries += 1
            self.verdict.delivered += 1
            self._finish(body.msg_id, message)

    def _place(self, number: int, member: _Member, body: _Body) -> None:
        """Each once, in order, none left out but those that a sender has by his replies."""
        seq, where = body.sequence, f"member {number}, seq {body.sequence} after {member.seen}"
        if member.seen and seq <= member.seen:
            self.verdict.add("duplicated or reordered", where)
            return
        if member.seen and (missing := set(range(member.seen + 1, seq)) - member.ahead):
            if number < self.senders:
                member.owed |= missing
            else:
                self.verdict.add("gap", where)
        member.ahead = {known for known in member.ahead if known > seq} if member.ahead else member.ahead
        member.seen = seq

    def _finish(self, msg_id: str, message: _Message) -> None:
        if message.acked and message.left == 0:
            del self._open[msg_id]
            self.latencies.append(time.perf_counter_ns() - message.sent_ns)
            self.messages += 1
            self._on_done(message.sender)
