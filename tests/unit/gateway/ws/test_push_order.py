"""Order at the socket (DESIGN.md section 5): who waits for whom, and for how long."""

from __future__ import annotations

import msgspec

from xinyu.delivery.types import NodePush
from xinyu.gateway.ws.order import PushOrder
from xinyu.kernel.ids import ConversationId, SessionId, UserId
from xinyu.presence.types import SessionTarget

HOLD = 0.2


def push(seq: int, *sessions: str, conversation_id: int = 1) -> NodePush:
    targets = [SessionTarget(UserId(1), SessionId(name)) for name in sessions or ("s",)]
    return NodePush(ConversationId(conversation_id), seq, targets, msgspec.Raw(b"%d" % seq))


def order(head: int = 0, *conversation_ids: int) -> PushOrder:
    made = PushOrder(HOLD)
    for conversation_id in conversation_ids or (1,):
        made.join(conversation_id, head)
    return made


def seqs(pushes: list[NodePush]) -> list[int]:
    return [push.seq for push in pushes]


def test_in_order_nothing_waits() -> None:
    o = order(4)
    assert [seqs(o.offer(push(seq), 0.0)) for seq in (5, 6, 7)] == [[5], [6], [7]]
    assert o.held == 0


def test_the_second_commit_dispatched_first_waits_for_the_first() -> None:
    o = order(4)
    assert seqs(o.offer(push(7), 0.0)) == []
    assert seqs(o.offer(push(6), 0.1)) == []
    assert o.held == 1
    assert seqs(o.offer(push(5), 0.15)) == [5, 6, 7]
    assert o.held == 0
    assert seqs(o.offer(push(8), 0.2)) == [8]


def test_conversations_do_not_wait_for_one_another() -> None:
    o = order(0, 1, 2)
    assert seqs(o.offer(push(2), 0.0)) == []
    assert seqs(o.offer(push(1, conversation_id=2), 0.0)) == [1]


def test_a_late_repetition_goes_out_as_it_comes() -> None:
    o = order(4)
    o.offer(push(5), 0.0)
    assert seqs(o.offer(push(5), 0.0)) == [5]
    assert seqs(o.offer(push(2), 0.0)) == [2]
    assert seqs(o.offer(push(6), 0.0)) == [6]


def test_a_repetition_of_what_waits_goes_to_the_sessions_of_both() -> None:
    o = order(0)
    o.offer(push(2, "a", "b"), 0.0)
    o.offer(push(2, "b", "c"), 0.0)
    out = o.offer(push(1), 0.0)
    assert seqs(out) == [1, 2]
    assert {target.session_id for target in out[1].sessions} == {"a", "b", "c"}


def test_nothing_waits_longer_than_the_hold() -> None:
    o = order(0)
    o.offer(push(3), 0.0)
    o.offer(push(2), 0.1)
    assert o.overdue(0.19) == []
    assert seqs(o.overdue(0.2)) == [2, 3]
    assert o.held == 0
    assert seqs(o.offer(push(1), 0.3)) == [1]
    assert seqs(o.offer(push(4), 0.3)) == [4]


def test_each_push_has_a_hold_of_its_own() -> None:
    o = order(0)
    o.offer(push(2), 0.0)
    o.offer(push(9), 0.19)
    assert seqs(o.offer(push(1), 0.19)) == [1, 2]
    assert o.overdue(0.3) == []
    assert seqs(o.overdue(0.39)) == [9]


def test_what_waits_is_bounded() -> None:
    o = PushOrder(HOLD, most=3)
    o.join(1, 0)
    for seq in (5, 3, 9):
        assert o.offer(push(seq), 0.0) == []
    assert (o.held_pushes, o.overflows) == (3, 0)
    assert seqs(o.offer(push(7), 0.0)) == [3, 5, 7, 9]
    assert (o.held_pushes, o.held, o.overflows) == (0, 0, 1)
    assert seqs(o.offer(push(10), 0.0)) == [10]


def test_an_overdue_push_takes_along_what_follows_it_only() -> None:
    o = order(0)
    o.offer(push(2), 0.0)
    o.offer(push(3), 0.15)
    o.offer(push(7), 0.15)
    assert seqs(o.overdue(0.2)) == [2, 3]
    assert seqs(o.overdue(0.36)) == [7]


def test_what_nobody_lacks_is_not_waited_for() -> None:
    o = order(0)
    assert o.is_early(push(3)) and not o.is_early(push(1))
    o.offer(push(3), 0.0)
    o.offer(push(4), 0.0)
    o.offer(push(9), 0.0)
    assert seqs(o.passed(1, 2)) == [3, 4]
    assert seqs(o.passed(1, 20)) == [9]
    assert o.held == 0
    assert o.passed(1, 3) == []
    assert seqs(o.offer(push(21), 0.0)) == [21]


def test_first_waiting_names_one_push_a_conversation() -> None:
    o = order(0, 1, 2)
    for waiting in (push(5), push(3), push(4, conversation_id=2)):
        o.offer(waiting, 0.0)
    assert sorted((p.conversation_id, p.seq) for p in o.first_waiting()) == [(1, 3), (2, 4)]


def test_a_conversation_without_sessions_here_is_not_ordered() -> None:
    o = PushOrder(HOLD)
    assert seqs(o.offer(push(9), 0.0)) == [9]
    assert seqs(o.offer(push(3), 0.0)) == [3]
    assert not o.is_early(push(50))
    assert o.passed(1, 3) == []


def test_it_is_known_until_its_last_session_leaves() -> None:
    o = order(0)
    o.join(1, 0)
    o.leave(1)
    assert seqs(o.offer(push(2), 0.0)) == []
    o.offer(push(1), 0.0)
    o.leave(1)
    assert seqs(o.offer(push(9), 0.0)) == [9]
    o.leave(1)
    o.leave(77)


def test_memory_does_not_grow() -> None:
    o = PushOrder(HOLD)
    for conversation_id in range(1000):
        o.join(conversation_id, 0)
        o.offer(push(3, conversation_id=conversation_id), 0.0)
        o.leave(conversation_id)  # while a push waits
        if conversation_id % 3 == 0:
            o.offer(push(1, conversation_id=conversation_id), 0.0)
            o.offer(push(2, conversation_id=conversation_id), 0.0)
        elif conversation_id % 3 == 1:
            o.passed(conversation_id, 2)
    assert len(o.overdue(1.0)) == 333
    assert (o.held, o._conversations) == (0, {})
