"""The group domain on each engine: schema, and what the group's row lock must decide when many act at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from testkit.groups import ANNA, BORIS, CLARA, DORA, OWNER, GroupWorld
from xinyu.group.errors import (
    GroupError,
    GroupFull,
    GroupNotFound,
    OwnerCannotLeave,
    PermissionDenied,
    TargetNotAMember,
)
from xinyu.group.settings import GroupSettings
from xinyu.group.tables import metadata
from xinyu.kernel.clock import SystemClock
from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import EntryType
from xinyu.storage.sql import Database, open_database


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.engine)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        dsn = f"sqlite:///{tmp_path / 'groups.db'}"
    else:
        account_dsn: Callable[[str], str] = request.getfixturevalue("account_dsn")
        dsn = account_dsn("group")
    database = open_database(dsn)
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
async def world(database: Database) -> GroupWorld:
    world = GroupWorld(database, SystemClock())
    await world.start()
    return world


async def outcomes(*attempts: object) -> list[object]:
    """What each of these came to when all ran at once: a result, or a refusal. Anything else is raised."""
    results = await asyncio.gather(*attempts, return_exceptions=True)  # type: ignore[call-overload]  # coroutines
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, GroupError):
            raise result
    return list(results)


def refusals(results: list[object]) -> list[type[object]]:
    return [type(result) for result in results if result is not None and isinstance(result, GroupError)]


async def test_the_migrations_make_the_tables_of_the_code(world: GroupWorld) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        def ours(_: object, name: str | None, kind: str, *__: object) -> bool:
            return kind != "table" or name in metadata.tables

        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        return list(compare_metadata(context, metadata))

    assert await world.database.read(differences) == []


async def test_a_group_and_its_members_are_read_back_as_written(world: GroupWorld) -> None:
    group_id = await world.groups.create(OWNER, "名字 🎉", [ANNA])
    await world.groups.update_settings(OWNER, group_id, avatar="a" * 255, profile="简" * 255)
    await world.members.set_card(ANNA, group_id, "卡" * 64)
    await world.members.set_muted_until(OWNER, group_id, ANNA, 4_102_358_400_000)
    group, member = await world.store.find(group_id, ANNA)
    assert group is not None and (group.name, group.avatar, group.profile) == ("名字 🎉", "a" * 255, "简" * 255)
    assert member is not None and (member.card, member.muted_until_ms) == ("卡" * 64, 4_102_358_400_000)
    assert (await world.store.find(GroupId(999), ANNA)) == (None, None)
    with pytest.raises(GroupNotFound):
        await world.members.leave(ANNA, GroupId(999))


async def test_two_admins_removing_the_same_member_remove_him_once(world: GroupWorld) -> None:
    group_id = await world.new_group(CLARA, admins=(ANNA, BORIS))
    results = await outcomes(*(world.members.remove(admin, group_id, [CLARA]) for admin in (ANNA, BORIS, OWNER)))
    assert refusals(results) == []
    assert len(world.conversations.events(EntryType.MEMBERS_REMOVED)) == 1
    assert await world.member_ids(group_id) == {OWNER, ANNA, BORIS}


async def test_invitations_and_removals_at_once_end_where_both_sides_agree(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, BORIS)
    for _ in range(8):
        results = await outcomes(
            world.members.invite(ANNA, group_id, [CLARA, DORA]),
            world.members.remove(OWNER, group_id, [CLARA]),
            world.members.invite(BORIS, group_id, [CLARA]),
            world.members.remove(OWNER, group_id, [DORA, CLARA]),
        )
        assert refusals(results) == []
        await world.member_ids(group_id)
    assert {OWNER, ANNA, BORIS} <= await world.member_ids(group_id)


async def test_concurrent_invitations_never_overfill_a_group(database: Database) -> None:
    world = GroupWorld(database, SystemClock(), GroupSettings(max_members=10))
    await world.start()
    group_id = await world.groups.create(OWNER, "small", [ANNA])
    results = await outcomes(
        *(world.members.invite(ANNA, group_id, [UserId(number), UserId(number + 1)]) for number in range(100, 124, 2))
    )
    assert refusals(results) == [GroupFull] * 8
    assert len(await world.member_ids(group_id)) == 10


async def test_handing_over_to_somebody_who_leaves_leaves_one_owner(world: GroupWorld) -> None:
    group_id = await world.new_group(BORIS)
    for heir in (ANNA, CLARA, DORA):
        await world.members.invite(OWNER, group_id, [heir])
        owned, left = await outcomes(world.groups.hand_over(OWNER, group_id, heir), world.members.leave(heir, group_id))
        assert (type(owned), type(left)) in ((type(None), OwnerCannotLeave), (TargetNotAMember, type(None)))
        await world.member_ids(group_id)  # checks that there is exactly one owner
        if owned is None:
            await world.groups.hand_over(heir, group_id, OWNER)


async def test_two_hand_overs_at_once_make_one_new_owner(world: GroupWorld) -> None:
    group_id = await world.new_group(ANNA, BORIS)
    results = await outcomes(*(world.groups.hand_over(OWNER, group_id, heir) for heir in (ANNA, BORIS)))
    assert refusals(results) == [PermissionDenied]
    assert await world.member_ids(group_id) == {OWNER, ANNA, BORIS}


async def test_an_admin_unmade_while_removing_is_either_in_time_or_refused(world: GroupWorld) -> None:
    group_id = await world.new_group(CLARA, admins=(ANNA,))
    _, removed = await outcomes(
        world.members.set_admin(OWNER, group_id, ANNA, False), world.members.remove(ANNA, group_id, [CLARA])
    )
    assert (CLARA in await world.member_ids(group_id)) is isinstance(removed, PermissionDenied)


async def test_one_applicant_has_one_pending_application_however_often_he_asks_at_once(world: GroupWorld) -> None:
    group_id = await world.new_group(admins=(ANNA,))
    await outcomes(*(world.applications.apply(BORIS, group_id, f"{number}") for number in range(6)))
    [application] = await world.applications.list_pending(OWNER, group_id)
    results = await outcomes(
        world.applications.accept(OWNER, application.application_id),
        world.applications.accept(ANNA, application.application_id),
        world.members.invite(ANNA, group_id, [BORIS]),
    )
    assert refusals(results) == []
    assert len(world.conversations.events(EntryType.MEMBERS_JOINED)) == 1
    assert await world.member_ids(group_id) == {OWNER, ANNA, BORIS}


async def test_groups_made_at_once_are_apart(world: GroupWorld) -> None:
    made = await asyncio.gather(*(world.groups.create(OWNER, f"g{number}", [ANNA]) for number in range(6)))
    assert len(set(made)) == 6
    assert {group.group_id for group in await world.groups.list_groups(ANNA)} == set(made)
