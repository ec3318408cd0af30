"""Profiles and settings."""

from __future__ import annotations

from xinyu.kernel.ids import UserId
from xinyu.user.errors import BadMobile, UserNotFound
from xinyu.user.port import ProfilePort
from xinyu.user.rules import normalised_change, normalised_mobile, normalised_preferences
from xinyu.user.store import ProfileStore
from xinyu.user.types import Preferences, Profile, ProfileChange


class ProfileService(ProfilePort):
    """ProfilePort."""

    def __init__(self, store: ProfileStore) -> None:
        self._store = store

    async def list_profiles(self, user_ids: list[UserId]) -> list[Profile]:
        return await self._store.list_profiles(user_ids)

    async def find_by_mobile(self, mobile: str) -> Profile | None:
        try:
            return await self._store.find_by_mobile(normalised_mobile(mobile))
        except BadMobile:
            return None

    async def update_profile(self, user_id: UserId, change: ProfileChange) -> None:
        if not await self._store.update_profile(user_id, normalised_change(change)):
            raise UserNotFound()

    async def get_preferences(self, user_id: UserId) -> Preferences:
        return await self._store.find_preferences(user_id) or Preferences()

    async def save_preferences(self, user_id: UserId, preferences: Preferences) -> None:
        if not await self._store.save_preferences(user_id, normalised_preferences(preferences)):
            raise UserNotFound()
