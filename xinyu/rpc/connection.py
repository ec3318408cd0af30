"""One TCP connection that carries Rock frames, whichever side: what frames mean is its subclasses' business.

Writes of one loop turn go out together. A peer that does not read stops us from writing to it, one that is silent is
asked whether it lives, one whose bytes are not Rock is logged and cut off; others never notice.
"""

from __future__ import annotations

import abc
import asyncio
from typing import cast

from xinyu.rpc.handshake import HANDSHAKE_LIMIT, HandshakeFailed, Peer
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.wire import MAX_LENGTH, Frame, FrameDecoder, Notify, WireError, encode_notify
from xinyu.telemetry.logs import get_logger

PING, PONG, LEAVING, CANCEL = 4, 5, 6, 7
"""NOTIFY numbers between authenticated nodes: are you there; yes; send nothing new; call `{"sn"}` off."""
_PING_FRAME, _PONG_FRAME = encode_notify(PING, "", b"{}"), encode_notify(PONG, "", b"{}")
_DEAD_AFTER_TICKS = 2

log = get_logger(__name__)


class RockConnection(asyncio.Protocol, abc.ABC):
    """Framing, joint writes, flow control, handshake time, keep-alive."""

    def __init__(self, settings: RpcSettings, authenticates: bool) -> None:
        """With `authenticates` nothing but the frames of a handshake is read until `admit`."""
        self.settings = settings
        self.authenticates = authenticates
        """Also: the peer is a node of ours, which knows our notifications."""
        self.peer: Peer | None = None
        self.address = "nowhere"
        self.gzip_to_peer = False
        self.pending_bytes = 0
        """Bytes that wait here until the socket takes them."""
        self.writable = True
        self._loop = asyncio.get_running_loop()
        self._decoder = FrameDecoder(HANDSHAKE_LIMIT, gzip=False) if authenticates else FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.Event()
        self._closing = False
        self._read_paused = False
        self._out: list[bytes] = []
        self._flushing = False
        self._heard = True
        self._silent_ticks = self._stuck_ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._why = "closed by the peer"

    @abc.abstractmethod
    def opened(self) -> None:
        """The socket is there: begin the handshake, or `admit` at once."""

    @abc.abstractmethod
    def shake(self, frame: Notify) -> None:
        """A frame of the handshake. Raises HandshakeFailed."""

    @abc.abstractmethod
    def received(self, frame: Frame) -> None:
        """A frame after the handshake."""

    @abc.abstractmethod
    def lost(self, why: str) -> None:
        """The connection is over."""

    @property
    def is_open(self) -> bool:
        """Whether frames may be sent."""
        return self._transport is not None and not self._closing

    def send(self, frame: bytes) -> None:
        """Queue a frame; all of a loop turn leave together. After the end it goes nowhere."""
        if self._closing:
            return
        self._out.append(frame)
        self.pending_bytes += len(frame)
        if self.writable and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def admit(self, peer: Peer | None) -> None:
        """The handshake is over (`peer`), or there is none: read everything from now on."""
        self.peer = peer
        self.gzip_to_peer = peer is not None and peer.gzip
        self._decoder.max_length, self._decoder.gzip = MAX_LENGTH, True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self.settings.keepalive_seconds, self._tick)

    def close(self) -> None:
        """Send what is queued, then end."""
        if self._transport is None or self._closing:
            return
        if self._out:
            self._write()
        self._closing, self._why = True, "closed here"
        self._transport.close()

    def abort(self, why: str) -> None:
        """End at once."""
        if self._closed.is_set():
            return
        self._closing, self._why = True, why
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Return when the socket is gone."""
        await self._closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        peer = transport.get_extra_info("peername")
        self.address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer)
        self._timer = self._loop.call_later(self.settings.connect_seconds, self._too_slow)
        self.opened()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            for frame in self._decoder.feed(data):
                if self._closing:
                    return
                self._handle(frame)
        except (WireError, HandshakeFailed) as error:
            log.warning("connection closed: its bytes are no node's", address=self.address, reason=repr(error))
            self.abort(f"{type(error).__name__}: {error}")
            self.refused(error)

    def _handle(self, frame: Frame) -> None:
        if self.authenticates and self.peer is None:
            if not isinstance(frame, Notify):
                raise HandshakeFailed("a call before any proof")
            self.shake(frame)
        elif isinstance(frame, Notify) and self.authenticates and frame.notify in (PING, PONG):
            if frame.notify == PING:
                self.send(_PONG_FRAME)
        else:
            self.received(frame)

    def refused(self, error: WireError | HandshakeFailed) -> None:
        """The connection ends because the peer is not what it should be."""

    def ticked(self) -> None:
        """`keepalive_seconds` have passed."""

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if self._out:
            self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing, self._transport = True, None
        self._out.clear()
        self.pending_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
        self._closed.set()
        self.lost(self._why if exc is None else f"{self._why} ({exc})")

    def pause_reading(self) -> None:
        """Take no more bytes from the peer for now."""
        if self._transport is not None and not self._closing and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        if self._transport is not None and not self._closing and self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()

    def _flush(self) -> None:
        self._flushing = False
        if self._out and self.writable and not self._closing:
            self._write()

    def _write(self) -> None:
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self.pending_bytes = 0
        if self._transport is not None:
            self._transport.write(data)

    def _too_slow(self) -> None:
        log.warning("connection closed: no proof in time", address=self.address)
        self.abort("no proof in time")

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self.settings.keepalive_seconds, self._tick)
        self._silent_ticks = 0 if self._heard else self._silent_ticks + 1
        self._stuck_ticks = 0 if self.writable else self._stuck_ticks + 1
        self._heard = False
        if self._stuck_ticks >= _DEAD_AFTER_TICKS:
            self.abort("the peer reads nothing")
        elif not self.authenticates:
            if self._silent_ticks * self.settings.keepalive_seconds >= self.settings.idle_seconds:
                self.abort("idle")
        elif self._silent_ticks >= _DEAD_AFTER_TICKS:
            self.abort("the peer is silent")
        else:
            if self._silent_ticks:
                self.send(_PING_FRAME)
            self.ticked()
