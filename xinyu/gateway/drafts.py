"""Requests to send: `{type, talk_mode, to_from_id, body, msg_id?, quote_id?}` (CONTRACT.md sections 1.5, 2.6 and 3.1).

REST and socket have the same; only the session that gets the answer differs.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.present.message import MessageRecord, record, with_names
from xinyu.gateway.services import GatewayServices
from xinyu.gateway.talks import TalkRequest, is_on, msg_id_of, msg_ids_of
from xinyu.kernel.errors import InvalidInput, XinyuError, all_errors
from xinyu.kernel.ids import GroupId, MsgId, SessionId, UserId, new_msg_id
from xinyu.message.errors import ForwardTooLarge, UnknownType
from xinyu.message.port import MAX_FORWARD_TARGETS, MAX_FORWARDED
from xinyu.message.types import Entry, EntryType, ForwardTarget, NewMessage, Ref, group_ref, private_ref

StructT = TypeVar("StructT", bound=msgspec.Struct)
FORWARD, EMOTICON = "forward", "emoticon"
TYPES: dict[str, EntryType] = {
    "text": EntryType.TEXT,
    "code": EntryType.CODE,
    "image": EntryType.IMAGE,
    "audio": EntryType.AUDIO,
    "voice": EntryType.AUDIO,
    "video": EntryType.VIDEO,
    "file": EntryType.FILE,
    "location": EntryType.LOCATION,
    "card": EntryType.CARD,
    "mixed": EntryType.MIXED,
}
"""What users may send by themselves; `forward` and `emoticon` become one of these, or a forward message."""
NOT_A_FRIEND = "对方已不是你的好友"
ERRORS: dict[str, str] = {
    "request.bad_message_body": "body 必须是 JSON 对象",
    "request.bad_talk_mode": "非法会话类型",
    "request.bad_target": "会话对象不正确",
    "request.bad_msg_ids": "msg_ids 格式错误",
    "request.bad_action": "action 必须为 1 或 2",
    "request.bad_status": "status 必须为 1、2 或 3",
    "message.unknown_type": "未知消息类型",
    "message.bad_id": "msg_id 必须为32位HEX字符串",
    "message.id_conflict": "msg_id 已被其他消息使用",
    "message.empty": "消息内容不能为空",
    "message.bad_content": "消息内容格式错误",
    "message.too_long": "消息内容过长",
    "message.forward_too_large": "一次最多转发 100 条消息给 50 个会话",
    "message.bad_quote": "引用的消息不存在",
    "message.not_a_member": "你不在该会话中",
    "message.muted": "你已被禁言，暂时不能发送消息",
    "message.dismissed": "该群已解散",
    "message.self": "不能与自己创建单聊会话",
    "message.not_found": "消息加载失败",
    "message.not_yours": "无权限撤回",
    "message.recall_too_late": "消息发送已久，不能撤回",
    "message.queue_full": "系统繁忙，请稍后再试",
}
"""The contract's words for what may be wrong with a message; where it has none, ours."""


class BadMessageBody(InvalidInput):
    """body must be a JSON object."""

    code = "request.bad_message_body"


class SendRequest(TalkRequest):
    """message/send, message.send"""

    type: str = ""
    body: Any = None
    msg_id: str | None = None
    quote_id: str | None = None


class _ForwardBody(msgspec.Struct):
    action: int = 1
    user_ids: list[IdNumber] | None = None
    group_ids: list[IdNumber] | None = None

    def targets(self) -> list[Ref] | None:
        """Whom it names, which may be nobody; None where it leaves both lists out."""
        if self.user_ids is None and self.group_ids is None:
            return None
        users = [private_ref(UserId(id_)) for id_ in self.user_ids or ()]
        return users + [group_ref(GroupId(id_)) for id_ in self.group_ids or ()]


class _EmoticonBody(msgspec.Struct):
    emoticon_id: IdNumber = 0


async def send(services: GatewayServices, user_id: UserId, request: SendRequest, origin: SessionId | None) -> object:
    """Send what a client drafted, and answer as the contract does: the record, or what became of each target of a
    forward. `origin` is the session that gets this answer and needs no push. Raises what MessagePort raises,
    Overloaded, and the errors of this module."""
    if not isinstance(request.body, dict):
        raise BadMessageBody()
    if request.type == FORWARD:
        return await _forward(services, user_id, request)
    await services.limits.check_send(user_id)
    name = await services.names.of(user_id)
    type_, content = await _typed(services, user_id, request.type, request.body)
    draft = NewMessage(
        ref=request.ref(),
        msg_id=msg_id_of(request.msg_id) if request.msg_id else new_msg_id(),
        type=type_,
        content=content,
        quote_id=msg_id_of(request.quote_id) if request.quote_id else None,
        origin_session=origin,
        sender_name=name.nickname,
        sender_avatar=name.avatar,
    )
    result = await services.ports.messages.send(user_id, draft)
    return await _receipt(services, user_id, result.entry)


def is_forward_without_id(request: SendRequest) -> bool:
    """Whether only its bytes tell a client's automatic repetition of a forward from another one."""
    return request.type == FORWARD and not request.msg_id


async def _typed(
    services: GatewayServices, user_id: UserId, name: str, body: dict[str, Any]
) -> tuple[EntryType, dict[str, Any]]:
    if name == EMOTICON:
        wanted = _converted(body, _EmoticonBody)
        media = (await services.ports.emoticons.get_emoticon(user_id, wanted.emoticon_id)).media
        content = {"url": media.url, "width": media.width, "height": media.height, "size": media.size}
        return EntryType.IMAGE, content
    type_ = TYPES.get(name)
    if type_ is None:
        raise UnknownType()
    return type_, body


async def _receipt(services: GatewayServices, user_id: UserId, entry: Entry) -> MessageRecord:
    if entry.quote != "{}" or entry.type == EntryType.FORWARD:
        (entry,) = await with_names([entry], services.names)
    return record(entry, await services.names.of(user_id), services.times)


async def _forward(services: GatewayServices, user_id: UserId, request: SendRequest) -> object:
    """Without `user_ids` and `group_ids` the request's own conversation is the target, and the answer is a record;
    empty ones name nobody."""
    body = _converted({key: value for key, value in request.body.items() if key != "msg_ids"}, _ForwardBody)
    msg_ids = msg_ids_of(request.body.get("msg_ids"))
    named, merged = body.targets(), not is_on(body.action)
    targets = [request.ref()] if named is None else named
    if len(msg_ids) > MAX_FORWARDED or len(targets) > MAX_FORWARD_TARGETS:
        raise ForwardTooLarge()
    await services.limits.check_send(user_id, len(targets) * (1 if merged else len(msg_ids)))
    results = await _forward_to(services, user_id, request, msg_ids, targets, merged=merged)
    if named is not None or len(results) != 1:
        return {"items": [_forwarded(result) for result in results]}
    if results[0].entry is None:
        raise all_errors().get(results[0].error, XinyuError)()
    return await _receipt(services, user_id, results[0].entry)


async def _forward_to(
    services: GatewayServices,
    user_id: UserId,
    request: SendRequest,
    msg_ids: list[MsgId],
    targets: list[Ref],
    *,
    merged: bool,
) -> list[ForwardTarget]:
    name = await services.names.of(user_id)
    request_id = msg_id_of(request.msg_id) if request.msg_id else new_msg_id()
    return await services.ports.messages.forward(
        user_id, request_id, msg_ids, targets, merged, name.nickname, name.avatar
    )


def _forwarded(target: ForwardTarget) -> dict[str, object]:
    to = {"to_talk_mode": int(target.ref.kind), "to_id": target.ref.target_id}
    if target.entry is None:
        return {"ok": False, "err": ERRORS.get(target.error, target.error), **to}
    if not target.accepted:
        return {"ok": False, "err": NOT_A_FRIEND, **to}
    return {"ok": True, "msg_id": target.entry.msg_id, **to}


def _converted(body: dict[str, Any], wanted: type[StructT]) -> StructT:
    try:
        return msgspec.convert({k: v for k, v in body.items() if v is not None}, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error)) from error
