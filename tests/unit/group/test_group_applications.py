"""Asking to join."""

from __future__ import annotations

import pytest

from testkit.groups import ANNA, BORIS, CLARA, DORA, OWNER, GroupWorld
from xinyu.group.errors import (
    AlreadyAMember,
    ApplicationHandled,
    ApplicationNotFound,
    BadText,
    GroupFull,
    GroupNotFound,
    NotAMember,
    PermissionDenied,
)
from xinyu.group.settings import GroupSettings
from xinyu.kernel.ids import GroupId
from xinyu.message.types import EntryType, Kind


async def test_owner_and_admins_are_told_once_and_see_it(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, admins=(BORIS,))
    await world.applications.apply(CLARA, group_id, " let me in ")
    await world.applications.apply(CLARA, group_id, "please")
    effect = world.conversations.effects[-1]
    assert (effect.kind, effect.parties, effect.members, effect.event) == (Kind.SELF, (0, 0), [], None)
    content = {
        "group_id": group_id,
        "user_id": CLARA,
        "remark": "let me in",
        "apply_time": world.clock.now_ms(),
    }
    assert [(notice.user_id, notice.type, notice.content) for notice in effect.notices] == [
        (OWNER, EntryType.SELF_GROUP_APPLY, content),
        (BORIS, EntryType.SELF_GROUP_APPLY, content),
    ]
    for manager in (OWNER, BORIS):
        [application] = await world.applications.list_pending(manager, group_id)
        assert (application.user_id, application.group_id, application.remark) == (CLARA, group_id, "let me in")
        assert await world.applications.list_all_pending(manager) == [application]
        assert await world.applications.count_pending(manager) == 1
    for other in (ANNA, CLARA, DORA):
        assert await world.applications.list_all_pending(other) == []
        assert await world.applications.count_pending(other) == 0
    with pytest.raises(PermissionDenied):
        await world.applications.list_pending(ANNA, group_id)
    with pytest.raises(NotAMember):
        await world.applications.list_pending(CLARA, group_id)


async def test_members_the_talkative_and_seekers_of_nothing_are_refused(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    with pytest.raises(AlreadyAMember):
        await world.applications.apply(ANNA, group_id, "")
    with pytest.raises(BadText):
        await world.applications.apply(BORIS, group_id, "x" * 129)
    with pytest.raises(GroupNotFound):
        await world.applications.apply(BORIS, GroupId(999), "")
    with pytest.raises(ApplicationNotFound):
        await world.applications.accept(OWNER, 999)


async def test_accepting_lets_the_applicant_join_once(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, admins=(BORIS,))
    await world.applications.apply(CLARA, group_id, "")
    [application] = await world.applications.list_pending(OWNER, group_id)
    for outsider, error in ((ANNA, PermissionDenied), (CLARA, NotAMember), (DORA, NotAMember)):
        with pytest.raises(error):
            await world.applications.accept(outsider, application.application_id)
        with pytest.raises(error):
            await world.applications.decline(outsider, application.application_id, "")
    await world.applications.accept(BORIS, application.application_id)
    assert await world.member_ids(group_id) == {OWNER, ANNA, BORIS, CLARA}
    assert world.conversations.events(EntryType.MEMBERS_JOINED) == [
        {"owner_id": BORIS, "owner_name": "user-3", "members": [{"user_id": CLARA, "nickname": "user-4"}]}
    ]
    assert await world.applications.count_pending(OWNER) == 0
    await world.members.leave(CLARA, group_id)
    await world.applications.accept(OWNER, application.application_id)  # a late repetition brings nobody back
    assert await world.member_ids(group_id) == {OWNER, ANNA, BORIS}
    with pytest.raises(ApplicationHandled):
        await world.applications.decline(OWNER, application.application_id, "")


async def test_who_was_declined_may_ask_again(world: GroupWorld) -> None:
    group_id = await world.new_group()
    await world.applications.apply(ANNA, group_id, "first")
    [first] = await world.applications.list_pending(OWNER, group_id)
    await world.applications.decline(OWNER, first.application_id, "not now")
    await world.applications.decline(OWNER, first.application_id, "not now")
    with pytest.raises(ApplicationHandled):
        await world.applications.accept(OWNER, first.application_id)
    await world.applications.apply(ANNA, group_id, "second")
    [second] = await world.applications.list_pending(OWNER, group_id)
    assert (second.remark, second.application_id > first.application_id) == ("second", True)
    with pytest.raises(ApplicationHandled):
        await world.applications.accept(OWNER, first.application_id)
    assert await world.member_ids(group_id) == {OWNER}


async def test_an_invitation_answers_the_application(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA)
    await world.applications.apply(BORIS, group_id, "")
    await world.members.invite(ANNA, group_id, [BORIS])
    assert await world.applications.list_pending(OWNER, group_id) == []
    assert await world.applications.count_pending(OWNER) == 0


async def test_a_full_group_leaves_the_application_pending(world: GroupWorld) -> None:
    small = GroupWorld(world.database, settings=GroupSettings(max_members=2))
    group_id = await small.groups.create(OWNER, "small", [ANNA])
    await small.applications.apply(BORIS, group_id, "")
    [application] = await small.applications.list_pending(OWNER, group_id)
    with pytest.raises(GroupFull):
        await small.applications.accept(OWNER, application.application_id)
    assert await small.applications.count_pending(OWNER) == 1
    await small.groups.dismiss(OWNER, group_id)
    assert await small.applications.count_pending(OWNER) == 0
    assert await small.applications.list_all_pending(OWNER) == []
