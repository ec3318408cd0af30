"""Who is in a group, and in which role."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from xinyu.group import rules
from xinyu.group.changes import Changes
from xinyu.group.errors import TooManyUsers
from xinyu.group.port import MembershipPort
from xinyu.group.service import get_view
from xinyu.group.settings import GroupSettings
from xinyu.group.store import GroupStore
from xinyu.group.types import Member
from xinyu.kernel.ids import GroupId, UserId


class MembershipService(MembershipPort):
    """Brings members in and out, raises, lowers and silences them."""

    def __init__(self, store: GroupStore, changes: Changes, settings: GroupSettings) -> None:
        self._store = store
        self._changes = changes
        self._settings = settings

    async def list_members(self, user_id: UserId, group_id: GroupId) -> list[Member]:
        await get_view(self._store, user_id, group_id)
        now_ms = self._changes.now_ms()
        members = await self._store.list_members(group_id)
        return [member if member.is_muted(now_ms) else replace(member, muted_until_ms=0) for member in members]

    async def list_member_ids(self, user_id: UserId, group_id: GroupId) -> list[UserId]:
        return [member.user_id for member in await self.list_members(user_id, group_id)]

    async def invite(self, user_id: UserId, group_id: GroupId, member_ids: list[UserId]) -> None:
        self._check_count(member_ids)
        await get_view(self._store, user_id, group_id)  # before telling a stranger which users exist
        act = await self._changes.act(user_id, member_ids, must_exist=True)
        await self._changes.run(
            act, group_id, lambda snapshot, act: rules.invite(snapshot, act, member_ids), member_ids
        )

    async def remove(self, user_id: UserId, group_id: GroupId, member_ids: list[UserId]) -> None:
        self._check_count(member_ids)
        act = await self._changes.act(user_id, member_ids)
        await self._changes.run(
            act, group_id, lambda snapshot, act: rules.remove(snapshot, act, member_ids), member_ids
        )

    async def leave(self, user_id: UserId, group_id: GroupId) -> None:
        act = await self._changes.act(user_id)
        await self._changes.run(act, group_id, rules.leave)

    async def set_admin(self, user_id: UserId, group_id: GroupId, member_id: UserId, admin: bool) -> None:
        await self._changes.run(
            self._changes.silent_act(user_id),
            group_id,
            lambda snapshot, act: rules.set_admin(snapshot, act, member_id, admin),
            [member_id],
        )

    async def set_muted_until(self, user_id: UserId, group_id: GroupId, member_id: UserId, until_ms: int) -> None:
        act = await self._changes.act(user_id, [member_id])
        await self._changes.run(
            act,
            group_id,
            lambda snapshot, act: rules.set_muted_until(snapshot, act, member_id, until_ms),
            [member_id],
        )

    async def set_card(self, user_id: UserId, group_id: GroupId, card: str) -> None:
        card = rules.checked_text(card, rules.NAME_CHARS)
        await self._changes.run(
            self._changes.silent_act(user_id), group_id, lambda snapshot, act: rules.set_card(snapshot, act, card)
        )

    def _check_count(self, user_ids: Collection[UserId]) -> None:
        if len(user_ids) > self._settings.max_users_per_request:
            raise TooManyUsers()
