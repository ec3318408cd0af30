"""What each type of message may contain (CONTRACT.md section 3.1), checked and brought into one form.

Clients of the family send different spellings (`text` or `content`); what is stored is the `extra` they read back.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec

from xinyu.kernel.ids import MsgId, UserId
from xinyu.message.errors import BadContent, EmptyMessage, MessageTooLong, UnknownType
from xinyu.message.types import EntryType, Kind
from xinyu.message.types_preview import text_of

Number = int | float
_Degrees = msgspec.Meta(ge=-180, le=180)
Coordinate = str | Annotated[int, _Degrees] | Annotated[float, _Degrees]
MAX_MENTIONS = 500


class TextContent(msgspec.Struct, omit_defaults=True):
    """A text and whom it mentions."""

    content: str
    mentions: list[int] = []


class _CodeContent(msgspec.Struct):
    code: str
    lang: str = ""


class _ImageContent(msgspec.Struct, omit_defaults=True):
    url: str
    width: Number = 0
    height: Number = 0
    size: Number = 0
    name: str = ""


class _AudioContent(msgspec.Struct, omit_defaults=True):
    url: str
    duration: Number = 0
    size: Number = 0
    name: str = ""


class _VideoContent(msgspec.Struct, omit_defaults=True):
    url: str
    cover: str = ""
    duration: Number = 0
    size: Number = 0
    name: str = ""


class FileContent(msgspec.Struct, omit_defaults=True):
    """An uploaded file; name, size and address are filled in by the server."""

    upload_id: str = ""
    name: str = ""
    size: Number = 0
    path: str = ""
    url: str = ""
    media_id: str = ""
    drive: int = 1


class _LocationContent(msgspec.Struct):
    latitude: Coordinate
    longitude: Coordinate
    description: str = ""


class _CardContent(msgspec.Struct, omit_defaults=True):
    user_id: int
    nickname: str = ""
    avatar: str = ""
    describe: str = ""


class _MixedItem(msgspec.Struct, omit_defaults=True):
    type: int
    content: str
    link: str = ""


class _MixedContent(msgspec.Struct):
    items: list[_MixedItem]


class ForwardRecord(msgspec.Struct):
    """One line of a merged forward; the gateway puts the sender's name in when it presents it."""

    from_id: int
    content: str


class ForwardContent(msgspec.Struct):
    """A merged forward: the originals' ids and their first lines."""

    msg_ids: list[str]
    records: list[ForwardRecord] = []


_TYPES: dict[int, type[msgspec.Struct]] = {
    EntryType.TEXT: TextContent,
    EntryType.CODE: _CodeContent,
    EntryType.IMAGE: _ImageContent,
    EntryType.AUDIO: _AudioContent,
    EntryType.VIDEO: _VideoContent,
    EntryType.FILE: FileContent,
    EntryType.LOCATION: _LocationContent,
    EntryType.CARD: _CardContent,
    EntryType.MIXED: _MixedContent,
}
_MUST_HAVE: dict[int, str] = {
    EntryType.CODE: "code",
    EntryType.IMAGE: "url",
    EntryType.AUDIO: "url",
    EntryType.VIDEO: "url",
    EntryType.MIXED: "items",
}
_encode = msgspec.json.Encoder().encode


def normalised(type_: int, content: dict[str, Any], max_text_chars: int, max_bytes: int) -> str:
    """`content` of a message that a user sends, as the JSON text that is stored.

    Raises UnknownType, BadContent, EmptyMessage, MessageTooLong."""
    wanted = _TYPES.get(type_)
    if wanted is None:
        raise UnknownType()
    if type_ == EntryType.TEXT:
        content = {**content, "content": _words(content)}
    try:
        value = msgspec.convert({k: v for k, v in content.items() if v is not None}, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise BadContent(f"the content does not fit the message type: {error}") from error
    if isinstance(value, TextContent):
        if not value.content.strip():
            raise EmptyMessage()
        if len(value.content) > max_text_chars:
            raise MessageTooLong(f"a text may have {max_text_chars} characters", limit=max_text_chars)
        if len(value.mentions) > MAX_MENTIONS:
            raise BadContent(f"a message may mention {MAX_MENTIONS} users")
    required = _MUST_HAVE.get(type_)
    if required and not getattr(value, required):
        raise EmptyMessage()
    return encoded(value, max_bytes)


def _words(content: dict[str, Any]) -> str:
    """What a text says: its `text`, else its `content` (CONTRACT.md section 0, row 7). Only strings say anything."""
    found = (content.get("text"), content.get("content"))
    return next((words for words in found if isinstance(words, str) and words.strip()), "")


def encoded(value: object, max_bytes: int) -> str:
    """Content as JSON text. Raises MessageTooLong over `max_bytes`."""
    text = _encode(value)
    if len(text) > max_bytes:
        raise MessageTooLong(f"a message may have {max_bytes} bytes", limit=max_bytes)
    return text.decode()


def quote_of(msg_id: MsgId, sender_id: UserId, type_: int, content: str) -> str:
    """The `quote` that a reply carries: id, sender, type and one line of the quoted message."""
    return _encode(
        {"quote_id": msg_id, "from_id": sender_id, "msg_type": type_, "content": text_of(type_, content)}
    ).decode()


def request_digest(
    sender_id: UserId, kind: Kind, parties: tuple[int, int], type_: int, content: str, quote_id: str
) -> str:
    """What tells a retry from another message under the same msg_id: 32 hex characters over the normalised request."""
    head = f"{sender_id}\x1f{int(kind)}\x1f{parties[0]}\x1f{parties[1]}\x1f{type_}\x1f{quote_id}\x1f"
    return hashlib.blake2b((head + content).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
