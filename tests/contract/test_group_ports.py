"""The ports of group, called directly, encoded and over TCP, every idempotent call made twice as a transport may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.groups import ANNA, BORIS, CLARA, OWNER, GroupWorld
from testkit.rpc import TRANSPORTS, Twice, Wires
from xinyu.group.errors import ApplicationHandled, GroupNotFound, NotAMember, OwnerCannotLeave
from xinyu.group.port import GroupApplyPort, GroupPort, MembershipPort
from xinyu.group.types import ApplicationStatus, GroupInfo
from xinyu.kernel.ids import GroupId
from xinyu.message.types import EntryType, Role
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_loopback import LoopbackTransport
from xinyu.storage.sql import SqliteDatabase


class Stubs:
    """The three ports over one transport."""

    def __init__(self, world: GroupWorld, wires: Wires) -> None:
        self.world = world
        self.groups = wires.stub(GroupPort, world.groups)
        self.members = wires.stub(MembershipPort, world.members)
        self.applications = wires.stub(GroupApplyPort, world.applications)


@pytest.fixture(params=TRANSPORTS)
async def stubs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stubs]:
    database = SqliteDatabase(tmp_path / "groups.db")
    await database.start()
    world = GroupWorld(database)
    await world.start()
    async with Wires.open(request.param, Twice) as wires:
        yield Stubs(world, wires)
    await database.stop()


def test_no_two_methods_share_a_command() -> None:
    dispatcher = Dispatcher()
    for port in (GroupPort, MembershipPort, GroupApplyPort):
        dispatcher.add(port, make_stub(port, LoopbackTransport(dispatcher)))


async def test_the_life_of_a_group(stubs: Stubs) -> None:
    groups, members = stubs.groups, stubs.members
    group_id = await groups.create(OWNER, "g", [ANNA])
    await groups.update_settings(OWNER, group_id, name="renamed")
    await groups.set_mute_all(OWNER, group_id, True)
    await members.invite(ANNA, group_id, [BORIS, CLARA])
    await members.set_admin(OWNER, group_id, BORIS, True)
    await members.set_card(CLARA, group_id, "cl")
    await members.set_muted_until(BORIS, group_id, CLARA, stubs.world.clock.now_ms() + 1000)
    view = await groups.get_group(CLARA, group_id)
    assert (view.group.name, view.group.mute_all, view.me.card, view.me.role) == ("renamed", True, "cl", Role.MEMBER)
    assert [member.role for member in await members.list_members(ANNA, group_id)] == [3, 2, 1, 1]
    assert set(await members.list_member_ids(ANNA, group_id)) == {OWNER, ANNA, BORIS, CLARA}
    await members.remove(BORIS, group_id, [CLARA])
    await groups.hand_over(OWNER, group_id, ANNA)
    await members.leave(OWNER, group_id)
    assert await stubs.world.member_ids(group_id) == {ANNA, BORIS}
    assert [group.group_id for group in await groups.list_groups(ANNA)] == [group_id]
    await groups.dismiss(ANNA, group_id)
    assert await groups.list_groups_by_id([group_id, GroupId(999)]) == [GroupInfo(group_id, "renamed", "", True)]
    events = [effect.event.type for effect in stubs.world.conversations.effects if effect.event]
    assert events == [
        EntryType.GROUP_CREATED,
        EntryType.GROUP_MUTED,
        EntryType.MEMBERS_JOINED,
        EntryType.MEMBERS_MUTED,
        EntryType.MEMBERS_REMOVED,
        EntryType.OWNER_CHANGED,
        EntryType.MEMBER_LEFT,
        EntryType.GROUP_DISMISSED,
    ]


async def test_the_life_of_applications(stubs: Stubs) -> None:
    group_id = await stubs.groups.create(OWNER, "g", [ANNA])
    for user in (BORIS, CLARA):
        await stubs.applications.apply(user, group_id, f"{user}")
    assert await stubs.applications.count_pending(OWNER) == 2
    second, first = await stubs.applications.list_pending(OWNER, group_id)
    assert (first.user_id, first.status, second.user_id) == (BORIS, ApplicationStatus.PENDING, CLARA)
    await stubs.applications.accept(OWNER, first.application_id)
    assert await stubs.applications.list_all_pending(OWNER) == [second]
    await stubs.applications.decline(OWNER, second.application_id, "no")
    assert await stubs.world.member_ids(group_id) == {OWNER, ANNA, BORIS}
    with pytest.raises(ApplicationHandled):
        await stubs.applications.accept(OWNER, second.application_id)


async def test_refusals_arrive_as_what_they_are(stubs: Stubs) -> None:
    group_id = await stubs.groups.create(OWNER, "g", [])
    with pytest.raises(NotAMember):
        await stubs.groups.get_group(ANNA, group_id)
    with pytest.raises(GroupNotFound):
        await stubs.members.invite(OWNER, GroupId(77), [ANNA])
    with pytest.raises(OwnerCannotLeave):
        await stubs.members.leave(OWNER, group_id)
