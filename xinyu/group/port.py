"""Ports of the group domain: groups (`GroupPort`), who is in them (`MembershipPort`), who asks in (`GroupApplyPort`).

Every method checks its caller, the first argument. A group that is unknown or dismissed raises GroupNotFound, a caller
who is not in it (any more) NotAMember, a role that is too low PermissionDenied. Changes return when they took effect in
the group's conversation; they raise `Unavailable` when they are stored and their effect is still to come, and repeating
them then waits for it. Who is as wished already changes nothing and makes no event.
"""

from __future__ import annotations

from xinyu.group.types import Application, Group, GroupInfo, GroupView, Member
from xinyu.kernel.ids import GroupId, UserId
from xinyu.kernel.port import Port, rpc


class GroupPort(Port):
    """Groups as a whole."""

    @rpc(601)
    async def create(self, user_id: UserId, name: str, member_ids: list[UserId]) -> GroupId:
        """Make a group owned by the caller with these members besides. Raises BadText, TooManyUsers, UnknownUser,
        GroupFull."""

    @rpc(602, idempotent=True)
    async def dismiss(self, user_id: UserId, group_id: GroupId) -> None:
        """End the group for everybody; nothing can be sent to it any more. Owner only."""

    @rpc(603, idempotent=True)
    async def get_group(self, user_id: UserId, group_id: GroupId) -> GroupView:
        """The group and the caller's membership. Members only."""

    @rpc(604, idempotent=True)
    async def list_groups(self, user_id: UserId) -> list[Group]:
        """The caller's groups that are not dismissed, in the order of joining."""

    @rpc(630, idempotent=True)
    async def list_groups_by_id(self, group_ids: list[GroupId]) -> list[GroupInfo]:
        """Names and avatars for a conversation list, in no order; unknown ids are left out. Checks no caller: ask for
        groups that the user's own conversations name."""

    @rpc(605, idempotent=True)
    async def update_settings(
        self, user_id: UserId, group_id: GroupId, name: str = "", avatar: str = "", profile: str = ""
    ) -> None:
        """Change what is not empty, and nothing else. Owner and admins. Raises BadText."""

    @rpc(606)
    async def hand_over(self, user_id: UserId, group_id: GroupId, new_owner_id: UserId) -> None:
        """Make another member the owner, the caller a plain member. Owner only. Raises TargetNotAMember."""

    @rpc(608, idempotent=True)
    async def set_mute_all(self, user_id: UserId, group_id: GroupId, muted: bool) -> None:
        """Let only owner and admins speak, or all. Owner and admins."""


class MembershipPort(Port):
    """The members of a group."""

    @rpc(611, idempotent=True)
    async def list_members(self, user_id: UserId, group_id: GroupId) -> list[Member]:
        """Owner, admins, members, each in the order of joining; `muted_until_ms` is 0 for who may speak. Members
        only."""

    @rpc(631, idempotent=True)
    async def list_member_ids(self, user_id: UserId, group_id: GroupId) -> list[UserId]:
        """The users in the group, in no order. Members only."""

    @rpc(612, idempotent=True)
    async def invite(self, user_id: UserId, group_id: GroupId, member_ids: list[UserId]) -> None:
        """Add users; those who are in it stay as they are. All or none. Any member. Raises TooManyUsers, UnknownUser,
        GroupFull."""

    @rpc(613, idempotent=True)
    async def remove(self, user_id: UserId, group_id: GroupId, member_ids: list[UserId]) -> None:
        """Remove members; those who are not in it are skipped. All or none. Only members of a lower role than the
        caller's. Owner and admins. Raises TooManyUsers."""

    @rpc(614)
    async def leave(self, user_id: UserId, group_id: GroupId) -> None:
        """Leave the group. Raises NothingToLeave, OwnerCannotLeave."""

    @rpc(607, idempotent=True)
    async def set_admin(self, user_id: UserId, group_id: GroupId, member_id: UserId, admin: bool) -> None:
        """Make a member an admin, or a plain member again. Owner only. Raises TargetNotAMember."""

    @rpc(616, idempotent=True)
    async def set_muted_until(self, user_id: UserId, group_id: GroupId, member_id: UserId, until_ms: int) -> None:
        """Silence a member until a time (UTC ms; 0 or past: let them speak). Only members of a lower role than the
        caller's. Owner and admins. Raises TargetNotAMember."""

    @rpc(615, idempotent=True)
    async def set_card(self, user_id: UserId, group_id: GroupId, card: str) -> None:
        """Choose the caller's own name in this group; "" for none. Raises BadText."""


class GroupApplyPort(Port):
    """Applications to join a group."""

    @rpc(617, idempotent=True)
    async def apply(self, user_id: UserId, group_id: GroupId, remark: str) -> None:
        """Ask to join; owner and admins are told. While an application is pending, another one changes nothing.
        Raises AlreadyAMember, BadText."""

    @rpc(618, idempotent=True)
    async def accept(self, user_id: UserId, application_id: int) -> None:
        """Let the applicant join. Owner and admins. Raises ApplicationNotFound, ApplicationHandled (declined before),
        GroupFull."""

    @rpc(619, idempotent=True)
    async def decline(self, user_id: UserId, application_id: int, remark: str) -> None:
        """Refuse, with a reason that is kept. Owner and admins. Raises ApplicationNotFound, ApplicationHandled
        (accepted before), BadText."""

    @rpc(620, idempotent=True)
    async def list_pending(self, user_id: UserId, group_id: GroupId) -> list[Application]:
        """Pending applications to one group, newest first, at most 500. Owner and admins."""

    @rpc(621, idempotent=True)
    async def list_all_pending(self, user_id: UserId) -> list[Application]:
        """Pending applications to all groups whose owner or admin the caller is, newest first, at most 500."""

    @rpc(622, idempotent=True)
    async def count_pending(self, user_id: UserId) -> int:
        """How many applications wait for the caller, over all groups."""
