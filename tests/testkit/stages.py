"""The stages of config/stages as real processes on the private engines, each deployment with a schema, a key prefix
and a root of its own."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy.engine import make_url

from testkit.accounts import DOMAINS, least_accounts
from testkit.carrier import carrier
from testkit.engines import address_of
from testkit.mysql import made_schema
from testkit.placement import QUICK, ROOT, Node, Placement, environment, merged
from xinyu.user.sealing import read_or_make_key_pair

STAGES = ("1", "2", "2-joined", "3", "4")
CLUSTERS = tuple(f"stage{name}" for name in STAGES)
"""As scenarios call them."""
NO_DATABASE = "mysql://nobody@127.0.0.1:1/nothing"
"""The default DSN of a deployment whose every role has its own."""


def stage(
    name: str, folder: Path, settings: Mapping[str, Any] | None = None, mysql_port: int | None = None
) -> Placement:
    """The processes of config/stages/<name>.yaml, made quick. Needs the run's engines. `mysql_port`: where a way to
    MySQL begins that its processes are to take."""
    shared = merged(merged(QUICK, _shared(folder)), settings or {})
    _migrate(config_of(name), folder, shared)
    shared = merged(shared, {"storage": _accounts(shared["storage"]["dsn"], mysql_port)})
    return Placement(nodes_of(name, folder, shared), folder, shared["auth"]["admin_secret"], folder / "keys", shared)


def config_of(name: str) -> Path:
    """A stage's file."""
    return ROOT / "config" / "stages" / f"{name}.yaml"


def nodes_of(name: str, folder: Path, shared: Mapping[str, Any], without: Collection[str] = ()) -> list[Node]:
    """The processes of a stage but some, on what `shared` says of engines, secrets and folders."""
    processes: dict[str, dict[str, Any]] = yaml.safe_load(config_of(name).read_text())["processes"]
    return [
        Node(node, tuple(own["roles"]), folder, config_of(name), shared)
        for node, own in processes.items()
        if node not in without
    ]


def stage_with_streams(folder: Path, settings: Mapping[str, Any] | None = None) -> Placement:
    """Stage 4 with delivery taken out of `message`: two processes that read Redis Streams."""
    found = stage("4", folder, merged({"delivery": {"queue": "redis"}}, settings or {}))
    for node in found.hosts("message"):
        node.roles = ("message",)
    for name in ("delivery_1", "delivery_2"):
        found.nodes[name] = Node(name, ("delivery",), folder, config_of("4"), found.shared)
    return found


def _shared(folder: Path) -> dict[str, Any]:
    mark = secrets.token_hex(6)
    keys = folder / "keys"
    keys.mkdir(parents=True)
    read_or_make_key_pair(keys)
    return {
        "storage": {"dsn": made_schema(f"xinyu_s_{mark}")},
        "presence": {"redis_url": address_of("redis"), "redis_prefix": f"{mark}:"},
        "discovery": {"zookeeper_hosts": address_of("zookeeper"), "root": f"/stage-{mark}", "session_seconds": 4},
        "auth": {"jwt_secret": secrets.token_hex(20), "admin_secret": secrets.token_hex(20)},
        "rpc": {"secret": secrets.token_hex(20)},
        "media": {"blob_dir": str(folder / "media")},
        "user": {"rsa_private_key_path": str(keys / "rsa_private.pem"), **carrier().settings},
    }


def _accounts(admin_dsn: str, port: int | None) -> dict[str, Any]:
    """Services run with rights on their own tables alone, so that no story passes by reading another's."""
    accounts = least_accounts(dict.fromkeys(DOMAINS, admin_dsn))
    urls = {role: make_url(account.dsn) for role, account in accounts.items()}
    dsns = {role: url.set(port=port or url.port).render_as_string(hide_password=False) for role, url in urls.items()}
    return {"dsn": NO_DATABASE, "dsn_by_role": dsns}


def _migrate(config: Path, folder: Path, settings: Mapping[str, Any]) -> None:
    overlay = folder / "migrate.yaml"
    overlay.write_text(yaml.safe_dump({**settings, "data_dir": str(folder / "migrate")}))
    command = [sys.executable, "-m", "xinyu", "migrate", "--config", str(config), "--config", str(overlay)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
