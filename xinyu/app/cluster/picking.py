"""Which instance of a role gets a call: by conversation where there is one, else the least busy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from xinyu.discovery.balancing import HashRing, LeastInFlight
from xinyu.discovery.types import Instance
from xinyu.kernel.errors import Unavailable
from xinyu.message.types import Effect, NewMessage, Ref, parties_of
from xinyu.rpc.pool import Target
from xinyu.rpc.spec import MethodSpec
from xinyu.rpc.transport_tcp import Picker

Resting = Callable[[str], bool]
"""Whether an address would refuse a call now without its being sent."""
Arguments = dict[str, Any]


class NoInstance(Unavailable):
    """No process that hosts the role is known; `xinyu cluster` shows which are."""

    code = "transport.no_instance"


class RolePicker(Picker):
    """Chooses among the live instances of one role.

    Calls about one conversation go to one instance, so that its batches and caches meet; correctness never depends on
    it. An instance that has just failed the call, or that rests, is passed over while there is another.
    """

    def __init__(self, role: str, zone: str, resting: Resting) -> None:
        self._role = role
        self._resting = resting
        self._ring = HashRing()
        self._least = LeastInFlight(zone)
        self._instances: tuple[Instance, ...] = ()
        self._picked: dict[Target, Instance] = {}

    def update(self, instances: Iterable[Instance]) -> None:
        """Choose among these from now on."""
        self._instances = tuple(instances)
        self._ring.update(self._instances)
        self._least.update(self._instances)
        self._picked = {target_of(instance): instance for instance in self._instances}

    def pick(self, method: MethodSpec, arguments: Arguments, avoid: Collection[Target]) -> Target:
        shunned = {self._picked[target].node for target in avoid if target in self._picked}
        shunned |= {instance.node for instance in self._instances if self._resting(instance.address)}
        key = conversation_key(arguments) if self._role == "message" else None
        if key is None:
            found = self._least.pick(shunned) or self._least.pick()
        else:
            found = self._ring.pick(key, shunned) or self._ring.pick(key)
        if found is None:
            raise NoInstance(f"no process that hosts {self._role} is known; `xinyu cluster` shows which are")
        self._least.began(found)
        return target_of(found)

    def ended(self, target: Target) -> None:
        instance = self._picked.get(target)
        if instance is not None:
            self._least.ended(instance)


def target_of(instance: Instance) -> Target:
    """An instance as a call's target: this life of this node alone, where the registry knows lives."""
    if not instance.epoch:
        return Target(instance.address)
    return Target(instance.address, instance.node, instance.epoch)


def conversation_key(arguments: Arguments) -> str | None:
    """The same text for every call about one conversation, whoever makes it; None for a call about none."""
    draft, ref, effect = arguments.get("draft"), arguments.get("ref"), arguments.get("effect")
    if isinstance(effect, Effect):
        return f"{effect.kind}:{effect.parties}"
    if isinstance(draft, NewMessage):
        ref = draft.ref
    reader = arguments.get("sender_id", arguments.get("user_id"))
    if not isinstance(ref, Ref) or reader is None:
        return None
    return f"{ref.kind}:{parties_of(ref, reader)}"
