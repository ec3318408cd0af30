"""What the contact domain keeps. Each method is one transaction; all raise StorageUnavailable, writes CommitUnknown."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence

import msgspec

from xinyu.contact.pair import ApplicationRecord, Decide, Link
from xinyu.contact.types import Application, ApplicationId, Contact, ContactGroup, ContactGroupDraft, ContactGroupId
from xinyu.kernel.ids import UserId


class PairOutcome(msgspec.Struct, frozen=True):
    """What a change of a pair did."""

    effect_id: str
    """The effect to be carried out now; "" for none."""
    application_id: ApplicationId = ApplicationId(0)
    """The new application, if one was made."""


class PairStore(abc.ABC):
    """Pairs of users and the applications between them."""

    @abc.abstractmethod
    async def change_pair(
        self, me: UserId, other: UserId, decide: Decide, application_id: ApplicationId = ApplicationId(0)
    ) -> PairOutcome:
        """Lock the pair, read it (with this application as `asked`), write what `decide` says and its effect. What
        `decide` raises comes through, and nothing is written."""

    @abc.abstractmethod
    async def read_pair(self, me: UserId, other: UserId) -> tuple[Link, Link]:
        """(mine, theirs); empty links where nothing is stored."""

    @abc.abstractmethod
    async def list_contacts(self, owner_id: UserId) -> list[Contact]:
        """By the time of becoming one."""

    @abc.abstractmethod
    async def list_remarks(self, owner_id: UserId, user_ids: Sequence[UserId]) -> list[tuple[UserId, str]]:
        """Of those of `user_ids` that are contacts and have a remark."""

    @abc.abstractmethod
    async def list_blockers(self, user_id: UserId, other_ids: Sequence[UserId]) -> set[UserId]:
        """Those of `other_ids` who blocked `user_id`."""

    @abc.abstractmethod
    async def count_contacts(self, owner_ids: Sequence[UserId]) -> int:
        """The largest number of contacts among `owner_ids`."""

    @abc.abstractmethod
    async def set_remark(self, owner_id: UserId, contact_id: UserId, remark: str) -> bool:
        """Whether there is such a contact."""

    @abc.abstractmethod
    async def find_application(self, application_id: ApplicationId) -> ApplicationRecord | None:
        """An application by its id."""

    @abc.abstractmethod
    async def list_pending(self, target_id: UserId, limit: int) -> list[Application]:
        """Pending applications to `target_id`, newest first, without those of users he blocked."""

    @abc.abstractmethod
    async def count_pending(self, target_id: UserId) -> int:
        """As many as `list_pending` without a limit would give."""

    @abc.abstractmethod
    async def count_sent(self, applicant_id: UserId) -> int:
        """Pending applications by `applicant_id`."""


class ContactGroupStore(abc.ABC):
    """Groups of contacts."""

    @abc.abstractmethod
    async def list_groups(self, owner_id: UserId) -> list[ContactGroup]:
        """By sort, then id, with the number of contacts in each."""

    @abc.abstractmethod
    async def change_groups(
        self, owner_id: UserId, decide: Callable[[list[ContactGroup]], list[ContactGroupDraft]]
    ) -> None:
        """Replace the owner's list by what `decide` makes of it, one change at a time per owner. Contacts of groups
        that go are in none."""

    @abc.abstractmethod
    async def assign(self, owner_id: UserId, contact_id: UserId, group_id: ContactGroupId) -> None:
        """Raises NotAContact, ContactGroupNotFound."""
