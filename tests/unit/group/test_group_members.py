"""Members come and go, rise and fall, are silenced."""

from __future__ import annotations

import pytest

from testkit.clock import ManualClock
from testkit.groups import ANNA, BORIS, CLARA, DORA, OWNER, GroupWorld
from xinyu.group.errors import (
    BadText,
    GroupFull,
    NotAMember,
    NothingToLeave,
    OwnerCannotLeave,
    PermissionDenied,
    TargetNotAMember,
    TooManyUsers,
    UnknownUser,
)
from xinyu.group.settings import GroupSettings
from xinyu.group.types import MUTED_FOR_GOOD_MS
from xinyu.kernel.ids import UserId
from xinyu.message.types import EntryType, Role


async def test_any_member_invites_and_those_inside_stay_as_they_are(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, admins=(BORIS,))
    await world.members.invite(ANNA, group_id, [BORIS, CLARA, DORA, CLARA])
    assert await world.member_ids(group_id) == {OWNER, ANNA, BORIS, CLARA, DORA}
    effect = world.conversations.effects[-1]
    assert {change.user_id: change.version for change in effect.members} == {CLARA: 1, DORA: 1}
    assert world.conversations.events(EntryType.MEMBERS_JOINED) == [
        {
            "owner_id": ANNA,
            "owner_name": "user-2",
            "members": [{"user_id": CLARA, "nickname": "user-4"}, {"user_id": DORA, "nickname": "user-5"}],
        }
    ]
    assert [(notice.user_id, notice.content) for notice in effect.notices] == [
        (user, {"talk_mode": 2, "to_from_id": group_id}) for user in (CLARA, DORA)
    ]
    count = len(world.conversations.effects)
    await world.members.invite(ANNA, group_id, [CLARA])
    await world.members.invite(ANNA, group_id, [])
    assert len(world.conversations.effects) == count


async def test_invitations_by_outsiders_of_nobodies_and_of_too_many_are_refused(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    with pytest.raises(NotAMember):
        await world.members.invite(CLARA, group_id, [CLARA])
    with pytest.raises(NotAMember):
        await world.members.invite(CLARA, group_id, [UserId(999_999)])
    with pytest.raises(UnknownUser):
        await world.members.invite(ANNA, group_id, [CLARA, UserId(999_999)])
    with pytest.raises(TooManyUsers):
        await world.members.invite(ANNA, group_id, [UserId(number) for number in range(2, 203)])
    assert await world.member_ids(group_id) == {OWNER, ANNA}


async def test_a_full_group_takes_none_of_too_many(world: GroupWorld) -> None:
    small = GroupWorld(world.database, settings=GroupSettings(max_members=3))
    group_id = await small.groups.create(OWNER, "small", [ANNA])
    with pytest.raises(GroupFull):
        await small.members.invite(OWNER, group_id, [BORIS, CLARA])
    await small.members.invite(OWNER, group_id, [BORIS])
    with pytest.raises(GroupFull):
        await small.members.invite(OWNER, group_id, [CLARA])
    await small.members.remove(OWNER, group_id, [BORIS])
    await small.members.invite(OWNER, group_id, [CLARA])
    assert await small.member_ids(group_id) == {OWNER, ANNA, CLARA}


async def test_removing_needs_a_higher_role_and_is_all_or_none(world: GroupWorld) -> None:
    """CONTRACT.md section 8, C5: an admin cannot remove the owner."""
    group_id = await world.new_group(ANNA, CLARA, admins=(BORIS, DORA))
    for caller, targets in (
        (ANNA, [CLARA]),
        (BORIS, [OWNER]),
        (BORIS, [DORA]),
        (BORIS, [BORIS]),
        (BORIS, [ANNA, DORA]),
        (OWNER, [OWNER]),
    ):
        with pytest.raises(PermissionDenied):
            await world.members.remove(caller, group_id, targets)
    with pytest.raises(NotAMember):
        await world.members.remove(UserId(50), group_id, [ANNA])
    assert await world.member_ids(group_id) == {OWNER, ANNA, BORIS, CLARA, DORA}
    await world.members.remove(BORIS, group_id, [ANNA, CLARA, UserId(77)])
    await world.members.remove(OWNER, group_id, [DORA])
    assert await world.member_ids(group_id) == {OWNER, BORIS}
    assert world.conversations.events(EntryType.MEMBERS_REMOVED)[0] == {
        "owner_id": BORIS,
        "owner_name": "user-3",
        "members": [{"user_id": ANNA, "nickname": "user-2"}, {"user_id": CLARA, "nickname": "user-4"}],
    }
    count = len(world.conversations.effects)
    await world.members.remove(OWNER, group_id, [ANNA])
    assert len(world.conversations.effects) == count


async def test_versions_count_up_over_memberships_and_nothing_else_is_kept(world: GroupWorld) -> None:
    group_id = await world.new_group(admins=(ANNA,))
    await world.members.set_card(ANNA, group_id, "annie")
    await world.members.set_muted_until(OWNER, group_id, ANNA, MUTED_FOR_GOOD_MS)
    await world.members.remove(OWNER, group_id, [ANNA])
    await world.members.invite(OWNER, group_id, [ANNA])
    me = (await world.groups.get_group(ANNA, group_id)).me
    assert (me.role, me.card, me.muted_until_ms, me.version) == (Role.MEMBER, "", 0, 5)
    versions = [
        change.version for effect in world.conversations.effects for change in effect.members if change.user_id == ANNA
    ]
    assert versions == [1, 2, 3, 4, 5]
    assert await world.member_ids(group_id) == {OWNER, ANNA}


async def test_a_member_leaves_the_owner_does_not(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    with pytest.raises(OwnerCannotLeave):
        await world.members.leave(OWNER, group_id)
    await world.members.leave(ANNA, group_id)
    assert world.conversations.events(EntryType.MEMBER_LEFT) == [{"owner_id": ANNA, "owner_name": "user-2"}]
    assert await world.member_ids(group_id) == {OWNER}
    for outsider in (ANNA, BORIS):
        with pytest.raises(NothingToLeave):
            await world.members.leave(outsider, group_id)


async def test_admins_are_made_by_the_owner_alone(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, admins=(BORIS,))
    for caller in (ANNA, BORIS):
        with pytest.raises(PermissionDenied):
            await world.members.set_admin(caller, group_id, ANNA, True)
    with pytest.raises(PermissionDenied):
        await world.members.set_admin(OWNER, group_id, OWNER, False)
    with pytest.raises(TargetNotAMember):
        await world.members.set_admin(OWNER, group_id, CLARA, True)
    await world.members.set_admin(OWNER, group_id, ANNA, True)
    effects = len(world.conversations.effects)
    await world.members.set_admin(OWNER, group_id, ANNA, True)
    assert len(world.conversations.effects) == effects
    assert world.conversations.members(group_id)[ANNA].role is Role.ADMIN
    await world.members.set_admin(OWNER, group_id, ANNA, False)
    assert world.conversations.members(group_id)[ANNA].role is Role.MEMBER
    assert world.conversations.effects[-1].event is None


async def test_muting_needs_a_higher_role(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, admins=(BORIS, DORA))
    for caller, member in ((ANNA, BORIS), (BORIS, DORA), (BORIS, OWNER), (BORIS, BORIS), (OWNER, OWNER)):
        with pytest.raises(PermissionDenied):
            await world.members.set_muted_until(caller, group_id, member, MUTED_FOR_GOOD_MS)
    with pytest.raises(TargetNotAMember):
        await world.members.set_muted_until(BORIS, group_id, CLARA, MUTED_FOR_GOOD_MS)
    await world.members.set_muted_until(BORIS, group_id, ANNA, MUTED_FOR_GOOD_MS)
    await world.members.set_muted_until(BORIS, group_id, ANNA, MUTED_FOR_GOOD_MS)
    assert world.conversations.members(group_id)[ANNA].muted_until_ms == MUTED_FOR_GOOD_MS
    content = {"owner_id": BORIS, "owner_name": "user-3", "members": [{"user_id": ANNA, "nickname": "user-2"}]}
    assert world.conversations.events(EntryType.MEMBERS_MUTED) == [content]
    await world.members.set_muted_until(BORIS, group_id, ANNA, 0)
    assert world.conversations.members(group_id)[ANNA].muted_until_ms == 0
    assert world.conversations.events(EntryType.MEMBERS_UNMUTED) == [content]


async def test_a_mute_ends_by_itself_and_then_there_is_nothing_to_undo(world: GroupWorld) -> None:
    assert isinstance(world.clock, ManualClock)
    group_id = await world.new_group(ANNA)
    await world.members.set_muted_until(OWNER, group_id, ANNA, world.clock.now_ms() + 60_000)
    me = (await world.groups.get_group(ANNA, group_id)).me
    assert me.is_muted(world.clock.now_ms() + 59_999) and not me.is_muted(world.clock.now_ms() + 60_000)
    assert [member.muted_until_ms > 0 for member in await world.members.list_members(ANNA, group_id)] == [False, True]
    world.clock.jump(60)
    assert [member.muted_until_ms for member in await world.members.list_members(ANNA, group_id)] == [0, 0]
    effects = len(world.conversations.effects)
    await world.members.set_muted_until(OWNER, group_id, ANNA, 0)
    await world.members.set_muted_until(OWNER, group_id, ANNA, world.clock.now_ms())
    assert len(world.conversations.effects) == effects
    await world.members.set_muted_until(OWNER, group_id, ANNA, world.clock.now_ms() + 1)
    assert len(world.conversations.effects) == effects + 1


async def test_members_are_listed_by_role_then_by_joining(world: GroupWorld) -> None:
    assert isinstance(world.clock, ManualClock)
    group_id = await world.new_group(DORA, admins=(CLARA,))
    world.clock.jump(1)
    await world.members.invite(OWNER, group_id, [ANNA])
    listed = await world.members.list_members(ANNA, group_id)
    assert [member.user_id for member in listed] == [OWNER, CLARA, DORA, ANNA]
    assert set(await world.members.list_member_ids(ANNA, group_id)) == {OWNER, ANNA, CLARA, DORA}


async def test_each_member_chooses_his_own_card(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, BORIS)
    await world.members.set_card(ANNA, group_id, " annie ")
    cards = {member.user_id: member.card for member in await world.members.list_members(OWNER, group_id)}
    assert cards == {OWNER: "", ANNA: "annie", BORIS: ""}
    assert len(world.conversations.effects) == 1
    with pytest.raises(BadText):
        await world.members.set_card(ANNA, group_id, "x" * 65)
    with pytest.raises(NotAMember):
        await world.members.set_card(CLARA, group_id, "c")
    await world.members.set_card(ANNA, group_id, "")
    assert (await world.groups.get_group(ANNA, group_id)).me.card == ""


async def test_former_members_change_nothing_whatever_they_were(world: GroupWorld) -> None:
    group_id = await world.new_group(BORIS, admins=(ANNA,))
    await world.members.leave(ANNA, group_id)
    before = await world.store.find(group_id, ANNA)
    for attempt in (
        world.groups.update_settings(ANNA, group_id, name="mine"),
        world.groups.set_mute_all(ANNA, group_id, True),
        world.groups.hand_over(ANNA, group_id, ANNA),
        world.groups.dismiss(ANNA, group_id),
        world.members.invite(ANNA, group_id, [ANNA]),
        world.members.remove(ANNA, group_id, [BORIS]),
        world.members.set_admin(ANNA, group_id, BORIS, True),
        world.members.set_muted_until(ANNA, group_id, BORIS, MUTED_FOR_GOOD_MS),
        world.members.set_card(ANNA, group_id, "annie"),
    ):
        with pytest.raises(NotAMember):
            await attempt
    assert await world.store.find(group_id, ANNA) == before
    assert await world.member_ids(group_id) == {OWNER, BORIS}
