"""A registry inside one process: for a monolith, and for several nodes of a simulation that share a directory."""

from __future__ import annotations

from typing import NamedTuple

from xinyu.discovery.errors import NodeNameTaken
from xinyu.discovery.registry import Registry
from xinyu.discovery.types import Instance, State, check_instance, is_former_self
from xinyu.discovery.watching import Feed, Watch


class _Holding(NamedTuple):
    owner: object
    instance: Instance


class MemoryDirectory:
    """What the registries of one process share."""

    def __init__(self) -> None:
        self._held: dict[str, _Holding] = {}
        self._feeds: dict[str, list[Feed]] = {}

    def put(self, owner: object, instance: Instance) -> None:
        """Show it in place of what its owner, or its former self, showed. Raises NodeNameTaken."""
        held = self._held.get(instance.node)
        if held is not None and held.owner is not owner and not is_former_self(held.instance, instance):
            raise NodeNameTaken(node=instance.node, address=held.instance.address, epoch=held.instance.epoch)
        self._held[instance.node] = _Holding(owner, instance)
        self._publish({*instance.roles, *(held.instance.roles if held else ())})

    def remove(self, owner: object, node: str) -> None:
        """Show it no more, if it is (still) this owner's."""
        held = self._held.get(node)
        if held is not None and held.owner is owner:
            del self._held[node]
            self._publish(set(held.instance.roles))

    def holds(self, owner: object, node: str) -> bool:
        """Whether the node is (still) this owner's."""
        held = self._held.get(node)
        return held is not None and held.owner is owner

    def subscribe(self, role: str) -> Feed:
        """A feed of what is shown under a role, until it is given back."""
        feed = Feed(self._of_role(role))
        self._feeds.setdefault(role, []).append(feed)
        return feed

    def unsubscribe(self, role: str, feed: Feed) -> None:
        """Feed it no more."""
        self._feeds[role].remove(feed)

    def _publish(self, roles: set[str]) -> None:
        for role in sorted(roles):
            for feed in self._feeds.get(role, ()):
                feed.publish(self._of_role(role))

    def _of_role(self, role: str) -> list[Instance]:
        return [held.instance for held in self._held.values() if role in held.instance.roles]


class MemoryRegistry(Registry):
    """One node's access to a directory; without one it knows only itself."""

    def __init__(self, directory: MemoryDirectory | None = None) -> None:
        self._directory = directory or MemoryDirectory()
        self._own: Instance | None = None
        self._feeds: dict[str, Feed] = {}

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        await self.withdraw()
        for role, feed in self._feeds.items():
            self._directory.unsubscribe(role, feed)
            feed.end()
        self._feeds.clear()

    async def register(self, instance: Instance) -> None:
        check_instance(instance)
        if self._own is not None and self._own.node != instance.node:
            await self.withdraw()
        self._directory.put(self, instance)
        self._own = instance

    async def set_state(self, state: State) -> None:
        if self._own is not None and self._directory.holds(self, self._own.node):
            self._own = self._own.in_state(state)
            self._directory.put(self, self._own)

    async def withdraw(self) -> None:
        if self._own is not None:
            self._directory.remove(self, self._own.node)
            self._own = None

    async def watch(self, role: str) -> Watch:
        if role not in self._feeds:
            self._feeds[role] = self._directory.subscribe(role)
        return Watch(self._feeds[role])
