"""A message in one line: what lists, quotes and merged forwards show of it (CONTRACT.md section 3.1)."""

from __future__ import annotations

import msgspec

from xinyu.message.types import EntryType

PREVIEWS: dict[int, str] = {
    EntryType.CODE: "[代码消息]",
    EntryType.IMAGE: "[图片消息]",
    EntryType.AUDIO: "[语音消息]",
    EntryType.VIDEO: "[视频消息]",
    EntryType.FILE: "[文件消息]",
    EntryType.LOCATION: "[位置消息]",
    EntryType.CARD: "[名片消息]",
    EntryType.FORWARD: "[转发消息]",
    EntryType.LOGIN: "[登录消息]",
    EntryType.VOTE: "[投票消息]",
    EntryType.MIXED: "[图文消息]",
    EntryType.GROUP_NOTICE: "[群公告]",
    EntryType.SYSTEM_TEXT: "[系统消息]",
    EntryType.GROUP_CREATED: "[创建群消息]",
    EntryType.MEMBERS_JOINED: "[加入群消息]",
    EntryType.MEMBER_LEFT: "[退出群消息]",
    EntryType.MEMBERS_REMOVED: "[踢出群消息]",
    EntryType.RECALLED: "[撤回消息]",
    EntryType.GROUP_DISMISSED: "[群解散消息]",
    EntryType.GROUP_MUTED: "[群禁言消息]",
    EntryType.GROUP_UNMUTED: "[群解除禁言消息]",
    EntryType.MEMBERS_MUTED: "[群成员禁言消息]",
    EntryType.MEMBERS_UNMUTED: "[群成员解除禁言消息]",
}
UNKNOWN_PREVIEW = "[非文本消息]"
PREVIEW_CHARS = 255
_TEXT, _SYSTEM_TEXT = int(EntryType.TEXT), int(EntryType.SYSTEM_TEXT)


class _Text(msgspec.Struct):
    content: str = ""


_decode = msgspec.json.Decoder(_Text).decode


def text_of(type_: int, content: str) -> str:
    """What a message looks like in one line: the text itself (255 characters), or the type's name in brackets."""
    if type_ == _TEXT:
        return _decode(content).content[:PREVIEW_CHARS]
    if type_ == _SYSTEM_TEXT and (text := _decode(content).content):
        return text[:PREVIEW_CHARS]
    return PREVIEWS.get(type_, UNKNOWN_PREVIEW)
