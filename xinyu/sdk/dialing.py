"""Opening one WebSocket, with what goes wrong as errors of the SDK."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed as ConnectionClosed
from websockets.exceptions import InvalidStatus, WebSocketException

from xinyu.sdk.errors import ConnectionLost, LoginEnded

MAX_FRAME_BYTES = 32 * 1024 * 1024
"""As the contract bounds a message (2.1)."""

# The library logs handshakes, so the token in the address, at DEBUG: its logger stays above that.
_log = logging.getLogger("xinyu.sdk.wire")
_log.setLevel(logging.INFO)


class Transport(Protocol):
    """What is below an open socket."""

    def abort(self) -> None:
        """Cut it off."""


class OpenSocket(Protocol):
    """An open WebSocket, as the library has it."""

    @property
    def close_code(self) -> int | None:
        """With what it was closed, if it was and with something."""

    @property
    def close_reason(self) -> str | None:
        """Why."""

    @property
    def transport(self) -> Transport:
        """For cutting it off."""

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """What comes in, until it is closed. Raises ConnectionClosed where that was not as it should."""

    async def send(self, message: str) -> None:
        """Raises ConnectionClosed."""

    async def close(self) -> None:
        """Close it. Idempotent."""


Dial = Callable[[str, float], Awaitable[OpenSocket]]
"""Opens sockets, as `dial` does."""


async def dial(url: str, timeout: float) -> OpenSocket:
    """Open a socket within `timeout` seconds. Raises LoginEnded (401 or 403), ConnectionLost."""
    try:
        return await connect(
            url,
            compression=None,
            ping_interval=None,  # the heartbeat is an event of the contract
            close_timeout=2,
            open_timeout=timeout,
            max_size=MAX_FRAME_BYTES,
            logger=_log,
        )
    except InvalidStatus as error:
        if error.response.status_code in (401, 403):
            raise LoginEnded from error
        raise ConnectionLost(f"the handshake was answered with {error.response.status_code}") from error
    except (OSError, TimeoutError, WebSocketException) as error:
        raise ConnectionLost(f"cannot connect: {type(error).__name__}") from error
