"""Which address a request or a socket is counted for."""

from __future__ import annotations

import pytest
from starlette.types import Receive, Scope, Send

from xinyu.app.listeners import with_websocket

PROXY, CLIENT = "192.0.2.7", "198.51.100.1"


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(("peer", "address"), [(PROXY, CLIENT), ("192.0.2.8", "192.0.2.8")])
async def test_only_proxies_that_are_trusted_are_believed(kind: str, peer: str, address: str) -> None:
    seen: list[str] = []

    async def take(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["client"][0])

    async def receive() -> dict[str, str]:
        return {}

    async def send(_message: object) -> None:
        raise AssertionError("nothing is answered here")

    scope = {"type": kind, "client": (peer, 1), "headers": [(b"x-forwarded-for", CLIENT.encode())]}
    await with_websocket(take, take, PROXY)(scope, receive, send)
    assert seen == [address]
