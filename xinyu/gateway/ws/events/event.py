"""How a request on the socket is declared and what its handler gets (CONTRACT.md section 2.6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from xinyu.gateway.auth import Caller
from xinyu.gateway.ports import Ports
from xinyu.gateway.services import GatewayServices
from xinyu.kernel.ids import DeviceId, SessionId, UserId

PayloadT = TypeVar("PayloadT", bound=msgspec.Struct)


class NoPayload(msgspec.Struct):
    """For events that read nothing."""


@dataclass(slots=True)
class EventCall(Generic[PayloadT]):
    """One client request, its payload checked against the event's type."""

    payload: PayloadT
    caller: Caller
    session_id: SessionId
    device_id: DeviceId
    services: GatewayServices

    @property
    def user_id(self) -> UserId:
        return self.caller.user_id

    @property
    def ports(self) -> Ports:
        return self.services.ports


@dataclass(frozen=True, slots=True)
class Event:
    """An event that a client may send. With an `id` it is answered by what the handler returns; a `legacy` one without
    id is run and its answer dropped."""

    handler: Callable[[EventCall[Any]], Awaitable[object]]
    payload: type[msgspec.Struct] = NoPayload
    legacy: bool = False
    counts_as_send: bool = False
    """Its handler counts it, as the messages that it costs."""
