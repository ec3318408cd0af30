"""The group domain on a real store, with the domains it asks played by small implementations of their ports."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import xinyu.group
from testkit.clock import ManualClock
from xinyu.group.applications import GroupApplyService
from xinyu.group.changes import Changes
from xinyu.group.effects import apply_with
from xinyu.group.memberships import MembershipService
from xinyu.group.service import GroupService
from xinyu.group.settings import GroupSettings
from xinyu.group.store_sql import GroupStoreSql
from xinyu.group.tables import group_effect
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import ConversationId, GroupId, UserId
from xinyu.message.port import EffectPort
from xinyu.message.types import Effect, MemberChange
from xinyu.storage.effects import EffectLog, EffectRelay
from xinyu.storage.migrations import History, upgrade
from xinyu.storage.sql import Database
from xinyu.user.port import ProfilePort
from xinyu.user.types import Preferences, Profile, ProfileChange

HISTORY = History("group", Path(xinyu.group.__file__).parent / "migrations")
LAST_USER = 3000
OWNER, ANNA, BORIS, CLARA, DORA = (UserId(number) for number in (1, 2, 3, 4, 5))


class People(ProfilePort):
    """Users 1 to LAST_USER exist and are called user-<id>."""

    def __init__(self) -> None:
        self.calls = 0

    async def list_profiles(self, user_ids: list[UserId]) -> list[Profile]:
        self.calls += 1
        return [Profile(user_id, f"user-{user_id}") for user_id in set(user_ids) if 1 <= user_id <= LAST_USER]

    async def find_by_mobile(self, mobile: str) -> Profile | None:
        raise NotImplementedError

    async def update_profile(self, user_id: UserId, change: ProfileChange) -> None:
        raise NotImplementedError

    async def get_preferences(self, user_id: UserId) -> Preferences:
        raise NotImplementedError

    async def save_preferences(self, user_id: UserId, preferences: Preferences) -> None:
        raise NotImplementedError


class Conversations(EffectPort):
    """What message would make of effects: only newer parts count, each effect once."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.away = False
        self._members: dict[tuple[int, int], dict[UserId, MemberChange]] = defaultdict(dict)

    async def apply(self, effect: Effect) -> ConversationId:
        if self.away:
            raise Unavailable()
        if effect.effect_id in {known.effect_id for known in self.effects}:
            return ConversationId(1)
        self.effects.append(effect)
        for change in effect.members:
            known = self._members[effect.parties].get(change.user_id)
            if known is None or known.version < change.version:
                self._members[effect.parties][change.user_id] = change
        return ConversationId(1)

    def members(self, group_id: GroupId) -> dict[UserId, MemberChange]:
        """Who may read and write in a group, as far as message knows."""
        return {user: change for user, change in self._members[(group_id, 0)].items() if change.active}

    def events(self, event_type: int | None = None) -> list[dict[str, object]]:
        """The contents of events so far, in order."""
        events = [effect.event for effect in self.effects if effect.event is not None]
        return [event.content for event in events if event_type in (None, event.type)]


class GroupWorld:
    """All of it."""

    def __init__(
        self,
        database: Database,
        clock: Clock | None = None,
        settings: GroupSettings | None = None,
        effects: EffectPort | None = None,
    ) -> None:
        """`effects` carries out what `conversations` does otherwise."""
        self.database = database
        self.clock = clock or ManualClock()
        self.people = People()
        self.conversations = Conversations()
        self.log = EffectLog(database, group_effect, self.clock)
        self.relay = EffectRelay(self.log, apply_with(effects or self.conversations), self.clock, "group")
        self.store = GroupStoreSql(database, self.log)
        settings = settings or GroupSettings()
        changes = Changes(self.store, self.people, self.relay.carry_out, self.clock)
        self.groups = GroupService(self.store, changes, settings)
        self.members = MembershipService(self.store, changes, settings)
        self.applications = GroupApplyService(self.store, changes)

    async def start(self) -> None:
        """Make the tables."""
        await upgrade(self.database, HISTORY)

    async def new_group(self, *others: UserId, admins: tuple[UserId, ...] = ()) -> GroupId:
        """A group of OWNER with these members and admins."""
        group_id = await self.groups.create(OWNER, "the group", [*others, *admins])
        for admin in admins:
            await self.members.set_admin(OWNER, group_id, admin, True)
        return group_id

    async def member_ids(self, group_id: GroupId) -> set[UserId]:
        """Who is in a group, as the owner's table has it; checked against the count and against message."""
        members = await self.store.list_members(group_id)
        group, _ = await self.store.find(group_id, OWNER)
        assert group is not None
        assert group.member_count == len(members)
        assert [member.user_id for member in members if member.role == 3] == [group.owner_id]
        known = self.conversations.members(group_id)
        assert {member.user_id: (member.version, member.role) for member in members} == {
            change.user_id: (change.version, change.role) for change in known.values()
        }
        return {member.user_id for member in members}
