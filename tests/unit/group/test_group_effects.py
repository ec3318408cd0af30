"""Changes and their effects: both or neither, and a caller who is told "pending" can wait by repeating."""

from __future__ import annotations

import pytest

from testkit.clock import ManualClock
from testkit.groups import ANNA, BORIS, OWNER, GroupWorld
from xinyu.group.errors import PermissionDenied
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import GroupId


async def test_a_change_whose_effect_cannot_be_carried_out_is_pending_and_comes_true(world: GroupWorld) -> None:
    assert isinstance(world.clock, ManualClock)
    group_id = await world.new_group(ANNA)
    world.conversations.away = True
    with pytest.raises(Unavailable):
        await world.members.invite(OWNER, group_id, [BORIS])
    with pytest.raises(Unavailable):  # a repetition changes nothing, but still waits
        await world.members.invite(OWNER, group_id, [BORIS])
    assert BORIS not in world.conversations.members(group_id)
    world.conversations.away = False
    world.clock.jump(10)
    await world.relay.sweep()
    assert await world.member_ids(group_id) == {OWNER, ANNA, BORIS}
    await world.members.invite(OWNER, group_id, [BORIS])
    assert len(world.conversations.effects) == 2


async def test_repeating_a_pending_change_brings_it_about(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    world.conversations.away = True
    with pytest.raises(Unavailable):
        await world.groups.dismiss(OWNER, group_id)
    world.conversations.away = False
    await world.groups.dismiss(OWNER, group_id)
    state = world.conversations.effects[-1].state
    assert state is not None and state.dismissed


async def test_what_has_no_effect_does_not_wait_for_others(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    world.conversations.away = True
    with pytest.raises(Unavailable):
        await world.groups.set_mute_all(OWNER, group_id, True)
    await world.members.set_card(ANNA, group_id, "annie")
    await world.groups.update_settings(OWNER, group_id, name="renamed")


async def test_a_removal_that_comes_late_does_not_undo_a_new_invitation(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    await world.members.remove(OWNER, group_id, [ANNA])
    removal = world.conversations.effects[-1]
    await world.members.invite(OWNER, group_id, [ANNA])
    world.conversations.effects.remove(removal)  # so that it is not known for its id
    await world.conversations.apply(removal)
    assert await world.member_ids(group_id) == {OWNER, ANNA}


async def test_a_refused_change_leaves_neither_rows_nor_effects(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    before = await world.store.find(group_id, ANNA)
    with pytest.raises(PermissionDenied):
        await world.groups.set_mute_all(ANNA, group_id, True)
    assert await world.store.find(group_id, ANNA) == before
    assert await world.log.count_pending() == 0


async def test_a_new_group_whose_conversation_is_pending_is_one_group(world: GroupWorld) -> None:
    assert isinstance(world.clock, ManualClock)
    world.conversations.away = True
    with pytest.raises(Unavailable):
        await world.groups.create(OWNER, "g", [ANNA])
    [group] = await world.groups.list_groups(OWNER)
    world.conversations.away = False
    world.clock.jump(10)
    await world.relay.sweep()
    assert await world.member_ids(GroupId(group.group_id)) == {OWNER, ANNA}
