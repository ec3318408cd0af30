"""`xinyu roles` and `xinyu routes`: what there is, without a server."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from xinyu.app.roles import ROLES
from xinyu.app.shape import needs_of
from xinyu.cli.options import print_table
from xinyu.gateway.http.call import RawRoute
from xinyu.gateway.routes import EVENTS, ROUTES


def roles() -> None:
    """List the roles: what each serves and which ports of others it needs."""
    table = Table("role", "is", "serves", "needs", box=None, header_style="bold", pad_edge=False)
    for name, spec in ROLES.items():
        doors = {"http": "REST", "ws": "WebSocket"}
        serves = [*(doors[listener] for listener in spec.listeners), *(port.__name__ for port in spec.ports)]
        table.add_row(name, spec.text, ", ".join(serves), ", ".join(sorted(port.__name__ for port in needs_of(name))))
    print_table(table)


def routes() -> None:
    """List all REST routes and the events that clients send over WebSocket."""
    table = Table("method", "route", "who may call", box=None, header_style="bold", pad_edge=False)
    for route in sorted(ROUTES, key=lambda route: route.path):
        methods = route.methods if isinstance(route, RawRoute) else ("POST",)
        table.add_row(",".join(methods), escape(route.path), "with a token" if route.auth else "anybody")
    for name, event in sorted(EVENTS.items()):
        table.add_row("event", escape(name), "a session" + (", also without id" if event.legacy else ""))
    print_table(table)
