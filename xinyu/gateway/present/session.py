"""Conversations as the contract's TalkSessionItem (CONTRACT.md sections 1.3 and 2.6; flags: 1 = yes, 2 = no)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xinyu.gateway.names import NOBODY, Name, Names
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.times import LocalTimes
from xinyu.gateway.services import GatewayServices
from xinyu.group.types import GroupInfo
from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import ConversationView, Entry, Kind
from xinyu.message.types_preview import text_of


@dataclass(frozen=True, slots=True)
class _Faces:
    """How the peers of a list are shown."""

    names: Mapping[UserId, Name]
    remarks: Mapping[UserId, str]
    groups: Mapping[GroupId, GroupInfo]


async def session_items(
    services: GatewayServices,
    user_id: UserId,
    views: Sequence[ConversationView],
    *,
    with_cursors: bool = False,
) -> list[dict[str, Any]]:
    """Conversations as their member sees them, in the order given: at most three port calls, however many they are.
    `with_cursors` adds `last_seq` and `read_seq`."""
    faces = await _look_up(services.ports, services.names, user_id, views)
    items = [_item(view, faces, services.times) for view in views]
    if with_cursors:
        for item, view in zip(items, views, strict=True):
            item["last_seq"] = view.last_seq
            item["read_seq"] = view.read_seq
    return items


async def session_item(services: GatewayServices, user_id: UserId, view: ConversationView) -> dict[str, Any]:
    """One conversation as its member sees it."""
    return (await session_items(services, user_id, [view]))[0]


def preview_text(entry: Entry | None) -> str:
    """The line of the list under a conversation's name; "" where there is nothing to show."""
    if entry is None or entry.recalled or entry.hidden:
        return ""
    return text_of(entry.type, entry.content)


async def _look_up(ports: Ports, names: Names, user_id: UserId, views: Sequence[ConversationView]) -> _Faces:
    peers = [UserId(view.ref.target_id) for view in views if view.ref.kind is Kind.PRIVATE]
    group_ids = [GroupId(view.ref.target_id) for view in views if view.ref.kind is Kind.GROUP]
    known, remarks, groups = await asyncio.gather(
        names.look_up(peers), _remarks(ports, user_id, peers), _groups(ports, group_ids)
    )
    return _Faces(known, remarks, groups)


async def _remarks(ports: Ports, user_id: UserId, peers: list[UserId]) -> dict[UserId, str]:
    return dict(await ports.contacts.list_remarks(user_id, peers)) if peers else {}


async def _groups(ports: Ports, group_ids: list[GroupId]) -> dict[GroupId, GroupInfo]:
    return {group.group_id: group for group in await ports.groups.list_groups_by_id(group_ids)} if group_ids else {}


def _item(view: ConversationView, faces: _Faces, times: LocalTimes) -> dict[str, Any]:
    name, remark = NOBODY, ""
    if view.ref.kind is Kind.PRIVATE:
        peer = UserId(view.ref.target_id)
        name, remark = faces.names.get(peer, NOBODY), faces.remarks.get(peer, "")
    elif (group := faces.groups.get(GroupId(view.ref.target_id))) is not None:
        name = Name(group.name, group.avatar)
    return {
        "id": view.conversation_id,
        "talk_mode": int(view.ref.kind),
        "to_from_id": view.ref.target_id,
        "is_top": _flag(view.pinned),
        "is_disturb": _flag(view.muted),
        "is_robot": _flag(name.is_robot),
        "name": name.nickname,
        "avatar": name.avatar,
        "remark": remark,
        "unread_num": view.unread,
        "msg_text": preview_text(view.preview),
        "updated_at": times.text(view.updated_at_ms),
    }


def _flag(value: bool) -> int:
    return 1 if value else 2
