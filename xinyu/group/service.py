"""Groups as a whole."""

from __future__ import annotations

from xinyu.group import rules
from xinyu.group.changes import Changes
from xinyu.group.errors import GroupFull, GroupNotFound, NotAMember, TooManyUsers
from xinyu.group.port import GroupPort
from xinyu.group.settings import GroupSettings
from xinyu.group.store import GroupStore
from xinyu.group.types import Group, GroupInfo, GroupView
from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import Role


class GroupService(GroupPort):
    """Makes, shows, changes and ends groups."""

    def __init__(self, store: GroupStore, changes: Changes, settings: GroupSettings) -> None:
        self._store = store
        self._changes = changes
        self._settings = settings

    async def create(self, user_id: UserId, name: str, member_ids: list[UserId]) -> GroupId:
        name = rules.checked_text(name, rules.NAME_CHARS, required=True)
        if len(member_ids) > self._settings.max_users_per_request:
            raise TooManyUsers()
        others = sorted(set(member_ids) - {user_id})
        if 1 + len(others) > self._settings.max_members:
            raise GroupFull()
        act = await self._changes.act(user_id, others, must_exist=True)
        members = [rules.new_member(user_id, act.now_ms, role=Role.OWNER)]
        members += [rules.new_member(other, act.now_ms) for other in others]
        group = Group(
            group_id=GroupId(0),
            name=name,
            avatar="",
            profile="",
            owner_id=user_id,
            creator_id=user_id,
            mute_all=False,
            public=False,
            max_members=self._settings.max_members,
            member_count=len(members),
            version=1,
            created_ms=act.now_ms,
        )
        return await self._changes.create(act, group, members)

    async def dismiss(self, user_id: UserId, group_id: GroupId) -> None:
        act = await self._changes.act(user_id)
        await self._changes.run(act, group_id, rules.dismiss)

    async def get_group(self, user_id: UserId, group_id: GroupId) -> GroupView:
        return await get_view(self._store, user_id, group_id)

    async def list_groups(self, user_id: UserId) -> list[Group]:
        return await self._store.list_groups(user_id)

    async def list_groups_by_id(self, group_ids: list[GroupId]) -> list[GroupInfo]:
        return await self._store.list_infos(group_ids) if group_ids else []

    async def update_settings(
        self, user_id: UserId, group_id: GroupId, name: str = "", avatar: str = "", profile: str = ""
    ) -> None:
        name = rules.checked_text(name, rules.NAME_CHARS)
        avatar = rules.checked_text(avatar, rules.URL_CHARS)
        profile = rules.checked_text(profile, rules.PROFILE_CHARS)
        await self._changes.run(
            self._changes.silent_act(user_id),
            group_id,
            lambda snapshot, act: rules.update(snapshot, act, name, avatar, profile),
        )

    async def hand_over(self, user_id: UserId, group_id: GroupId, new_owner_id: UserId) -> None:
        act = await self._changes.act(user_id, [new_owner_id])
        await self._changes.run(
            act, group_id, lambda snapshot, act: rules.hand_over(snapshot, act, new_owner_id), [new_owner_id]
        )

    async def set_mute_all(self, user_id: UserId, group_id: GroupId, muted: bool) -> None:
        act = await self._changes.act(user_id)
        await self._changes.run(act, group_id, lambda snapshot, act: rules.set_mute_all(snapshot, act, muted))


async def get_view(store: GroupStore, user_id: UserId, group_id: GroupId) -> GroupView:
    """A living group as one of its members sees it. Raises GroupNotFound, NotAMember."""
    group, member = await store.find(group_id, user_id)
    if group is None or group.dismissed_ms:
        raise GroupNotFound()
    if member is None or not member.active:
        raise NotAMember()
    return GroupView(group, member)
