"""Groups as a whole: made, shown, changed, handed over, ended."""

from __future__ import annotations

import pytest

from testkit.clock import ManualClock
from testkit.groups import ANNA, BORIS, CLARA, DORA, OWNER, GroupWorld
from xinyu.group.errors import (
    BadText,
    GroupFull,
    GroupNotFound,
    NotAMember,
    PermissionDenied,
    TargetNotAMember,
    TooManyUsers,
    UnknownUser,
)
from xinyu.group.settings import GroupSettings
from xinyu.group.types import GroupInfo
from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import EntryType, Kind, Role


async def test_a_new_group_has_its_owner_its_members_and_one_event(world: GroupWorld) -> None:
    group_id = await world.groups.create(OWNER, "  lunch ", [ANNA, OWNER, BORIS, ANNA])
    assert await world.member_ids(group_id) == {OWNER, ANNA, BORIS}
    view = await world.groups.get_group(ANNA, group_id)
    assert (view.group.name, view.group.owner_id, view.group.creator_id) == ("lunch", OWNER, OWNER)
    assert (view.me.role, view.group.public, view.group.mute_all) == (Role.MEMBER, False, False)
    [effect] = world.conversations.effects
    assert (effect.kind, effect.parties) == (Kind.GROUP, (group_id, 0))
    assert effect.event is not None and effect.event.sender_id == 0
    assert world.conversations.events(EntryType.GROUP_CREATED) == [
        {
            "owner_id": OWNER,
            "owner_name": "user-1",
            "members": [{"user_id": ANNA, "nickname": "user-2"}, {"user_id": BORIS, "nickname": "user-3"}],
        }
    ]
    noticed = {(notice.user_id, notice.type, tuple(notice.content.values())) for notice in effect.notices}
    assert noticed == {
        (user, kind, content)
        for user in (OWNER, ANNA, BORIS)
        for kind, content in (
            (EntryType.SELF_GROUP_CREATED, (group_id, OWNER)),
            (EntryType.SELF_CONVERSATION, (2, group_id)),
        )
    }
    assert world.people.calls == 1


@pytest.mark.parametrize("name", ["", "   ", "x" * 65])
async def test_a_group_needs_a_name_of_1_to_64_characters(world: GroupWorld, name: str) -> None:
    with pytest.raises(BadText):
        await world.groups.create(OWNER, name, [])
    assert await world.groups.list_groups(OWNER) == []


async def test_nobody_unknown_and_not_too_many_at_once(world: GroupWorld) -> None:
    with pytest.raises(UnknownUser):
        await world.groups.create(OWNER, "g", [ANNA, UserId(999_999)])
    with pytest.raises(TooManyUsers):
        await world.groups.create(OWNER, "g", [UserId(number) for number in range(2, 203)])
    small = GroupWorld(world.database, settings=GroupSettings(max_members=2))
    with pytest.raises(GroupFull):
        await small.groups.create(OWNER, "g", [ANNA, BORIS])
    assert world.conversations.effects == small.conversations.effects == []


async def test_lists_are_of_living_groups_that_one_is_in(world: GroupWorld) -> None:
    assert isinstance(world.clock, ManualClock)
    first = await world.new_group(ANNA)
    world.clock.jump(1)
    second = await world.groups.create(ANNA, "second", [OWNER])
    assert [group.group_id for group in await world.groups.list_groups(OWNER)] == [first, second]
    await world.members.leave(OWNER, second)
    assert [group.group_id for group in await world.groups.list_groups(OWNER)] == [first]
    await world.groups.dismiss(OWNER, first)
    assert await world.groups.list_groups(OWNER) == []
    infos = await world.groups.list_groups_by_id([first, second, GroupId(999)])
    assert sorted(infos, key=lambda info: info.group_id) == [
        GroupInfo(first, "the group", "", True),
        GroupInfo(second, "second", "", False),
    ]
    assert await world.groups.list_groups_by_id([]) == []


async def test_strangers_and_former_members_see_nothing(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    await world.members.leave(ANNA, group_id)
    for outsider in (ANNA, BORIS):
        for look in (world.groups.get_group, world.members.list_members, world.members.list_member_ids):
            with pytest.raises(NotAMember):
                await look(outsider, group_id)
    with pytest.raises(GroupNotFound):
        await world.groups.get_group(OWNER, GroupId(12345))


async def test_settings_change_what_is_given_and_nothing_else(world: GroupWorld) -> None:
    """CONTRACT.md section 8, B8."""
    group_id = await world.new_group(ANNA, admins=(BORIS,))
    await world.groups.set_mute_all(OWNER, group_id, True)
    before = (await world.groups.get_group(OWNER, group_id)).group
    effects = len(world.conversations.effects)
    await world.groups.update_settings(BORIS, group_id, name="renamed")
    await world.groups.update_settings(OWNER, group_id, avatar="/a.png")
    await world.groups.update_settings(OWNER, group_id, profile="about us")
    after = (await world.groups.get_group(OWNER, group_id)).group
    assert (after.name, after.avatar, after.profile) == ("renamed", "/a.png", "about us")
    assert (after.mute_all, after.public, after.member_count, after.version) == (True, False, 3, before.version)
    assert len(world.conversations.effects) == effects
    with pytest.raises(PermissionDenied):
        await world.groups.update_settings(ANNA, group_id, name="mine")
    with pytest.raises(BadText):
        await world.groups.update_settings(OWNER, group_id, profile="x" * 256)


async def test_mute_all_is_for_managers_and_told_once(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, admins=(BORIS,))
    with pytest.raises(PermissionDenied):
        await world.groups.set_mute_all(ANNA, group_id, True)
    await world.groups.set_mute_all(BORIS, group_id, True)
    await world.groups.set_mute_all(OWNER, group_id, True)
    state = world.conversations.effects[-1].state
    assert state is not None and (state.version, state.mute_all, state.dismissed) == (2, True, False)
    assert world.conversations.events(EntryType.GROUP_MUTED) == [{"owner_id": BORIS, "owner_name": "user-3"}]
    await world.groups.set_mute_all(OWNER, group_id, False)
    state = world.conversations.effects[-1].state
    assert state is not None and (state.version, state.mute_all) == (3, False)
    assert world.conversations.events(EntryType.GROUP_UNMUTED) == [{"owner_id": OWNER, "owner_name": "user-1"}]


async def test_handing_over_changes_both_roles_and_frees_the_new_owner_to_speak(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, admins=(BORIS,))
    await world.members.set_muted_until(OWNER, group_id, ANNA, world.clock.now_ms() + 60_000)
    for caller, error in ((ANNA, PermissionDenied), (BORIS, PermissionDenied), (CLARA, NotAMember)):
        with pytest.raises(error):
            await world.groups.hand_over(caller, group_id, ANNA)
    with pytest.raises(TargetNotAMember):
        await world.groups.hand_over(OWNER, group_id, DORA)
    await world.groups.hand_over(OWNER, group_id, ANNA)
    roles = {member.user_id: member.role for member in await world.members.list_members(OWNER, group_id)}
    assert roles == {ANNA: Role.OWNER, BORIS: Role.ADMIN, OWNER: Role.MEMBER}
    assert (await world.groups.get_group(ANNA, group_id)).me.muted_until_ms == 0
    assert world.conversations.members(group_id)[ANNA].muted_until_ms == 0
    assert world.conversations.events(EntryType.OWNER_CHANGED) == [
        {"old_owner_id": OWNER, "old_owner_name": "user-1", "new_owner_id": ANNA, "new_owner_name": "user-2"}
    ]
    with pytest.raises(PermissionDenied):
        await world.groups.hand_over(OWNER, group_id, BORIS)
    await world.members.leave(OWNER, group_id)
    assert await world.member_ids(group_id) == {ANNA, BORIS}


async def test_handing_over_to_oneself_changes_nothing(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    await world.groups.hand_over(OWNER, group_id, OWNER)
    assert len(world.conversations.effects) == 1
    assert (await world.groups.get_group(OWNER, group_id)).me.role is Role.OWNER


async def test_dismissing_is_the_owners_and_final(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, admins=(BORIS,))
    for caller, error in ((ANNA, PermissionDenied), (BORIS, PermissionDenied), (CLARA, NotAMember)):
        with pytest.raises(error):
            await world.groups.dismiss(caller, group_id)
    await world.groups.dismiss(OWNER, group_id)
    await world.groups.dismiss(OWNER, group_id)
    state = world.conversations.effects[-1].state
    assert state is not None and (state.version, state.dismissed) == (2, True)
    assert world.conversations.events(EntryType.GROUP_DISMISSED) == [{"owner_id": OWNER, "owner_name": "user-1"}]
    for attempt in (
        world.groups.get_group(OWNER, group_id),
        world.groups.dismiss(ANNA, group_id),
        world.groups.hand_over(OWNER, group_id, ANNA),
        world.groups.set_mute_all(OWNER, group_id, True),
        world.groups.update_settings(OWNER, group_id, name="again"),
        world.members.list_members(OWNER, group_id),
        world.members.invite(OWNER, group_id, [CLARA]),
        world.members.remove(OWNER, group_id, [ANNA]),
        world.members.set_card(ANNA, group_id, "a"),
        world.applications.apply(CLARA, group_id, ""),
    ):
        with pytest.raises(GroupNotFound):
            await attempt
