"""What a socket tells whoever uses it."""

from __future__ import annotations

import abc

from xinyu.kernel.errors import XinyuError
from xinyu.sdk.types import Frame, Hello


class Handler(abc.ABC):
    """Who is told what happens on the connection. Only `opened` may wait."""

    @abc.abstractmethod
    async def opened(self, hello: Hello) -> None:
        """A socket is up; requests work, pushes may already come. A temporary error makes the socket start over."""

    @abc.abstractmethod
    def pushed(self, frame: Frame) -> None:
        """A frame that is neither reply nor heartbeat. Raises msgspec.DecodeError or ContractViolation if malformed."""

    @abc.abstractmethod
    def closed(self, close_code: int | None, reason: str, will_reconnect: bool) -> None:
        """A socket that had said hello is gone."""

    @abc.abstractmethod
    def ended(self, error: XinyuError) -> None:
        """There will be no further socket."""
