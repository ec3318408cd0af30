"""REST calls about groups (CONTRACT.md 1.6, and the counter of 1.7)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from xinyu.sdk.api.rest import Empty, Rest
from xinyu.sdk.types import Json


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group in the list; `leader` is the owner's user id."""

    group_id: int
    group_name: str = ""
    avatar: str = ""
    profile: str = ""
    leader: int = 0
    creator_id: int = 0


class GroupDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A group; in the flags 1 = yes, 2 = no."""

    group_id: int
    group_name: str = ""
    profile: str = ""
    avatar: str = ""
    created_at: str = ""
    is_manager: bool = False
    is_disturb: int = 2
    visit_card: str = ""
    is_mute: int = 2
    is_overt: int = 2
    notice: Json | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member; `leader` 1 owner, 2 admin, 3 member (CONTRACT.md section 0, row 2); `is_mute` 1 = may not speak."""

    user_id: int
    nickname: str = ""
    avatar: str = ""
    gender: int = 0
    leader: int = 3
    is_mute: int = 0
    remark: str = ""
    motto: str = ""


class Friend(msgspec.Struct, frozen=True, kw_only=True):
    """A contact who is not in the group."""

    user_id: int
    nickname: str = ""
    avatar: str = ""
    gender: int = 0
    motto: str = ""
    remark: str = ""


class _Created(msgspec.Struct):
    group_id: int


class _Number(msgspec.Struct):
    num: int


def _on(value: bool) -> int:
    return 1 if value else 2


class GroupsApi:
    """Groups and their members. Owner and admin rights are checked by the server: ApiError 403."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def _do(self, route: str, group_id: int, **fields: object) -> None:
        await self._rest.post_as(f"group/{route}", Empty, {"group_id": group_id, **fields})

    async def create(self, name: str, user_ids: Sequence[int]) -> int:
        """Make a group with these contacts; its id."""
        return (await self._rest.post_as("group/create", _Created, {"name": name, "user_ids": list(user_ids)})).group_id

    async def list(self) -> list[Group]:
        """The groups this user is in."""
        return await self._rest.list_as("group/list", Group)

    async def detail(self, group_id: int) -> GroupDetail:
        """One group."""
        return await self._rest.post_as("group/detail", GroupDetail, {"group_id": group_id})

    async def members(self, group_id: int) -> Sequence[Member]:
        """Who is in the group."""
        return await self._rest.list_as("group/member-list", Member, {"group_id": group_id})

    async def update(self, group_id: int, *, name: str = "", avatar: str = "", profile: str = "") -> None:
        """Change name, avatar or profile; empty keeps. Owner or admin."""
        await self._do("setting", group_id, group_name=name, avatar=avatar, profile=profile)

    async def invite(self, group_id: int, user_ids: Sequence[int]) -> None:
        """Add contacts. Who is a member already stays one."""
        await self._do("invite", group_id, user_ids=list(user_ids))

    async def invitable(self, group_id: int) -> Sequence[Friend]:
        """Contacts who are not in the group."""
        return await self._rest.list_as("group/get-invite-friends", Friend, {"group_id": group_id})

    async def remove_members(self, group_id: int, user_ids: Sequence[int]) -> None:
        """Remove members. Owner or admin."""
        await self._do("remove-member", group_id, user_ids=list(user_ids))

    async def leave(self, group_id: int) -> None:
        """Leave. An owner hands over first (ApiError 400)."""
        await self._do("secede", group_id)

    async def dismiss(self, group_id: int) -> None:
        """End the group. Owner."""
        await self._do("dismiss", group_id)

    async def hand_over(self, group_id: int, user_id: int) -> None:
        """Make another member the owner. Owner."""
        await self._do("handover", group_id, user_id=user_id)

    async def set_admin(self, group_id: int, user_id: int, admin: bool) -> None:
        """Make a member an admin, or no longer. Owner."""
        await self._do("assign-admin", group_id, user_id=user_id, action=_on(admin))

    async def mute_member(self, group_id: int, user_id: int, muted: bool) -> None:
        """Silence one member, or no longer. Owner or admin."""
        await self._do("no-speak", group_id, user_id=user_id, action=_on(muted))

    async def mute(self, group_id: int, muted: bool) -> None:
        """Silence everybody but owner and admins, or no longer. Owner or admin."""
        await self._do("mute", group_id, action=_on(muted))

    async def set_own_name(self, group_id: int, remark: str) -> None:
        """Set this user's name in the group."""
        await self._do("remark-update", group_id, remark=remark)

    async def application_count(self) -> int:
        """Unread applications to groups that this user manages."""
        return (await self._rest.post_as("group-apply/unread-num", _Number)).num
