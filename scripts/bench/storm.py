"""The storm: the pages of a whole group lose their sockets and come back at once, each lacking messages. What they take
to have everything, and what others who chat wait for meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence

import msgspec

from bench.accounts import Account, Friends, Room
from bench.chat import BadFrame, SendTemplate, connect_user
from bench.checker import Verdict
from bench.context import Context
from bench.private_load import OpenLoop, run_private
from bench.result import Case, Run
from bench.wire import Socket, text_frame

PAGES = 1000
_QUICK_PAGES = 200
MISSED = 3
"""Messages that each page lacks when it comes back."""
RATE = 50
"""Messages a second of those who chat meanwhile."""
_PAIRS = 5
_AT_ONCE = 500
"""Connections that are begun and not yet ready."""
_ANSWER_SECONDS = 20.0
_SETTLE_SECONDS = 2.0


class _Body(msgspec.Struct):
    msg_id: str = ""


class _Payload(msgspec.Struct):
    body: _Body | None = None
    error: str = ""


class _Frame(msgspec.Struct):
    event: str
    ackid: str = ""
    payload: _Payload | None = None


_decode = msgspec.json.Decoder(_Frame).decode


async def measure(context: Context) -> list[Case]:
    """One case; each run is a storm of its own."""
    pages = _QUICK_PAGES if context.quick else PAGES
    case = Case("storm", f"{pages} pages come back")
    room, friends = await context.accounts.group(pages), await context.accounts.make(_PAIRS)
    storm = _Storm(context, room)
    try:
        await storm.come_back()  # a login's first connection begins at the heads: from now on it is owed all
        for _ in range(context.runs):
            context.say(case.name)
            case.runs.append(await storm.run(friends))
            context.advance()
    finally:
        storm.close()
    return [case]


class _Storm:
    """The pages, and the owner who says what they miss."""

    def __init__(self, context: Context, room: Room) -> None:
        self._took_seconds = 0.0
        self._context = context
        self._room = room
        self._missed: list[str] = []
        self._pages = [_Page(account) for account in room.members[1:]]

    async def run(self, friends: Sequence[Friends]) -> Run:
        """All leave, miss something and come back, while `friends` chat."""
        await self.leave()
        driver, warm_seconds = OpenLoop(RATE), self._context.warm_seconds
        run = await run_private(
            self._context.target, friends, driver, warm_seconds=warm_seconds, seconds=self.come_back
        )
        run.measures["pages_per_second"] = len(self._pages) / self._took_seconds
        self._judge(run)
        return run

    async def come_back(self) -> None:
        """Everybody at once; returns when each has all that it missed."""
        slots, began = asyncio.Semaphore(_AT_ONCE), time.perf_counter()
        urls = itertools.cycle(self._context.target.ws_urls)

        async def one(page: _Page, url: str) -> None:
            async with slots:
                await page.open(url, self._missed)

        await asyncio.gather(*(one(page, next(urls)) for page in self._pages))
        self._took_seconds = time.perf_counter() - began

    async def leave(self) -> None:
        """Close all pages, then say what they miss."""
        self.close()
        await asyncio.sleep(_SETTLE_SECONDS)
        answered: asyncio.Queue[_Frame] = asyncio.Queue()
        owner = await connect_user(
            self._context.target.ws_urls[0],
            self._room.members[0],
            "owner",
            lambda data: answered.put_nowait(_decode(data)),
        )
        template = SendTemplate(2, self._room.group_id)
        self._missed = [f"{random.getrandbits(128):032x}" for _ in range(MISSED)]
        for number, msg_id in enumerate(self._missed):
            owner.send(template.frame(f"{number:08d}", msg_id))
            while (frame := await asyncio.wait_for(answered.get(), _ANSWER_SECONDS)).event not in ("reply", "error"):
                pass
            if frame.event == "error":
                raise BadFrame(f"a message of the owner was refused: {frame.payload}")
        owner.close()

    def _judge(self, run: Run) -> None:
        """Each page must have had what it missed, each once and in order."""
        run.verdict.delivered += sum(len(page.had) for page in self._pages)
        for page in self._pages:
            page.judge(self._missed, run.verdict)

    def close(self) -> None:
        """Close all pages."""
        for page in self._pages:
            page.close()


class _Page:
    """A client without `sync=1` that acknowledges each frame."""

    def __init__(self, account: Account) -> None:
        self.had: list[str] = []
        self._account = account
        self._socket: Socket | None = None
        self._early: list[bytes] = []
        self._last = ""
        self._complete = asyncio.Event()

    async def open(self, url: str, missed: list[str]) -> None:
        """Connect, and wait some time for the last of `missed`."""
        self.had.clear()
        self._complete.clear()
        self._last = missed[-1] if missed else ""
        self._socket = await connect_user(url, self._account, "page", self._hear, sync=False)
        for ack in self._early:
            self._socket.send(ack)
        self._early.clear()
        if missed:
            try:
                await asyncio.wait_for(self._complete.wait(), _ANSWER_SECONDS)
            except TimeoutError:
                return  # the verdict says so

    def _hear(self, data: bytes) -> None:
        frame = _decode(data)
        if not frame.ackid:
            return
        ack = text_frame(b'{"event":"ack","ackid":"%s"}' % frame.ackid.encode())
        if self._socket is None:
            self._early.append(ack)
        else:
            self._socket.send(ack)
        if frame.event == "im.message" and frame.payload is not None and frame.payload.body is not None:
            self.had.append(frame.payload.body.msg_id)
            if self.had[-1] == self._last:
                self._complete.set()

    def judge(self, missed: list[str], verdict: Verdict) -> None:
        """What came since `open` is what it missed."""
        if self.had != missed:
            verdict.add("missed", f"a page of user {self._account.uid} had {self.had} instead of {missed}")
        if self._socket is None or self._socket.closed:
            verdict.add("closed", f"a page of user {self._account.uid} was closed by the server")

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
