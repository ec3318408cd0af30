"""A registry written down in the settings: addresses that never change, no registration, no news of anybody's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xinyu.discovery.errors import BadInstance
from xinyu.discovery.registry import Registry
from xinyu.discovery.types import Instance, State, check_instance
from xinyu.discovery.watching import Feed, Watch
from xinyu.kernel.ids import NodeId


class StaticRegistry(Registry):
    """Shows what the settings name as ready, under node names made of the addresses, with epoch 0 (unknown).

    Registering shows nobody anything, so twins go unnoticed; who is down is found out by calling.
    """

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        roles: dict[str, list[str]] = {}
        for role, places in addresses.items():
            for address in dict.fromkeys(places):
                roles.setdefault(address, []).append(role)
        self._instances = [_instance(address, tuple(held)) for address, held in roles.items()]
        self._feeds: dict[str, Feed] = {}

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        for feed in self._feeds.values():
            feed.end()
        self._feeds.clear()

    async def register(self, instance: Instance) -> None:
        check_instance(instance)

    async def set_state(self, state: State) -> None:
        pass

    async def withdraw(self) -> None:
        pass

    async def watch(self, role: str) -> Watch:
        if role not in self._feeds:
            self._feeds[role] = Feed(instance for instance in self._instances if role in instance.roles)
        return Watch(self._feeds[role])


def _instance(address: str, roles: tuple[str, ...]) -> Instance:
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadInstance(f"{address!r} is no address of the form host:port")
    return Instance(
        node=NodeId(address), epoch=0, host=host.strip("[]"), port=int(port), roles=roles, state=State.READY
    )
