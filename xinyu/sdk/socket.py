"""One logical connection over many sockets: hello, requests and replies by id, heartbeat, drain, reconnect."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.sdk.backoff import Backoff, Verdict, verdict_on
from xinyu.sdk.dialing import ConnectionClosed, Dial, OpenSocket, dial
from xinyu.sdk.errors import (
    ClientClosed,
    ClientFailed,
    ConnectionLost,
    ContractViolation,
    Dismissed,
    LoginEnded,
    NotConnected,
    RequestTimeout,
    may_pass,
)
from xinyu.sdk.handler import Handler
from xinyu.sdk.requests import Requests, TakeLate
from xinyu.sdk.types import Drain, Frame, Hello, Trouble, Tuning

T = TypeVar("T")
Payload = Mapping[str, object]
log = logging.getLogger("xinyu.sdk")


class Socket:
    """Keeps a socket up until `stop`, or until the server says not to come back."""

    def __init__(
        self,
        urls: Sequence[str],
        query: Callable[[], Mapping[str, str]],
        handler: Handler,
        tuning: Tuning,
        clock: Clock,
        rng: random.Random,
        dial: Dial = dial,
    ) -> None:
        """`urls` are tried in turn; `query` gives the parameters (token and so on) of the moment."""
        self._urls = itertools.cycle(urls)
        self._query = query
        self._handler = handler
        self._tuning = tuning
        self._clock = clock
        self._rng = rng
        self._dial = dial
        self._backoff = Backoff(tuning.backoff_base_seconds, tuning.backoff_cap_seconds, rng)
        self._requests = Requests()
        self._open: OpenSocket | None = None  # takes new requests
        self._changed = asyncio.Event()  # wakes those who wait for `_open` or the end
        self._end: XinyuError | None = None
        self._last_error: XinyuError | None = None
        self._refused = False
        self._asked_ms: int | None = None  # how long the server asked to stay away
        self._heard = 0.0
        self._run: asyncio.Task[None] | None = None
        self.violations: list[str] = []

    def start(self) -> None:
        """Begin connecting, in the background. Idempotent."""
        if self._run is None:
            self._run = asyncio.create_task(self._keep_up(), name="xinyu-sdk-socket")

    async def stop(self) -> None:
        """Close for good; whoever waits gets ClientClosed. Idempotent."""
        self._finish(ClientClosed())
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)

    @property
    def last_error(self) -> XinyuError | None:
        """Why the last attempt to connect failed."""
        return self._last_error

    async def request(
        self, event: str, payload: Payload, timeout: float, take_late: TakeLate | None = None
    ) -> msgspec.Raw:
        """Send one request, waiting for a socket if there is none; the payload of its reply. `take_late` gets a reply
        that comes over the same socket when this waits no longer.

        Raises ApiError for an `error` reply, ConnectionLost, RequestTimeout (after `timeout` seconds in all), or what
        ended the client.
        """
        if self._run is None:
            raise NotConnected
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(await self._wait_open(), event, payload, take_late)
        except TimeoutError:
            raise RequestTimeout(f"no reply to {event} within {timeout:g} s") from None

    async def ask(self, event: str, payload: Payload, kind: type[T], timeout: float) -> T:
        """As `request`, with the payload as a `kind`. Raises ContractViolation as well, when it is none."""
        raw = await self.request(event, payload, timeout)
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            raise ContractViolation(f"{event} answered {error}") from error

    async def tell(self, frame: Mapping[str, object]) -> bool:
        """Send a frame that gets no reply; False when there is no socket or it broke."""
        socket = self._open
        return socket is not None and await self._put(socket, frame)

    async def _wait_open(self) -> OpenSocket:
        while self._open is None:
            if self._end is not None:
                raise self._end
            self._changed.clear()
            await self._changed.wait()
        return self._open

    async def _exchange(self, socket: OpenSocket, event: str, payload: Payload, late: TakeLate | None) -> msgspec.Raw:
        request_id, answer = self._requests.open(late)
        reply: msgspec.Raw | None = None
        try:
            if not await self._put(socket, {"event": event, "id": request_id, "payload": payload}):
                raise ConnectionLost
            return (reply := await answer)
        finally:
            self._requests.close(request_id, taken=reply is not None)

    async def _put(self, socket: OpenSocket, frame: Mapping[str, object]) -> bool:
        try:
            await socket.send(msgspec.json.encode(frame).decode())
        except ConnectionClosed:
            return False
        return True

    # The life of the logical connection.

    async def _keep_up(self) -> None:
        try:
            while self._end is None:
                await self._one_socket()
                if self._end is None:
                    await self._clock.sleep(self._backoff.next_delay(self._asked_ms))
        except Exception as error:
            self._fail(error)

    async def _one_socket(self) -> None:
        self._refused, self._asked_ms = False, None
        url = f"{next(self._urls)}?{urlencode(dict(self._query()))}"
        try:
            socket = await self._dial(url, self._tuning.request_seconds)
        except LoginEnded as error:
            self._finish(error)
            return
        except ConnectionLost as error:
            self._last_error = error
            return
        try:
            await self._serve(socket)
        finally:
            await socket.close()

    async def _serve(self, socket: OpenSocket) -> None:
        helpers = [asyncio.create_task(self._beat(socket))]
        self._heard = self._clock.monotonic()
        greeted = False
        try:
            async for text in socket:
                self._heard = self._clock.monotonic()
                frame = self._parse(text)
                if frame is None:
                    continue
                if not greeted and frame.event == "connect":
                    greeted = self._greet(socket, frame, helpers)
                else:
                    self._take(socket, frame, helpers)
        except ConnectionClosed:
            pass
        finally:
            self._open = None
            self._requests.fail()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        self._judge(socket, greeted)

    def _greet(self, socket: OpenSocket, frame: Frame, helpers: list[asyncio.Task[None]]) -> bool:
        try:
            hello = msgspec.json.decode(frame.payload, type=Hello)
        except msgspec.DecodeError as error:
            self._violation(f"connect: {error}")
            return False
        self._open = socket
        self._changed.set()
        helpers.append(asyncio.create_task(self._set_up(socket, hello)))
        return True

    async def _set_up(self, socket: OpenSocket, hello: Hello) -> None:
        try:
            await self._handler.opened(hello)
        except XinyuError as error:
            self._last_error, self._asked_ms = error, error.retry_after_ms
            log.warning("set-up of the connection failed: %s", error)
            if not may_pass(error):
                self._finish(error)
            await socket.close()
        except Exception as error:
            self._fail(error)
            await socket.close()
        else:
            self._backoff.reset()

    async def _beat(self, socket: OpenSocket) -> None:
        while True:
            await self._clock.sleep(self._tuning.heartbeat_seconds)
            if self._clock.monotonic() - self._heard > self._tuning.silence_seconds:
                self._last_error = ConnectionLost("the server fell silent")
                socket.transport.abort()
                return
            await self._put(socket, {"event": "ping"})

    async def _leave(self, socket: OpenSocket, delay_ms: int) -> None:
        """`server.drain`: towards the end of the delay, which the server spreads its sessions by, take no more
        requests, let those under way finish, go."""
        pause = self._rng.uniform(0.75, 0.95) * delay_ms / 1000
        await self._clock.sleep(pause)
        if self._open is socket:
            self._open = None
        try:
            async with asyncio.timeout(delay_ms / 1000 - pause):
                await self._requests.quiet()
        except TimeoutError:
            pass
        await socket.close()

    def _judge(self, socket: OpenSocket, greeted: bool) -> None:
        code, reason = socket.close_code, socket.close_reason or ""
        verdict = Verdict.LOG_IN_AGAIN if self._refused else verdict_on(code)
        if verdict is Verdict.LOG_IN_AGAIN:
            self._finish(LoginEnded())
        elif verdict is Verdict.STOP:
            self._finish(Dismissed(f"closed by the server with {code} {reason}".rstrip()))
        elif not greeted:
            self._last_error = ConnectionLost(f"closed with {code} before the first frame")
        if greeted:
            self._handler.closed(code, reason, self._end is None)

    def _finish(self, error: XinyuError) -> None:
        if self._end is None:
            self._end = error
            self._changed.set()
            self._handler.ended(error)

    def _fail(self, error: Exception) -> None:
        """A defect, or the cursor store's trouble, must not leave callers waiting for ever."""
        log.error("the client failed", exc_info=error)
        failed = ClientFailed(f"the client failed: {type(error).__name__}")
        failed.__cause__ = error
        self._finish(failed)

    # Frames.

    def _parse(self, text: str | bytes) -> Frame | None:
        try:
            return msgspec.json.decode(text, type=Frame)
        except msgspec.DecodeError as error:
            self._violation(f"not a frame: {error}")
            return None

    def _take(self, socket: OpenSocket, frame: Frame, helpers: list[asyncio.Task[None]]) -> None:
        try:
            if frame.event in ("reply", "error") and frame.id is not None:
                self._requests.answer(frame)
            elif frame.event == "server.drain":
                delay_ms = msgspec.json.decode(frame.payload, type=Drain).delay_ms
                helpers.append(asyncio.create_task(self._leave(socket, max(delay_ms, 0))))
            elif frame.event == "ping":
                helpers.append(asyncio.create_task(self._pong(socket)))
            elif frame.event != "pong":
                if frame.event == "event_error":
                    self._refused |= msgspec.json.decode(frame.payload, type=Trouble).error_code == 401
                self._handler.pushed(frame)
        except (msgspec.DecodeError, ContractViolation) as error:
            self._violation(f"{frame.event}: {error}")

    async def _pong(self, socket: OpenSocket) -> None:
        await self._put(socket, {"event": "pong", "payload": None})

    def _violation(self, what: str) -> None:
        log.warning("the server broke the contract: %s", what)
        if len(self.violations) < 100:
            self.violations.append(what)
