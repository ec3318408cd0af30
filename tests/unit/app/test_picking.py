"""Which instance of a role gets a call."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from xinyu.app.cluster.picking import NoInstance, RolePicker, conversation_key, target_of
from xinyu.discovery.types import Instance, State
from xinyu.kernel.ids import NodeId, new_msg_id
from xinyu.message.port import MessagePort
from xinyu.message.types import Effect, Kind, NewMessage, group_ref, private_ref
from xinyu.rpc.spec import spec_of

SEND = spec_of(MessagePort).methods["send"]
ANN, BOB = 7, 9


def instance(number: int, **fields: Any) -> Instance:
    values = {"epoch": 1, "state": State.READY, **fields}
    return Instance(node=NodeId(f"node-{number}"), host="127.0.0.1", port=1000 + number, roles=("message",), **values)


def picker(*instances: Instance, role: str = "message", resting: frozenset[str] = frozenset()) -> RolePicker:
    found = RolePicker(role, "", resting.__contains__)
    found.update(instances)
    return found


def sending(to: int, sender: int = ANN) -> dict[str, Any]:
    return {"sender_id": sender, "draft": NewMessage(private_ref(to), new_msg_id(), 1, {"text": "x"})}


def test_calls_about_one_conversation_go_to_one_instance_from_both_sides() -> None:
    choice = picker(*map(instance, range(5)))
    first = choice.pick(SEND, sending(BOB, ANN), ())
    assert {choice.pick(SEND, sending(BOB, ANN), ()) for _ in range(20)} == {first}
    assert choice.pick(SEND, sending(ANN, BOB), ()) == first
    assert choice.pick(SEND, {"user_id": BOB, "ref": private_ref(ANN)}, ()) == first
    used = Counter(choice.pick(SEND, sending(peer), ()) for peer in range(100, 300))
    assert len(used) == 5


def test_a_conversation_has_one_key_whoever_asks_and_what_names_none_has_none() -> None:
    assert conversation_key(sending(BOB, ANN)) == conversation_key({"user_id": BOB, "ref": private_ref(ANN)})
    group = Effect(new_msg_id(), kind=Kind.GROUP, parties=(5, 0))
    assert conversation_key({"effect": group}) == conversation_key({"user_id": ANN, "ref": group_ref(5)})
    assert conversation_key({"user_id": ANN, "msg_ids": []}) is None
    assert conversation_key({"ref": private_ref(ANN)}) is None


def test_what_failed_the_call_or_rests_is_passed_over_while_there_is_another() -> None:
    instances = [instance(1), instance(2)]
    choice = picker(*instances)
    first = choice.pick(SEND, sending(BOB), ())
    second = choice.pick(SEND, sending(BOB), {first})
    assert second != first
    assert choice.pick(SEND, sending(BOB), {first, second}) == first
    assert picker(*instances, resting=frozenset({first.address})).pick(SEND, sending(BOB), ()) == second
    assert picker(instances[0], resting=frozenset({instances[0].address})).pick(SEND, sending(BOB), ())


def test_only_ready_instances_are_picked_and_none_is_said_plainly() -> None:
    choice = picker(instance(1, state=State.DRAINING), instance(2, state=State.STARTING))
    with pytest.raises(NoInstance, match="no process that hosts message is known"):
        choice.pick(SEND, sending(BOB), ())
    choice.update([instance(1, state=State.DRAINING), instance(3)])
    assert choice.pick(SEND, sending(BOB), ()).node == "node-3"
    assert choice.pick(SEND, {}, ()).node == "node-3"


def test_without_a_conversation_the_least_busy_is_picked() -> None:
    choice = picker(instance(1), instance(2), role="user")
    first = choice.pick(SEND, sending(BOB), ())
    second = choice.pick(SEND, sending(BOB), ())
    assert first != second
    choice.ended(second)
    assert choice.pick(SEND, sending(BOB), ()) == second
    choice.update([instance(1), instance(2)])
    choice.ended(first)  # counted over an update


def test_a_target_is_one_life_of_a_node_unless_nobody_knows_lives() -> None:
    target = target_of(instance(1, epoch=5))
    assert (target.address, target.node, target.epoch) == ("127.0.0.1:1001", "node-1", 5)
    assert target_of(instance(1, epoch=0)).epoch == 0 and not target_of(instance(1, epoch=0)).node
