"""Ports of the contact domain: one's contacts (`ContactPort`), becoming one (`ApplicationPort`), groups of them
(`ContactGroupPort`).

Changes that decide who accepts whose messages return once they have taken effect in `message`; where that cannot be
reached they raise EffectPending (unavailable): the change stands, its effect follows, repeating the call is safe.
"""

from __future__ import annotations

from xinyu.contact.types import (
    Application,
    ApplicationId,
    Contact,
    ContactDetail,
    ContactGroup,
    ContactGroupDraft,
    ContactGroupId,
)
from xinyu.kernel.ids import UserId
from xinyu.kernel.port import Port, rpc
from xinyu.presence.types import OnlineUser


class ContactPort(Port):
    """One's contacts."""

    @rpc(401, idempotent=True)
    async def get_detail(self, user_id: UserId, target_id: UserId) -> ContactDetail:
        """`target_id` as `user_id` may see him: mobile and e-mail of oneself and of contacts only, as long as these
        neither removed nor blocked `user_id`. Raises UserUnknown."""

    @rpc(403, idempotent=True)
    async def search(self, user_id: UserId, mobile: str) -> ContactDetail:
        """The user with exactly this mobile number, which the answer repeats. Disabled users are not found. Raises
        UserUnknown, BadMobile."""

    @rpc(404, idempotent=True)
    async def list_contacts(self, owner_id: UserId) -> list[Contact]:
        """All contacts, blocked ones too, in the order in which they became one."""

    @rpc(414, idempotent=True)
    async def list_remarks(self, owner_id: UserId, user_ids: list[UserId]) -> list[tuple[UserId, str]]:
        """(user, remark) for those of `user_ids` that are contacts with a remark, in no order."""

    @rpc(409, idempotent=True)
    async def edit_remark(self, owner_id: UserId, contact_id: UserId, remark: str) -> None:
        """Name a contact; "" takes the name away. Raises NotAContact, BadRemark."""

    @rpc(410, idempotent=True)
    async def delete(self, owner_id: UserId, contact_id: UserId) -> None:
        """Remove a contact, clear and hide the conversation for `owner_id`, accept no more messages from the other;
        the other side keeps everything. Again: nothing more happens. Raises NotAContact for who never was one,
        EffectPending."""

    @rpc(415, idempotent=True)
    async def set_blocked(self, owner_id: UserId, other_id: UserId, blocked: bool) -> None:
        """Accept no messages from `other_id`, contact or not, and hide his applications; or do again. Blocking
        withdraws one's own pending application to him. Raises UserUnknown, OneselfRefused, EffectPending."""

    @rpc(416, idempotent=True)
    async def is_online(self, user_id: UserId, target_id: UserId) -> bool:
        """Whether `target_id` has a session now; False to whom he blocked. Raises UserUnknown."""

    @rpc(417, idempotent=True)
    async def list_online(self, user_id: UserId, user_ids: list[UserId]) -> list[OnlineUser]:
        """Those of `user_ids` who have a session now and have not blocked `user_id`, in no order."""


class ApplicationPort(Port):
    """Becoming somebody's contact."""

    @rpc(405, idempotent=True)
    async def apply(self, applicant_id: UserId, target_id: UserId, remark: str) -> None:
        """Ask to become a contact. While an application is pending, asking again renews its remark, and tells the
        target again only after `notify_again_seconds`. A target who blocked the applicant never sees it; the applicant
        cannot tell. Raises OneselfRefused, UserUnknown, AlreadyContacts, TargetBlocked, TooManyApplications, BadRemark,
        EffectPending."""

    @rpc(402, idempotent=True)
    async def accept(self, user_id: UserId, application_id: ApplicationId, remark: str) -> UserId:
        """Become contacts, `remark` (if any) being the acceptor's name for the applicant, and greet. An application the
        other way round is closed with it. Returns the applicant. Again: the same answer, nothing more happens. Raises
        ApplicationNotFound (also to anybody but the target), ApplicationHandled, TooManyContacts, BadRemark,
        EffectPending."""

    @rpc(408, idempotent=True)
    async def decline(self, user_id: UserId, application_id: ApplicationId, remark: str) -> None:
        """Refuse; the applicant is not told. Again: nothing happens. Raises ApplicationNotFound (also to anybody but
        the target), ApplicationHandled, BadRemark."""

    @rpc(407, idempotent=True)
    async def list_pending(self, user_id: UserId) -> list[Application]:
        """Applications that wait for `user_id`, newest first, at most `listed_applications`."""

    @rpc(406, idempotent=True)
    async def count_pending(self, user_id: UserId) -> int:
        """How many applications wait for `user_id`."""


class ContactGroupPort(Port):
    """Groups of one's contacts."""

    @rpc(412, idempotent=True)
    async def list_groups(self, owner_id: UserId) -> list[ContactGroup]:
        """All groups by `sort`, then age."""

    @rpc(411, idempotent=True)
    async def save_groups(self, owner_id: UserId, groups: list[ContactGroupDraft]) -> None:
        """Make `groups` the complete list, all or nothing: missing ones are removed and their contacts are in none; a
        new one whose name an unnamed existing one bears is that one. Raises ContactGroupNotFound for an id that is not
        the owner's, BadContactGroups."""

    @rpc(413, idempotent=True)
    async def assign(self, owner_id: UserId, contact_id: UserId, group_id: ContactGroupId) -> None:
        """Put a contact into a group, or into none with NO_GROUP. Raises NotAContact, ContactGroupNotFound."""
