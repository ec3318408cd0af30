"""The predecessor's gateways as nodes of presence: named by their address, without an epoch, a session per user."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from xinyu.kernel.ids import DeviceId, NodeId, SessionId, UserId
from xinyu.presence.types import NodeRef, PresenceEntry

PREFIX = "predecessor:"
"""No node of ours can have a colon in its name."""


class Allowed:
    """The networks in which its processes are."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __contains__(self, host: object) -> bool:
        try:
            address = ipaddress.ip_address(str(host))
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


def split(address: str) -> tuple[str, int]:
    """("ip", port) of "ip:port"; port 0 when it is none."""
    host, _, port = address.rpartition(":")
    usable = port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65536
    return host.strip("[]"), int(port) if usable else 0


def place_at(address: str) -> NodeRef:
    """Its gateway at `address`."""
    return NodeRef(NodeId(PREFIX + address), 0, address)


def is_theirs(at: NodeRef) -> bool:
    """Whether this is one of the predecessor's gateways."""
    return at.node.startswith(PREFIX)


def session_of(user_id: UserId) -> SessionId:
    """The one session that a user can have at all of its gateways together."""
    return SessionId(f"{PREFIX}{user_id}")


def entry_at(user_id: UserId, at: NodeRef) -> PresenceEntry:
    """The presence of a user at one of its gateways."""
    return PresenceEntry(user_id, session_of(user_id), DeviceId("predecessor"), "web", at)
