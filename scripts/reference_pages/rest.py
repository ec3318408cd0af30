"""Every REST route: who may call it, what it reads, what it does."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import ModuleType

import msgspec

from reference_pages.markdown import code, page, summary, table
from reference_pages.structs import fields_of
from xinyu.gateway.http.call import RawRoute, Route
from xinyu.gateway.routes import ROUTES

INTRO = """JSON routes take an object by POST (GET with an empty body works too) and answer HTTP 200 with the
data itself, no envelope. A field that is left out or `null` has its default; numbers may come as numeric
strings. An error is `{"code", "message", "data": null, "error"}` with `code` the HTTP status and `error` a code
of [errors](errors.md). Except where it says "no token", a route wants `Authorization: Bearer <token>` and
answers 401 without a good one. `X-Trace-ID` is adopted from the request and returned. What answers look like,
field by field, is the contract of the web clients; `/ping`, `/livez` and `/readyz` are served beside these
routes. Another path, or another method, is a 404 of the same form, whose `error` is `request.no_route`. What is no HTTP
gets 400, and a head of more than 64 KiB 431 (414 or 431 for a WebSocket's handshake, with a line of more than 8 KiB or
more than 128 fields): all as bare text, and the connection ends."""


def rest_page() -> str:
    """docs/reference/rest.md"""
    by_module: dict[ModuleType, list[Route | RawRoute]] = {}
    for route in ROUTES:
        module = inspect.getmodule(route.handler)
        assert module is not None
        by_module.setdefault(module, []).append(route)
    return page("REST routes", INTRO, [_section(module, routes) for module, routes in by_module.items()])


def route_paths() -> set[str]:
    """Every path."""
    return {route.path for route in ROUTES}


def payload_text(struct: type[msgspec.Struct]) -> str:
    """A body or payload as one cell."""
    fields = [
        f"{code(name)} {kind}" + ("" if default in ("null", '""', "0", "[]") else f" ({_default(default)})")
        for name, kind, default in fields_of(struct)
    ]
    return ", ".join(fields) or "nothing"


def _section(module: ModuleType, routes: Iterable[Route | RawRoute]) -> str:
    rows = [(code(route.path), _body(route), _text(route)) for route in routes]
    name = module.__name__.rpartition(".")[2]
    return f"## {name}\n\n{summary(module)}\n\n{table(('path', 'reads', 'does'), rows)}"


def _body(route: Route | RawRoute) -> str:
    if isinstance(route, Route):
        return payload_text(route.body)
    if "POST" in route.methods:
        return "multipart form"
    return "/".join(route.methods) + ", query"


def _text(route: Route | RawRoute) -> str:
    notes = [summary(route.handler)]
    if not route.auth:
        notes.append("No token.")
    if isinstance(route, RawRoute) and route.token_in_query:
        notes.append("The token may also be in the query, as `token`.")
    if isinstance(route, Route) and route.replay:
        notes.append("Repeated within `gateway.replay_window_seconds`, it is answered from memory and not run again.")
    if isinstance(route, Route) and route.taken:
        notes.append("Repeated within `gateway.replay_window_seconds`, it is not refused because the first time took.")
    return " ".join(notes)


def _default(default: str) -> str:
    return default if default == "required" else f"default {default}"
