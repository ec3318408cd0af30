"""Groups of contacts (CONTRACT.md section 1.3)."""

from __future__ import annotations

import msgspec

from xinyu.contact.errors import ContactGroupNotFound, NotAContact
from xinyu.contact.types import ContactGroupDraft, ContactGroupId
from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.http.call import Call, NoBody, RawRoute, Route
from xinyu.gateway.http.routes.contact import said_as
from xinyu.gateway.present.contact import contact_groups_json
from xinyu.kernel.errors import InvalidInput
from xinyu.kernel.ids import UserId

ERRORS: dict[str, str] = {
    "contact.no_group": "保存联系人分组失败",
    "contact.bad_groups": "保存联系人分组失败",
}


class GroupItem(msgspec.Struct):
    """One group of contact-group/save; without an id it is a new one"""

    id: IdNumber | None = 0
    name: str = ""
    sort: IdNumber | None = 0


class SaveBody(msgspec.Struct):
    """contact-group/save: the complete new list"""

    items: list[GroupItem] | None = None


class ChangeBody(msgspec.Struct):
    """contact/change-group: group 0 is none"""

    user_id: IdNumber = 0
    group_id: IdNumber = 0


async def list_groups(call: Call[NoBody]) -> object:
    """The caller's groups by `sort`."""
    return contact_groups_json(await call.ports.contact_groups.list_groups(call.user_id))


async def save(call: Call[SaveBody]) -> None:
    """Make `items` the complete list; the contacts of missing groups are in none."""
    if call.body.items is None:
        raise InvalidInput("items is missing")  # a mistake, not the wish to lose all groups
    drafts = [ContactGroupDraft(ContactGroupId(item.id or 0), item.name, item.sort or 0) for item in call.body.items]
    await call.ports.contact_groups.save_groups(call.user_id, drafts)


async def change(call: Call[ChangeBody]) -> None:
    """Put a contact into a group, or into none."""
    group_id = ContactGroupId(call.body.group_id)
    with said_as("修改联系人分组失败", NotAContact, ContactGroupNotFound):
        await call.ports.contact_groups.assign(call.user_id, UserId(call.body.user_id), group_id)


ROUTES: list[Route | RawRoute] = [
    Route("/api/v1/contact-group/list", list_groups),
    Route("/api/v1/contact-group/save", save, SaveBody),
    Route("/api/v1/contact/change-group", change, ChangeBody),
]
