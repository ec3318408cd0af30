"""Values of the contact domain. All of them travel over RPC."""

from __future__ import annotations

from enum import IntEnum
from typing import NewType

import msgspec

from xinyu.kernel.ids import UserId

ApplicationId = NewType("ApplicationId", int)
ContactGroupId = NewType("ContactGroupId", int)
NO_GROUP = ContactGroupId(0)
"""For contacts that are in no group."""

REMARK_LENGTH = 64
"""Characters of the name that one gives to a contact."""
APPLICATION_REMARK_LENGTH = 128
GROUP_NAME_LENGTH = 32


class Relation(IntEnum):
    """What another user is to me; the contract's numbers."""

    STRANGER = 1
    FRIEND = 2
    SELF = 4


class Contact(msgspec.Struct, frozen=True):
    """One of my contacts."""

    user_id: UserId
    remark: str
    group_id: ContactGroupId
    blocked: bool
    since_ms: int


class ContactDetail(msgspec.Struct, frozen=True):
    """Another user (or oneself) as the reader may see him: `mobile` and `email` are empty for strangers."""

    user_id: UserId
    nickname: str
    avatar: str
    motto: str
    gender: int
    mobile: str
    email: str
    relation: Relation
    remark: str = ""
    group_id: ContactGroupId = NO_GROUP
    blocked: bool = False
    online: bool = False


class Application(msgspec.Struct, frozen=True):
    """A pending application: `applicant_id` wants to be a contact of `target_id`."""

    application_id: ApplicationId
    applicant_id: UserId
    target_id: UserId
    remark: str
    created_ms: int


class ContactGroup(msgspec.Struct, frozen=True):
    """A named group of one's contacts and how many are in it."""

    group_id: ContactGroupId
    name: str
    sort: int
    count: int


class ContactGroupDraft(msgspec.Struct, frozen=True):
    """A group as it shall be; `group_id` 0 is a new one."""

    group_id: ContactGroupId
    name: str
    sort: int = 0
