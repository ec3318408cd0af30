"""REST and WebSocket on one port: told apart by the ASGI scope, ahead of any router."""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


def with_websocket(rest: ASGIApp | None, sockets: ASGIApp | None) -> ASGIApp:
    """An application that answers WebSockets by `sockets` and everything else by `rest`, where there are such."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if sockets is None:
                await receive()
                await send({"type": "websocket.close", "code": 1000})
                return
            await sockets(scope, receive, send)
        elif rest is not None:
            await rest(scope, receive, send)
        else:
            await PlainTextResponse("this port speaks WebSocket: connect to /wss/default.io\n", 426)(
                scope, receive, send
            )

    return app
