"""How a change is made: names first, then the decision on the locked group, then its effect on the conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from functools import partial

from xinyu.group.effects import Act, effect_of_create
from xinyu.group.errors import UnknownUser
from xinyu.group.store import Change, GroupStore, Snapshot
from xinyu.group.types import Group, Member
from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import GroupId, UserId, new_msg_id
from xinyu.user.port import ProfilePort

CarryOut = Callable[[str], Awaitable[None]]
"""Returns when the effect of this id took. Raises Unavailable when it is still to come."""
Rule = Callable[[Snapshot, Act], Change]


class Changes:
    """Runs decisions of `rules` against the store."""

    def __init__(self, store: GroupStore, profiles: ProfilePort, carry_out: CarryOut, clock: Clock) -> None:
        self._store = store
        self._profiles = profiles
        self._carry_out = carry_out
        self._clock = clock

    def now_ms(self) -> int:
        """UTC ms."""
        return self._clock.now_ms()

    def silent_act(self, user_id: UserId) -> Act:
        """An act that no event tells of, so that it needs no names."""
        return Act(user_id, self._clock.now_ms(), new_msg_id(), {})

    async def act(self, user_id: UserId, concerned: Collection[UserId] = (), must_exist: bool = False) -> Act:
        """An act of `user_id` on those concerned, with the names of all: one call, before any lock is held.
        Raises UnknownUser, with `must_exist`, where one of them does not exist."""
        wanted = list(dict.fromkeys([user_id, *concerned]))
        names = {profile.user_id: profile.nickname for profile in await self._profiles.list_profiles(wanted)}
        if must_exist and len(names) < len(wanted):
            raise UnknownUser()
        return replace(self.silent_act(user_id), names=names)

    async def create(self, act: Act, group: Group, members: Collection[Member]) -> GroupId:
        """Write a new group; returns when its conversation stands."""
        effect_of = partial(effect_of_create, act=act, members=list(members))
        made = await self._store.create(group, members, effect_of)
        await self._carry_out(act.effect_id)
        return made.group_id

    async def run(
        self,
        act: Act,
        group_id: GroupId,
        rule: Rule,
        concerned: Collection[UserId] = (),
        with_applications: bool = False,
    ) -> None:
        """Decide and write; returns when the effect took. Where nothing is to be changed, it still waits for the
        group's newest effect: so a caller who repeats a change that was left pending learns that it took."""

        def decide(snapshot: Snapshot) -> Change:
            return rule(snapshot, act)

        users = {act.user_id, *concerned}
        effect_id = await self._store.change(group_id, users, decide, act.now_ms, with_applications)
        if effect_id:
            await self._carry_out(effect_id)
