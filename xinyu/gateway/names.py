"""Names and avatars for presenters: asked in one batch, remembered for some seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

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
        self._turns_at = 0.0

    async def look_up(self, user_ids: Iterable[UserId]) -> dict[UserId, Name]:
        """Names of users; unknown ones (and 0, the system) are shown as nobody."""
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
            for profile in await self._profiles.list_profiles(missing):
                name = Name(profile.nickname, profile.avatar, profile.is_robot)
                found[profile.user_id] = self._known[profile.user_id] = name
            for user_id in missing:
                found.setdefault(user_id, NOBODY)
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

    def _age(self) -> None:
        now = time.monotonic()
        if now >= self._turns_at or len(self._known) >= self._size:
            fresh = now < self._turns_at + self._half_life
            self._older, self._known = (self._known if fresh else {}), {}
            self._turns_at = now + self._half_life
