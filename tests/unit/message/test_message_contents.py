"""What each type of message may contain, and what tells a retry from another message."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import MsgId, UserId
from xinyu.message.contents import normalised, quote_of, request_digest
from xinyu.message.errors import BadContent, EmptyMessage, MessageTooLong, UnknownType
from xinyu.message.types import EntryType, Kind
from xinyu.message.types_preview import PREVIEWS, text_of


def stored(type_: int, content: dict[str, Any], max_chars: int = 100, max_bytes: int = 1000) -> Any:
    return msgspec.json.decode(normalised(type_, content, max_chars, max_bytes))


@pytest.mark.parametrize(
    ("type_", "content", "expected"),
    [
        (EntryType.TEXT, {"content": "hi"}, {"content": "hi"}),
        (EntryType.TEXT, {"text": "hi"}, {"content": "hi"}),
        (EntryType.TEXT, {"text": "A", "content": "B"}, {"content": "A"}),
        (EntryType.TEXT, {"text": "hi", "content": ""}, {"content": "hi"}),
        (EntryType.TEXT, {"text": " ", "content": "B"}, {"content": "B"}),
        (EntryType.TEXT, {"text": 123, "content": "B"}, {"content": "B"}),
        (EntryType.TEXT, {"content": "hi", "mentions": [7, "8"]}, {"content": "hi", "mentions": [7, 8]}),
        (EntryType.TEXT, {"content": "hi", "mentions": None}, {"content": "hi"}),
        (EntryType.TEXT, {"content": " hi ", "unknown": 1}, {"content": " hi "}),
        (EntryType.CODE, {"lang": "py", "code": "1"}, {"lang": "py", "code": "1"}),
        (EntryType.IMAGE, {"url": "/m/x", "width": "3", "height": 4.5}, {"url": "/m/x", "width": 3, "height": 4.5}),
        (EntryType.AUDIO, {"url": "/m/x", "duration": 3}, {"url": "/m/x", "duration": 3}),
        (EntryType.VIDEO, {"url": "/m/x", "cover": "/m/c"}, {"url": "/m/x", "cover": "/m/c"}),
        (
            EntryType.LOCATION,
            {"latitude": "1", "longitude": "2"},
            {"latitude": "1", "longitude": "2", "description": ""},
        ),
        (
            EntryType.LOCATION,
            {"latitude": 48.2, "longitude": -16, "description": "Vienna"},
            {"latitude": 48.2, "longitude": -16, "description": "Vienna"},
        ),
        (EntryType.CARD, {"user_id": "5"}, {"user_id": 5}),
        (
            EntryType.MIXED,
            {"items": [{"type": 1, "content": "a"}, {"type": 3, "content": "/m/x", "link": "l"}]},
            {"items": [{"type": 1, "content": "a"}, {"type": 3, "content": "/m/x", "link": "l"}]},
        ),
        (EntryType.FILE, {"upload_id": "u", "name": "n", "size": 3}, {"upload_id": "u", "name": "n", "size": 3}),
    ],
)
def test_contents_are_brought_into_one_form(type_: int, content: dict[str, Any], expected: dict[str, Any]) -> None:
    assert stored(type_, content) == expected


@pytest.mark.parametrize(
    ("type_", "content", "error"),
    [
        (EntryType.TEXT, {}, EmptyMessage),
        (EntryType.TEXT, {"text": None}, EmptyMessage),
        (EntryType.TEXT, {"text": 123}, EmptyMessage),
        (EntryType.TEXT, {"content": ""}, EmptyMessage),
        (EntryType.TEXT, {"content": " \n\t"}, EmptyMessage),
        (EntryType.TEXT, {"content": 7}, EmptyMessage),
        (EntryType.TEXT, {"content": ["x"]}, EmptyMessage),
        (EntryType.TEXT, {"content": "x" * 101}, MessageTooLong),
        (EntryType.TEXT, {"content": "x", "mentions": "7"}, BadContent),
        (EntryType.TEXT, {"content": "x", "mentions": list(range(501))}, BadContent),
        (EntryType.CODE, {"code": ""}, EmptyMessage),
        (EntryType.CODE, {"code": "x" * 1000}, MessageTooLong),
        (EntryType.IMAGE, {"url": ""}, EmptyMessage),
        (EntryType.IMAGE, {"width": 3}, BadContent),
        (EntryType.MIXED, {"items": []}, EmptyMessage),
        (EntryType.MIXED, {"items": [{"type": 1}]}, BadContent),
        (EntryType.CARD, {}, BadContent),
        (EntryType.LOCATION, {"latitude": 48.2}, BadContent),
        (EntryType.LOCATION, {"latitude": 1e300, "longitude": 0}, BadContent),
        (EntryType.FORWARD, {"msg_ids": []}, UnknownType),
        (EntryType.LOGIN, {}, UnknownType),
        (EntryType.RECALLED, {}, UnknownType),
        (EntryType.SELF_CLEARED, {}, UnknownType),
        (0, {}, UnknownType),
    ],
)
def test_what_does_not_fit_is_refused(type_: int, content: dict[str, Any], error: type[XinyuError]) -> None:
    with pytest.raises(error):
        normalised(type_, content, 100, 1000)


def test_a_text_is_limited_in_characters_and_a_message_in_bytes() -> None:
    assert stored(EntryType.TEXT, {"content": "字" * 100}) == {"content": "字" * 100}
    with pytest.raises(MessageTooLong):
        normalised(EntryType.TEXT, {"content": "字" * 100}, 100, 300)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["content", "text", "mentions", "code", "url", "items", "user_id", "latitude", "upload_id"])


@given(st.integers(-1, 2300), st.dictionaries(NAMES | st.text(max_size=5), JSON, max_size=5))
def test_anything_is_stored_or_refused(type_: int, content: dict[str, Any]) -> None:
    try:
        text = normalised(type_, content, 100, 1000)
    except (BadContent, EmptyMessage, MessageTooLong, UnknownType):
        return
    assert len(text.encode()) <= 1000
    assert normalised(type_, msgspec.json.decode(text), 100, 1000) == text, "what is stored is in that form already"


def digest(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "sender_id": UserId(1), "kind": Kind.PRIVATE, "parties": (1, 2), "type_": 1, "content": "{}", "quote_id": "",
    }  # fmt: skip
    return request_digest(**{**arguments, **changes})


def test_the_digest_tells_every_part_of_a_request() -> None:
    same = digest()
    assert same == digest() and len(same) == 32
    others = [
        digest(sender_id=2), digest(kind=Kind.GROUP), digest(parties=(1, 3)), digest(type_=2), digest(content="{ }"),
        digest(quote_id="a"), digest(parties=(12, 0)), digest(sender_id=11, parties=(2, 2)),
    ]  # fmt: skip
    assert len({same, *others}) == 9


def test_one_line_of_each_type() -> None:
    assert text_of(EntryType.TEXT, '{"content":"' + "x" * 300 + '"}') == "x" * 255
    assert text_of(EntryType.TEXT, "{}") == ""
    assert text_of(EntryType.SYSTEM_TEXT, '{"content":"news"}') == "news"
    assert text_of(EntryType.SYSTEM_TEXT, "{}") == "[系统消息]"
    assert text_of(EntryType.IMAGE, "{}") == "[图片消息]"
    assert text_of(999, "{}") == "[非文本消息]"
    assert set(PREVIEWS) == {t for t in EntryType if 1 < t < 2000 and t != EntryType.OWNER_CHANGED}


def test_a_quote_is_one_line_of_the_message() -> None:
    quote = quote_of(MsgId("a" * 32), UserId(7), EntryType.TEXT, '{"content":"hi"}')
    assert msgspec.json.decode(quote) == {"quote_id": "a" * 32, "from_id": 7, "msg_type": 1, "content": "hi"}
