"""Names and avatars for presenters: asked in one batch, remembered for some seconds, or while `user` is away."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import UserId
from xinyu.user.port import ProfilePort


class Name(NamedTuple):
    """How a user is shown."""

    nickname: str
    avatar: str
    is_robot: bool = False


NOBODY = Name("", "")


class Names:
    """Looks users' names up. What is known is kept by age alone, in two generations: on the hot path a look is one
    dictionary look-up."""

    def __init__(self, profiles: ProfilePort, seconds: float, size: int = 50_000) -> None:
        self._profiles = profiles
        self._half_life = seconds / 2
        self._size = size
        self._known: dict[UserId, Name] = {}
        self._older: dict[UserId, Name] = {}
        self._last: dict[UserId, Name] = {}
        """As they were last told, the oldest first: they go on while `user` is away."""
        self._turns_at = 0.0

    async def look_up(self, user_ids: Iterable[UserId]) -> dict[UserId, Name]:
        """Names of users; unknown ones (and 0, the system) are shown as nobody. While `user` is away they are shown as
        they were; raises what it raises when one was never told."""
        self._age()
        found: dict[UserId, Name] = {UserId(0): NOBODY}
        missing: list[UserId] = []
        for user_id in set(user_ids):
            known = self._known.get(user_id) or self._older.get(user_id)
            if known is not None:
                found[user_id] = known
            elif user_id:
                missing.append(user_id)
        if missing:
            try:
                await self._ask(missing)
            except XinyuError:
                last = {user_id: self._last[user_id] for user_id in missing if user_id in self._last}
                self._known.update(last)  # or every look would wait for the next failure
                if len(last) < len(missing):
                    raise
            for user_id in missing:
                found[user_id] = self._known.get(user_id, NOBODY)
        return found

    def remembered(self, user_ids: Iterable[UserId]) -> dict[UserId, Name]:
        """Those that are known, or were: what there is to show while `user` is away."""
        found: dict[UserId, Name] = {UserId(0): NOBODY}
        for user_id in user_ids:
            known = self._known.get(user_id) or self._last.get(user_id)
            if known is not None:
                found[user_id] = known
        return found

    async def of(self, user_id: UserId) -> Name:
        """One user's name."""
        self._age()
        known = self._known.get(user_id) or self._older.get(user_id)
        return known if known is not None else (await self.look_up([user_id]))[user_id]

    def forget(self, user_id: UserId) -> None:
        """The user has changed his name."""
        self._known.pop(user_id, None)
        self._older.pop(user_id, None)
        self._last.pop(user_id, None)

    async def _ask(self, user_ids: list[UserId]) -> None:
        for profile in await self._profiles.list_profiles(user_ids):
            name = Name(profile.nickname, profile.avatar, profile.is_robot)
            self._last.pop(profile.user_id, None)
            self._known[profile.user_id] = self._last[profile.user_id] = name
        while len(self._last) > self._size:
            del self._last[next(iter(self._last))]

    def _age(self) -> None:
        now = time.monotonic()
        if now >= self._turns_at or len(self._known) >= self._size:
            fresh = now < self._turns_at + self._half_life
            self._older, self._known = (self._known if fresh else {}), {}
            self._turns_at = now + self._half_life
