"""What the roles of a process need and whether its configuration can work; found without starting anything."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import xinyu
from xinyu.app.containers.needs import ports_asked_by
from xinyu.app.roles import ROLE_OF, ROLES
from xinyu.app.settings import ConfigError, Settings
from xinyu.kernel.port import Port
from xinyu.storage.migrations import History
from xinyu.user.port import ProfilePort

SHORTEST_SECRET = 32
EVERYWHERE = ("0.0.0.0", "::")


def roles_of(settings: Settings) -> tuple[str, ...]:
    """The roles that this process hosts, in the table's order. Raises ConfigError for one that does not exist."""
    wanted = settings.roles or tuple(ROLES)
    for role in wanted:
        if role not in ROLES:
            raise ConfigError(f"roles: there is no role {role!r}; there are {', '.join(ROLES)}")
    return tuple(role for role in ROLES if role in wanted)


def serves_clients(roles: Iterable[str]) -> bool:
    """Whether a gateway is among these roles."""
    return any(ROLES[role].listeners for role in roles)


def uses_queue(roles: Iterable[str]) -> bool:
    """Whether pushes are handed to delivery's queue or taken from it by one of these roles."""
    return bool({"message", "delivery"} & set(roles))


def histories_of(roles: Iterable[str]) -> list[tuple[str, History]]:
    """The schemas of these roles: (role, history)."""
    package = Path(xinyu.__file__).parent
    domains = [(role, ROLES[role].domain) for role in roles if ROLES[role].domain]
    return [(role, History(domain, package / domain / "migrations")) for role, domain in domains]


def needs_of(role: str) -> set[type[Port]]:
    """The ports that a role's services ask, read from the parameters of everything it is made of."""
    spec = ROLES[role]
    names = [*spec.ports.values(), *spec.runs, *(["rest"] if "http" in spec.listeners else [])]
    if "ws" in spec.listeners:
        names.append("ws_endpoint")
    return ports_asked_by(names) - set(spec.ports)


def asked_for_names(settings: Settings, roles: Iterable[str]) -> set[str]:
    """The roles of other processes that deliveries to the predecessor's gateways call for, beside `needs_of`."""
    return {ROLE_OF[ProfilePort]} - set(roles) if settings.predecessor.enabled and "delivery" in roles else set()


def check_shape(settings: Settings) -> None:
    """Refuse what cannot work, naming the setting. Raises ConfigError."""
    roles = roles_of(settings)
    if settings.clustered:
        _check_cluster(settings, roles)
    else:
        _check_alone(roles)
    if settings.user.codes_in_response and not settings.embedded:
        raise ConfigError("user.codes_in_response: lets anybody in; it is for `embedded: true` alone")
    if settings.user.smtp_host and not settings.user.smtp_from:
        raise ConfigError("user.smtp_from: must be set with user.smtp_host")
    _check_address("user.sms_url", settings.user.sms_url)
    if serves_clients(roles) and settings.gateway.limits_store == "redis" and not settings.limits_redis_url:
        raise ConfigError("gateway.limits_redis_url: gateway.limits_store: redis needs it, or presence.redis_url")
    if uses_queue(roles):
        _check_queue(settings)
    try:
        ZoneInfo(settings.gateway.timezone)
    except (ValueError, LookupError, OSError):
        raise ConfigError(f"gateway.timezone: there is no time zone {settings.gateway.timezone!r}") from None
    try:
        re.compile(settings.gateway.cors_origin_regex)
    except re.error as error:
        raise ConfigError(f"gateway.cors_origin_regex: no regular expression: {error}") from error


def _check_address(setting: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        named = not url or (parts.hostname and parts.port != 0)  # reading the port checks it
    except ValueError as error:
        raise ConfigError(f"{setting}: {error}") from error
    if not named:
        raise ConfigError(f"{setting}: names no host")


def _check_queue(settings: Settings) -> None:
    """Whoever hands pushes over and whoever takes them must mean the same queue."""
    queue, others = settings.delivery.queue, settings.processes
    if queue == "redis" and not settings.queue_redis_url:
        raise ConfigError("delivery.redis_url: delivery.queue: redis needs it, or presence.redis_url")
    for name, own in others.items():
        named = (own.get("delivery") or {}).get("queue", queue)
        if uses_queue(own.get("roles") or ROLES) and named != queue:
            raise ConfigError(f"delivery.queue: {queue} here, {named} in {name}; it must be the same in all processes")


def _check_alone(roles: tuple[str, ...]) -> None:
    served = {port for role in roles for port in ROLES[role].ports}
    for role in roles:
        missing = needs_of(role) - served
        if missing:
            names = ", ".join(sorted(port.__name__ for port in missing))
            raise ConfigError(
                f"roles: {role} needs {names}, served by {_servers(missing)}, which this process does not host, and "
                "discovery.registry: memory finds no other; host those too (no roles: all), or name a registry"
            )


def _check_cluster(settings: Settings, roles: tuple[str, ...]) -> None:
    """What several processes cannot share, and what they must."""
    discovery, rpc = settings.discovery, settings.rpc
    if settings.embedded:
        raise ConfigError("embedded: is for one process with everything inside, not with discovery.registry")
    if len(rpc.secret) < SHORTEST_SECRET:
        raise ConfigError(f"rpc.secret: must be set to at least {SHORTEST_SECRET} characters, the same in all nodes")
    if rpc.host in EVERYWHERE and discovery.advertise_host in ("", *EVERYWHERE):
        raise ConfigError(f"discovery.advertise_host: must be set where rpc.host is {rpc.host}, for others to call")
    if settings.presence.store == "memory":
        raise ConfigError("presence.store: memory is one process's own; a cluster needs redis")
    for role in roles:
        dsn = settings.storage.dsn_by_role.get(role, settings.storage.dsn)
        if ROLES[role].domain and dsn.startswith("sqlite"):
            raise ConfigError(f"storage.dsn: {role} would keep its data in an SQLite file; a cluster needs MySQL")
    if {"media", "gateway_http"} & set(roles) and "{data_dir}" in settings.media.blob_dir:
        raise ConfigError("media.blob_dir: several nodes read and write there; name a folder that all of them share")
    if discovery.registry == "static":
        called = {ROLE_OF[port] for role in roles for port in needs_of(role)} - set(roles)
        called |= asked_for_names(settings, roles)
        if missing := sorted(called - discovery.static.keys()):
            raise ConfigError(f"discovery.static: names no address for {', '.join(missing)}, which this process calls")


def _servers(ports: Iterable[type[Port]]) -> str:
    return ", ".join(sorted(role for role, spec in ROLES.items() if set(ports) & set(spec.ports)))
