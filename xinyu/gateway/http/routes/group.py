"""Groups and their members (CONTRACT.md section 1.6)."""

from __future__ import annotations

from typing import Literal

import msgspec

from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.http.call import Call, NoBody, RawRoute, Route
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.group import detail_json, friends_json, group_item, members_json
from xinyu.group.errors import NothingToLeave, PermissionDenied
from xinyu.group.types import MUTED_FOR_GOOD_MS
from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import group_ref
from xinyu.user.types import Profile

ERRORS: dict[str, str] = {
    "group.not_found": "group not found",
    "group.not_a_member": "not a member",
    "group.nothing_to_leave": "not a member",
    "group.permission_denied": "permission denied",
    "group.owner_cannot_leave": "owner cannot secede, must handover first",
    "group.target_not_a_member": "该用户不是群成员",
    "group.full": "群成员数量已达上限",
    "group.unknown_user": "用户不存在",
    "group.too_many_users": "一次操作的用户过多",
    "group.bad_text": "名称或内容为空或过长",
}

CREATE = "/api/v1/group/create"
Switch = Literal[1, 2]
"""1 on, 2 off."""


class GroupBody(msgspec.Struct):
    """What names a group and nothing else."""

    group_id: IdNumber


class CreateBody(msgspec.Struct):
    """group/create"""

    name: str = ""
    user_ids: list[IdNumber] = []
    member_ids: list[IdNumber] = []
    """The predecessor's other spelling of `user_ids`."""


class SettingBody(msgspec.Struct):
    """group/setting"""

    group_id: IdNumber
    group_name: str = ""
    avatar: str = ""
    profile: str = ""


class UsersBody(msgspec.Struct):
    """A group and users."""

    group_id: IdNumber
    user_ids: list[IdNumber] = []
    member_ids: list[IdNumber] = []


class UserBody(msgspec.Struct):
    """A group and one user."""

    group_id: IdNumber
    user_id: IdNumber


class UserSwitchBody(msgspec.Struct):
    """A group, one user, and on or off."""

    group_id: IdNumber
    user_id: IdNumber
    action: Switch


class SwitchBody(msgspec.Struct):
    """A group, and on or off."""

    group_id: IdNumber
    action: Switch


class RemarkBody(msgspec.Struct):
    """group/remark-update"""

    group_id: IdNumber
    remark: str = ""


async def create(call: Call[CreateBody]) -> object:
    """A new group with contacts of the caller."""
    members = await _contacts_among(call, [*call.body.user_ids, *call.body.member_ids])
    return {"group_id": await call.ports.groups.create(call.user_id, call.body.name, members)}


async def list_groups(call: Call[NoBody]) -> object:
    """The caller's groups."""
    return {"items": [group_item(group) for group in await call.ports.groups.list_groups(call.user_id)]}


async def detail(call: Call[GroupBody]) -> object:
    """One group."""
    group_id = GroupId(call.body.group_id)
    view = await call.ports.groups.get_group(call.user_id, group_id)
    [muted] = await call.ports.conversations.list_muted(call.user_id, [group_ref(group_id)])
    return detail_json(view, muted, call.zone)


async def member_list(call: Call[GroupBody]) -> object:
    """Who is in the group."""
    members = await call.ports.group_members.list_members(call.user_id, GroupId(call.body.group_id))
    return members_json(members, await profiles_of(call.ports, [member.user_id for member in members]))


async def setting(call: Call[SettingBody]) -> None:
    """Change name, avatar or profile."""
    body = call.body
    await call.ports.groups.update_settings(
        call.user_id, GroupId(body.group_id), body.group_name, body.avatar, body.profile
    )


async def invite(call: Call[UsersBody]) -> None:
    """Bring contacts of the caller in."""
    members = await _contacts_among(call, [*call.body.user_ids, *call.body.member_ids])
    await call.ports.group_members.invite(call.user_id, GroupId(call.body.group_id), members)


async def get_invite_friends(call: Call[GroupBody]) -> object:
    """The caller's contacts who are not in the group; all of them for group 0, which is about to be made."""
    inside: set[UserId] = set()
    if call.body.group_id:
        inside.update(await call.ports.group_members.list_member_ids(call.user_id, GroupId(call.body.group_id)))
    contacts = await call.ports.contacts.list_contacts(call.user_id)
    friends = [(contact.user_id, contact.remark) for contact in contacts if contact.user_id not in inside]
    return friends_json(friends, await profiles_of(call.ports, [user_id for user_id, _ in friends]))


async def remove_member(call: Call[UsersBody]) -> None:
    """Remove members."""
    users = [UserId(user_id) for user_id in (*call.body.user_ids, *call.body.member_ids)]
    await call.ports.group_members.remove(call.user_id, GroupId(call.body.group_id), users)


async def secede(call: Call[GroupBody]) -> None:
    """Leave."""
    await call.ports.group_members.leave(call.user_id, GroupId(call.body.group_id))


async def dismiss(call: Call[GroupBody]) -> None:
    """End the group."""
    await call.ports.groups.dismiss(call.user_id, GroupId(call.body.group_id))


async def handover(call: Call[UserBody]) -> None:
    """Make another member the owner."""
    await call.ports.groups.hand_over(call.user_id, GroupId(call.body.group_id), UserId(call.body.user_id))


async def assign_admin(call: Call[UserSwitchBody]) -> None:
    """Make a member an admin, or no longer."""
    body = call.body
    await call.ports.group_members.set_admin(
        call.user_id, GroupId(body.group_id), UserId(body.user_id), body.action == 1
    )


async def no_speak(call: Call[UserSwitchBody]) -> None:
    """Silence one member, or no longer."""
    body = call.body
    await call.ports.group_members.set_muted_until(
        call.user_id, GroupId(body.group_id), UserId(body.user_id), MUTED_FOR_GOOD_MS if body.action == 1 else 0
    )


async def mute(call: Call[SwitchBody]) -> None:
    """Silence everybody but owner and admins, or no longer."""
    await call.ports.groups.set_mute_all(call.user_id, GroupId(call.body.group_id), call.body.action == 1)


async def remark_update(call: Call[RemarkBody]) -> None:
    """Choose the caller's own name in the group."""
    await call.ports.group_members.set_card(call.user_id, GroupId(call.body.group_id), call.body.remark)


async def profiles_of(ports: Ports, user_ids: list[UserId]) -> dict[UserId, Profile]:
    """Profiles by user, in one call."""
    if not user_ids:
        return {}
    return {profile.user_id: profile for profile in await ports.profiles.list_profiles(list(dict.fromkeys(user_ids)))}


async def _contacts_among(call: Call[CreateBody] | Call[UsersBody], user_ids: list[int]) -> list[UserId]:
    """Those of `user_ids` who are contacts of the caller; the others cannot be brought into a group by him."""
    if not user_ids:
        return []
    contacts = {contact.user_id for contact in await call.ports.contacts.list_contacts(call.user_id)}
    return [UserId(user_id) for user_id in user_ids if user_id in contacts]


ROUTES: list[Route | RawRoute] = [
    Route(CREATE, create, CreateBody, replay=True),
    Route("/api/v1/group/list", list_groups),
    Route("/api/v1/group/detail", detail, GroupBody),
    Route("/api/v1/group/member-list", member_list, GroupBody),
    Route("/api/v1/group/setting", setting, SettingBody),
    Route("/api/v1/group/invite", invite, UsersBody),
    Route("/api/v1/group/get-invite-friends", get_invite_friends, GroupBody),
    Route("/api/v1/group/remove-member", remove_member, UsersBody),
    Route("/api/v1/group/secede", secede, GroupBody, taken=(NothingToLeave,)),
    Route("/api/v1/group/dismiss", dismiss, GroupBody, undoes=CREATE),
    Route("/api/v1/group/handover", handover, UserBody, taken=(PermissionDenied,)),
    Route("/api/v1/group/assign-admin", assign_admin, UserSwitchBody),
    Route("/api/v1/group/no-speak", no_speak, UserSwitchBody),
    Route("/api/v1/group/mute", mute, SwitchBody),
    Route("/api/v1/group/remark-update", remark_update, RemarkBody),
]
"""`replay`: repeated, it would make a second group. `taken`: what these are refused with after the first time took."""
