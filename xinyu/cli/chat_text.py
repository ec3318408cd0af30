"""How messages and conversations look as lines of text."""

from __future__ import annotations

from xinyu.sdk import Conversation, Message, MessageType, Talk

_KINDS = {
    MessageType.CODE: "code",
    MessageType.IMAGE: "image",
    MessageType.AUDIO: "audio",
    MessageType.VIDEO: "video",
    MessageType.FILE: "file",
    MessageType.LOCATION: "location",
    MessageType.CARD: "card",
    MessageType.FORWARD: "forwarded messages",
    MessageType.MIXED: "text and images",
}
_EVENTS = {
    MessageType.GROUP_CREATED: "the group was made",
    MessageType.MEMBERS_JOINED: "somebody was added to the group",
    MessageType.MEMBER_LEFT: "somebody left the group",
    MessageType.MEMBERS_REMOVED: "somebody was removed from the group",
    MessageType.RECALLED: "a message was recalled",
    MessageType.GROUP_DISMISSED: "the group was dismissed",
}


def content_of(message: Message) -> str:
    """What was said, in one line; for what is no text, what it is."""
    if message.is_revoked:
        return "(taken back)"
    if message.hidden:
        return "(deleted)"
    if message.msg_type == MessageType.TEXT:
        return message.text
    if message.is_system:
        text = _EVENTS.get(MessageType(message.msg_type)) if message.msg_type in list(MessageType) else None
        return f"({text or message.extra.get('content') or 'something happened'})"
    kind = _KINDS.get(MessageType(message.msg_type), "") if message.msg_type in list(MessageType) else ""
    named = message.extra.get("name") or message.extra.get("url") or ""
    return f"[{kind or 'message of another kind'}{f': {named}' if named else ''}]"


def line_of(message: Message, own_name: str = "you") -> str:
    """A message with its time and who said it."""
    who = own_name if message.own else message.nickname or f"user {message.from_id}"
    time = message.send_time[11:16]
    if message.is_system:
        return f"{time} {content_of(message)}"
    late = "" if message.accepted else "  (not accepted: you are not a contact of the receiver)"
    return f"{time} {who}: {content_of(message)}{late}"


def name_of(conversation: Conversation) -> str:
    """What a conversation is called in the list."""
    return conversation.remark or conversation.name or label_of(conversation.talk)


def label_of(talk: Talk) -> str:
    """What a conversation is called of which nothing else is known."""
    return f"{'group' if talk.talk_mode == 2 else 'user'} {talk.to_from_id}"
