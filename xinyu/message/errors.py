"""What the message domain refuses."""

from __future__ import annotations

from xinyu.kernel.errors import Category, XinyuError


class MessageError(XinyuError):
    """The message domain refused."""


class NotAMember(MessageError):
    """You are not a member of this conversation."""

    category = Category.PERMISSION
    code = "message.not_a_member"


class SenderMuted(MessageError):
    """You may not send to this conversation now."""

    category = Category.PERMISSION
    code = "message.muted"


class ConversationClosed(MessageError):
    """The group was dismissed."""

    category = Category.PERMISSION
    code = "message.dismissed"


class SelfConversation(MessageError):
    """You cannot talk to yourself."""

    category = Category.INVALID
    code = "message.self"


class MessageNotFound(MessageError):
    """There is no such message."""

    category = Category.NOT_FOUND
    code = "message.not_found"


class BadMsgId(MessageError):
    """msg_id must be 32 lower-case hex characters."""

    category = Category.INVALID
    code = "message.bad_id"


class MsgIdConflict(MessageError):
    """This msg_id belongs to another message; nothing was stored."""

    category = Category.CONFLICT
    code = "message.id_conflict"


class BadContent(MessageError):
    """The content does not fit the message type."""

    category = Category.INVALID
    code = "message.bad_content"


class EmptyMessage(MessageError):
    """The message is empty."""

    category = Category.INVALID
    code = "message.empty"


class ForwardTooLarge(MessageError):
    """A forward may have 100 messages and 50 targets."""

    category = Category.INVALID
    code = "message.forward_too_large"


class MessageTooLong(MessageError):
    """The message is too long."""

    category = Category.INVALID
    code = "message.too_long"


class UnknownType(MessageError):
    """There is no such message type."""

    category = Category.INVALID
    code = "message.unknown_type"


class BadQuote(MessageError):
    """The quoted message is not one of this conversation that you can see."""

    category = Category.INVALID
    code = "message.bad_quote"


class NotYourMessage(MessageError):
    """Only its sender may do this to a message."""

    category = Category.PERMISSION
    code = "message.not_yours"


class RecallTooLate(MessageError):
    """The time to recall this message is over."""

    category = Category.PRECONDITION
    code = "message.recall_too_late"


class ConversationBusy(MessageError):
    """The conversation is locked by another transaction for too long; nothing was stored, try again."""

    category = Category.UNAVAILABLE
    code = "message.busy"


class AppenderStopped(MessageError):
    """The server stopped storing messages; this one may or may not have been stored."""

    category = Category.UNAVAILABLE
    code = "message.stopped"


class QueueFull(MessageError):
    """Too many messages are waiting to be stored; try again."""

    category = Category.EXHAUSTED
    code = "message.queue_full"
