"""Working on a server's data: through its admin port while it runs, else on its store."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from xinyu.app.actions import ACTIONS
from xinyu.app.data_folder import DataFolder, RunningNode
from xinyu.app.secrets import public_key_pem, with_secrets
from xinyu.app.settings import ConfigError, Settings
from xinyu.app.supervisor import opened_store
from xinyu.kernel.errors import Unavailable, from_wire
from xinyu.sdk.client import Client, Options
from xinyu.telemetry.logs import configure_logs

TIMEOUT_SECONDS = 30.0
SOCKET_PATH = "/wss/default.io"


class _Refusal(msgspec.Struct):
    error: str
    message: str


def running_node(settings: Settings) -> RunningNode | None:
    """The server that these settings belong to, while it is up."""
    return DataFolder(settings.data_dir, settings.node).running()


class Entrance(NamedTuple):
    """Where clients come in: the REST address, the WebSocket addresses, the key that passwords are encrypted with."""

    base_url: str
    ws_url: str | Sequence[str] | None = None
    public_key_pem: str | None = None

    def client(self, token: str | None = None) -> Client:
        """A client that is not connected yet."""
        options = Options(public_key_pem=self.public_key_pem, platform="cli")
        return Client(self.base_url, token, ws_url=self.ws_url, options=options)


def entrance_of(settings: Settings) -> Entrance:
    """Where the running server of these settings lets clients in. Raises ConfigError when none runs."""
    node = running_node(settings)
    if node is None:
        raise ConfigError(f"no server runs on {settings.data_dir.absolute()}; start one with `xinyu run`")
    if not node.http:
        raise ConfigError(
            f"{settings.node} serves no REST; name the configuration of a node with the role gateway_http"
        )
    key = None if settings.user.accept_plain_passwords else public_key_pem(settings)
    sockets = [_reachable(ws) + SOCKET_PATH for ws in ([node.ws] if node.ws else _ws_of_others(settings))]
    return Entrance(_reachable(node.http), sockets or None, key)


def _ws_of_others(settings: Settings) -> list[str]:
    """Where the other processes of this configuration take WebSockets on this machine."""
    folders = {name: Path(own.get("data_dir", settings.data_dir)) for name, own in settings.processes.items()}
    nodes = [DataFolder(folder, name).running() for name, folder in folders.items()]
    return [node.ws for node in nodes if node is not None and node.ws]


def _reachable(url: str) -> str:
    """An address that listens everywhere, as one that can be connected to."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def act(settings: Settings, action: str, **arguments: Any) -> dict[str, Any]:
    """Run an action of `xinyu.app.actions`. Raises XinyuError, ConfigError."""
    node = running_node(settings)
    if node is None:
        configure_logs("warning", "console", "xinyu", settings.node)
        return asyncio.run(_on_store(settings, action, arguments))
    return _over_admin_port(node, with_secrets(settings).auth.admin_secret, action, arguments)


async def _on_store(settings: Settings, action: str, arguments: dict[str, Any]) -> dict[str, Any]:
    async with opened_store(settings) as process:
        return await ACTIONS[action](process.container.ports(), **arguments)


def _over_admin_port(node: RunningNode, secret: str, action: str, arguments: dict[str, Any]) -> dict[str, Any]:
    address = urlsplit(node.admin)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)
    try:
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        connection.request("POST", f"/admin/{action}", msgspec.json.encode(arguments), headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"the server's admin port {node.admin} does not answer: {error}") from error
    finally:
        connection.close()
    if response.status == 200:
        return msgspec.json.decode(content, type=dict[str, Any])
    if response.status == 401:
        raise ConfigError("auth.admin_secret: the running server has another one")
    try:
        refusal = msgspec.json.decode(content, type=_Refusal)
    except msgspec.MsgspecError:
        raise Unavailable(f"the admin port answered {response.status} {response.reason}") from None
    raise from_wire(refusal.error, refusal.message, {})
