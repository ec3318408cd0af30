"""One REST request as its handler sees it, and how a route is declared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from xinyu.gateway.auth import Caller
from xinyu.gateway.ports import Ports
from xinyu.gateway.services import GatewayServices
from xinyu.kernel.errors import Unauthenticated, XinyuError
from xinyu.kernel.ids import UserId

BodyT = TypeVar("BodyT", bound=msgspec.Struct)


class NoBody(msgspec.Struct):
    """For routes that read nothing."""


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT]):
    """A request whose caller is known and whose body has been checked against the route's type."""

    body: BodyT
    services: GatewayServices
    ip: str
    user_agent: str
    caller: Caller | None = None

    @property
    def ports(self) -> Ports:
        return self.services.ports

    @property
    def zone(self) -> tzinfo:
        """Of the contract's local times (`gateway.timezone`)."""
        return self.services.times.zone

    @property
    def login(self) -> Caller:
        """The caller of a route with `auth=True`."""
        if self.caller is None:
            raise Unauthenticated()
        return self.caller

    @property
    def user_id(self) -> UserId:
        return self.login.user_id


Handler = Callable[[Call[Any]], Awaitable[object]]
RawHandler = Callable[[Request, Ports, Caller | None], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """A JSON route. The handler returns what msgspec can encode; None is `{}`.

    `body` is a Struct whose fields have defaults wherever the contract lets a client leave them out; numbers may come
    as numeric strings (CONTRACT.md section 1.0). With `replay`, a repetition of the same request by the same user
    within the replay window is answered with the first answer and not run again; a function of the body tells which.
    With `taken`, it is run again, and answered with the first answer when one of these errors says that the first run
    took. After a route that `undoes` another one, that one's requests of the same user are run again.
    """

    path: str
    handler: Handler
    body: type[msgspec.Struct] = NoBody
    auth: bool = True
    replay: bool | Callable[[Any], bool] = False
    taken: tuple[type[XinyuError], ...] = ()
    undoes: str = ""

    def is_replayed(self, body: object) -> bool:
        """Whether a repetition of a request with this body is answered from the replay window."""
        return self.replay(body) if callable(self.replay) else self.replay


@dataclass(frozen=True, slots=True)
class RawRoute:
    """A route that reads and writes bytes itself (uploads, downloads). The caller is checked before the body is read;
    `token_in_query` also accepts `?token=` (download links)."""

    path: str
    handler: RawHandler
    methods: tuple[str, ...] = ("POST",)
    auth: bool = True
    token_in_query: bool = False
    timeout_seconds: float | None = None
    """For bodies that may take longer than `request_timeout_seconds`."""


ROUTE_TYPES = Route | RawRoute
