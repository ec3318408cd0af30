"""Groups of contacts: a list that is saved as a whole."""

from __future__ import annotations

from msgspec.structs import replace

from xinyu.contact.errors import BadContactGroups, ContactGroupNotFound
from xinyu.contact.port import ContactGroupPort
from xinyu.contact.settings import ContactSettings
from xinyu.contact.store import ContactGroupStore
from xinyu.contact.types import GROUP_NAME_LENGTH, ContactGroup, ContactGroupDraft, ContactGroupId
from xinyu.kernel.ids import MAX_JSON_INT, UserId


class ContactGroupService(ContactGroupPort):
    """Contact groups."""

    def __init__(self, store: ContactGroupStore, settings: ContactSettings) -> None:
        self._store = store
        self._settings = settings

    async def list_groups(self, owner_id: UserId) -> list[ContactGroup]:
        return await self._store.list_groups(owner_id)

    async def save_groups(self, owner_id: UserId, groups: list[ContactGroupDraft]) -> None:
        if len(groups) > self._settings.max_groups:
            raise BadContactGroups(at_most=self._settings.max_groups)
        drafts = [replace(draft, name=draft.name.strip()) for draft in groups]
        _check(drafts)
        await self._store.change_groups(owner_id, lambda before: matched(before, drafts))

    async def assign(self, owner_id: UserId, contact_id: UserId, group_id: ContactGroupId) -> None:
        await self._store.assign(owner_id, contact_id, group_id)


def matched(before: list[ContactGroup], drafts: list[ContactGroupDraft]) -> list[ContactGroupDraft]:
    """`drafts`, new ones having got the id of an existing group of the same name that none of them names: so a
    repeated save makes no second group. Raises ContactGroupNotFound for an id that is not in `before`."""
    named = {draft.group_id for draft in drafts if draft.group_id}
    if not named <= {group.group_id for group in before}:
        raise ContactGroupNotFound()
    free = {group.name: group.group_id for group in before if group.group_id not in named}
    return [
        draft if draft.group_id else replace(draft, group_id=free.get(draft.name, draft.group_id)) for draft in drafts
    ]


def _check(drafts: list[ContactGroupDraft]) -> None:
    names = {draft.name for draft in drafts}
    ids = [draft.group_id for draft in drafts if draft.group_id]
    if len(names) < len(drafts) or len(set(ids)) < len(ids):
        raise BadContactGroups()
    if any(not 0 < len(name) <= GROUP_NAME_LENGTH for name in names):
        raise BadContactGroups(name_length=GROUP_NAME_LENGTH)
    if any(not 0 <= draft.sort < MAX_JSON_INT for draft in drafts):
        raise BadContactGroups()
