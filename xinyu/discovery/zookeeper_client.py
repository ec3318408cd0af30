"""ZooKeeper from an event loop: kazoo's verbs awaited, its threads' callbacks brought over, its errors translated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from kazoo import exceptions as kazoo_errors
from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState, WatchedEvent
from kazoo.security import CREATOR_ALL_ACL

from xinyu.discovery.errors import DiscoveryRefused, DiscoveryUnavailable
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
MAX_RECONNECT_SECONDS = 1.0
"""Longest pause between attempts. Short, so that a session survives a short absence of ZooKeeper."""
REFUSALS = (
    kazoo_errors.NoAuthError,
    kazoo_errors.AuthFailedError,
    kazoo_errors.InvalidACLError,
)


class NodeData(NamedTuple):
    """What stands at a path."""

    data: bytes
    version: int
    owner: int
    """Session that an ephemeral node lives in; 0 for a persistent one."""


Notice = Callable[[str | None], None]
"""Called on the loop when a watched path changed; None when the connection broke and anything may have."""


class ZooKeeperClient:
    """One connection. Every verb raises DiscoveryUnavailable while it is away, and DiscoveryRefused."""

    def __init__(self, hosts: str, session_seconds: float, auth: str = "") -> None:
        self._seconds = session_seconds
        self._kazoo = KazooClient(
            hosts=hosts,
            timeout=session_seconds,
            connection_retry={
                "max_tries": -1,
                "delay": 0.05,
                "backoff": 2,
                "max_delay": min(MAX_RECONNECT_SECONDS, session_seconds / 4),
            },
            auth_data=[("digest", auth)] if auth else None,
            default_acl=CREATOR_ALL_ACL if auth else None,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connected = asyncio.Event()
        self._refused = False
        self._on_connected: Callable[[], None] = lambda: None

    @property
    def session_id(self) -> int:
        """The present session; 0 before the first."""
        found = self._kazoo.client_id
        return int(found[0]) if found else 0

    @property
    def is_connected(self) -> bool:
        """Whether verbs have a chance."""
        return self._connected.is_set()

    async def start(self, within: float, on_connected: Callable[[], None]) -> None:
        """Connect, and call `on_connected` on the loop at each connection after this one, whatever its session."""
        self._loop = asyncio.get_running_loop()
        self._kazoo.add_listener(self._state_changed)
        try:
            self._kazoo.start_async()
            async with asyncio.timeout(within):
                await self._connected.wait()
        except BaseException as error:
            await self.stop()
            if not isinstance(error, TimeoutError):
                raise
            if self._refused:
                raise DiscoveryRefused from error
            raise DiscoveryUnavailable(f"no ZooKeeper at discovery.zookeeper_hosts within {within:g} s") from error
        self._on_connected = on_connected

    async def stop(self) -> None:
        """End the session, and with it its ephemeral nodes. Returns when kazoo's threads have ended."""
        self._on_connected = lambda: None
        self._connected.clear()  # what ends now is no news
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._kazoo.stop()
        self._kazoo.close()

    def notifier(self, notice: Notice) -> Callable[[WatchedEvent], None]:
        """What to hand to verbs as `watch`. Make one and keep it: kazoo holds the same one only once per path."""

        def notify(event: WatchedEvent) -> None:
            self._to_loop(notice, event.path)

        return notify

    async def make_parents(self, path: str) -> None:
        """Have a persistent node at `path` and above it. Others may be doing the same."""
        await self._done(self._kazoo.ensure_path_async(path))

    async def create_ephemeral(self, path: str, data: bytes) -> bool:
        """Put a node that lives as long as our session. False where one stands already."""
        try:
            await self._done(self._kazoo.create_async(path, data, ephemeral=True))
        except kazoo_errors.NodeExistsError:
            return False
        return True

    async def get(self, path: str, watch: Callable[[WatchedEvent], None] | None = None) -> NodeData | None:
        """What stands there; None (and no watch) where nothing does."""
        try:
            data, stat = await self._done(self._kazoo.get_async(path, watch))
        except kazoo_errors.NoNodeError:
            return None
        return NodeData(data, stat.version, stat.ephemeralOwner)

    async def set(self, path: str, data: bytes) -> bool:
        """Change what stands there. False where nothing does."""
        try:
            await self._done(self._kazoo.set_async(path, data))
        except kazoo_errors.NoNodeError:
            return False
        return True

    async def delete(self, path: str, version: int) -> None:
        """Remove it if it is still of this version."""
        with contextlib.suppress(kazoo_errors.NoNodeError, kazoo_errors.BadVersionError):
            await self._done(self._kazoo.delete_async(path, version))

    async def children(self, path: str, watch: Callable[[WatchedEvent], None] | None = None) -> list[str]:
        """Names of what stands below an existing path."""
        return list(await self._done(self._kazoo.get_children_async(path, watch)))

    async def _done(self, result: Any) -> Any:
        """Await kazoo's own kind of future (it has no types), at most as long as a session lasts."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def resolve() -> None:
            if done.done():
                return
            if result.exception is None:
                done.set_result(result.value)
            else:
                done.set_exception(result.exception)

        result.rawlink(lambda _: self._to_loop(resolve))
        try:
            async with asyncio.timeout(self._seconds):
                return await done
        except (kazoo_errors.NodeExistsError, kazoo_errors.NoNodeError, kazoo_errors.BadVersionError):
            raise
        except REFUSALS as error:
            raise DiscoveryRefused from error
        except (kazoo_errors.KazooException, TimeoutError) as error:
            raise DiscoveryUnavailable(cause=type(error).__name__) from error

    def _state_changed(self, state: str) -> None:
        """In kazoo's thread."""
        self._to_loop(self._note_state, state, self._kazoo.client_state)

    def _note_state(self, state: str, detail: str) -> None:
        if state == KazooState.CONNECTED:
            self._connected.set()
            self._on_connected()
        else:
            if self._connected.is_set():
                log.warning("no connection with ZooKeeper; the last known instances stay in use", state=state)
            self._refused = detail == "AUTH_FAILED"
            self._connected.clear()
            asyncio.get_running_loop().call_later(self._seconds, self._forget_history)

    def _forget_history(self) -> None:
        """Away for so long that the session is over: do not insist on a server that knows what we have seen.

        A ZooKeeper that lost its data would turn us away for ever: it refuses clients that have seen later changes.
        """
        if not self.is_connected:
            self._kazoo.last_zxid = 0

    def _to_loop(self, work: Callable[..., None], *arguments: object) -> None:
        """Run it on the loop. Kazoo's threads may have something to say after a loop has ended: nobody listens then."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(work, *arguments)
