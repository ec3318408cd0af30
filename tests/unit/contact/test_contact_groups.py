"""Groups of contacts: the list is saved whole, and only its owner's groups count."""

from __future__ import annotations

import asyncio

import pytest

from testkit.contacts import ANN, BOB, CID, ContactWorld
from xinyu.contact.errors import BadContactGroups, ContactGroupNotFound, NotAContact
from xinyu.contact.types import NO_GROUP, ContactGroupDraft, ContactGroupId

NEW = ContactGroupId(0)


async def save(world: ContactWorld, *names: str) -> dict[str, ContactGroupId]:
    drafts = [ContactGroupDraft(NEW, name, sort) for sort, name in enumerate(names)]
    await world.groups.save_groups(ANN, drafts)
    return {group.name: group.group_id for group in await world.groups.list_groups(ANN)}


async def test_the_saved_list_is_the_whole_list(world: ContactWorld) -> None:
    ids = await save(world, "family", "work")
    await world.groups.save_groups(
        ANN, [ContactGroupDraft(ids["work"], " office ", 1), ContactGroupDraft(NEW, "club", 0)]
    )
    listed = await world.groups.list_groups(ANN)
    assert [(group.name, group.sort) for group in listed] == [("club", 0), ("office", 1)]
    assert listed[1].group_id == ids["work"]
    assert await world.groups.list_groups(BOB) == []


async def test_saving_the_same_list_twice_or_at_once_makes_each_group_once(world: ContactWorld) -> None:
    drafts = [ContactGroupDraft(NEW, "family"), ContactGroupDraft(NEW, "work")]
    await world.groups.save_groups(ANN, drafts)
    before = await world.groups.list_groups(ANN)
    await asyncio.gather(*(world.groups.save_groups(ANN, drafts) for _ in range(3)))
    assert await world.groups.list_groups(ANN) == before


async def test_names_may_be_swapped(world: ContactWorld) -> None:
    ids = await save(world, "a", "b")
    await world.groups.save_groups(ANN, [ContactGroupDraft(ids["a"], "b"), ContactGroupDraft(ids["b"], "a")])
    assert {group.group_id: group.name for group in await world.groups.list_groups(ANN)} == {
        ids["a"]: "b",
        ids["b"]: "a",
    }


async def test_contacts_are_counted_and_leave_with_their_group(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    await world.befriend(ANN, CID)
    ids = await save(world, "family", "work")
    await world.groups.assign(ANN, BOB, ids["family"])
    await world.groups.assign(ANN, CID, ids["work"])
    assert [group.count for group in await world.groups.list_groups(ANN)] == [1, 1]
    assert (await world.contacts.get_detail(ANN, BOB)).group_id == ids["family"]
    await save(world, "work")
    groups = {contact.user_id: contact.group_id for contact in await world.contacts.list_contacts(ANN)}
    assert groups == {BOB: NO_GROUP, CID: ids["work"]}
    await world.groups.assign(ANN, CID, NO_GROUP)
    assert [group.count for group in await world.groups.list_groups(ANN)] == [0]


async def test_a_removed_contact_leaves_its_group(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    ids = await save(world, "family")
    await world.groups.assign(ANN, BOB, ids["family"])
    await world.contacts.delete(ANN, BOB)
    assert [group.count for group in await world.groups.list_groups(ANN)] == [0]


async def test_groups_of_others_cannot_be_named(world: ContactWorld) -> None:
    ids = await save(world, "family")
    await world.befriend(ANN, BOB)
    with pytest.raises(ContactGroupNotFound):
        await world.groups.save_groups(BOB, [ContactGroupDraft(NEW, "mine"), ContactGroupDraft(ids["family"], "taken")])
    with pytest.raises(ContactGroupNotFound):
        await world.groups.assign(BOB, ANN, ids["family"])
    with pytest.raises(NotAContact):
        await world.groups.assign(ANN, CID, ids["family"])
    assert await world.groups.list_groups(BOB) == []
    assert [group.name for group in await world.groups.list_groups(ANN)] == ["family"]


@pytest.mark.parametrize(
    "drafts",
    [
        [ContactGroupDraft(NEW, " ")],
        [ContactGroupDraft(NEW, "x" * 33)],
        [ContactGroupDraft(NEW, "a"), ContactGroupDraft(NEW, " a ")],
        [ContactGroupDraft(NEW, "a", -1)],
        [ContactGroupDraft(NEW, name) for name in "abcd"],
    ],
    ids=["no name", "long name", "same name", "bad sort", "too many"],
)
async def test_a_bad_list_changes_nothing(world: ContactWorld, drafts: list[ContactGroupDraft]) -> None:
    ids = await save(world, "family")
    with pytest.raises(BadContactGroups):
        await world.groups.save_groups(ANN, drafts)
    with pytest.raises(BadContactGroups):
        await world.groups.save_groups(
            ANN, [ContactGroupDraft(ids["family"], "a"), ContactGroupDraft(ids["family"], "b")]
        )
    assert [group.name for group in await world.groups.list_groups(ANN)] == ["family"]
