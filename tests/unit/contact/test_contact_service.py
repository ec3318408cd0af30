"""One's contacts: what is shown to whom, removing, blocking, and their effect in `message`."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from testkit.contacts import ANN, BOB, CID, DAN, ContactWorld
from xinyu.contact.errors import BadMobile, BadRemark, NotAContact, OneselfRefused, UserUnknown
from xinyu.contact.types import Relation
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import UserId
from xinyu.message.types import private_ref
from xinyu.storage.errors import EffectPending


async def test_search_finds_by_exact_mobile_and_echoes_no_more_than_that(world: ContactWorld) -> None:
    found = await world.contacts.search(ANN, " 13800000002 ")
    assert (found.user_id, found.mobile, found.email, found.relation) == (
        BOB,
        "13800000002",
        "",
        Relation.STRANGER,
    )
    with pytest.raises(UserUnknown):
        await world.contacts.search(ANN, "1380000000")
    for mobile in ("", "1" * 33):
        with pytest.raises(BadMobile):
            await world.contacts.search(ANN, mobile)
    world.users[BOB] = replace(world.users[BOB], disabled=True)
    with pytest.raises(UserUnknown):
        await world.contacts.search(ANN, "13800000002")


async def test_mobile_and_email_are_for_contacts_and_oneself(world: ContactWorld) -> None:
    stranger = await world.contacts.get_detail(ANN, BOB)
    assert (stranger.relation, stranger.mobile, stranger.email) == (Relation.STRANGER, "", "")
    oneself = await world.contacts.get_detail(ANN, ANN)
    assert (oneself.relation, oneself.mobile) == (Relation.SELF, "13800000001")
    await world.befriend(ANN, BOB)
    await world.contacts.edit_remark(ANN, BOB, "Bobby")
    friend = await world.contacts.get_detail(ANN, BOB)
    assert (friend.relation, friend.mobile, friend.email, friend.remark) == (
        Relation.FRIEND,
        "13800000002",
        "bob@example.org",
        "Bobby",
    )
    with pytest.raises(UserUnknown):
        await world.contacts.get_detail(ANN, UserId(99))
    await world.contacts.set_blocked(BOB, ANN, True)
    kept = await world.contacts.get_detail(ANN, BOB)
    assert (kept.relation, kept.mobile, kept.email) == (Relation.FRIEND, "", ""), "not from whom he blocks"
    await world.contacts.set_blocked(BOB, ANN, False)
    assert (await world.contacts.get_detail(ANN, BOB)).mobile == "13800000002"
    await world.contacts.delete(BOB, ANN)
    kept = await world.contacts.get_detail(ANN, BOB)
    assert (kept.relation, kept.mobile, kept.email) == (Relation.FRIEND, "", ""), "not after he removed her"


async def test_relation_is_read_from_the_callers_side(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    await world.contacts.delete(ANN, BOB)
    assert (await world.contacts.get_detail(ANN, BOB)).relation is Relation.STRANGER
    assert (await world.contacts.get_detail(BOB, ANN)).relation is Relation.FRIEND


async def test_online_status_is_hidden_from_whom_one_blocks(world: ContactWorld) -> None:
    world.online = {BOB}
    assert await world.contacts.is_online(ANN, BOB)
    assert (await world.contacts.get_detail(ANN, BOB)).online
    assert not await world.contacts.is_online(BOB, ANN)
    await world.contacts.set_blocked(BOB, ANN, True)
    assert not await world.contacts.is_online(ANN, BOB)
    assert not (await world.contacts.get_detail(ANN, BOB)).online
    with pytest.raises(UserUnknown):
        await world.contacts.is_online(ANN, UserId(99))


async def test_who_is_online_of_many_leaves_out_who_blocked_the_asker(world: ContactWorld) -> None:
    world.online = {ANN, BOB, CID}
    everybody = [ANN, BOB, CID, DAN, UserId(99)]
    await world.contacts.set_blocked(BOB, ANN, True)
    await world.contacts.set_blocked(ANN, CID, True)
    assert [user.user_id for user in await world.contacts.list_online(ANN, everybody)] == [ANN, CID]
    assert [user.user_id for user in await world.contacts.list_online(BOB, everybody)] == [ANN, BOB, CID]
    assert await world.contacts.list_online(ANN, []) == []


async def test_remarks_are_named_by_their_owner_alone(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    await world.befriend(CID, ANN)
    await world.contacts.edit_remark(ANN, BOB, " Bobby ")
    assert await world.contacts.list_remarks(ANN, [BOB, CID, UserId(99)]) == [(BOB, "Bobby")]
    assert await world.contacts.list_remarks(BOB, [ANN]) == []
    assert await world.contacts.list_remarks(ANN, []) == []
    await world.contacts.edit_remark(ANN, BOB, "")
    assert await world.contacts.list_remarks(ANN, [BOB]) == []
    with pytest.raises(NotAContact):
        await world.contacts.edit_remark(BOB, CID, "x")
    with pytest.raises(BadRemark):
        await world.contacts.edit_remark(ANN, BOB, "x" * 65)


async def test_contacts_are_listed_in_the_order_of_befriending(world: ContactWorld) -> None:
    await world.befriend(CID, ANN)
    world.clock.jump(1)
    await world.befriend(ANN, BOB)
    assert [contact.user_id for contact in await world.contacts.list_contacts(ANN)] == [CID, BOB]


async def test_a_removed_contact_cannot_send_and_keeps_everything_else(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    await world.contacts.delete(ANN, BOB)
    assert not world.message.accepts(ANN, BOB)
    assert world.message.accepts(BOB, ANN)
    assert world.message.members[BOB, ANN].active, "she may still read the history"
    assert world.message.forgotten == [("clear", ANN, private_ref(BOB)), ("hide", ANN, private_ref(BOB))]
    assert await world.contacts.list_contacts(ANN) == []
    assert [contact.user_id for contact in await world.contacts.list_contacts(BOB)] == [ANN]


async def test_removing_again_changes_nothing_and_a_stranger_cannot_be_removed(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    for _ in range(2):
        await world.contacts.delete(ANN, BOB)
    assert world.message.members[BOB, ANN].version == 2
    for stranger in (CID, ANN, UserId(99)):
        with pytest.raises(NotAContact):
            await world.contacts.delete(ANN, stranger)


async def test_versions_count_on_when_two_befriend_again(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    await world.contacts.delete(ANN, BOB)
    await world.befriend(ANN, BOB)
    assert world.message.members[BOB, ANN].version == 3
    assert world.message.members[ANN, BOB].version == 2
    assert world.message.accepts(ANN, BOB) and world.message.accepts(BOB, ANN)
    assert len(world.message.events) == 2


async def test_a_removal_while_the_accept_is_still_pending_wins(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    (application,) = await world.applications.list_pending(BOB)
    world.message.failures = [Unavailable()]
    with pytest.raises(EffectPending):
        await world.applications.accept(BOB, application.application_id, "")
    await world.contacts.delete(BOB, ANN)
    assert not world.message.accepts(BOB, ANN)
    assert world.message.accepts(ANN, BOB)
    world.clock.jump(5)
    await world.relay.sweep()
    assert not world.message.accepts(BOB, ANN)


async def test_a_late_old_effect_changes_nothing(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    befriending = world.message.applied[-1]
    await world.contacts.delete(ANN, BOB)
    await world.message.effects.apply(befriending)
    assert not world.message.accepts(ANN, BOB)


async def test_a_removal_that_cannot_take_effect_is_finished_by_its_repetition(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    world.message.failures = [Unavailable()]
    with pytest.raises(EffectPending):
        await world.contacts.delete(ANN, BOB)
    assert world.message.accepts(ANN, BOB) and world.message.forgotten == []
    await world.contacts.delete(ANN, BOB)
    assert not world.message.accepts(ANN, BOB)
    assert [what for what, *_ in world.message.forgotten] == ["clear", "hide"]


async def test_blocking_a_contact_stops_his_messages_until_unblocked(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    for _ in range(2):
        await world.contacts.set_blocked(ANN, BOB, True)
    assert not world.message.accepts(ANN, BOB)
    assert world.message.members[BOB, ANN].version == 2
    assert [contact.blocked for contact in await world.contacts.list_contacts(ANN)] == [True]
    await world.contacts.set_blocked(ANN, BOB, False)
    assert world.message.accepts(ANN, BOB)


async def test_unblocking_makes_no_contact_of_a_stranger(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    await world.contacts.set_blocked(ANN, BOB, True)
    await world.contacts.delete(ANN, BOB)
    await world.contacts.set_blocked(ANN, BOB, False)
    assert not world.message.accepts(ANN, BOB)
    await world.contacts.set_blocked(ANN, CID, True)
    await world.contacts.set_blocked(ANN, CID, False)
    assert (CID, ANN) not in world.message.members


async def test_one_cannot_block_oneself_or_nobody(world: ContactWorld) -> None:
    with pytest.raises(OneselfRefused):
        await world.contacts.set_blocked(ANN, ANN, True)
    with pytest.raises(UserUnknown):
        await world.contacts.set_blocked(ANN, UserId(99), True)


async def test_block_and_removal_and_accept_at_once_leave_row_and_message_agreeing(world: ContactWorld) -> None:
    await world.befriend(ANN, BOB)
    await world.contacts.delete(BOB, ANN)
    await world.applications.apply(ANN, BOB, "again")
    (application,) = await world.applications.list_pending(BOB)
    await asyncio.gather(
        world.contacts.set_blocked(ANN, BOB, True),
        world.applications.accept(BOB, application.application_id, ""),
        world.contacts.delete(ANN, BOB),
        world.contacts.delete(BOB, ANN),
        return_exceptions=True,
    )
    world.clock.jump(5)
    await world.relay.sweep()
    for one, other in ((ANN, BOB), (BOB, ANN)):
        mine, _ = await world.store.read_pair(one, other)
        assert world.message.accepts(one, other) == mine.accepts
        assert world.message.members[other, one].version == mine.version
