"""`xinyu run`: a server process, from its start to its end."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.table import Table

import xinyu
from xinyu.app.settings import ConfigError, Settings, stray_variables
from xinyu.app.supervisor import Process, run_server
from xinyu.cli.options import OWN_VARIABLES, ConfigOption, NodeOption, command_line, out, settings_of
from xinyu.cli.server import SOCKET_PATH
from xinyu.telemetry.logs import configure_logs, get_logger

log = get_logger(__name__)


def run(
    config: ConfigOption = None,
    roles: Annotated[
        str | None, typer.Option(help="Roles to host, with commas between; default: those of the configuration.")
    ] = None,
    node: NodeOption = None,
) -> None:
    """Run a server until SIGINT or SIGTERM. A second signal skips the waits of the stop."""
    settings = settings_of(config, node, roles)
    if settings.processes and settings.node not in settings.processes and not settings.roles:
        raise ConfigError(
            f"node: {settings.node} is none of this configuration's processes ({', '.join(settings.processes)}); "
            "name one with --node, or the roles of a further one with --roles"
        )
    told, service = settings.log, ",".join(settings.roles) or "xinyu"
    configure_logs(told.level, told.style, service, settings.node, slow_request_ms=told.slow_request_ms)
    for name in stray_variables(dict(os.environ), OWN_VARIABLES):
        log.warning("a variable names no setting and has no effect", variable=name)

    def ready(process: Process) -> None:
        if settings.log.style != "json":
            _welcome(process, settings, command_line("demo", config, node), command_line("chat", config, node))

    run_server(settings, ready)


def _welcome(process: Process, settings: Settings, demo: str, chat: str) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    named = "all roles" if not settings.roles else ", ".join(process.roles)
    table.add_row("[bold green]xinyu is up[/]", f"{xinyu.__version__}, node {settings.node}, {named}")
    sockets = []
    if "http" in process.listeners:
        table.add_row("REST", process.url("http") + "/api/v1/…")
        if settings.gateway.ws_on_http and "gateway_ws" in process.roles:
            sockets.append("ws" + process.url("http").removeprefix("http") + SOCKET_PATH)
    if "ws" in process.listeners:
        sockets.append(process.url("ws") + SOCKET_PATH)
    if sockets:
        table.add_row("WebSocket", "\n".join(sockets))
    table.add_row("admin", process.url("admin") + "  (probes and metrics: /readyz, /metrics)")
    table.add_row("data", str(settings.data_dir.absolute()))
    if "http" in process.listeners and sockets:
        table.add_row("", "")
        table.add_row("try next", f"[bold]{demo}[/]  (in another terminal) two users, a group, some messages")
        table.add_row("", f"[bold]{chat}[/]  talk, as one of them or as yourself")
    table.add_row("stop", "Ctrl-C")
    out.print(table)
