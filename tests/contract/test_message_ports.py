"""The ports of message, called directly, encoded and over TCP, every idempotent call made twice as a transport may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from testkit.rpc import TRANSPORTS, Twice, Wires
from testkit.talks import ANN, BOB, CID, CROWD, DAN, TalkWorld, talk_world
from testkit.waiting import eventually
from xinyu.kernel.errors import Category
from xinyu.kernel.ids import ConversationId, DeviceId, GroupId, MsgId, SessionId, UserId, new_msg_id
from xinyu.message.errors import (
    BadMsgId,
    BadQuote,
    ForwardTooLarge,
    MessageNotFound,
    MsgIdConflict,
    NotAMember,
    NotYourMessage,
    SelfConversation,
)
from xinyu.message.port import (
    MAX_FORWARD_TARGETS,
    MAX_FORWARDED,
    ConversationPort,
    DevicePort,
    EffectPort,
    MessagePort,
)
from xinyu.message.types import (
    DeviceCursor,
    Effect,
    EffectEvent,
    Entry,
    EntryType,
    Kind,
    MemberChange,
    NewMessage,
    Ref,
    SelfNotice,
    SendResult,
    group_ref,
    private_ref,
)
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_loopback import LoopbackTransport

TO_ANN, TO_BOB, TO_DAN, TO_CROWD = private_ref(ANN), private_ref(BOB), private_ref(DAN), group_ref(CROWD)
PHONE = DeviceId("phone")
FAR = 2**63 - 1


class Stubs:
    """The four ports over one transport."""

    def __init__(self, world: TalkWorld, wires: Wires) -> None:
        self.world = world
        self.messages = wires.stub(MessagePort, world.messages)
        self.conversations = wires.stub(ConversationPort, world.ports.conversations)
        self.devices = wires.stub(DevicePort, world.ports.devices)
        self.effects = wires.stub(EffectPort, world.effects)

    async def say(self, sender: UserId, ref: Ref, text: str = "hello", **more: Any) -> SendResult:
        draft = NewMessage(ref, more.pop("msg_id", None) or new_msg_id(), EntryType.TEXT, {"content": text}, **more)
        return await self.messages.send(sender, draft)

    async def texts(self, reader: UserId, ref: Ref) -> list[str]:
        page = await self.messages.history(reader, ref, after=0, limit=200)
        return [text(entry) for entry in page.entries if entry.type == EntryType.TEXT]


def text(entry: Entry) -> str:
    return str(msgspec.json.decode(entry.content).get("content", ""))


@pytest.fixture(params=TRANSPORTS)
async def stubs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stubs]:
    async with talk_world(tmp_path) as world, Wires.open(request.param, Twice) as wires:
        yield Stubs(world, wires)


def test_no_two_methods_share_a_command() -> None:
    dispatcher = Dispatcher()
    for port in (MessagePort, ConversationPort, DevicePort, EffectPort):
        dispatcher.add(port, make_stub(port, LoopbackTransport(dispatcher)))


# Sending.


async def test_a_send_and_its_retry_are_one_message_and_one_push(stubs: Stubs) -> None:
    result = await stubs.say(ANN, TO_BOB, sender_name="Ann", origin_session=SessionId("s1"))
    assert (result.accepted, result.repeated, result.entry.seq) == (True, True, 1)
    assert await stubs.texts(BOB, TO_ANN) == ["hello"]
    await eventually(lambda: stubs.world.pushes)
    (push,) = stubs.world.pushes
    assert (push.origin_session, sorted(push.recipients)) == ("s1", [ANN, BOB])
    assert stubs.world.pushed()[0].sender_name == "Ann"


async def test_one_id_for_two_messages_is_a_conflict(stubs: Stubs) -> None:
    first = (await stubs.say(ANN, TO_BOB)).entry
    for sender, ref, content in ((ANN, TO_BOB, "else"), (BOB, TO_ANN, "hello"), (ANN, TO_CROWD, "hello")):
        with pytest.raises(MsgIdConflict):
            await stubs.say(sender, ref, content, msg_id=first.msg_id)
    quoting = NewMessage(TO_BOB, first.msg_id, EntryType.TEXT, {"content": "hello"}, quote_id=first.msg_id)
    with pytest.raises(MsgIdConflict):
        await stubs.messages.send(ANN, quoting)
    for bad in ("", "x" * 32, "A" * 32, "a" * 31):
        with pytest.raises(BadMsgId):
            await stubs.say(ANN, TO_BOB, msg_id=MsgId(bad or "-"))


async def test_what_is_not_accepted_is_shown_to_its_sender_alone(stubs: Stubs) -> None:
    for ref in (TO_DAN, private_ref(UserId(999))):
        result = await stubs.say(ANN, ref)
        assert (result.accepted, result.entry.seq, result.entry.conversation_id) == (False, 0, 0)
        assert msgspec.json.decode(result.entry.content) == {
            "content": "hello", "invalid": True, "invalid_reason": "not_friend",
        }  # fmt: skip
        assert result.entry.ref_for(ANN) == ref
    await stubs.world.befriend(ANN, BOB, accepts=False)
    assert not (await stubs.say(ANN, TO_BOB)).accepted
    assert await stubs.texts(BOB, TO_ANN) == []


async def test_nobody_sends_where_he_does_not_belong(stubs: Stubs) -> None:
    stranger = group_ref(GroupId(51))
    for sender, ref in (
        (DAN, TO_CROWD), (ANN, stranger), (ANN, private_ref(ANN)), (ANN, Ref(Kind.SELF, ANN)),
        (ANN, Ref(Kind.SELF, BOB)),
        (ANN, Ref(Kind.GROUP, FAR)), (ANN, Ref(Kind.PRIVATE, FAR)), (ANN, Ref(Kind.PRIVATE, 0)),
        (ANN, Ref(Kind.GROUP, -1)),
    ):  # fmt: skip
        with pytest.raises(NotAMember):
            await stubs.say(sender, ref)


async def test_a_reply_quotes_what_its_sender_can_see_there(stubs: Stubs) -> None:
    said = (await stubs.say(ANN, TO_BOB, "to quote")).entry
    elsewhere = (await stubs.say(ANN, TO_CROWD)).entry
    reply = (await stubs.say(BOB, TO_ANN, quote_id=said.msg_id)).entry
    assert msgspec.json.decode(reply.quote) == {
        "quote_id": said.msg_id, "from_id": ANN, "msg_type": 1, "content": "to quote",
    }  # fmt: skip
    for quoted in (elsewhere.msg_id, new_msg_id()):
        with pytest.raises(BadQuote):
            await stubs.say(BOB, TO_ANN, quote_id=quoted)
    await stubs.messages.recall(ANN, TO_BOB, said.msg_id)
    again = await stubs.say(BOB, TO_ANN, msg_id=reply.msg_id, quote_id=said.msg_id)
    assert again.repeated and again.entry == reply, "a retry gets its receipt though the quoted one is gone"


# Forwarding.


async def test_forwarding_one_by_one_repeats_nothing(stubs: Stubs) -> None:
    sources = [(await stubs.say(ANN, TO_BOB, f"t{n}")).entry.msg_id for n in (1, 2)]
    made = await stubs.messages.forward(BOB, "r1", [*sources, new_msg_id()], [TO_CROWD, TO_DAN], merged=False)
    assert [(t.ref, t.accepted, t.error) for t in made] == [(TO_CROWD, True, "")] * 2 + [(TO_DAN, False, "")] * 2
    assert await stubs.texts(CID, TO_CROWD) == ["t1", "t2"]
    await stubs.messages.forward(BOB, "r2", sources[:1], [TO_CROWD], merged=False)
    assert await stubs.texts(CID, TO_CROWD) == ["t1", "t2", "t1"], "another request is another forward"
    with pytest.raises(MessageNotFound):
        await stubs.messages.forward(DAN, "r1", sources, [TO_CROWD], merged=False)


async def test_a_forward_of_too_much_or_to_too_many_is_refused(stubs: Stubs) -> None:
    source = (await stubs.say(ANN, TO_BOB)).entry.msg_id
    for sources, targets in (
        ([source, *(new_msg_id() for _ in range(MAX_FORWARDED))], [TO_CROWD]),
        ([source], [group_ref(GroupId(number)) for number in range(1, MAX_FORWARD_TARGETS + 2)]),
    ):
        with pytest.raises(ForwardTooLarge):
            await stubs.messages.forward(ANN, "r1", sources, targets, merged=False)


async def test_a_target_that_fails_answers_alone(stubs: Stubs) -> None:
    source = (await stubs.say(ANN, TO_BOB)).entry.msg_id
    made = await stubs.messages.forward(ANN, "r1", [source], [group_ref(GroupId(51)), TO_CROWD], merged=True)
    assert [(t.error, t.entry is None) for t in made] == [("message.not_a_member", True), ("", False)]


async def test_a_merged_forward_opens_what_it_carries_through_every_hand(stubs: Stubs) -> None:
    await stubs.world.befriend(CID, DAN)
    one, two = [(await stubs.say(ANN, TO_BOB, f"t{n}")).entry for n in (1, 2)]
    ids = [one.msg_id, two.msg_id]
    (made,) = await stubs.messages.forward(BOB, "r1", ids, [TO_CROWD], merged=True)
    assert made.entry is not None and made.entry.type == EntryType.FORWARD
    assert msgspec.json.decode(made.entry.content) == {
        "msg_ids": ids, "records": [{"from_id": ANN, "content": "t1"}, {"from_id": ANN, "content": "t2"}],
    }  # fmt: skip
    assert [e.msg_id for e in await stubs.messages.list_messages(CID, [*ids[::-1], new_msg_id()])] == ids[::-1]
    assert await stubs.messages.list_messages(DAN, ids) == []
    await stubs.messages.forward(CID, "r2", [made.entry.msg_id], [TO_DAN], merged=False)
    assert [e.msg_id for e in await stubs.messages.list_messages(DAN, ids)] == ids, "sent on by itself"


async def test_a_merged_forward_repeated_after_a_recall_is_the_same_one(stubs: Stubs) -> None:
    one, two = [(await stubs.say(ANN, TO_BOB, f"t{n}")).entry for n in (1, 2)]
    ids = [one.msg_id, two.msg_id]
    (first,) = await stubs.messages.forward(BOB, "r1", ids, [TO_CROWD], merged=True)
    await stubs.messages.recall(ANN, TO_BOB, one.msg_id)
    (again,) = await stubs.messages.forward(BOB, "r1", ids, [TO_CROWD], merged=True)
    assert again == first


# Taking back, deleting, clearing, reading.


async def test_recall_delete_and_clear(stubs: Stubs) -> None:
    one, two, three = [(await stubs.say(ANN, TO_BOB, f"t{n}")).entry for n in (1, 2, 3)]
    with pytest.raises(NotYourMessage):
        await stubs.messages.recall(BOB, TO_ANN, one.msg_id)
    await stubs.messages.recall(ANN, TO_BOB, one.msg_id, "Ann")
    await stubs.messages.delete(BOB, TO_ANN, [two.msg_id, two.msg_id, *(new_msg_id() for _ in range(300))])
    assert await stubs.texts(BOB, TO_ANN) == ["", "", "t3"]
    assert await stubs.texts(ANN, TO_BOB) == ["", "t2", "t3"]
    await stubs.messages.clear(BOB, TO_ANN)
    assert await stubs.texts(BOB, TO_ANN) == ["", "", ""]
    assert (await stubs.messages.history(BOB, TO_ANN, tombstones=False)).entries == []
    own = [entry.type for entry in (await stubs.messages.history(BOB, Ref(Kind.SELF, BOB), after=0)).entries]
    assert own == [EntryType.SELF_DELETED, EntryType.SELF_CLEARED], "told once each"
    for call in (
        stubs.messages.delete(BOB, group_ref(GroupId(51)), [three.msg_id]),
        stubs.messages.clear(DAN, TO_CROWD),
        stubs.messages.recall(DAN, TO_CROWD, three.msg_id),
    ):
        with pytest.raises((NotAMember, MessageNotFound)):
            await call


async def test_history_takes_any_number_a_client_makes_up(stubs: Stubs) -> None:
    for n in range(3):
        await stubs.say(ANN, TO_BOB, f"t{n}")
    history = stubs.messages.history
    for options, seqs in (
        ({}, [3, 2, 1]), ({"before": FAR}, [3, 2, 1]), ({"before": -FAR}, [3, 2, 1]), ({"after": FAR}, []),
        ({"after": -FAR}, [1, 2, 3]), ({"limit": FAR}, [3, 2, 1]), ({"limit": -5}, [3]), ({"limit": 0}, [3, 2, 1]),
        ({"types": [99]}, []), ({"types": [1]}, [3, 2, 1]),
    ):  # fmt: skip
        assert [entry.seq for entry in (await history(BOB, TO_ANN, **options)).entries] == seqs, options
    assert (await history(DAN, TO_CROWD)).entries == []
    assert (await history(BOB, Ref(Kind.SELF, ANN))).entries == []
    assert (await history(BOB, Ref(Kind.GROUP, FAR))).entries == []
    where = (await history(BOB, TO_ANN)).entries[0].conversation_id
    assert [entry.seq for entry in await stubs.messages.read_range(where, 2, 3)] == [2, 3]


async def test_sync_takes_any_cursor_a_client_makes_up(stubs: Stubs) -> None:
    entry = (await stubs.say(ANN, TO_BOB)).entry
    where = str(entry.conversation_id)

    async def brought(cursors: dict[str, int] | None, **options: int) -> list[int]:
        page = await stubs.messages.sync(BOB, PHONE, cursors, **options)
        return [e.seq for item in page.items for e in item.entries if item.ref == TO_ANN]

    assert await brought({where: 0}) == [1]
    for junk in ({"x": 1, "": 2, "-3": 4, "²": 5, "9" * 5000: 6}, {where: -FAR}, None):
        assert await brought(junk) == [1]
    assert await brought({where: FAR}) == []
    assert await brought({}, limit=FAR) == [1]
    assert await brought({}, limit=-1) == []
    assert await brought({}, since_ms=FAR) == []


# The list.


async def test_the_list_of_one_user(stubs: Stubs) -> None:
    conversations = stubs.conversations
    await stubs.say(BOB, TO_ANN, "newest")
    await conversations.set_pinned(ANN, private_ref(CID), True)
    await conversations.set_muted(ANN, TO_CROWD, True)
    await conversations.hide(ANN, TO_CROWD)
    views = await conversations.list_conversations(ANN)
    assert [(view.ref, view.unread, view.pinned) for view in views] == [(private_ref(CID), 0, True), (TO_BOB, 1, False)]
    assert views[1].preview is not None and text(views[1].preview) == "newest"
    assert await conversations.mark_read(ANN, TO_BOB, 1) == 0
    assert (await conversations.open(ANN, TO_CROWD)).muted
    assert len(await conversations.list_conversations(ANN)) == 3
    refs = [TO_CROWD, TO_BOB, group_ref(GroupId(51)), Ref(Kind.GROUP, FAR)]
    assert await conversations.list_muted(ANN, refs) == [True, False, False, False]
    found = await conversations.find_ids(ANN, refs)
    assert [id_ is None for id_ in found] == [False, False, True, True]


async def test_read_marks_tell_the_reader_and_a_private_peer_once(stubs: Stubs) -> None:
    for _ in range(3):
        await stubs.say(ANN, TO_BOB)
    assert await stubs.conversations.mark_read(BOB, TO_ANN, 2) == 1
    (signal,) = stubs.world.signals
    assert (signal.name, sorted(signal.recipients)) == ("read", [ANN, BOB])
    assert msgspec.json.decode(signal.payload)["seq"] == 2
    assert await stubs.conversations.mark_read(BOB, TO_ANN, FAR) == 0
    assert await stubs.conversations.mark_read(BOB, TO_ANN, -FAR) == 0
    assert await stubs.conversations.mark_read(BOB, TO_ANN) == 0
    assert len(stubs.world.signals) == 2
    with pytest.raises(NotAMember):
        await stubs.conversations.mark_read(DAN, TO_CROWD)


async def test_read_marks_are_the_readers_alone_where_one_of_the_two_does_not_accept_the_other(stubs: Stubs) -> None:
    for _ in range(3):
        await stubs.say(ANN, TO_BOB)
    await stubs.world.befriend(ANN, BOB, accepts=False)
    assert await stubs.conversations.mark_read(BOB, TO_ANN, 1) == 2, "whom he blocks he tells nothing"
    await stubs.world.befriend(BOB, ANN, accepts=False)
    assert await stubs.conversations.mark_read(BOB, TO_ANN, 2) == 1, "nor who blocks him"
    await stubs.world.befriend(ANN, BOB)
    assert await stubs.conversations.mark_read(BOB, TO_ANN, 3) == 0
    assert [signal.recipients for signal in stubs.world.signals] == [[BOB], [BOB], [BOB, ANN]]


async def test_typing_reaches_who_is_in_it_and_accepts(stubs: Stubs) -> None:
    await stubs.conversations.signal_typing(ANN, TO_CROWD)
    assert sorted(stubs.world.signals.pop().recipients) == [BOB, CID]
    await stubs.conversations.signal_typing(ANN, TO_BOB)
    assert stubs.world.signals.pop().recipients == [BOB]
    await stubs.world.befriend(ANN, BOB, accepts=False)
    await stubs.conversations.signal_typing(ANN, TO_BOB)
    assert stubs.world.signals.pop().recipients == []
    for ref in (TO_DAN, group_ref(GroupId(51))):
        with pytest.raises(NotAMember):
            await stubs.conversations.signal_typing(ANN, ref)
    with pytest.raises(NotAMember):
        await stubs.conversations.signal_typing(DAN, TO_CROWD)


async def test_opening_makes_private_conversations_only(stubs: Stubs) -> None:
    view = await stubs.conversations.open(ANN, TO_DAN)
    assert (view.ref, view.unread, view.last_seq) == (TO_DAN, 0, 0)
    assert not (await stubs.say(ANN, TO_DAN)).accepted
    assert await stubs.conversations.list_conversations(DAN) == []
    for ref in (private_ref(ANN), Ref(Kind.SELF, ANN)):
        with pytest.raises(SelfConversation):
            await stubs.conversations.open(ANN, ref)
    for user, ref in ((DAN, TO_CROWD), (ANN, group_ref(GroupId(51))), (ANN, private_ref(UserId(FAR)))):
        with pytest.raises(NotAMember):
            await stubs.conversations.open(user, ref)


# Devices and effects.


async def test_a_device_connects_acknowledges_and_is_forgotten(stubs: Stubs) -> None:
    await stubs.say(ANN, TO_BOB)
    states = {state.conversation_id: state for state in await stubs.devices.open_device(BOB, PHONE, False)}
    assert all(state.cursor == state.last_seq for state in states.values())
    where = (await stubs.say(ANN, TO_BOB)).entry.conversation_id
    junk = [DeviceCursor(BOB, PHONE, ConversationId(FAR), 1), DeviceCursor(BOB, PHONE, ConversationId(-1), FAR)]
    await stubs.devices.move_cursors([*junk, DeviceCursor(BOB, PHONE, where, 1)])
    states = {state.conversation_id: state for state in await stubs.devices.open_device(BOB, PHONE, False)}
    assert (states[where].cursor, states[where].last_seq, len(states)) == (1, 2, 2)
    view = next(v for v in await stubs.conversations.list_conversations(BOB, PHONE) if v.conversation_id == where)
    assert view.unread == 1, "the second is about to be pushed"
    await stubs.devices.move_cursors([DeviceCursor(BOB, PHONE, where, FAR)])
    await stubs.devices.set_caught_up(BOB, PHONE)
    await stubs.world.connect(BOB)
    assert next(v for v in await stubs.conversations.list_conversations(BOB) if v.conversation_id == where).unread == 2
    await stubs.devices.forget_login(BOB, PHONE)
    assert next(v for v in await stubs.conversations.list_conversations(BOB, PHONE) if v.ref == TO_ANN).unread == 2


async def test_an_effect_is_carried_out_once(stubs: Stubs) -> None:
    parties = (51, 0)
    effect = Effect(
        new_msg_id(), Kind.GROUP, parties, [MemberChange(ANN, 1, True), MemberChange(DAN, 1, True)], None,
        EffectEvent(EntryType.GROUP_CREATED, UserId(0), {"members": []}),
        [SelfNotice(DAN, EntryType.SELF_CONVERSATION, {"talk_mode": 2, "to_from_id": 51})],
    )  # fmt: skip
    where = await stubs.effects.apply(effect)
    assert await stubs.conversations.find_ids(DAN, [group_ref(GroupId(51))]) == [where]
    await eventually(lambda: len(stubs.world.pushes) == 2)
    assert [(e.kind, e.seq) for e in stubs.world.pushed()] == [(Kind.GROUP, 1), (Kind.SELF, 1)]
    assert await stubs.effects.apply(Effect(new_msg_id(), notices=[SelfNotice(ANN, EntryType.SELF_RELOAD, {})])) == 0


async def test_a_refusal_keeps_its_category_over_the_wire(stubs: Stubs) -> None:
    with pytest.raises(NotAMember) as refused:
        await stubs.say(DAN, TO_CROWD)
    assert refused.value.category is Category.PERMISSION
