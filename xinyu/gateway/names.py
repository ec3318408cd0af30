"""Names and avatars for presenters: asked in one batch, remembered for some seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cachetools import TTLCache

from xinyu.kernel.ids import UserId
from xinyu.user.port import ProfilePort


class Name(NamedTuple):
    """How a user is shown."""

    nickname: str
    avatar: str
    is_robot: bool = False


NOBODY = Name("", "")


class Names:
    """Looks users' names up."""

    def __init__(self, profiles: ProfilePort, seconds: float, size: int = 50_000) -> None:
        self._profiles = profiles
        self._known: TTLCache[UserId, Name] = TTLCache(size, seconds)

    async def look_up(self, user_ids: Iterable[UserId]) -> dict[UserId, Name]:
        """Names of users; unknown ones (and 0, the system) are shown as nobody."""
        wanted = {user_id for user_id in user_ids if user_id}
        found = {user_id: name for user_id in wanted if (name := self._known.get(user_id)) is not None}
        missing = wanted - found.keys()
        if missing:
            for profile in await self._profiles.list_profiles(list(missing)):
                name = Name(profile.nickname, profile.avatar, profile.is_robot)
                found[profile.user_id] = self._known[profile.user_id] = name
        return {user_id: found.get(user_id, NOBODY) for user_id in wanted | {UserId(0)}}

    async def of(self, user_id: UserId) -> Name:
        """One user's name."""
        known = self._known.get(user_id)
        return known if known is not None else (await self.look_up([user_id]))[user_id]

    def forget(self, user_id: UserId) -> None:
        """The user has changed his name."""
        self._known.pop(user_id, None)
