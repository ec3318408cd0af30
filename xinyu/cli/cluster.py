"""`xinyu cluster`: who is there, and how they are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from xinyu.app.cluster.survey import Seen, survey
from xinyu.cli.options import ConfigOption, out, print_table, settings_of
from xinyu.telemetry.logs import configure_logs

LEAST_WIDTH = 110
"""Below it every cell would be cut."""
COLOURS = {"ready": "green", "starting": "yellow", "draining": "yellow"}


def cluster(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """List the live processes of a cluster: roles, versions, state, sessions, calls in flight."""
    settings = settings_of(config)
    configure_logs("error", "console", "xinyu", settings.node)
    seen = asyncio.run(survey(settings))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode([_fields(each) for each in seen])).decode())
        return
    if not seen:
        out.print(f"the registry shows no process under {settings.discovery.root}", markup=False)
        return
    table = Table("node", "roles", "state", "address", "version", "since", "sessions", "serving", "calling", box=None)
    for each in seen:
        table.add_row(*_row(each))
    print_table(table, LEAST_WIDTH)
    for each in seen:
        if each.trouble:
            out.print(f"{each.instance.node} does not answer: {each.trouble}", markup=False)


def _fields(seen: Seen) -> dict[str, Any]:
    instance, status = seen.instance, seen.status
    return {
        "node": instance.node,
        "roles": instance.roles,
        "state": instance.state,
        "address": instance.address,
        "version": instance.version,
        "epoch": instance.epoch,
        "zone": instance.zone,
        "weight": instance.weight,
        "tags": instance.tags,
        "started_at": instance.started_at,
        "status": status,
        "trouble": seen.trouble,
    }


def _row(seen: Seen) -> list[str]:
    instance, status = seen.instance, seen.status
    since = datetime.fromtimestamp(instance.started_at / 1000, UTC).strftime("%m-%d %H:%M:%S") + "Z"
    colour = COLOURS[instance.state] if status is not None else "red"
    said = ("?",) * 3 if status is None else (str(status.sessions), str(status.serving), str(status.calling))
    state = f"[{colour}]{instance.state if status is not None else 'silent'}[/]"
    plain = [escape(instance.node), escape(",".join(instance.roles)), state, instance.address]
    return [*plain, instance.version, since if instance.started_at else "", *said]
