"""The session as a state machine: acks, repetitions, cursors. No I/O, no clock but the test's."""

from __future__ import annotations

import json

import pytest

from xinyu.gateway.auth import Caller
from xinyu.gateway.ws.acks import TRIES_OF_THE_SILENT
from xinyu.gateway.ws.session import MAX_CLAIMS, Session, State
from xinyu.kernel.ids import ConversationId, DeviceId, LoginId, NodeId, SessionId, UserId
from xinyu.presence.types import NodeRef

ONE, TWO = ConversationId(1), ConversationId(2)
AFTER, TRIES = 3.0, 10


def session(sync: bool = False, **at: int) -> Session:
    caller = Caller(UserId(7), LoginId("0" * 32), "web", 1, 2**40)
    made = Session(SessionId("s"), caller, DeviceId("d"), sync, NodeRef(NodeId("n"), 1), 0.0)
    made.state = State.LIVE
    made.follow(ONE, at.get("one", 0), at.get("one", 0))
    made.follow(TWO, at.get("two", 0), at.get("two", 0))
    return made


def push(session: Session, conversation_id: ConversationId, *seqs: int, now: float = 0.0) -> None:
    for seq in seqs:
        session.went_out(conversation_id, seq, b"%d.%d" % (conversation_id, seq), now)


def ack(session: Session, *ackids: object) -> None:
    for ackid in ackids:
        session.receive(json.dumps({"event": "ack", "ackid": ackid}), 0.0)


def ack_to(session: Session, **cursors: object) -> None:
    named = {key.lstrip("c"): seq for key, seq in cursors.items()}
    session.receive(json.dumps({"event": "ack", "cursors": named}), 0.0)


def test_an_ack_in_order_moves_the_cursor() -> None:
    s = session()
    push(s, ONE, 1, 2, 3)
    assert (s.unacked_count, s.take_dirty()) == (3, {})
    ack(s, "1.1")
    assert (s.unacked_count, s.take_dirty()) == (2, {ONE: 1})
    ack(s, "1.2", "1.3")
    assert (s.unacked_count, s.take_dirty(), s.take_dirty()) == (0, {ONE: 3}, {})


def test_an_ack_out_of_order_moves_the_cursor_only_below_the_first_that_waits() -> None:
    s = session()
    push(s, ONE, 1, 2, 3)
    ack(s, "1.3")
    assert s.take_dirty() == {}
    ack(s, "1.1")
    assert s.take_dirty() == {ONE: 1}
    ack(s, "1.2")
    assert s.take_dirty() == {ONE: 3}


def test_conversations_are_acknowledged_apart() -> None:
    s = session()
    push(s, ONE, 1)
    push(s, TWO, 1, 2)
    ack(s, "2.1")
    assert s.take_dirty() == {TWO: 1}
    assert s.unacked_count == 2


@pytest.mark.parametrize(
    "ackid",
    ["", ".", "1", "1.", ".1", "1.x", "x.1", "1.1.1", "-1.1", "1.-1", "1.1 ", "１.１", "1.9", "9.1", "1." + "9" * 5000,
     "9" * 5000 + ".1", "1.0", 5, None, True, {}, []],
)  # fmt: skip
def test_an_ack_of_nothing_changes_nothing(ackid: object) -> None:
    s = session()
    push(s, ONE, 1, 2)
    ack(s, ackid)
    assert (s.unacked_count, s.cursors[ONE], s.take_dirty()) == (2, 0, {})


def test_an_ack_that_comes_twice_changes_nothing_more() -> None:
    s = session()
    push(s, ONE, 1, 2)
    ack(s, "1.1", "1.1", "1.1")
    assert (s.unacked_count, s.cursors[ONE]) == (1, 1)


def test_what_needs_no_ack_moves_the_cursor_when_nothing_before_it_waits() -> None:
    s = session()
    s.went_out(ONE, 1, None, 0.0)
    assert s.take_dirty() == {ONE: 1}
    push(s, ONE, 2)
    s.went_out(ONE, 3, None, 0.0)
    assert s.take_dirty() == {}
    ack(s, "1.2")
    assert s.take_dirty() == {ONE: 3}


def test_a_cumulative_ack_counts_up_to_what_was_pushed() -> None:
    s = session(sync=True)
    push(s, ONE, 1, 2, 3)
    ack_to(s, c1=2)
    assert s.take_dirty() == {ONE: 2}
    ack_to(s, c1=50)
    assert s.take_dirty() == {ONE: 3}
    ack_to(s, c1=1)
    assert s.take_dirty() == {}


def test_what_a_sync_client_claims_ahead_of_its_pushes_counts_as_they_go_out() -> None:
    s = session(sync=True, one=3)
    ack_to(s, c1=5)
    assert s.take_dirty() == {}
    push(s, ONE, 4)
    assert s.take_dirty() == {ONE: 4}
    push(s, ONE, 5, 6)
    assert s.take_dirty() == {ONE: 5}


def test_claims_are_bounded() -> None:
    s = session(sync=True)
    for number in range(1, 3 * MAX_CLAIMS):
        ack_to(s, **{f"c{number + 10}": 1})
    assert s._claims is not None and len(s._claims) == MAX_CLAIMS
    assert s.take_dirty() == {}


@pytest.mark.parametrize(
    "frame",
    ['{"event":"ack","cursors":{"1":-5,"0":1,"x":1,"":1,"１":1,"-1":3}}', '{"event":"ack","cursors":{"1":0}}',
     '{"event":"ack","cursors":{"' + "9" * 5000 + '":1}}', '{"event":"ack","cursors":{"1":1e99}}',
     '{"event":"ack","cursors":{"1":' + "9" * 5000 + "}}", '{"event":"ack","cursors":[1]}', '{"event":"ack"}',
     '{"event":"ack","cursors":{"1":true}}', '{"event":"ack","cursors":{"1":null}}'],
)  # fmt: skip
def test_a_cumulative_ack_of_nothing_changes_nothing(frame: str) -> None:
    s = session(sync=True)
    push(s, ONE, 1)
    s.receive(frame, 1.0)
    assert (s.take_dirty(), s.heard_at) == ({}, 1.0)


def test_a_web_client_that_acknowledges_cumulatively_is_repeated_nothing() -> None:
    s = session()
    push(s, ONE, 1, 2, 3)
    ack_to(s, c1=2)
    assert (s.unacked_count, s.take_dirty()) == (1, {ONE: 2})
    assert s.due(10.0, AFTER, TRIES) == [b"1.3"]


def test_repetitions_go_back_per_conversation_in_order() -> None:
    s = session()
    push(s, ONE, 1, 2, now=0.0)
    push(s, TWO, 1, now=2.0)
    push(s, ONE, 3, now=2.5)
    assert s.due(2.9, AFTER, TRIES) == []
    assert s.due(3.0, AFTER, TRIES) == [b"1.1", b"1.2", b"1.3"]
    assert s.due(4.9, AFTER, TRIES) == []
    assert s.due(5.0, AFTER, TRIES) == [b"2.1"]
    ack(s, "1.1")
    assert s.due(6.0, AFTER, TRIES) == [b"1.2", b"1.3"]


def test_a_client_that_never_answers_is_ackless_after_three_repetitions() -> None:
    """DESIGN.md section 5, Acks: answers none of three → its cursor moves on write."""
    s = session()
    push(s, ONE, 1, 2)
    push(s, TWO, 1)
    now = 0.0
    for _ in range(TRIES_OF_THE_SILENT):
        now += AFTER
        assert s.due(now, AFTER, TRIES) == [b"1.1", b"1.2", b"2.1"]
        assert s.take_dirty() == {}
    s.receive('{"event":"ping"}', now + 1)
    assert s.due(now + AFTER, AFTER, TRIES) == []
    assert (s.unacked_count, s.take_dirty()) == (0, {ONE: 2, TWO: 1})
    push(s, ONE, 3)
    assert (s.unacked_count, s.take_dirty()) == (0, {ONE: 3})


def test_a_client_that_vanished_before_its_first_ack_is_owed_everything() -> None:
    """G5: one that is not heard any more was given nothing, so its cursor stays; its socket is closed."""
    s = session()
    s.receive('{"event":"ping"}', 1.0)
    push(s, ONE, 1, 2, now=1.0)
    for turn in range(1, TRIES + 1):
        assert s.due(1.0 + turn * AFTER, AFTER, TRIES) == [b"1.1", b"1.2"]
    assert s.due(1.0 + (TRIES + 1) * AFTER, AFTER, TRIES) is None
    assert (s.unacked_count, s.take_dirty(), s.cursors[ONE]) == (2, {}, 0)


def test_an_ackless_client_that_wakes_up_is_expected_to_answer_again() -> None:
    s = session()
    push(s, ONE, 1)
    for turn in range(1, 6):
        s.receive('{"event":"ping"}', turn * AFTER - 1)
        s.due(turn * AFTER, AFTER, TRIES)
    assert s.cursors[ONE] == 1
    ack(s, "1.1")
    push(s, ONE, 2)
    assert (s.unacked_count, s.cursors[ONE]) == (1, 1)


def test_garbage_is_no_answer() -> None:
    s = session()
    push(s, ONE, 1)
    for turn in range(1, 6):
        ack(s, "what", "9.9", "1.99")
        s.receive('{"event":"ack","ackid":"1.98"}', turn * AFTER - 1)
        s.due(turn * AFTER, AFTER, TRIES)
    assert s.cursors[ONE] == 1


def test_a_client_that_used_to_answer_is_closed_after_long_silence() -> None:
    s = session()
    push(s, ONE, 1, 2)
    ack(s, "1.1")
    for turn in range(1, TRIES + 1):
        assert s.due(turn * AFTER, AFTER, TRIES) == [b"1.2"]
    assert s.due((TRIES + 1) * AFTER, AFTER, TRIES) is None
    assert s.cursors[ONE] == 1


def test_a_sync_session_is_repeated_nothing() -> None:
    s = session(sync=True)
    push(s, ONE, 1, 2)
    assert s.unacked_count == 0
    assert s.due(100.0, AFTER, TRIES) == []


def test_what_came_by_reply_is_known_and_closes_the_gap_when_its_predecessor_went_out() -> None:
    s = session(sync=True, one=5)
    s.got(ONE, 7)
    assert s.knows(ONE, 7) and not s.knows(ONE, 6)
    assert s.lacks(ONE, 7)
    ack_to(s, c1=7)
    push(s, ONE, 6)
    assert s.pushed[ONE] == 7
    assert s.take_dirty() == {ONE: 7}
    s.got(ONE, 8)
    assert s.pushed[ONE] == 8


def test_what_came_by_reply_is_remembered_within_bounds() -> None:
    s = session(sync=True, one=5)
    for seq in range(7, 3 * MAX_CLAIMS):
        s.got(ONE, seq)
    assert s._ahead is not None and len(s._ahead) == MAX_CLAIMS
    push(s, ONE, 4 * MAX_CLAIMS)
    assert s._ahead is None


def test_a_reply_to_a_page_moves_its_cursor() -> None:
    s = session(one=5)
    s.got(ONE, 6)
    assert s.take_dirty() == {ONE: 6}


def test_cursors_that_could_not_be_stored_are_given_back() -> None:
    s = session()
    push(s, ONE, 1)
    ack(s, "1.1")
    s.give_back_dirty(s.take_dirty())
    assert s.take_dirty() == {ONE: 1}


def test_a_cursor_starts_where_the_device_stands() -> None:
    s = session()
    s.follow(ONE, 40, 20)  # catch-up is bounded: what lies between is not pushed
    push(s, ONE, 41)
    assert s.take_dirty() == {}
    ack(s, "1.41")
    assert s.take_dirty() == {ONE: 41}
