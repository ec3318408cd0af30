"""Values of the group domain. All of them travel over RPC."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import Role

MUTED_FOR_GOOD_MS = 4_102_358_400_000
"""2099-12-31 00:00 UTC: how long a mute lasts that nobody gave an end (CONTRACT.md section 1.6, no-speak)."""


class Group(msgspec.Struct, frozen=True):
    """A group as a whole."""

    group_id: GroupId
    name: str
    avatar: str
    profile: str
    owner_id: UserId
    creator_id: UserId
    mute_all: bool
    """Only owner and admins may speak."""
    public: bool
    max_members: int
    member_count: int
    version: int
    """Counts up with mute_all and dismissed_ms."""
    created_ms: int
    dismissed_ms: int = 0
    """When it was dismissed; 0 while it lives."""


class Member(msgspec.Struct, frozen=True):
    """A user's membership of a group, also after it has ended."""

    user_id: UserId
    role: Role
    card: str
    """The name that the member chose for this group; "" for none."""
    muted_until_ms: int
    """May not speak before this time (UTC ms)."""
    joined_ms: int
    left_ms: int
    """When the membership ended; 0 while it lasts."""
    version: int
    """Counts up with every change of role, mute or membership, over all memberships of this user in this group."""

    @property
    def active(self) -> bool:
        """Whether the membership lasts."""
        return self.left_ms == 0

    def is_muted(self, now_ms: int) -> bool:
        """Whether the member may not speak at `now_ms`."""
        return self.muted_until_ms > now_ms

    @property
    def is_manager(self) -> bool:
        """Whether it is the owner or an admin, now."""
        return self.active and self.role >= Role.ADMIN


class GroupView(msgspec.Struct, frozen=True):
    """A group as one of its members sees it."""

    group: Group
    me: Member


class GroupInfo(msgspec.Struct, frozen=True):
    """What a conversation list shows of a group, dismissed ones too."""

    group_id: GroupId
    name: str
    avatar: str
    dismissed: bool


class ApplicationStatus(IntEnum):
    """What became of an application; the numbers are the predecessor's (CONTRACT.md section 4.3)."""

    PENDING = 1
    ACCEPTED = 2
    DECLINED = 3


class Application(msgspec.Struct, frozen=True):
    """Somebody asks to join a group."""

    application_id: int
    group_id: GroupId
    user_id: UserId
    remark: str
    status: ApplicationStatus
    created_ms: int
