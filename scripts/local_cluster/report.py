"""What is printed of a stage: a table, JSON, what to try next."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from xinyu.app.roles import ROLES

from .cluster import Status
from .node import Addresses
from .workplace import CHECKOUT, Workplace

HEAD = ("node", "roles", "pid", "http", "ws", "rpc", "ready")
SOCKET_PATH = "/wss/default.io"


def as_json(statuses: Sequence[Status]) -> str:
    """One array with an object per process; null stands for what is not there."""
    return json.dumps([_fields(status) for status in statuses], indent=2)


def _fields(status: Status) -> dict[str, object]:
    addresses = status.addresses
    return {
        "node": status.node,
        "roles": list(status.roles),
        "pid": status.pid or None,
        "http": addresses.http or None,
        "ws": addresses.ws or None,
        "rpc": addresses.rpc or None,
        "ready": status.ready,
    }


def as_table(statuses: Sequence[Status]) -> str:
    """Aligned lines under a head."""
    rows = [HEAD, *(_row(status) for status in statuses)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(status: Status) -> tuple[str, ...]:
    roles = "all" if len(status.roles) == len(ROLES) else ",".join(status.roles)
    addresses = status.addresses
    ready = "yes" if status.ready else "no" if status.pid else "not running"
    return (
        status.node,
        roles,
        str(status.pid or "-"),
        addresses.http or "-",
        addresses.ws or "-",
        addresses.rpc or "-",
        ready,
    )


def advice(workplace: Workplace, statuses: Sequence[Status]) -> str:
    """What to try on a stage that is up."""
    command, stage = "scripts/gateways_run.sh", workplace.stage
    entrances = [status for status in statuses if status.addresses.http]
    sockets = [status.addresses for status in statuses if status.addresses.ws]
    folder = "" if workplace.root == Workplace(stage).root else f" --folder {_short(workplace.root)}"
    lines = ["try next", f"  export XINYU_CONFIG={os.pathsep.join(map(_short, workplace.configs))}"]
    program = _short(CHECKOUT / ".venv" / "bin" / "xinyu")
    if len(statuses) > 1:
        lines.append(f"  {program} cluster")
    if entrances:
        lines.append(f"  {program} demo --node {entrances[0].node}")
        lines += [f"  {program} chat {_entrance(entrances[0].addresses, addresses)}" for addresses in sockets]
    if len(statuses) == 1:
        lines.append(f"  {_short(CHECKOUT / '.venv' / 'bin' / 'python')} scripts/discovery_demo.py")
    lines.append(f"  {command} status {stage}{folder}")
    lines.append(f"  {command} stop {stage}{folder}")
    lines.append(f"logs     {_short(workplace.folder)}/nodes/NODE/log")
    return "\n".join(lines)


def _entrance(http: Addresses, ws: Addresses) -> str:
    return f"--server {http.http} --ws {ws.ws}{SOCKET_PATH}"


def _short(path: Path) -> str:
    """As it is typed from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
