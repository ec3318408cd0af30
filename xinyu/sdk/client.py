"""The client: one user on one device, over REST and one connection that keeps itself up."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from xinyu.kernel.clock import Clock, SystemClock
from xinyu.kernel.errors import XinyuError
from xinyu.sdk.api.groups import GroupsApi
from xinyu.sdk.api.people import ContactsApi, Login, UserApi
from xinyu.sdk.api.rest import Rest
from xinyu.sdk.api.talks import MessagesApi, TalksApi
from xinyu.sdk.api.uploads import MediaApi
from xinyu.sdk.catchup import CatchUp, History
from xinyu.sdk.chat import Chat
from xinyu.sdk.cursors import CursorStore, MemoryCursors
from xinyu.sdk.dialing import Dial, dial
from xinyu.sdk.errors import (
    ClientClosed,
    ContractViolation,
    NotConnected,
    RequestTimeout,
)
from xinyu.sdk.events import Connected, Disconnected, Event, EventQueue, event_of
from xinyu.sdk.handler import Handler
from xinyu.sdk.socket import Socket
from xinyu.sdk.types import (
    Frame,
    Hello,
    Json,
    Message,
    Tuning,
)

T = TypeVar("T")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What few applications need."""

    public_key_pem: str | None = None
    """The server's RSA key (`xinyu keys public`): passwords then travel encrypted."""
    platform: str = "app"
    http: httpx.AsyncClient | None = None
    """A client of one's own for REST (proxies, TLS); it is not closed with this one."""
    tuning: Tuning = Tuning()
    clock: Clock = SystemClock()
    dial: Dial = dial
    """How sockets are opened; a simulation has its own."""


class _Stream(AsyncIterator[T]):
    """Unlike a generator, it survives a cancelled wait: `wait_for(anext(stream), 1)` may be repeated."""

    def __init__(self, take: Callable[[], Awaitable[T | None]]) -> None:
        self._take = take

    async def __anext__(self) -> T:
        item = await self._take()
        if item is None:
            raise StopAsyncIteration
        return item


class Client(Chat, Handler):
    """One user on one device.

    REST calls (`user`, `contacts`, `groups`, `talks`, `messages`, `media`) work as soon as there is a token; sending,
    `incoming()` and `events()` need `connect()`. Use it as an async context manager, or `close()` it.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        ws_url: str | Sequence[str] | None = None,
        device_id: str | None = None,
        history: History = "none",
        cursors: CursorStore | None = None,
        options: Options = Options(),
    ) -> None:
        """`ws_url` defaults to `base_url`'s host; several are tried in turn. `device_id` defaults to the log-in.

        `history` says where a device begins that `cursors` (default: in memory) knows nothing of:
        "none" at what is newest now; "all" at the beginning of what it may read; "resume" where the server's own
        cursors of this `device_id` are (needs one that stays the same); a number, at that UTC time in milliseconds.
        """
        tuning = options.tuning
        self._options = options
        self._device_id = device_id
        self.rest = Rest(base_url, token=token, http=options.http, timeout=tuning.request_seconds)
        self.user = UserApi(self.rest, options.public_key_pem)
        self.contacts = ContactsApi(self.rest)
        self.groups = GroupsApi(self.rest)
        self.talks = TalksApi(self.rest)
        self.messages = MessagesApi(self.rest)
        self.media = MediaApi(self.rest)
        urls = [ws_url] if isinstance(ws_url, str) else list(ws_url or [_ws_url(base_url)])
        self._socket = Socket(urls, self._query, self, tuning, options.clock, random.Random(), options.dial)
        store = cursors if cursors is not None else MemoryCursors()
        self._catchup = CatchUp(self._socket, store, device_id or "", history, tuning, options.clock)
        super().__init__(self._socket, self._catchup, self.media, tuning, options.clock)
        self._events = EventQueue(tuning.event_queue)
        self._acking: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._end: XinyuError | None = None
        self._connections = 0

    # Life.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def uid(self) -> int:
        """This user's id; 0 before the first connection."""
        return self._uid

    @property
    def token(self) -> str | None:
        """The access token; what is set is used from the next request and connection on."""
        return self.rest.token

    @token.setter
    def token(self, token: str | None) -> None:
        self.rest.token = token

    @property
    def cursors(self) -> dict[int, int]:
        """By conversation id, the `seq` up to which everything was taken from `incoming()`."""
        return self._catchup.inbox.cursors

    @property
    def violations(self) -> list[str]:
        """Frames (at most 100) that broke the contract and were left out."""
        return self._socket.violations

    async def login(self, mobile: str, password: str) -> Login:
        """Log in by `user.login` and keep the token. ApiError 400 for a wrong mobile or password."""
        return await self.user.login(mobile, password, self._options.platform)

    async def register(self, mobile: str, password: str, nickname: str, sms_code: str) -> Login:
        """Make an account and log in, by `user.register`."""
        return await self.user.register(mobile, password, nickname, sms_code, self._options.platform)

    async def post(self, path: str, body: Mapping[str, object] | None = None) -> Json:
        """Any REST route ("user/detail") as it is; see `Rest.post`."""
        return await self.rest.post(path, body)

    async def connect(self, timeout: float = 30.0) -> None:
        """Connect and synchronise; from then on the connection keeps itself up until `close`.

        Raises LoginEnded, Dismissed or ApiError when trying again is of no use, and the last reason when `timeout`
        seconds did not suffice; the client is then closed.
        """
        ended = self._ended()
        if ended is not None:
            raise ended
        if self.rest.token is None:
            raise NotConnected("log in first")
        self._socket.start()
        if self._acking is None:
            self._acking = asyncio.create_task(self._catchup.keep_acking(), name="xinyu-sdk-acks")
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            reason = self._socket.last_error or RequestTimeout(f"not connected within {timeout:g} s")
            await self.close()
            raise reason from None
        ended = self._ended()
        if ended is not None:
            await self.close()
            raise ended

    async def close(self) -> None:
        """Acknowledge what was taken, disconnect, end the iterators. Idempotent."""
        if self._acking is not None:
            self._acking.cancel()
            await asyncio.gather(self._acking, return_exceptions=True)
            self._acking = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._catchup.ack()
        await self._socket.stop()
        self._catchup.disconnected()
        self._catchup.inbox.close()
        self._events.close()
        await self.rest.close()

    # Streams.

    def incoming(self) -> AsyncIterator[Message]:
        """Every entry of every conversation: in order of `seq` within each, without gaps, each once.

        Own messages are among them (`own`), so are events (`is_system`), the user's *self* conversation
        (`talk.is_self`) and tombstones (`hidden`). A message is seen, and acknowledged, when the iterator has returned
        it. One reader at a time. A slow reader loses nothing: what does not fit in memory is read from the server when
        he gets there. Ends with `close`; raises LoginEnded or Dismissed when the server ended it.
        """
        return _Stream(self._catchup.inbox.next)

    def events(self) -> AsyncIterator[Event]:
        """What else happens (`xinyu.sdk.events`): read receipts, typing, applications, connection.

        One reader at a time. At most `Tuning.event_queue` wait; beyond, the oldest are dropped and an `EventsLost` says
        how many. Ends as `incoming` does.
        """
        return _Stream(self._events.get)

    def _ended(self) -> XinyuError | None:
        return self._end

    # What the socket tells.

    def _query(self) -> dict[str, str]:
        query = {"token": self.rest.token or "", "platform": self._options.platform, "sync": "1"}
        return query | ({"device_id": self._device_id} if self._device_id else {})

    async def opened(self, hello: Hello) -> None:
        """Called by the socket."""
        self._uid = hello.uid
        await self._catchup.connected(hello)
        self._connections += 1
        self._ready.set()
        self._events.put(Connected(hello.uid, self._connections > 1))

    def pushed(self, frame: Frame) -> None:
        """Called by the socket."""
        if frame.ackid is not None:
            raise ContractViolation("a push to a syncing session has an ackid")
        if frame.event == "im.message":
            self._catchup.pushed(frame.payload)
        else:
            self._events.put(event_of(frame.event, frame.payload))

    def closed(self, close_code: int | None, reason: str, will_reconnect: bool) -> None:
        """Called by the socket."""
        self._catchup.disconnected()
        self._events.put(Disconnected(close_code, reason, will_reconnect))

    def ended(self, error: XinyuError) -> None:
        """Called by the socket."""
        self._end = error
        self._ready.set()
        if not isinstance(error, ClientClosed):
            self._catchup.inbox.close(error)
            self._events.close(error)


def _ws_url(base_url: str) -> str:
    """The WebSocket address on the host of the REST address (one port for both)."""
    parts = urlsplit(base_url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError("base_url must look like http://host:port")
    return urlunsplit((scheme, parts.netloc, "/wss/default.io", "", ""))
