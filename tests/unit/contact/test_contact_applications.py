"""Becoming a contact: who may, how often, and what becomes of it in `message`."""

from __future__ import annotations

import asyncio

import pytest

from testkit.contacts import ANN, BOB, CID, DAN, ContactWorld
from xinyu.contact.errors import (
    AlreadyContacts,
    ApplicationHandled,
    ApplicationNotFound,
    BadRemark,
    OneselfRefused,
    TargetBlocked,
    TooManyApplications,
    TooManyContacts,
    UserUnknown,
)
from xinyu.contact.types import Application, ApplicationId
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import UserId
from xinyu.message.types import EffectEvent, EntryType, MemberChange, SelfNotice
from xinyu.storage.errors import EffectPending


async def only_pending(world: ContactWorld, target: UserId) -> Application:
    (application,) = await world.applications.list_pending(target)
    return application


async def test_the_target_is_told_and_lists_the_application(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, " hi ")
    application = await only_pending(world, BOB)
    assert application == Application(application.application_id, ANN, BOB, "hi", world.clock.now_ms())
    assert await world.applications.count_pending(BOB) == 1
    assert await world.applications.count_pending(ANN) == 0
    content = {
        "apply_id": application.application_id,
        "user_id": ANN,
        "remark": "hi",
        "apply_time": world.clock.now_ms(),
    }
    assert world.message.notices == [SelfNotice(BOB, EntryType.SELF_CONTACT_APPLY, content)]


async def test_applying_again_is_the_same_application_and_tells_again_only_later(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "one")
    first = await only_pending(world, BOB)
    await world.applications.apply(ANN, BOB, "two")
    again = await only_pending(world, BOB)
    assert (again.application_id, again.remark) == (first.application_id, "two")
    assert len(world.message.notices) == 1
    world.clock.jump(60)
    await world.applications.apply(ANN, BOB, "three")
    assert [notice.content["remark"] for notice in world.message.notices] == ["one", "three"]
    assert {notice.content["apply_id"] for notice in world.message.notices} == {first.application_id}


async def test_two_identical_applications_at_once_are_one(world: ContactWorld) -> None:
    await asyncio.gather(*(world.applications.apply(ANN, BOB, "hi") for _ in range(5)))
    await only_pending(world, BOB)
    assert len(world.message.notices) == 1


async def test_one_cannot_apply_to_oneself_nobody_or_a_contact(world: ContactWorld) -> None:
    with pytest.raises(OneselfRefused):
        await world.applications.apply(ANN, ANN, "")
    with pytest.raises(UserUnknown):
        await world.applications.apply(ANN, UserId(99), "")
    await world.befriend(ANN, BOB)
    for one, other in ((ANN, BOB), (BOB, ANN)):
        with pytest.raises(AlreadyContacts):
            await world.applications.apply(one, other, "")
    with pytest.raises(BadRemark):
        await world.applications.apply(ANN, CID, "x" * 129)


async def test_accepting_makes_both_contacts_greets_and_tells_both(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    application_id = (await only_pending(world, BOB)).application_id
    world.message.notices.clear()
    assert await world.applications.accept(BOB, application_id, "Annie") == ANN
    assert world.message.members == {
        (BOB, ANN): MemberChange(ANN, 1, active=True, accepts=True),
        (ANN, BOB): MemberChange(BOB, 1, active=True, accepts=True),
    }
    assert world.message.events == [EffectEvent(EntryType.TEXT, BOB, {"content": "我们已经是好友了，可以开始聊天了"})]
    assert world.message.notices == [
        SelfNotice(ANN, EntryType.SELF_CONTACT_ACCEPTED, {"user_id": BOB, "accept_time": world.clock.now_ms()}),
        SelfNotice(ANN, EntryType.SELF_CONVERSATION, {"talk_mode": 1, "to_from_id": BOB}),
        SelfNotice(BOB, EntryType.SELF_CONVERSATION, {"talk_mode": 1, "to_from_id": ANN}),
    ]
    assert [(contact.user_id, contact.remark) for contact in await world.contacts.list_contacts(BOB)] == [
        (ANN, "Annie")
    ]
    assert [(contact.user_id, contact.remark) for contact in await world.contacts.list_contacts(ANN)] == [(BOB, "")]
    assert await world.applications.list_pending(BOB) == []


@pytest.mark.parametrize("stranger", [ANN, CID])
async def test_only_the_target_may_answer(world: ContactWorld, stranger: UserId) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    application_id = (await only_pending(world, BOB)).application_id
    for answer in (world.applications.accept, world.applications.decline):
        with pytest.raises(ApplicationNotFound):
            await answer(stranger, application_id, "")
        with pytest.raises(ApplicationNotFound):
            await answer(BOB, ApplicationId(999), "")
    await only_pending(world, BOB)


async def test_accepting_again_answers_the_same_and_does_nothing(world: ContactWorld) -> None:
    application_id = ApplicationId(await world.befriend(ANN, BOB))
    assert await world.applications.accept(BOB, application_id, "other") == ANN
    assert len(world.message.events) == 1
    assert (await world.contacts.list_contacts(BOB))[0].remark == ""
    with pytest.raises(ApplicationHandled):
        await world.applications.decline(BOB, application_id, "")


async def test_accepting_again_after_removal_does_not_befriend_again(world: ContactWorld) -> None:
    application_id = ApplicationId(await world.befriend(ANN, BOB))
    await world.contacts.delete(BOB, ANN)
    assert await world.applications.accept(BOB, application_id, "") == ANN
    assert await world.contacts.list_contacts(BOB) == []
    assert not world.message.accepts(BOB, ANN)


async def test_declining_is_final_for_that_application_only(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    application_id = (await only_pending(world, BOB)).application_id
    await world.applications.decline(BOB, application_id, "no")
    await world.applications.decline(BOB, application_id, "no")
    with pytest.raises(ApplicationHandled):
        await world.applications.accept(BOB, application_id, "")
    assert world.message.members == {}
    await world.applications.apply(ANN, BOB, "please")
    again = await only_pending(world, BOB)
    assert again.application_id != application_id
    assert await world.applications.accept(BOB, again.application_id, "") == ANN


async def test_two_accepts_at_once_befriend_once(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    application_id = (await only_pending(world, BOB)).application_id
    answers = await asyncio.gather(*(world.applications.accept(BOB, application_id, "") for _ in range(4)))
    assert answers == [ANN] * 4
    assert len(world.message.events) == 1
    assert world.message.members[ANN, BOB].version == 1


async def test_accept_and_decline_at_once_have_one_winner(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    application_id = (await only_pending(world, BOB)).application_id
    results = await asyncio.gather(
        world.applications.accept(BOB, application_id, ""),
        world.applications.decline(BOB, application_id, ""),
        return_exceptions=True,
    )
    assert sum(isinstance(result, ApplicationHandled) for result in results) == 1
    friends = bool(await world.contacts.list_contacts(BOB))
    assert friends == (results[0] == ANN) == world.message.accepts(BOB, ANN)


async def test_crossing_applications_close_each_other(world: ContactWorld) -> None:
    await asyncio.gather(world.applications.apply(ANN, BOB, "hi"), world.applications.apply(BOB, ANN, "hey"))
    to_bob, to_ann = await only_pending(world, BOB), await only_pending(world, ANN)
    await world.applications.accept(BOB, to_bob.application_id, "")
    assert await world.applications.list_pending(ANN) == []
    assert await world.applications.accept(ANN, to_ann.application_id, "") == BOB
    assert len(world.message.events) == 1


async def test_crossing_accepts_at_once_greet_once(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    await world.applications.apply(BOB, ANN, "hey")
    to_bob, to_ann = await only_pending(world, BOB), await only_pending(world, ANN)
    await asyncio.gather(
        world.applications.accept(BOB, to_bob.application_id, ""),
        world.applications.accept(ANN, to_ann.application_id, ""),
    )
    assert len(world.message.events) == 1
    assert world.message.accepts(ANN, BOB) and world.message.accepts(BOB, ANN)


async def test_a_blocked_applicant_cannot_tell_and_the_target_never_sees(world: ContactWorld) -> None:
    await world.contacts.set_blocked(BOB, ANN, True)
    await world.applications.apply(ANN, BOB, "hi")
    await world.applications.apply(ANN, BOB, "hi?")
    assert await world.applications.list_pending(BOB) == []
    assert await world.applications.count_pending(BOB) == 0
    assert world.message.applied == []
    await world.contacts.set_blocked(BOB, ANN, False)
    await world.applications.apply(ANN, BOB, "and now?")
    assert (await only_pending(world, BOB)).remark == "and now?"
    assert len(world.message.notices) == 1


async def test_blocking_the_applicant_hides_what_he_asked_and_it_cannot_be_accepted(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    application_id = (await only_pending(world, BOB)).application_id
    await world.contacts.set_blocked(BOB, ANN, True)
    assert await world.applications.list_pending(BOB) == []
    with pytest.raises(ApplicationNotFound):
        await world.applications.accept(BOB, application_id, "")


async def test_blocking_whom_one_asked_withdraws_the_application(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    application_id = (await only_pending(world, BOB)).application_id
    await world.contacts.set_blocked(ANN, BOB, True)
    assert await world.applications.list_pending(BOB) == []
    with pytest.raises(ApplicationHandled):
        await world.applications.accept(BOB, application_id, "")
    with pytest.raises(TargetBlocked):
        await world.applications.apply(ANN, BOB, "hi")


async def test_there_is_an_end_to_applications_and_contacts(world: ContactWorld) -> None:
    world.users[UserId(5)] = world.users[DAN]
    for target in (BOB, CID, DAN):
        await world.applications.apply(ANN, target, "")
    with pytest.raises(TooManyApplications):
        await world.applications.apply(ANN, UserId(5), "")
    for target in (BOB, CID, DAN):
        await world.applications.accept(target, (await only_pending(world, target)).application_id, "")
    await world.applications.apply(UserId(5), ANN, "")
    application_id = (await only_pending(world, ANN)).application_id
    with pytest.raises(TooManyContacts):
        await world.applications.accept(ANN, application_id, "")
    assert len(await world.applications.list_pending(ANN)) == 1


async def test_an_accept_that_cannot_take_effect_stands_and_takes_it_when_repeated(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    application_id = (await only_pending(world, BOB)).application_id
    world.message.failures = [Unavailable(), Unavailable()]
    for _ in range(2):
        with pytest.raises(EffectPending):
            await world.applications.accept(BOB, application_id, "")
    assert [contact.user_id for contact in await world.contacts.list_contacts(ANN)] == [BOB]
    assert world.message.events == []
    assert await world.applications.accept(BOB, application_id, "") == ANN
    assert len(world.message.events) == 1
    assert await world.log.count_pending() == 0


async def test_the_relay_brings_an_accept_that_nobody_repeats(world: ContactWorld) -> None:
    await world.applications.apply(ANN, BOB, "hi")
    application_id = (await only_pending(world, BOB)).application_id
    world.message.failures = [Unavailable()]
    with pytest.raises(EffectPending):
        await world.applications.accept(BOB, application_id, "")
    world.clock.jump(2)
    await world.relay.sweep()
    assert world.message.accepts(ANN, BOB) and len(world.message.events) == 1
