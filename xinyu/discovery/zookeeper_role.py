"""What ZooKeeper shows under one role, followed by its watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from xinyu.discovery.types import Instance, decode_instance
from xinyu.discovery.watching import Feed
from xinyu.discovery.zookeeper_client import ZooKeeperClient
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)


class WatchedRole:
    """The children of one path and their data, read again where a watch has fired.

    After the connection broke, instances that have vanished are kept for `settle_seconds`: when ZooKeeper itself was
    away, sessions end that everybody is about to renew, and nobody should find an empty list in between.
    """

    def __init__(self, zk: ZooKeeperClient, path: str, settle_seconds: float) -> None:
        self.feed = Feed()
        self.on_change: Callable[[], None] = lambda: None
        self._zk = zk
        self._path = path
        self._settle_seconds = settle_seconds
        self._settled_at = 0.0
        self._known: dict[str, Instance | None] = {}
        self._followed: set[str] = set()
        self._children_stale = True
        self._stale: set[str] = set()
        self._notify_children = zk.notifier(lambda _: self._children_changed())
        self._notify_data = zk.notifier(self._data_changed)

    async def refresh(self) -> None:
        """Read what is stale and publish it. Raises DiscoveryUnavailable; what was not read stays stale."""
        if not self._children_stale and not self._stale:
            return
        if self._children_stale:
            await self._read_children()
        for name in sorted(self._stale):
            self._stale.discard(name)
            try:
                held = await self._zk.get(f"{self._path}/{name}", self._notify_data)
            except BaseException:
                self._stale.add(name)
                raise
            if held is None:
                self._followed.discard(name)
            else:
                self._followed.add(name)
                self._known[name] = decode_instance(name, held.data)
                if self._known[name] is None:
                    log.warning("discovery: not the data of an instance", path=f"{self._path}/{name}")
        self.feed.publish(instance for instance in self._known.values() if instance is not None)

    def reconnected(self) -> None:
        """Watches may have been missed: everything is stale."""
        loop = asyncio.get_running_loop()
        self._settled_at = loop.time() + self._settle_seconds
        loop.call_at(self._settled_at + 0.01, self._children_changed)  # a timer may be early by the clock's resolution
        self._followed.clear()
        self._children_changed()

    async def _read_children(self) -> None:
        self._children_stale = False
        try:
            await self._zk.make_parents(self._path)
            names = set(await self._zk.children(self._path, self._notify_children))
        except BaseException:
            self._children_stale = True
            raise
        self._followed &= names  # a node that is gone took its watch along; it may come again
        self._stale |= names - self._followed
        if asyncio.get_running_loop().time() >= self._settled_at:
            for name in self._known.keys() - names:
                del self._known[name]
            self._stale &= names

    def _children_changed(self) -> None:
        self._children_stale = True
        self.on_change()

    def _data_changed(self, path: str | None) -> None:
        if path is None:
            self._stale |= self._followed
        else:
            self._stale.add(path.rpartition("/")[2])
        self.on_change()
