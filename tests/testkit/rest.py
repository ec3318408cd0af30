"""A REST application over the ports that a test gives it, called through ASGI without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

import httpx

from xinyu.gateway.auth import Authenticator, Caller
from xinyu.gateway.http.app import RestApplication
from xinyu.gateway.http.call import RawRoute, Route
from xinyu.gateway.http.errors import ErrorTexts
from xinyu.gateway.ports import Ports
from xinyu.gateway.services import services_over
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.errors import Unauthenticated
from xinyu.kernel.ids import LoginId, UserId
from xinyu.telemetry.metrics import Metrics


class TokenIsUserId(Authenticator):
    """The token `7` is user 7's."""

    async def authenticate(self, token: str) -> Caller:
        if not token.isdigit():
            raise Unauthenticated()
        return Caller(UserId(int(token)), LoginId("0" * 32), "web", 1, 2**40)


class _NotGiven:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        raise AssertionError(f"the test gave no port {self._name!r}, but {attribute!r} of it was wanted")


def ports_of(**given: object) -> Ports:
    """Ports, of which only the given ones may be called."""
    names = {field.name for field in fields(Ports)}
    assert names.issuperset(given), set(given) - names
    values: dict[str, Any] = {name: given.get(name) or _NotGiven(name) for name in names}
    return Ports(**values)


class RestClient:
    """Posts JSON as a user."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def post(self, user_id: int | None, path: str, body: object = None, status: int = 200) -> Any:
        """The answer to `/api/v1/<path>`, whose status must be `status`."""
        headers = {} if user_id is None else {"Authorization": f"Bearer {user_id}"}
        response = await self._http.post(f"/api/v1/{path}", json={} if body is None else body, headers=headers)
        assert response.status_code == status, f"{response.status_code}: {response.text}"
        return response.json()


@asynccontextmanager
async def rest_client(
    ports: Ports,
    routes: Iterable[Route | RawRoute],
    texts: dict[str, str],
    settings: GatewaySettings | None = None,
) -> AsyncIterator[RestClient]:
    """A client of an application that serves `routes`."""
    settings = settings or GatewaySettings()
    application = RestApplication(
        settings, services_over(ports, settings), TokenIsUserId(), Metrics(), ErrorTexts(texts)
    )
    transport = httpx.ASGITransport(application.build(routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://xinyu.test") as http:
        yield RestClient(http)
