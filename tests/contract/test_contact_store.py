"""The contact domain on each engine, called directly and through the codec, idempotent calls made twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from testkit.clock import ManualClock
from testkit.contacts import ANN, BOB, CID, DAN, ContactWorld, RecordingMessage, migrated_database
from xinyu.contact.errors import ContactError
from xinyu.contact.settings import ContactSettings
from xinyu.contact.tables import METADATA
from xinyu.contact.types import Application, ApplicationId, ContactGroup, ContactGroupDraft, ContactGroupId
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import UserId
from xinyu.storage.errors import EffectPending
from xinyu.storage.sql import Database

T = TypeVar("T")


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.engine)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        dsn = f"sqlite:///{tmp_path / 'contact.db'}"
    else:
        account_dsn: Callable[[str], str] = request.getfixturevalue("account_dsn")
        dsn = account_dsn("contact")
    async with migrated_database(dsn) as database:
        yield database


@pytest.fixture(params=["direct", "encoded"])
def world(database: Database, request: pytest.FixtureRequest) -> ContactWorld:
    return ContactWorld(
        database, ManualClock(), RecordingMessage(), ContactSettings(), encoded=request.param == "encoded"
    )


async def twice(call: Callable[[], Awaitable[T]]) -> T:
    first = await call()
    assert await call() == first
    return first


async def at_once(*calls: Awaitable[object]) -> list[object]:
    """What each came to; anything but a result or a refusal is raised."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, ContactError):
            raise result
    return list(results)


def refused(results: Iterable[object]) -> int:
    return sum(isinstance(result, ContactError) for result in results)


async def only_pending(world: ContactWorld, target: UserId) -> Application:
    (application,) = await world.applications.list_pending(target)
    return application


async def agree(world: ContactWorld, one: UserId, other: UserId) -> bool:
    """Whether message has been told what the rows say, both ways."""
    mine, theirs = await world.store.read_pair(one, other)
    return all(
        world.message.members[link.other_id, link.owner_id] == link.member for link in (mine, theirs) if link.version
    )


async def test_the_migrations_make_the_tables_of_the_code(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        def ours(_: object, name: str | None, kind: str, *__: object) -> bool:
            return kind != "table" or name in METADATA.tables

        options = {"include_object": ours, "compare_type": True, "compare_server_default": False}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))

    assert await database.read(differences) == []


async def test_a_friendship_from_end_to_end(world: ContactWorld) -> None:
    await twice(lambda: world.applications.apply(ANN, BOB, "你好，我是安 🌸"))
    application = await only_pending(world, BOB)
    assert application.remark == "你好，我是安 🌸"
    assert await twice(lambda: world.applications.accept(BOB, application.application_id, "安" * 64)) == ANN
    await twice(lambda: world.contacts.edit_remark(ANN, BOB, "老鲍"))
    assert await twice(lambda: world.contacts.list_remarks(ANN, [BOB, CID])) == [(BOB, "老鲍")]
    assert [contact.remark for contact in await world.contacts.list_contacts(BOB)] == ["安" * 64]
    assert len(world.message.events) == 1
    detail = await twice(lambda: world.contacts.get_detail(ANN, BOB))
    assert (detail.user_id, detail.remark, detail.mobile) == (BOB, "老鲍", "13800000002")
    await twice(lambda: world.contacts.set_blocked(ANN, BOB, True))
    world.online = {ANN, BOB, CID}
    online = await twice(lambda: world.contacts.list_online(BOB, [ANN, BOB, CID]))
    assert [user.user_id for user in online] == [BOB, CID]
    await twice(lambda: world.contacts.set_blocked(ANN, BOB, False))
    await twice(lambda: world.contacts.delete(ANN, BOB))
    assert await world.contacts.list_contacts(ANN) == []
    assert (world.message.members[BOB, ANN].version, world.message.members[ANN, BOB].version) == (4, 1)
    assert await agree(world, ANN, BOB)


async def test_declined_and_listed(world: ContactWorld) -> None:
    for applicant in (ANN, CID, DAN):
        await world.applications.apply(applicant, BOB, "")
    listed = await twice(lambda: world.applications.list_pending(BOB))
    assert [item.applicant_id for item in listed] == [DAN, CID, ANN]
    await twice(lambda: world.applications.decline(BOB, listed[1].application_id, "no"))
    assert await twice(lambda: world.applications.count_pending(BOB)) == 2
    assert await world.store.count_sent(CID) == 0


async def test_groups_are_saved_whole(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    drafts = [ContactGroupDraft(ContactGroupId(0), "家人", 2), ContactGroupDraft(ContactGroupId(0), "同事", 1)]
    await twice(lambda: world.groups.save_groups(ANN, drafts))
    work, family = await world.groups.list_groups(ANN)
    await twice(lambda: world.groups.assign(ANN, BOB, family.group_id))
    assert await twice(lambda: world.groups.list_groups(ANN)) == [work, ContactGroup(family.group_id, "家人", 2, 1)]
    await world.groups.save_groups(ANN, [ContactGroupDraft(work.group_id, "同事")])
    assert [contact.group_id for contact in await world.contacts.list_contacts(ANN)] == [0]


async def test_saves_at_once_make_each_group_once(world: ContactWorld) -> None:
    drafts = [ContactGroupDraft(ContactGroupId(0), name) for name in ("a", "b")]
    await at_once(*(world.groups.save_groups(ANN, drafts) for _ in range(6)))
    assert [group.name for group in await world.groups.list_groups(ANN)] == ["a", "b"]


async def test_strangers_who_apply_at_once_make_one_application_each_way(world: ContactWorld) -> None:
    await at_once(*(world.applications.apply(*way, "hi") for way in [(ANN, BOB), (BOB, ANN)] * 4))
    to_bob, to_ann = await only_pending(world, BOB), await only_pending(world, ANN)
    answers = await at_once(
        *(world.applications.accept(BOB, to_bob.application_id, "") for _ in range(3)),
        *(world.applications.accept(ANN, to_ann.application_id, "") for _ in range(3)),
    )
    assert answers == [ANN] * 3 + [BOB] * 3
    assert len(world.message.events) == 1
    assert (await world.store.read_pair(ANN, BOB))[0].version == 1


async def test_one_answer_wins_when_all_come_at_once(world: ContactWorld) -> None:
    for round_ in range(5):
        await world.applications.apply(ANN, BOB, "hi")
        application_id = (await only_pending(world, BOB)).application_id
        results = await at_once(
            world.applications.accept(BOB, application_id, ""),
            world.applications.decline(BOB, application_id, ""),
            world.applications.accept(BOB, application_id, ""),
        )
        friends = bool(await world.contacts.list_contacts(BOB))
        assert refused(results) == (1 if friends else 2), round_
        assert await agree(world, ANN, BOB)
        if friends:
            await world.contacts.delete(BOB, ANN)


async def test_whatever_happens_at_once_rows_and_message_agree(world: ContactWorld) -> None:
    for _ in range(3):
        await world.applications.apply(ANN, BOB, "again")
        application_id = (await only_pending(world, BOB)).application_id
        await at_once(
            world.contacts.set_blocked(ANN, BOB, True),
            world.applications.accept(BOB, application_id, ""),
            world.contacts.set_blocked(ANN, BOB, False),
        )
        await at_once(
            world.contacts.delete(ANN, BOB),
            world.contacts.delete(BOB, ANN),
            world.contacts.set_blocked(BOB, ANN, True),
            world.contacts.set_blocked(ANN, BOB, True),
        )
        await at_once(world.contacts.set_blocked(ANN, BOB, False), world.contacts.set_blocked(BOB, ANN, False))
        assert await agree(world, ANN, BOB)


async def test_pending_effects_are_swept_in_order(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    application_id: ApplicationId = (await only_pending(world, BOB)).application_id
    world.message.failures = [Unavailable() for _ in range(4)]
    with pytest.raises(EffectPending):
        await world.applications.accept(BOB, application_id, "")
    for _ in range(2):
        with pytest.raises(EffectPending):
            await world.contacts.delete(BOB, ANN)
    assert await world.log.count_pending() == 2
    assert await world.relay.sweep() == 0, "left to their callers for a moment"
    world.clock.jump(20)
    assert await world.relay.sweep() == 0, "the older one fails once more and holds the newer one back"
    world.clock.jump(20)
    assert await world.relay.sweep() == 2
    assert len(world.message.events) == 1
    assert not world.message.accepts(BOB, ANN)
    assert await agree(world, ANN, BOB)
    world.clock.jump(86_500)
    await world.relay.sweep()
    assert await world.log.delete_done() == 0, "the sweep removed what is old"
