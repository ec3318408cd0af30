"""What `xinyu config check` looks at. Nothing is started, made or changed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from xinyu.app.cluster.links import make_registry
from xinyu.app.databases import Databases
from xinyu.app.roles import ROLES
from xinyu.app.secrets import password_key, private_key_path, with_secrets
from xinyu.app.settings import ConfigError, Settings, stray_variables
from xinyu.app.shape import check_shape, histories_of, roles_of, serves_clients, uses_queue
from xinyu.cli.options import OWN_VARIABLES
from xinyu.cli.server import running_node
from xinyu.kernel.errors import XinyuError
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.migrations import History, SchemaState, read_state
from xinyu.storage.redis import RedisDatabase, no_redis
from xinyu.storage.sql import Database
from xinyu.storage.sqlite.database import SqliteDatabase


class Finding(NamedTuple):
    """One thing that was looked at; level is ok, warning or error."""

    level: str
    text: str


async def checked(settings: Settings, registry: bool = True) -> list[Finding]:
    """Everything found, in order. Processes of one cluster share a `registry`: once is enough."""
    try:
        check_shape(settings)
    except ConfigError as error:
        return [Finding("error", str(error))]
    roles = roles_of(settings)
    findings = [Finding("ok", f"settings, roles: {', '.join(roles)}"), *_variables(), *_folders(settings, roles)]
    findings += [*_secrets(settings, roles), *_carriers(settings, roles), *_ports(settings, roles)]
    findings += await _storage(settings, roles)
    findings += [await _redis(setting, url, settings) for url, setting in _redis_urls(settings, roles).items()]
    findings += _queue(settings, roles)
    if settings.clustered and registry:
        findings.append(await _registry(settings))
    return findings


def _redis_urls(settings: Settings, roles: tuple[str, ...]) -> dict[str, str]:
    """Each Redis that this process talks to → the setting that names it."""
    urls = {}
    if serves_clients(roles) and settings.gateway.limits_store == "redis":
        urls[settings.limits_redis_url] = "gateway.limits_redis_url"
    if ("presence" in roles and settings.presence.store == "redis") or settings.presence.redis_url in urls:
        urls[settings.presence.redis_url] = "presence.redis_url"
    if uses_queue(roles) and settings.delivery.queue == "redis":
        urls.setdefault(settings.queue_redis_url, f"{settings.queue_redis_section}.redis_url")
    return urls


def _queue(settings: Settings, roles: tuple[str, ...]) -> Iterator[Finding]:
    takers = (own.get("roles") or ROLES for own in settings.processes.values())
    waits = settings.delivery.queue == "redis" and "message" in roles and bool(settings.processes)
    if waits and not any("delivery" in taking for taking in (*takers, roles)):
        yield Finding("warning", "delivery.queue: redis, and none of `processes` hosts delivery to read it")


async def _redis(setting: str, url: str, settings: Settings) -> Finding:
    redis = RedisDatabase(url, 1, settings.presence.redis_timeout_seconds)
    try:
        await redis.ping()
    except StorageUnavailable as error:
        return Finding("error", f"{setting}: {no_redis(error)}")
    finally:
        await redis.close()
    return Finding("ok", f"{setting}: Redis answers")


async def _registry(settings: Settings) -> Finding:
    registry = make_registry(settings)
    try:
        await registry.start()
        found = {instance.node for role in ROLES for instance in await registry.list_instances(role)}
    except XinyuError as error:
        return Finding("error", f"discovery: {error.message}")
    finally:
        await registry.close()
    return Finding("ok", f"discovery.registry: {settings.discovery.registry} shows {len(found)} process(es)")


def _variables() -> Iterator[Finding]:
    for name in stray_variables(dict(os.environ), OWN_VARIABLES):
        yield Finding("warning", f"environment: {name} names no setting and has no effect")


def _folders(settings: Settings, roles: tuple[str, ...]) -> Iterator[Finding]:
    yield _folder("data_dir", settings.data_dir)
    if "media" in roles or "gateway_http" in roles:
        yield _folder("media.blob_dir", Path(settings.media.blob_dir.replace("{data_dir}", str(settings.data_dir))))


def _folder(setting: str, path: Path) -> Finding:
    folder = path.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        return Finding("error", f"{setting}: {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("error", f"{setting}: {there} cannot be written to")
    return Finding("ok", f"{setting}: {folder}" + ("" if folder.exists() else " (will be made)"))


def _secrets(settings: Settings, roles: tuple[str, ...]) -> Iterator[Finding]:
    folder = settings.data_dir / "secrets"
    missing = [name for name in ("jwt_secret", "admin_secret") if not getattr(settings.auth, name)]
    to_make = [name for name in missing if settings.embedded and not (folder / name).exists()]
    try:
        if to_make:
            yield Finding("ok", f"auth: {', '.join(to_make)} will be made in {folder}")
        else:
            with_secrets(settings)
            yield Finding("ok", "auth: secrets are there")
    except ConfigError as error:
        yield Finding("error", str(error))
    if "user" not in roles:
        return
    path = private_key_path(settings)
    if settings.embedded and not path.exists():
        yield Finding("ok", f"user.rsa_private_key_path: {path} will be made")
        return
    try:
        password_key(settings)
        yield Finding("ok", f"user.rsa_private_key_path: {path}")
    except ConfigError as error:
        yield Finding("error", str(error))


def _carriers(settings: Settings, roles: tuple[str, ...]) -> Iterator[Finding]:
    """Whether verification codes reach anybody; an embedded server is for trying out, and logs them."""
    if "user" not in roles or settings.embedded:
        return
    if not settings.user.sms_url:
        yield Finding("warning", "user.sms_url: not set, so nobody can register or choose a new password by himself")
    if not settings.user.smtp_host:
        yield Finding("warning", "user.smtp_host: not set, so nobody can set his e-mail address")


def _ports(settings: Settings, roles: tuple[str, ...]) -> Iterator[Finding]:
    node = running_node(settings)
    if node is not None:
        yield Finding("ok", f"ports: not looked at, this server is running (process {node.pid})")
        return
    gateway = settings.gateway
    wanted = [("admin_port", settings.admin_host, settings.admin_port)]
    if settings.clustered:
        wanted.append(("rpc.port", settings.rpc.host, settings.rpc.port))
    if "gateway_http" in roles:
        wanted.append(("gateway.http_port", gateway.http_host, gateway.http_port))
    if "gateway_ws" in roles and (gateway.ws_port != gateway.http_port or not gateway.ws_port):
        wanted.append(("gateway.ws_port", gateway.ws_host, gateway.ws_port))
    if "gateway_ws" in roles and settings.predecessor.enabled:
        wanted.append(("predecessor.port", settings.predecessor.host, settings.predecessor.port))
    for setting, host, port in wanted:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                yield Finding("warning", f"{setting}: {host}:{port} cannot be taken now ({error.strerror or error})")
            else:
                yield Finding("ok", f"{setting}: {host}:{port} is free" if port else f"{setting}: any free port")


async def _storage(settings: Settings, roles: tuple[str, ...]) -> list[Finding]:
    databases = Databases(settings)
    findings: list[Finding] = []
    wanted: dict[Database, list[History]] = {}
    settings_of: dict[Database, str] = {}
    for role, history in histories_of(roles):
        try:
            wanted.setdefault(databases.of_role(role), []).append(history)
            settings_of.setdefault(databases.of_role(role), databases.setting_of(role))
        except ConfigError as error:
            findings.append(Finding("error", f"{role}: {error}"))
    for database, histories in wanted.items():
        if isinstance(database, SqliteDatabase) and not database.path.exists():
            findings.append(_missing_file(database.path, settings.embedded))
            continue
        try:
            await database.start()
            findings += [_schema(await read_state(database, history), settings.embedded) for history in histories]
        except XinyuError as error:
            findings.append(
                Finding("error", f"{settings_of[database]}: {error.message} {error.details.get('details', '')}")
            )
        finally:
            await database.stop()
    return findings


def _schema(found: SchemaState, embedded: bool) -> Finding:
    at = f"{found.domain}: schema at {found.current or 'nothing'}"
    if found.too_new:
        return Finding("error", f"storage: {found.too_new}")
    if not found.behind:
        return Finding("ok", at)
    level, how = ("ok", "the start brings it") if embedded else ("error", "`xinyu migrate` brings it")
    return Finding(level, f"{at}; {how} to {found.head}")


def _missing_file(path: Path, embedded: bool) -> Finding:
    if embedded:
        return Finding("ok", f"storage: {path} will be made")
    return Finding("error", f"storage: there is no {path}; `xinyu migrate` makes it")
