"""What the group domain keeps, in its own words."""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from xinyu.group.types import Application, ApplicationStatus, Group, GroupInfo, Member
from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import Effect


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A group as it is while nobody else can change it: what a decision is made on."""

    group: Group
    members: Mapping[UserId, Member]
    """The memberships asked for, ended ones too; users who never were members are missing."""
    applications: Mapping[UserId, Application] = field(default_factory=dict)
    """The newest application of each user asked for, whatever became of it; only when asked for."""


@dataclass(frozen=True, slots=True)
class NewApplication:
    """An application to be written."""

    user_id: UserId
    remark: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of the pending applications of these users; who has none is skipped."""

    user_ids: Collection[UserId]
    status: ApplicationStatus
    handler_id: UserId
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What a decision wants written, all of it or nothing. An empty one changes nothing."""

    group: Group | None = None
    members: Collection[Member] = ()
    """Whole memberships, new or changed. Their counts are in `group` already."""
    application: NewApplication | None = None
    answer: Answer | None = None
    effect: Effect | None = None


Decide = Callable[[Snapshot], Change]
"""Free of I/O and repeatable: it runs again after a deadlock. What it raises is raised, and nothing is written."""


class GroupStore(abc.ABC):
    """Groups, memberships, applications. All methods raise StorageUnavailable."""

    @abc.abstractmethod
    async def create(self, group: Group, members: Collection[Member], effect_of: Callable[[GroupId], Effect]) -> Group:
        """Write a new group (its group_id is ignored), its members, and the effect that `effect_of` makes of the id it
        gets. Returns it with its id."""

    @abc.abstractmethod
    async def change(
        self,
        group_id: GroupId,
        user_ids: Collection[UserId],
        decide: Decide,
        now_ms: int,
        with_applications: bool = False,
    ) -> str:
        """Lock the group, read it and the memberships of `user_ids`, have it decided, write that; one transaction.
        With `with_applications`, also the users' applications and the memberships of owner and admins are read.

        Returns the id of the effect to wait for: the one just written; where nothing was to be changed, the group's
        newest one; "" where something was written that has no effect.
        Raises GroupNotFound and what `decide` raises."""

    @abc.abstractmethod
    async def find(self, group_id: GroupId, user_id: UserId) -> tuple[Group | None, Member | None]:
        """A group and a user's membership of it, ended ones too."""

    @abc.abstractmethod
    async def list_groups(self, user_id: UserId) -> list[Group]:
        """Not dismissed groups that the user is in, in the order of joining."""

    @abc.abstractmethod
    async def list_infos(self, group_ids: Collection[GroupId]) -> list[GroupInfo]:
        """Groups by id, dismissed ones too, in no order; unknown ids are left out."""

    @abc.abstractmethod
    async def list_members(self, group_id: GroupId) -> list[Member]:
        """Lasting memberships: by role, the highest first, then in the order of joining."""

    @abc.abstractmethod
    async def find_application(self, application_id: int) -> Application | None:
        """An application, whatever became of it."""

    @abc.abstractmethod
    async def list_pending(self, group_id: GroupId, limit: int) -> list[Application]:
        """Pending applications to a group, newest first."""

    @abc.abstractmethod
    async def list_pending_for(self, manager_id: UserId, limit: int) -> list[Application]:
        """Pending applications to living groups whose owner or admin this is, newest first."""

    @abc.abstractmethod
    async def count_pending_for(self, manager_id: UserId) -> int:
        """How many of those there are."""
