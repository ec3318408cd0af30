"""The registry of a cluster: ephemeral nodes `root/role/node` in ZooKeeper.

A process first takes `root/_nodes/node`, which makes its name unique whatever its roles are, then its roles. Its nodes
live in its ZooKeeper session; two tasks keep them and what is watched right over lost connections and sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from xinyu.discovery.errors import DiscoveryUnavailable, NodeNameTaken
from xinyu.discovery.registry import Registry
from xinyu.discovery.settings import DiscoverySettings
from xinyu.discovery.types import (
    Instance,
    State,
    check_instance,
    decode_instance,
    encode_instance,
    is_former_self,
)
from xinyu.discovery.watching import Watch
from xinyu.discovery.zookeeper_client import ZooKeeperClient
from xinyu.discovery.zookeeper_role import WatchedRole
from xinyu.kernel.errors import XinyuError
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
NAMES = "_nodes"
"""No role can be called so."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


class ZooKeeperRegistry(Registry):
    """One process's session with ZooKeeper."""

    def __init__(self, settings: DiscoverySettings) -> None:
        self._settings = settings
        self._zk = ZooKeeperClient(settings.zookeeper_hosts, settings.session_seconds, settings.zookeeper_auth)
        self._own: Instance | None = None
        self._writing = asyncio.Lock()
        self._roles: dict[str, WatchedRole] = {}
        self._opening = asyncio.Lock()
        self._own_changed = asyncio.Event()
        self._roles_changed = asyncio.Event()
        self._notify_own = self._zk.notifier(lambda _: self._own_changed.set())
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def start(self) -> None:
        await self._zk.start(self._settings.connect_seconds, self._reconnected)
        self._tasks = [
            asyncio.create_task(self._keep(self._own_changed, self._restore_own), name="discovery-own"),
            asyncio.create_task(self._keep(self._roles_changed, self._refresh_roles), name="discovery-roles"),
        ]

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.withdraw()
        await self._zk.stop()
        for role in self._roles.values():
            role.feed.end()

    async def register(self, instance: Instance) -> None:
        check_instance(instance)
        if self._own is not None and set(self._paths(self._own)) - set(self._paths(instance)):
            await self.withdraw()
        async with self._writing:
            self._own = instance
            try:
                # An owner that is gone loses its session in this time; servers round sessions up to their ticks.
                await self._write(instance, patience=1.5 * self._settings.session_seconds + 1)
            except BaseException:
                self._own = None
                await self._erase(instance)
                raise

    async def set_state(self, state: State) -> None:
        async with self._writing:
            if self._own is None:
                return
            self._own = self._own.in_state(state)
            try:
                await self._write(self._own)
            except XinyuError as error:
                log.info("discovery learns of a new state later", state=state.value, error=error.code)
                self._own_changed.set()

    async def withdraw(self) -> None:
        async with self._writing:
            own, self._own = self._own, None
            if own is not None:
                await self._erase(own)

    async def watch(self, role: str) -> Watch:
        async with self._opening:
            if role not in self._roles:
                watched = WatchedRole(self._zk, f"{self._settings.root}/{role}", self._settings.session_seconds)
                watched.on_change = self._roles_changed.set
                await watched.refresh()
                self._roles[role] = watched
                self._roles_changed.set()
        return Watch(self._roles[role].feed)

    # -- what this process shows ---------------------------------------------------------------------------------

    def _paths(self, instance: Instance) -> list[str]:
        """The name first: it is what twins are told by."""
        return [f"{self._settings.root}/{parent}/{instance.node}" for parent in (NAMES, *instance.roles)]

    async def _write(self, instance: Instance, patience: float = 0) -> None:
        deadline = asyncio.get_running_loop().time() + patience
        data = encode_instance(instance)
        for path in self._paths(instance):
            await self._claim(path, instance, data, deadline)

    async def _claim(self, path: str, instance: Instance, data: bytes, deadline: float) -> None:
        """Have our node there, in our session. Raises NodeNameTaken where another's is still there at `deadline`."""
        changed = asyncio.Event()
        notify = self._zk.notifier(lambda _: changed.set())
        while True:
            changed.clear()
            held = await self._zk.get(path, self._notify_own)
            if held is None:
                await self._zk.make_parents(path.rpartition("/")[0])
                await self._zk.create_ephemeral(path, data)  # read again in any case: so it is watched
                continue
            if held.owner == self._zk.session_id:
                if held.data == data or await self._zk.set(path, data):
                    return
                continue
            other = decode_instance(instance.node, held.data)
            if held.owner == 0 or (other is not None and is_former_self(other, instance)):
                await self._zk.delete(path, held.version)
                continue
            if asyncio.get_running_loop().time() >= deadline:
                raise _taken(instance, other)
            if await self._zk.get(path, notify) is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(deadline):
                        await changed.wait()

    async def _erase(self, instance: Instance) -> None:
        """Remove what is ours, the roles first. While ZooKeeper is away the end of the session does it."""
        try:
            for path in reversed(self._paths(instance)):
                held = await self._zk.get(path) if self._zk.is_connected else None
                if held is not None and held.owner == self._zk.session_id:
                    await self._zk.delete(path, held.version)
        except XinyuError as error:
            log.info("not withdrawn: the end of the session does it", node=instance.node, error=error.code)

    async def _restore_own(self) -> None:
        async with self._writing:
            if self._own is not None:
                await self._write(self._own)

    # -- keeping it so -------------------------------------------------------------------------------------------

    def _reconnected(self) -> None:
        log.info("connected with ZooKeeper again")
        for role in self._roles.values():
            role.reconnected()
        self._own_changed.set()
        self._roles_changed.set()

    async def _refresh_roles(self) -> None:
        for role in list(self._roles.values()):
            await role.refresh()

    async def _keep(self, changed: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` at each change, and again after a pause while it fails."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            await changed.wait()
            changed.clear()
            if not self._zk.is_connected:
                continue  # the next connection sets it again
            try:
                await work()
                pause = FIRST_PAUSE_SECONDS
            except DiscoveryUnavailable as error:
                log.info("ZooKeeper is away; the last known instances stay in use", reason=error.details.get("cause"))
            except XinyuError as error:
                log.error("this process is not discoverable", error=error.code, reason=error.message)
            except Exception:  # as when somebody removes what we are just writing below: nothing may end this task
                log.exception("discovery could not be put right; it is tried again, the stack below says why")
            else:
                continue
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            changed.set()


def _taken(ours: Instance, other: Instance | None) -> NodeNameTaken:
    if other is None:
        return NodeNameTaken(f"something else is registered as node {ours.node}; choose another --node")
    return NodeNameTaken(
        f"node {ours.node} is registered by a live process at {other.address}; choose another --node, or stop that one",
        node=ours.node,
        address=other.address,
        epoch=other.epoch,
    )
