"""The admin port: loopback, for the CLI, probes and metrics. What changes data or shows settings wants the secret."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import xinyu
from xinyu.app.actions import ACTIONS, Action
from xinyu.app.containers.container import Container
from xinyu.app.lifecycle import Runs
from xinyu.app.settings import Settings, shown
from xinyu.app.status import Readiness
from xinyu.kernel.errors import XinyuError
from xinyu.rpc.dispatch import RESULT_OF
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.metrics import CONTENT_TYPE

log = get_logger(__name__)
MAX_BODY_BYTES = 65_536
Endpoint = Callable[[Request], Awaitable[Response]]


class AdminApplication:
    """Serves the admin port of a process."""

    def __init__(
        self, settings: Settings, roles: tuple[str, ...], readiness: Readiness, container: Container, runs: Runs
    ) -> None:
        self._settings = settings
        self._roles = roles
        self._readiness = readiness
        self._container = container
        self._runs = runs

    def build(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                *self._readiness.routes(),
                Route("/metrics", self._metrics),
                Route("/status/roles", self._status_roles),
                Route("/status/config", self._with_secret(self._status_config)),
                *(
                    Route(f"/admin/{name}", self._with_secret(self._endpoint(action)), methods=["POST"])
                    for name, action in ACTIONS.items()
                ),
            ]
        )

    def _endpoint(self, action: Action) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            if int(request.headers.get("content-length") or MAX_BODY_BYTES + 1) > MAX_BODY_BYTES:
                return JSONResponse({"error": "request.too_large", "message": "the body is too large"}, 413)
            try:
                arguments: dict[str, Any] = msgspec.json.decode(await request.body(), type=dict)
                result = await action(self._container.ports(), **arguments)
            except (msgspec.MsgspecError, TypeError) as error:
                return JSONResponse({"error": "request.invalid", "message": str(error)}, 400)
            except XinyuError as error:
                return JSONResponse({"error": error.code, "message": error.message}, RESULT_OF[error.category])
            return Response(msgspec.json.encode(result), media_type="application/json")

        return endpoint

    def _with_secret(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            offered = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
            if not hmac.compare_digest(offered, self._settings.auth.admin_secret.encode()):
                return JSONResponse({"error": "auth.unauthenticated", "message": "the admin secret is wrong"}, 401)
            return await endpoint(request)

        return guarded

    async def _metrics(self, _request: Request) -> Response:
        return Response(self._container.metrics().render(), media_type=CONTENT_TYPE)

    async def _status_roles(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "node": self._settings.node,
                "version": xinyu.__version__,
                "roles": list(self._roles),
                "ready": self._readiness.ready,
                "draining": self._readiness.draining,
                "failing_runs": sorted(self._runs.failing),
            }
        )

    async def _status_config(self, _request: Request) -> Response:
        return JSONResponse(shown(self._settings))
