"""Values of discovery, and how they are written down."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from xinyu.discovery.errors import BadInstance
from xinyu.kernel.ids import NodeId

DEFAULT_WEIGHT = 100
_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}").fullmatch
_ROLE = re.compile(r"[a-z][a-z0-9_]{0,39}").fullmatch


class State(StrEnum):
    """Where an instance stands in its life. Only a ready one gets new calls."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One life of a process, as discovery shows it. It stands under each of its roles."""

    node: NodeId
    """Name of the process in the cluster; also its address for presence and delivery."""
    epoch: int
    """Which life of the node this is; a restart has a higher one. 0 where nobody knows (static addresses)."""
    host: str
    port: int
    """Where its RPC listens."""
    roles: tuple[str, ...]
    state: State = State.STARTING
    weight: int = DEFAULT_WEIGHT
    """Share of the calls against other instances' weights; 0 gets none."""
    zone: str = ""
    tags: tuple[str, ...] = ()
    version: str = ""
    started_at: int = 0
    """UTC, milliseconds."""

    @property
    def address(self) -> str:
        """host:port, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def in_state(self, state: State) -> Instance:
        """The same instance in another state."""
        return msgspec.structs.replace(self, state=state)


def check_instance(instance: Instance) -> None:
    """Raises BadInstance for what cannot be registered."""
    if not _NAME(instance.node) or instance.node in (".", ".."):
        raise BadInstance(f"{instance.node!r} is no node name: 1 to 60 letters, digits, dots, dashes, underscores")
    if not instance.roles or not all(_ROLE(role) for role in instance.roles):
        raise BadInstance(f"node {instance.node} has no usable roles: {', '.join(instance.roles) or 'none'}")
    if not instance.host or not 0 < instance.port < 65536:
        raise BadInstance(f"node {instance.node} has no address that others can call: {instance.address}")
    if instance.epoch <= 0 or instance.weight < 0:
        raise BadInstance(f"node {instance.node}: its epoch must be positive and its weight not negative")


def encode_instance(instance: Instance) -> bytes:
    """JSON without the node, whose name is where the data stands."""
    fields = msgspec.to_builtins(instance)
    del fields["node"]
    return msgspec.json.encode(fields)


def decode_instance(node: str, data: bytes) -> Instance | None:
    """The instance that stands at `node`, None where others wrote something else. Unknown fields are passed over."""
    try:
        fields = msgspec.json.decode(data, type=dict[str, object])
        instance = msgspec.convert({**fields, "node": node}, Instance)
        check_instance(instance)
    except (msgspec.MsgspecError, BadInstance):
        return None
    return instance


def is_former_self(other: Instance, ours: Instance) -> bool:
    """Whether `other` is a left-over of an earlier life, or an earlier session, of the process that `ours` describes.

    Two processes cannot listen at one address, and we listen at ours: whoever registered it is no longer there. A
    left-over at another address cannot be told from a live twin by looking; that takes the end of its session.
    """
    return other.node == ours.node and other.address == ours.address and other.epoch <= ours.epoch
