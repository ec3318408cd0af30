"""Groups as the contract shows them (CONTRACT.md sections 1.6 and 1.7; flags: 1 = yes, 2 = no)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo

from xinyu.gateway.present.times import local_time
from xinyu.group.types import Application, Group, GroupInfo, GroupView, Member
from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import Role
from xinyu.user.types import Profile

Json = dict[str, object]
LEADER_OF: dict[Role, int] = {Role.OWNER: 1, Role.ADMIN: 2, Role.MEMBER: 3}
"""CONTRACT.md section 0, row 2."""


def group_item(group: Group) -> Json:
    """A group in the list; `leader` is its owner's id."""
    return {
        "group_id": group.group_id,
        "group_name": group.name,
        "avatar": group.avatar,
        "profile": group.profile,
        "leader": group.owner_id,
        "creator_id": group.creator_id,
    }


def detail_json(view: GroupView, muted_by_me: bool, zone: tzinfo) -> Json:
    """A group as the caller sees it; `is_overt` 1 is public (CONTRACT.md section 0, row 3)."""
    group = view.group
    return {
        "group_id": group.group_id,
        "group_name": group.name,
        "profile": group.profile,
        "avatar": group.avatar,
        "created_at": local_time(group.created_ms, zone),
        "is_manager": view.me.is_manager,
        "is_disturb": _flag(muted_by_me),
        "visit_card": view.me.card,
        "is_mute": _flag(group.mute_all),
        "is_overt": _flag(group.public),
    }


def members_json(members: Iterable[Member], profiles: Mapping[UserId, Profile]) -> Json:
    """All members, under both names of the list (CONTRACT.md section 0, row 1)."""
    items = [_member_item(member, profiles.get(member.user_id)) for member in members]
    return {"items": items, "list": items}


def friends_json(friends: Iterable[tuple[UserId, str]], profiles: Mapping[UserId, Profile]) -> Json:
    """Contacts, given as (user, remark)."""
    return {
        "items": [{**_head(profiles[user_id]), "remark": remark} for user_id, remark in friends if user_id in profiles]
    }


def applications_json(
    applications: Iterable[Application],
    profiles: Mapping[UserId, Profile],
    groups: Mapping[GroupId, GroupInfo],
    zone: tzinfo,
) -> Json:
    """Applications with their applicants' names and avatars; with `groups`, the groups' names too."""
    items = []
    for application in applications:
        profile, group = profiles.get(application.user_id), groups.get(application.group_id)
        items.append(
            {
                "id": application.application_id,
                "user_id": application.user_id,
                "group_id": application.group_id,
                "group_name": group.name if group else "",
                "remark": application.remark,
                "avatar": profile.avatar if profile else "",
                "nickname": profile.nickname if profile else "",
                "created_at": local_time(application.created_ms, zone),
            }
        )
    return {"items": items}


def _member_item(member: Member, profile: Profile | None) -> Json:
    return {
        **_head(profile or Profile(member.user_id, "")),
        "leader": LEADER_OF[member.role],
        "is_mute": _flag(member.muted_until_ms > 0),
        "remark": member.card,
    }


def _head(profile: Profile) -> Json:
    return {
        "user_id": profile.user_id,
        "nickname": profile.nickname,
        "avatar": profile.avatar,
        "gender": int(profile.gender),
        "motto": profile.motto,
    }


def _flag(value: bool) -> int:
    return 1 if value else 2
