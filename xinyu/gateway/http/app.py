"""The REST application: routes from the domain modules, one way in for all of them.

Order of a request: trace id → admission → limit of its address → caller → his limit → size → body → handler →
presenter's JSON. Whatever goes wrong on that way comes out as the contract's error envelope, and nothing else does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute

from xinyu.gateway.auth import Authenticator, Caller
from xinyu.gateway.http.body import parse_body, read_limited
from xinyu.gateway.http.call import Call, RawRoute, Route
from xinyu.gateway.http.errors import ErrorTexts
from xinyu.gateway.http.replay import ReplayWindow, request_key
from xinyu.gateway.services import GatewayServices
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.errors import DeadlineExceeded, Unauthenticated, XinyuError
from xinyu.rpc.deadline import within
from xinyu.telemetry.logs import get_logger, tell_request
from xinyu.telemetry.metrics import Metrics
from xinyu.telemetry.trace import begin_trace

log = get_logger(__name__)
UID = "xinyu.uid"
"""Where a request's scope names its caller."""
Endpoint = Callable[[Request], Awaitable[Response]]


class RestApplication:
    """Serves REST routes over the ports of `services`."""

    def __init__(
        self,
        settings: GatewaySettings,
        services: GatewayServices,
        authenticator: Authenticator,
        metrics: Metrics,
        texts: ErrorTexts,
    ) -> None:
        self._settings = settings
        self._services = services
        self._authenticator = authenticator
        self._metrics = metrics
        self._texts = texts
        self._replays = ReplayWindow(settings.replay_window_seconds, settings.replay_window_size)

    def build(self, routes: Iterable[Route | RawRoute], mounts: Iterable[BaseRoute] = ()) -> Starlette:
        """The ASGI application: `routes`, `/ping`, and `mounts` (the WebSocket endpoint on a shared port)."""
        table: list[BaseRoute] = [StarletteRoute("/ping", self._ping, methods=["GET", "POST"])]
        for route in routes:
            methods = ["POST", "GET"] if isinstance(route, Route) else list(route.methods)
            table.append(StarletteRoute(route.path, self._endpoint(route), methods=methods))
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(self._settings.cors_origins),
            allow_origin_regex=self._settings.cors_origin_regex or None,
            allow_methods=["GET", "POST", "OPTIONS", "HEAD"],
            allow_headers=["*"],
            expose_headers=["X-Trace-ID", "Retry-After", "Content-Disposition", "ETag", "Content-Range"],
            allow_credentials=True,
            max_age=600,
        )
        app = Starlette(routes=[*table, *mounts], middleware=[cors])
        app.add_exception_handler(404, self._not_found)
        app.add_exception_handler(405, self._not_found)
        return app

    def _endpoint(self, route: Route | RawRoute) -> Endpoint:
        run: Endpoint = partial(self._run_json, route) if isinstance(route, Route) else partial(self._run_raw, route)
        longer = route.timeout_seconds if isinstance(route, RawRoute) else None
        seconds_allowed = longer or self._settings.request_timeout_seconds

        async def endpoint(request: Request) -> Response:
            trace_id = begin_trace(request.headers.get("x-trace-id"))
            begin = time.perf_counter()
            response = await self._guarded(partial(run, request), route.path, seconds_allowed)
            response.headers["X-Trace-ID"] = trace_id
            seconds = time.perf_counter() - begin
            self._metrics.requests.observe(route.path, str(response.status_code), seconds)
            named, uid = f"{request.method} {route.path}", request.scope.get(UID)
            tell_request(log, seconds, route=named, status=response.status_code, uid=uid)
            return response

        return endpoint

    async def _guarded(self, work: Callable[[], Awaitable[Response]], path: str, seconds: float) -> Response:
        try:
            with self._services.admission.inside(), within(seconds):
                async with asyncio.timeout(seconds):
                    return await work()
        except XinyuError as error:
            if error.category.value == "internal":
                log.exception("request failed; the stack below says where", route=path)
            return self._texts.response(error)
        except TimeoutError:
            log.warning("request timed out; see the slow call's metric xinyu_rpc_call_seconds", route=path)
            return self._texts.response(DeadlineExceeded())
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:
            log.exception("request failed; the stack below says where", route=path)
            return self._texts.response(XinyuError())

    async def _run_json(self, route: Route, request: Request) -> Response:
        caller = await self._admit(request, route.auth, in_query=False)
        raw = await read_limited(request, self._settings.max_json_bytes)
        call = Call(
            body=parse_body(raw, route.body),
            services=self._services,
            ip=client_ip(request),
            user_agent=request.headers.get("user-agent", "")[:200],
            caller=caller,
        )

        async def run() -> bytes:
            result = await route.handler(call)
            return msgspec.json.encode({} if result is None else result)

        body = await self._answer(route, call, raw, run) if caller else await run()
        return Response(body, media_type="application/json")

    async def _answer(
        self, route: Route, call: Call[msgspec.Struct], raw: bytes, run: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """The answer of `run`, or of an earlier one of the same request, as the route says of repetitions."""
        if route.taken:
            return await self._replays.again(request_key(call.user_id, route.path, raw), run, route.taken)
        if route.is_replayed(call.body):
            return await self._replays.once(request_key(call.user_id, route.path, raw), run)
        body = await run()
        if route.undoes:
            self._replays.forget(call.user_id, route.undoes)
        return body

    async def _run_raw(self, route: RawRoute, request: Request) -> Response:
        caller = await self._admit(request, route.auth, in_query=route.token_in_query)
        return await route.handler(request, self._services.ports, caller)

    async def _admit(self, request: Request, auth: bool, in_query: bool) -> Caller | None:
        """Who calls, where the route asks for it. Raises Overloaded, Unauthenticated."""
        await self._services.limits.check_address(client_ip(request))
        if not auth:
            return None
        caller = await self._authenticate(request, in_query)
        await self._services.limits.check_user(caller.user_id)
        return caller

    async def _authenticate(self, request: Request, in_query: bool) -> Caller:
        token = bearer_token(request.headers.get("authorization", ""))
        if not token and in_query:
            token = request.query_params.get("token", "")
        if not token:
            raise Unauthenticated("未提供访问令牌！")
        caller = await self._authenticator.authenticate(token)
        request.scope[UID] = caller.user_id
        return caller

    async def _ping(self, request: Request) -> Response:
        return PlainTextResponse("pong", headers=_traced(request))

    async def _not_found(self, request: Request, _error: Exception) -> Response:
        body = msgspec.json.encode({"code": 404, "message": "接口不存在", "data": None, "error": "request.no_route"})
        return Response(body, 404, _traced(request), media_type="application/json")


def _traced(request: Request) -> dict[str, str]:
    """The header of an answer that no route gives."""
    return {"X-Trace-ID": begin_trace(request.headers.get("x-trace-id"))}


def bearer_token(header: str) -> str:
    """The token of an Authorization header; a bare token is accepted too (CONTRACT.md section 1.0)."""
    scheme, _, token = header.strip().partition(" ")
    if not token:
        return scheme
    return token.strip() if scheme.lower() == "bearer" else ""


def client_ip(request: Request) -> str:
    """The peer's address. Forwarded headers are honoured by uvicorn alone, for proxies it was told to trust."""
    return request.client.host if request.client else ""
