"""Where processes make themselves known and find one another."""

from __future__ import annotations

import abc

from xinyu.discovery.types import Instance, State
from xinyu.discovery.watching import Watch


class Registry(abc.ABC):
    """One process's access to what all of them share. It registers one instance at most, its own."""

    @abc.abstractmethod
    async def start(self) -> None:
        """Connect. Raises DiscoveryUnavailable when the registry cannot be reached in time, and DiscoveryRefused."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Withdraw, end all watches, let go of everything. Idempotent, and never fails for the registry being away."""

    @abc.abstractmethod
    async def register(self, instance: Instance) -> None:
        """Show this instance under each of its roles until it is withdrawn, whatever happens to the connection.

        A left-over of an earlier life of the node is replaced. Raises NodeNameTaken for a live twin of any role,
        BadInstance, DiscoveryUnavailable; then nothing of it is shown. Repeating it replaces what was registered.
        """

    @abc.abstractmethod
    async def set_state(self, state: State) -> None:
        """Show the registered instance in another state; while the registry is away, as soon as it is back.

        Does nothing where nothing is registered.
        """

    @abc.abstractmethod
    async def withdraw(self) -> None:
        """Show the instance no more. Idempotent; while the registry is away, the end of the session does it."""

    @abc.abstractmethod
    async def watch(self, role: str) -> Watch:
        """The instances of a role in all states, kept up to date; it has the first snapshot when this returns.

        While the registry is away it shows what was last known. Raises DiscoveryUnavailable where nothing was known.
        """

    async def list_instances(self, role: str) -> list[Instance]:
        """The instances of a role in all states, by node name. Raises as `watch` does."""
        return list((await self.watch(role)).instances)
