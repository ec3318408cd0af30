"""Entries as records and as pushed frames, by type and by kind of session (CONTRACT.md sections 1.5, 2.4, 2.6, 3)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from testkit.contacts import port_of
from xinyu.gateway.names import NOBODY, Name, Names
from xinyu.gateway.present.message import record, records, sync_json, with_names, with_names_within
from xinyu.gateway.present.push import frames_for, variant_of
from xinyu.gateway.present.signal import signal_frame
from xinyu.gateway.present.times import LocalTimes
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import ConversationId, MsgId, UserId
from xinyu.message.types import Entry, EntryType, Kind, Ref, SyncItem, SyncPage
from xinyu.user.port import ProfilePort
from xinyu.user.types import Profile

TIMES = LocalTimes("Asia/Shanghai")
ANN, BOB, CID = UserId(3), UserId(4), UserId(5)
NAMES = {ANN: "ann", BOB: "bob", CID: "cid"}
SPOKEN = [type_ for type_ in EntryType if type_ < EntryType.SYSTEM_TEXT]
EVENTS = [type_ for type_ in EntryType if 1000 <= type_ < 1200 and type_ is not EntryType.RECALLED]
RELOADING = [
    EntryType.SELF_DELETED,
    EntryType.SELF_PINNED,
    EntryType.SELF_MUTED,
    EntryType.SELF_HIDDEN,
    EntryType.SELF_CONVERSATION,
    EntryType.SELF_RELOAD,
]
RELOAD = {"event": "im.session.reload", "payload": {}}


def entry(type_: int = EntryType.TEXT, content: object = None, kind: Kind = Kind.PRIVATE, **more: Any) -> Entry:
    parties = {Kind.PRIVATE: (ANN, BOB), Kind.GROUP: (50, 0), Kind.SELF: (ANN, 0)}[kind]
    values: dict[str, Any] = {
        "conversation_id": ConversationId(17), "kind": kind, "parties": parties, "seq": 12, "msg_id": MsgId("a" * 32),
        "type": int(type_), "sender_id": ANN if type_ < 1000 else UserId(0), "sent_at_ms": 1_700_000_000_123,
        "content": json.dumps({"content": "hi"} if content is None else content),
    }  # fmt: skip
    return Entry(**{**values, **more})


def shown(entry_: Entry, reader: UserId, sync: bool = False) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in frames_for(entry_, reader, sync, TIMES)]


class Book:
    """A gateway's memory of names, which counts its questions."""

    def __init__(self, seconds: float = 30.0) -> None:
        self.asked: list[set[UserId]] = []
        self.away = False
        self.names = Names(port_of(ProfilePort, list_profiles=self._list), seconds, size=2)

    async def _list(self, user_ids: list[UserId]) -> list[Profile]:
        self.asked.append(set(user_ids))
        if self.away:
            raise Unavailable()
        return [Profile(user_id, NAMES[user_id], avatar=f"{NAMES[user_id]}.png") for user_id in user_ids]


async def test_names_go_on_while_nobody_can_be_asked() -> None:
    book = Book(seconds=0.0)
    await book.names.look_up([ANN, BOB])
    book.away = True
    assert (await book.names.of(ANN)).nickname == "ann"
    assert (await book.names.look_up([ANN, BOB]))[BOB].nickname == "bob"
    with pytest.raises(Unavailable):
        await book.names.look_up([ANN, CID])
    assert set(book.names.remembered([ANN, CID])) == {0, ANN}
    book.names.forget(ANN)  # he has changed it
    with pytest.raises(Unavailable):
        await book.names.of(ANN)


async def test_a_name_that_could_not_be_asked_for_holds_up_no_second_look() -> None:
    book = Book(seconds=0.2)
    await book.names.of(ANN)
    book.names._turns_at = 0.0  # long ago
    book.away = True
    for _ in range(3):
        assert (await book.names.of(ANN)).nickname == "ann"
    assert book.asked == [{ANN}, {ANN}]


async def test_no_more_last_names_are_kept_than_there_is_room_for() -> None:
    book = Book(seconds=0.0)
    for user_id in (ANN, BOB, ANN, CID):
        await book.names.of(user_id)
    assert set(book.names.remembered([ANN, BOB, CID])) == {0, ANN, CID}


async def test_while_nobody_can_be_asked_only_what_lacks_a_name_waits() -> None:
    book = Book()
    await book.names.of(ANN)
    book.away = True
    quoting = entry(sender_name="ann", quote='{"quote_id":"q","from_id":4,"content":"x"}')
    named, unnamed = entry(sender_name="ann"), entry()
    found = await with_names_within([quoting, named, unnamed, entry(sender_id=BOB)], book.names, 1.0)
    assert found[:2] == [None, named] and found[3] is None
    assert found[2] is not None and found[2].sender_name == "ann"
    book.away = False
    assert None not in await with_names_within([quoting, entry(sender_id=BOB)], book.names, 1.0)


def test_a_record_has_the_contracts_keys_and_strings() -> None:
    found = msgspec.to_builtins(record(entry(quote='{"quote_id":"q"}'), Name("ann", "ann.png"), TIMES))
    assert found == {
        "msg_id": "a" * 32, "sequence": 12, "msg_type": 1, "from_id": 3, "nickname": "ann", "avatar": "ann.png",
        "is_revoked": 2, "status": 1, "send_time": "2023-11-15 06:13:20", "extra": '{"content": "hi"}',
        "quote": '{"quote_id":"q"}', "talk_id": 17,
    }  # fmt: skip


def test_what_may_not_be_seen_has_no_content() -> None:
    secret = {"content": "secret"}
    recalled = record(entry(content=secret, quote='{"content":"secret"}', recalled=True), NOBODY, TIMES)
    hidden = record(entry(content=secret, quote='{"content":"secret"}', hidden=True), NOBODY, TIMES)
    assert (recalled.is_revoked, recalled.extra, recalled.quote, recalled.hidden) == (1, "{}", "{}", msgspec.UNSET)
    assert (hidden.is_revoked, hidden.extra, hidden.quote, hidden.hidden, hidden.msg_type) == (2, "{}", "{}", True, 1)


def test_a_message_that_was_not_accepted_has_status_3_and_sequence_0() -> None:
    found = record(entry(seq=0), NOBODY, TIMES)
    assert (found.status, found.sequence) == (3, 0)


async def test_names_of_a_page_are_asked_for_once() -> None:
    book = Book()
    quoting = entry(quote='{"quote_id":"q","from_id":4,"content":"x"}')
    forward = entry(EntryType.FORWARD, {"msg_ids": ["q"], "records": [{"from_id": 5, "content": "x"}]}, sender_id=BOB)
    found = await records([quoting, forward, entry(EntryType.GROUP_MUTED, {"owner_id": 9})], book.names, TIMES)
    assert book.asked == [{ANN, BOB, CID}]
    assert [(item.nickname, item.avatar) for item in found] == [("ann", "ann.png"), ("bob", "bob.png"), ("", "")]
    assert json.loads(found[0].quote) == {"quote_id": "q", "from_id": 4, "content": "x", "nickname": "bob"}
    assert json.loads(found[1].extra)["records"] == [{"from_id": 5, "content": "x", "nickname": "cid"}]


async def test_an_entry_that_has_its_names_asks_nobody() -> None:
    book = Book()
    fresh = entry(sender_name="ann", sender_avatar="ann.png")
    assert await with_names([fresh, entry(EntryType.MEMBERS_JOINED, {})], book.names) == [
        fresh,
        entry(EntryType.MEMBERS_JOINED, {}),
    ]
    assert book.asked == []


async def test_tombstones_do_not_ask_for_what_they_hide() -> None:
    book = Book()
    content = {"msg_ids": [], "records": [{"from_id": 5, "content": "x"}]}
    await with_names([entry(EntryType.FORWARD, content, recalled=True)], book.names)
    assert book.asked == [{ANN}]


@pytest.mark.parametrize(
    "type_", [EntryType.SELF_CONTACT_APPLY, EntryType.SELF_CONTACT_ACCEPTED, EntryType.SELF_GROUP_APPLY]
)
async def test_a_notice_about_a_user_gets_his_name(type_: EntryType) -> None:
    (found,) = await with_names([entry(type_, {"user_id": 4}, Kind.SELF)], Book().names)
    assert json.loads(found.content) == {"user_id": 4, "nickname": "bob", "avatar": "bob.png"}


async def test_a_recall_keeps_the_name_it_was_written_with() -> None:
    written = entry(EntryType.RECALLED, {"owner_id": 4, "owner_name": "Bobby", "revoke_msg_id": "b"})
    nameless = entry(EntryType.RECALLED, {"owner_id": 4, "owner_name": "", "revoke_msg_id": "b"})
    found = await with_names([written, nameless], Book().names)
    assert [json.loads(item.content)["owner_name"] for item in found] == ["Bobby", "bob"]


async def test_a_sync_page_hands_each_conversation_its_own_entries() -> None:
    items = [
        SyncItem(ConversationId(17), Ref(Kind.PRIVATE, BOB), 12, 3, 1, [entry(seq=11), entry(seq=12)], False),
        SyncItem(ConversationId(18), Ref(Kind.GROUP, 50), 9, 9, 0, [], False),
        SyncItem(ConversationId(19), Ref(Kind.SELF, ANN), 1, 0, 0, [entry(seq=1)], True),
    ]
    found = await sync_json(SyncPage(items, True), Book().names, TIMES)
    assert found["more"] is True
    assert [[message.sequence for message in item["messages"]] for item in found["items"]] == [[11, 12], [], [1]]
    assert {key: found["items"][0][key] for key in ("talk_id", "talk_mode", "to_from_id", "last_seq", "read_seq")} == {
        "talk_id": 17, "talk_mode": 1, "to_from_id": 4, "last_seq": 12, "read_seq": 3,
    }  # fmt: skip
    assert (found["items"][0]["unread_num"], found["items"][2]["more"]) == (1, True)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("type_", list(EntryType))
@pytest.mark.parametrize("state", ["whole", "recalled", "hidden"])
def test_a_sync_session_gets_every_entry_as_exactly_one_frame(type_: EntryType, kind: Kind, state: str) -> None:
    (frame,) = shown(entry(type_, kind=kind, recalled=state == "recalled", hidden=state == "hidden"), BOB, sync=True)
    assert frame.keys() == {"event", "payload"}
    assert frame["event"] == "im.message"
    payload = frame["payload"]
    assert payload.keys() == {"to_from_id", "from_id", "talk_mode", "talk_id", "body"}
    assert (payload["talk_mode"], payload["talk_id"]) == (kind, 17)
    assert (payload["body"]["sequence"], payload["body"]["msg_type"]) == (12, type_)
    assert json.loads(payload["body"]["extra"]) == ({"content": "hi"} if state == "whole" else {})


@pytest.mark.parametrize("type_", [*SPOKEN, *EVENTS])
def test_a_web_session_gets_what_was_said_and_then_the_line_of_its_list(type_: EntryType) -> None:
    sent = entry(type_, kind=Kind.GROUP, sender_name="ann", sender_avatar="ann.png")
    message, update = shown(sent, BOB)
    assert (message["event"], message["ackid"]) == ("im.message", "17.12")
    payload, body = message["payload"], message["payload"]["body"]
    assert (payload["talk_mode"], payload["to_from_id"], payload["from_id"]) == (2, 50, sent.sender_id)
    assert (body["nickname"], body["avatar"]) == ("ann", "ann.png")
    assert isinstance(body["extra"], str) and isinstance(body["quote"], str)
    text = update["payload"].pop("msg_text")
    assert text == "hi" if type_ in (1, 1000) else text.startswith("[")
    assert update == {
        "event": "im.session.update",
        "payload": {"talk_mode": 2, "to_from_id": 50, "sender_id": sent.sender_id, "updated_at": 1_700_000_000_123},
    }


@pytest.mark.parametrize("state", ["recalled", "hidden"])
@pytest.mark.parametrize("type_", list(EntryType))
def test_a_web_session_gets_no_tombstones(type_: EntryType, state: str) -> None:
    kind = Kind.SELF if type_ >= 2000 else Kind.GROUP
    assert shown(entry(type_, kind=kind, content={}, **{state: True}), ANN) == []


def test_a_web_session_gets_nothing_of_types_it_cannot_know() -> None:
    assert shown(entry(1999, kind=Kind.GROUP), BOB) == []
    assert shown(entry(2999, kind=Kind.SELF), ANN) == []


def test_a_private_conversation_is_named_after_the_other() -> None:
    for reader, peer in ((ANN, BOB), (BOB, ANN)):
        message, update = shown(entry(), reader)
        assert message["payload"]["to_from_id"] == update["payload"]["to_from_id"] == peer
        (synced,) = shown(entry(), reader, sync=True)
        assert synced["payload"]["to_from_id"] == peer


def test_a_recall_names_the_message_and_its_sender() -> None:
    content = {"owner_id": 3, "owner_name": "ann", "revoke_msg_id": "b" * 32, "revoke_seq": 4}
    assert shown(entry(EntryType.RECALLED, content), BOB) == [
        {
            "event": "im.message.revoke",
            "ackid": "17.12",
            "payload": {
                "talk_mode": 1, "to_from_id": 3, "from_id": 3, "msg_id": "b" * 32, "remark": "ann撤回了一条消息",
            },
        }
    ]  # fmt: skip


@pytest.mark.parametrize("type_", RELOADING)
def test_what_changed_in_the_list_makes_web_clients_ask_for_it(type_: EntryType) -> None:
    notice = entry(type_, {"talk_mode": 1, "to_from_id": 4, "talk_id": 9, "msg_ids": ["b"]}, Kind.SELF)
    assert shown(notice, ANN) == [{**RELOAD, "ackid": "17.12"}]


def test_a_cleared_conversation_loses_its_preview() -> None:
    notice = entry(EntryType.SELF_CLEARED, {"talk_mode": 2, "to_from_id": 50, "talk_id": 9, "seq": 8}, Kind.SELF)
    assert shown(notice, ANN) == [
        {
            "event": "im.session.update",
            "ackid": "17.12",
            "payload": {"talk_mode": 2, "to_from_id": 50, "updated_at": 1_700_000_000_123, "msg_text": None},
        }
    ]


def test_notices_about_contacts_and_groups() -> None:
    about = {"user_id": 4, "nickname": "bob", "avatar": "bob.png", "remark": "hello", "apply_time": 7}
    (applied,) = shown(entry(EntryType.SELF_CONTACT_APPLY, {**about, "apply_id": 1}, Kind.SELF), ANN)
    assert applied == {"event": "im.contact.apply", "ackid": "17.12", "payload": about}
    accepted = {"user_id": 4, "nickname": "bob", "avatar": "bob.png", "accept_time": 8}
    assert shown(entry(EntryType.SELF_CONTACT_ACCEPTED, accepted, Kind.SELF), ANN) == [
        {
            "event": "im.contact.accept",
            "ackid": "17.12",
            "payload": {"acceptor_id": 4, "acceptor_name": "bob", "acceptor_avatar": "bob.png", "accept_time": 8},
        },
        RELOAD,
    ]
    created = {"group_id": 50, "operator_id": 4}
    (frame,) = shown(entry(EntryType.SELF_GROUP_CREATED, created, Kind.SELF), ANN)
    assert frame == {"event": "im.group.create", "ackid": "17.12", "payload": created}
    (frame,) = shown(entry(EntryType.SELF_GROUP_APPLY, {**about, "group_id": 50}, Kind.SELF), ANN)
    assert frame == {"event": "im.group.apply", "ackid": "17.12", "payload": {**about, "group_id": 50}}


def test_every_type_of_entry_is_spoken_an_event_or_a_notice_that_is_shown() -> None:
    for type_ in EntryType:
        kind = Kind.SELF if type_ >= 2000 else Kind.GROUP
        frames = shown(entry(type_, {"content": "x"}, kind), ANN)
        assert frames, type_
        assert ["ackid" in frame for frame in frames] == [True] + [False] * (len(frames) - 1)


@pytest.mark.parametrize("kind", list(Kind))
def test_equal_variants_are_equal_frames_and_others_are_not(kind: Kind) -> None:
    seen: dict[object, list[bytes]] = {}
    pairs = 0
    type_ = EntryType.SELF_PINNED if kind is Kind.SELF else EntryType.TEXT
    for reader in (ANN, BOB) if kind is not Kind.SELF else (ANN,):
        for sync in (False, True):
            frames = frames_for(entry(type_, kind=kind), reader, sync, TIMES)
            variant = variant_of(entry(type_, kind=kind), reader, sync)
            pairs += 1
            assert seen.setdefault(variant, frames) == frames
    assert len(seen) == len({tuple(frames) for frames in seen.values()}) == (2 if kind is not Kind.PRIVATE else pairs)


def test_signals_name_the_conversation_as_their_reader_does() -> None:
    def of(name: str, reader: UserId, **more: object) -> Any:
        payload = {"conversation_id": 17, "kind": 1, "parties": [3, 4], "user_id": 3, **more}
        frame = signal_frame(name, msgspec.Raw(msgspec.json.encode(payload)), reader)
        return None if frame is None else json.loads(frame)

    assert of("typing", BOB) == {
        "event": "im.message.keyboard",
        "payload": {"talk_mode": 1, "to_from_id": 3, "from_id": 3},
    }
    for reader, peer in ((BOB, 3), (ANN, 4)):
        assert of("read", reader, seq=9) == {
            "event": "im.message.read",
            "payload": {"talk_mode": 1, "to_from_id": peer, "user_id": 3, "seq": 9},
        }
    group = of("read", BOB, kind=2, parties=[50, 0], seq=9)
    assert (group["payload"]["talk_mode"], group["payload"]["to_from_id"]) == (2, 50)
    assert of("something new", BOB) is None
