"""What a stage's configuration says, read by the server's own loader, and what it leaves for us to fill in."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from local_engines.servers import SERVERS
from xinyu.app.roles import ROLES
from xinyu.app.settings import Settings, load_settings
from xinyu.app.settings_files import merged, read_yaml
from xinyu.app.shape import histories_of, roles_of
from xinyu.storage.accounts import Address, with_account
from xinyu.user.sealing import read_or_make_key_pair

from .workplace import CHECKOUT, ClusterError, Workplace, write_yaml

FOLDER = CHECKOUT / "config" / "stages"
UNSET = Path(__file__).with_name("unset.yaml")
ONE_PROCESS = (
    "CONFIG",
    "NODE",
    "ROLES",
    "DATA_DIR",
    "ADMIN_PORT",
    "RPC__PORT",
    "GATEWAY__HTTP_PORT",
    "GATEWAY__WS_PORT",
)
"""Variables for a single process: they beat every file, and here all processes would take them."""
PORT_SETS = 16
PORTS = {"gateway_http": ("gateway", "http_port"), "gateway_ws": ("gateway", "ws_port")}


class Plan(NamedTuple):
    """A stage as configured by its file, the environment and --set."""

    stage: str
    nodes: Mapping[str, tuple[str, ...]]
    """Name → roles."""
    settings: Settings
    """Of the stage, without what single nodes have otherwise."""
    engines: tuple[str, ...]
    """What nobody configured and is to be started."""

    @property
    def embedded(self) -> bool:
        """Whether it is one process that needs nobody."""
        return self.settings.embedded


def stage_names() -> list[str]:
    """The stages there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def leave_out_single_process_variables() -> None:
    """Take out of our environment, and so of all children's, what is meant for one process or for tests."""
    for name in list(os.environ):
        rest = name.upper().removeprefix("XINYU_")
        if rest != name.upper() and (rest in (*ONE_PROCESS, "PYTHON") or rest.startswith("TEST_")):
            del os.environ[name]


def read_plan(workplace: Workplace, changes: Sequence[str] = ()) -> Plan:
    """Read a stage. A change that gives roles to a process which the stage does not have adds it. Raises ClusterError,
    ConfigError."""
    file = FOLDER / f"{workplace.stage}.yaml"
    if not file.exists():
        raise ClusterError(f"there is no stage {workplace.stage}; there are {', '.join(stage_names())}")
    workplace.make()
    changed = workplace.folder / "set.yaml"
    settings = parsed_changes(changes)
    write_yaml(changed, "What --set says.", settings)
    files = [UNSET, file, changed]
    added = [name for name, own in (settings.get("processes") or {}).items() if "roles" in own]
    processes = dict.fromkeys([*(read_yaml(file).get("processes") or {}), *added])
    by_node = {name: load_settings(files, {"node": name}) for name in processes}
    roles = {name: roles_of(settings) for name, settings in by_node.items()}
    engines = {engine for name, settings in by_node.items() for engine in _open_engines(settings, roles[name])}
    return Plan(workplace.stage, roles, load_settings(files), tuple(name for name in SERVERS if name in engines))


def parsed_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Settings of `a.b=value` lines; a value is YAML. Raises ClusterError."""
    result: dict[str, Any] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        try:
            value: Any = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ClusterError(f"--set {change}: the value is no YAML") from None
        if not (name and equals):
            raise ClusterError(f"--set {change}: write it as gateway.drain_seconds=2")
        for part in reversed(name.split(".")):
            value = {part: value}
        result = merged(result, value)
    return result


def _open_engines(settings: Settings, roles: Iterable[str]) -> Iterable[str]:
    unset = read_yaml(UNSET)
    if settings.embedded:
        if settings.discovery.zookeeper_hosts == unset["discovery"]["zookeeper_hosts"]:
            yield "zookeeper"  # not for the process: for scripts/discovery_demo.py beside it
        return
    storage = settings.storage
    dsns = [storage.dsn_by_role.get(role, storage.dsn) for role in roles if ROLES[role].domain]
    if any(dsn.startswith("sqlite") for dsn in dsns):
        yield "mysql"
    if settings.presence.store == "redis" and settings.presence.redis_url == unset["presence"]["redis_url"]:
        yield "redis"
    hosts = settings.discovery.zookeeper_hosts
    if settings.discovery.registry == "zookeeper" and hosts == unset["discovery"]["zookeeper_hosts"]:
        yield "zookeeper"


def write_configuration(
    workplace: Workplace, plan: Plan, engines: Mapping[str, str], free_ports: bool, changes: Sequence[str]
) -> None:
    """Write the files below and above the stage's own. `engines`: setting's value by engine. Raises ClusterError."""
    shared = {} if plan.embedded else _shared(workplace, plan.settings, engines)
    write_yaml(workplace.shared, "Written by scripts/gateways_run.sh at each start: below the stage's file.", shared)
    taken: set[int] = set()
    nodes = {name: _own(workplace, name, roles, free_ports, taken) for name, roles in plan.nodes.items()}
    above = merged({"processes": nodes}, parsed_changes(changes))
    write_yaml(workplace.above, "Written by scripts/gateways_run.sh at each start: above the stage's file.", above)


def _shared(workplace: Workplace, settings: Settings, engines: Mapping[str, str]) -> dict[str, Any]:
    """What is named somewhere is repeated here, so that commands in another shell find it too."""
    unset, made = read_yaml(UNSET), workplace.secrets()
    presence, discovery = settings.presence, settings.discovery
    own_root = discovery.root == unset["discovery"]["root"]
    own_prefix = presence.redis_prefix == unset["presence"]["redis_prefix"]
    read_or_make_key_pair(workplace.keys)
    workplace.media.mkdir(exist_ok=True, mode=0o700)
    key, blobs = settings.user.rsa_private_key_path, settings.media.blob_dir
    return {
        "storage": _storage(workplace, settings, engines),
        "presence": {
            "redis_url": engines.get("redis", presence.redis_url),
            "redis_prefix": f"xinyu:{workplace.label}:" if own_prefix else presence.redis_prefix,
        },
        "discovery": {
            "zookeeper_hosts": engines.get("zookeeper", discovery.zookeeper_hosts),
            "root": f"/xinyu-{workplace.label}" if own_root else discovery.root,
        },
        "auth": {
            "jwt_secret": settings.auth.jwt_secret or made["jwt_secret"],
            "admin_secret": settings.auth.admin_secret or made["admin_secret"],
        },
        "rpc": {"secret": settings.rpc.secret or made["rpc_secret"]},
        "user": {"rsa_private_key_path": str(workplace.keys / "rsa_private.pem") if "{data_dir}" in key else key},
        "media": {"blob_dir": str(workplace.media) if "{data_dir}" in blobs else blobs},
    }


def _storage(workplace: Workplace, settings: Settings, engines: Mapping[str, str]) -> dict[str, Any]:
    """On a private MySQL every role has an account of its own, which schema.py makes."""
    if "mysql" not in engines:
        return {"dsn": settings.storage.dsn}
    everything = Address.of(engines["mysql"])
    assert everything is not None, "a DSN of MySQL"
    passwords = workplace.secrets([f"mysql_{role}" for role, _ in histories_of(ROLES)])
    accounts = {name.removeprefix("mysql_"): password for name, password in passwords.items()}
    return {
        "dsn": engines["mysql"],
        "migration_user": everything.user,
        "migration_password": everything.password,
        "dsn_by_role": {
            role: with_account(engines["mysql"], f"{workplace.label}_{role}", password)
            for role, password in accounts.items()
        },
    }


def _own(workplace: Workplace, node: str, roles: Iterable[str], free_ports: bool, taken: set[int]) -> dict[str, Any]:
    own: dict[str, Any] = {"data_dir": str(workplace.node_folder(node))}
    if free_ports:
        # Found once and kept by restarts: whoever knows an address goes on knowing it.
        own["admin_port"] = 0
        own["rpc"] = {"port": free_port(taken)}
        for role in sorted(PORTS.keys() & set(roles)):
            section, name = PORTS[role]
            own.setdefault(section, {})[name] = free_port(taken)
    return own


def free_port(taken: set[int]) -> int:
    """A port of loopback that is free now. Below the ephemeral ones: no outgoing connection may take it meanwhile. A
    node takes it some seconds later: two clusters that start side by side draw from different ones, but for one time
    in PORT_SETS."""
    while True:
        port = random.randrange(28_000 + os.getpid() % PORT_SETS, 32_000, PORT_SETS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            taken.add(port)
            return port
