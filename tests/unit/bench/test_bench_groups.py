"""W3, W5 and W6: what the generator notices about deliveries in a group, and how it reads what it missed."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from bench import group_load
from bench.accounts import Account, Room
from bench.aims import AIMS
from bench.fetch import Returner
from bench.group_load import GroupLoad
from bench.session import PARTS, WORKLOADS
from bench.w3 import SHAPES, Shape

TALK = 5
MEMBERS = tuple(Account(uid, "token") for uid in range(4))


class Ends:
    """The members' sockets: what they sent, and a way to have them hear."""

    def __init__(self) -> None:
        self.hear: dict[int, Callable[[bytes], None]] = {}
        self.sent: dict[int, list[Any]] = {account.uid: [] for account in MEMBERS}

    async def connect(
        self, url: str, account: Account, device: str, on_text: Callable[[bytes], None], sync: bool
    ) -> Any:
        self.hear[account.uid] = on_text
        ends, uid = self, account.uid

        class End:
            closed = False

            def send(self, frame: bytes) -> None:
                ends.sent[uid].append(json.loads(frame[frame.index(b"{") :]))

        return End()

    def reply(self, uid: int, seq: int) -> str:
        """To the oldest request that has none; its msg_id."""
        request = self.sent[uid].pop(0)
        self.tell(uid, {"event": "reply", "id": request["id"], "payload": {"sequence": seq}})
        return str(request["payload"]["msg_id"])

    def push(self, uid: int, seq: int, msg_id: str, ackid: str = "") -> None:
        body = {"msg_id": msg_id, "sequence": seq}
        frame = {"event": "im.message", "payload": {"talk_id": TALK, "body": body}}
        self.tell(uid, {**frame, "ackid": ackid} if ackid else frame)

    def tell(self, uid: int, frame: object) -> None:
        self.hear[uid](json.dumps(frame).encode())


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    found = Ends()
    monkeypatch.setattr(group_load, "connect_user", found.connect)
    return found


async def opened(done: list[int], acks: bool = False) -> GroupLoad:
    load = GroupLoad(Room(9, MEMBERS), len(MEMBERS), 2, acks, done.append)
    await load.open(["ws://a"])
    return load


async def test_a_message_is_done_when_it_is_acked_and_the_last_member_has_it(ends: Ends) -> None:
    done: list[int] = []
    load = await opened(done)
    for sender, seq in ((0, 11), (1, 12)):
        load.send(sender)
        msg_id = ends.reply(sender, seq)
        for uid in {0, 1, 2, 3} - {sender}:
            assert done == [0, 1][:sender]
            ends.push(uid, seq, msg_id)
    assert done == [0, 1]
    assert (load.messages, load.deliveries, load.outstanding, len(load.latencies)) == (2, 6, 0, 2)
    assert not load.judge().wrong, load.judge().describe()


@pytest.mark.parametrize(
    ("pushes", "kind"),
    [
        ([(2, 11), (2, 11)], "duplicated or reordered"),
        ([(2, 12), (2, 11)], "duplicated or reordered"),
        ([(2, 11), (2, 13)], "gap"),
        ([(2, 11)], "lost"),
    ],
)
async def test_a_wrong_server_is_wrong(ends: Ends, pushes: list[tuple[int, int]], kind: str) -> None:
    load = await opened([])
    ids = {}
    for seq in (11, 12, 13):
        load.send(0)
        ids[seq] = ends.reply(0, seq)
    for uid, seq in pushes:
        ends.push(uid, seq, ids[seq])
    assert kind in load.judge().violations


@pytest.mark.parametrize(("reply_comes", "violations"), [(True, {}), (False, {"gap": 1, "unanswered": 1})])
async def test_a_push_may_pass_the_reply_to_what_came_before_it(
    ends: Ends, reply_comes: bool, violations: dict[str, int]
) -> None:
    load = await opened([])
    for sender in (0, 1, 0):
        load.send(sender)
    first = ends.reply(0, 11)
    for uid in (1, 2, 3):
        ends.push(uid, 11, first)
    mine = str(ends.sent[1][0]["payload"]["msg_id"])
    other = ends.reply(0, 13)
    for uid in (2, 3):
        ends.push(uid, 12, mine)
    for uid in (1, 2, 3):
        ends.push(uid, 13, other)
    if reply_comes:
        ends.reply(1, 12)
        ends.push(0, 12, mine)
    assert load.judge().violations == violations


async def test_a_refused_or_unanswered_send_is_said(ends: Ends) -> None:
    done: list[int] = []
    load = await opened(done)
    load.send(0)
    load.send(1)
    request = ends.sent[0].pop()
    ends.tell(0, {"event": "error", "id": request["id"], "payload": {"code": 429, "error": "request.overloaded"}})
    verdict = load.judge()
    assert (done, verdict.refused, set(verdict.violations)) == ([0], 1, {"unanswered"})


async def test_frames_with_an_ackid_are_acknowledged_one_by_one(ends: Ends) -> None:
    load = await opened([], acks=True)
    load.send(0)
    msg_id = ends.reply(0, 11)
    ends.push(3, 11, msg_id, ackid="5.11")
    assert ends.sent[3] == [{"event": "ack", "ackid": "5.11"}]


async def test_what_was_missed_is_read_page_by_page_and_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is asked for with the cursors that the one before led to."""
    asked: list[dict[str, int]] = []
    pages = [
        {"items": [{"talk_id": TALK, "messages": [{"msg_id": "a", "sequence": 3}], "more": True}], "more": True},
        {"items": [{"talk_id": TALK, "messages": [{"msg_id": "b", "sequence": 4}]}, {"talk_id": 6, "last_seq": 8}]},
    ]
    end = Ends()

    async def connect(url: str, account: Account, device: str, on_text: Callable[[bytes], None]) -> Any:
        made = await end.connect(url, account, device, on_text, True)
        send = made.send

        def answered(frame: bytes) -> None:
            send(frame)
            request = end.sent[account.uid][-1]
            if request["event"] == "sync":
                asked.append(request["payload"]["cursors"])
                reply = {"event": "reply", "id": request["id"], "payload": pages[len(asked) - 1]}
                text = json.dumps(reply, separators=(",", ":")).encode()
                asyncio.get_running_loop().call_soon(on_text, text)

        made.send = answered
        return made

    monkeypatch.setattr("bench.fetch.connect_user", connect)
    back = Returner(MEMBERS[0], {TALK: 2})
    await back.connect("ws://a", "device")
    await back.sync()
    assert asked == [{"5": 2}, {"5": 3}]
    assert (back.count, back.fetched[TALK]) == (2, [("a", 3), ("b", 4)])
    assert end.sent[0][-1] == {"event": "ack", "cursors": {"5": 4, "6": 8}}


def test_every_aim_is_of_a_workload_and_every_workload_can_be_had_alone() -> None:
    assert {aim.workload.lower() for aim in AIMS} <= set(WORKLOADS) <= set(PARTS)
    names = {shape.name for shape in SHAPES}
    assert {aim.case.removeprefix("stage 4 ") for aim in AIMS if aim.workload == "W3"} <= names
    assert Shape(1000, 200).name == "200 of 1000 sync"
