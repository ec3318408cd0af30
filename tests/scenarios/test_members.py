"""Who may speak and read: groups with people coming, going, muted; contacts who are none (DESIGN.md section 5,
*Membership*; G11)."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from testkit.people import Device, Person, Town, befriend, shows
from testkit.waiting import eventually
from xinyu.kernel.errors import XinyuError
from xinyu.sdk import ApiError, Talk
from xinyu.sdk.types import MessageType

pytestmark = pytest.mark.scenario


async def refused_text(device: Device, talk: Talk, text: str = "may I?") -> tuple[int, str]:
    """How the server refuses a text: (status, error code)."""
    with pytest.raises(ApiError) as refused:
        await device.client.send_text(talk, text)
    return refused.value.status, refused.value.error


async def group_of(owner: Person, *members: Person) -> tuple[int, Talk]:
    group_id = await owner.client.groups.create("Group", [member.uid for member in members])
    return group_id, Talk.group(group_id)


async def test_one_who_was_removed_reads_his_own_intervals_and_nothing_else(town: Town) -> None:
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    group_id, group = await group_of(ann, bob, cleo)
    owner, inside = await ann.device(), await bob.device()
    phone, page = await cleo.device(), await cleo.page()
    phone.has_gaps = True
    await owner.client.send_text(group, "before")
    await shows(phone, group, ["before"])
    kept = await phone.client.send_text(group, "I was here")
    await ann.client.groups.remove_members(group_id, [cleo.uid])
    await eventually(lambda: phone.of(group)[-1].msg_type == MessageType.MEMBERS_REMOVED)
    await eventually(lambda: [r for r in page.shown[group] if r["msg_type"] == MessageType.MEMBERS_REMOVED])
    assert await refused_text(phone, group) == (403, "message.not_a_member")
    await owner.client.send_text(group, "behind her back")
    await shows(inside, group, ["behind her back"])
    assert await phone.unread(group) in (0, 1)  # at most "before", never what came behind her back

    again = await cleo.client.messages.send(
        group, "text", {"text": "I was here", "content": "I was here"}, msg_id=kept.msg_id
    )
    assert again.seq == kept.seq  # a retry of what was acked gets its receipt, whoever left since

    await ann.client.groups.invite(group_id, [cleo.uid])
    await owner.client.send_text(group, "welcome back")
    expected = ["before", "I was here", "welcome back"]
    await shows(phone, group, expected)
    await eventually(lambda: [t for t in page.texts(*group) if t] == expected)
    history = (await phone.client.history(group, limit=100)).messages
    assert [m.text for m in history if m.text] == expected[::-1]
    assert [m.text for m in await cleo.client.messages.records(group) if m.text] == expected[::-1]
    late = await cleo.device(history="all")
    late.has_gaps = True
    await shows(late, group, expected)
    assert await phone.unread(group) == await late.unread(group) == 1  # a new interval begins read: "welcome back"


async def test_members_of_group_and_log_agree_after_a_storm_of_changes(town: Town) -> None:
    """Kicks and invitations race: whatever came last holds in both, and no late kick undoes an invitation."""
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    await befriend(bob, cleo)
    group_id, group = await group_of(ann, bob, cleo)
    await ann.client.groups.set_admin(group_id, bob.uid, True)
    phone = await cleo.device()
    phone.has_gaps = True

    async def churn(person: Person) -> None:
        for _ in range(6):
            for change in (person.client.groups.remove_members, person.client.groups.invite):
                try:
                    await change(group_id, [cleo.uid])
                except ApiError as error:
                    assert error.status in (404, 409), error  # the other one was quicker

    await asyncio.gather(churn(ann), churn(bob))
    await ann.client.groups.invite(group_id, [cleo.uid])
    assert cleo.uid in [m.user_id for m in await ann.client.groups.members(group_id)]
    sent = await phone.client.send_text(group, "here I stay")
    assert sent.accepted
    await shows(phone, group, ["here I stay"])
    await ann.client.groups.remove_members(group_id, [cleo.uid])
    assert cleo.uid not in [m.user_id for m in await ann.client.groups.members(group_id)]
    assert await refused_text(phone, group) == (403, "message.not_a_member")


async def test_a_change_cut_off_by_a_kill_takes_effect_after_all(town: Town) -> None:
    """The change and its effect in the log are two services' (DESIGN.md section 1, 3): never one without the other."""
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    group_id, group = await group_of(ann, bob, cleo)
    phone = await cleo.device()
    phone.has_gaps = True
    for round_ in range(2):
        change = ann.client.groups.remove_members if round_ % 2 == 0 else ann.client.groups.invite
        changing = asyncio.create_task(change(group_id, [cleo.uid]))
        await asyncio.sleep(0)  # on its way
        await town.placement.kill("group")
        with pytest.raises(XinyuError):
            await changing
        await town.placement.start("group")

        async def agree() -> bool:
            member = cleo.uid in [m.user_id for m in await ann.client.groups.members(group_id)]
            try:
                await phone.client.send_text(group, f"am I in? {uuid.uuid4().hex}")
            except ApiError as error:
                assert (error.status, member) == (403, False)
                return True
            assert member
            return True

        await eventually(agree)


async def test_the_muted_are_silent_and_the_dismissed_group_too(town: Town) -> None:
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    group_id, group = await group_of(ann, bob, cleo)
    owner, one, other = await ann.device(), await bob.device(), await cleo.device()
    groups = ann.client.groups
    await groups.mute_member(group_id, bob.uid, True)
    assert await refused_text(one, group) == (403, "message.muted")
    assert [m.is_mute for m in await groups.members(group_id) if m.user_id == bob.uid] == [1]
    await other.client.send_text(group, "I am not muted")
    await groups.mute_member(group_id, bob.uid, False)
    await one.client.send_text(group, "nor am I")
    await groups.mute(group_id, True)
    assert await refused_text(other, group) == (403, "message.muted")
    await owner.client.send_text(group, "I own this")
    await groups.set_admin(group_id, cleo.uid, True)
    await other.client.send_text(group, "and I am an admin")
    assert await refused_text(one, group) == (403, "message.muted")
    await groups.mute(group_id, False)
    expected = ["I am not muted", "nor am I", "I own this", "and I am an admin"]
    await shows(one, group, expected)
    await groups.dismiss(group_id)
    await eventually(lambda: one.of(group)[-1].msg_type == MessageType.GROUP_DISMISSED)
    assert (await refused_text(one, group))[0] == 403
    assert (await refused_text(owner, group))[0] == 403
    assert [m.text for m in await bob.client.messages.records(group) if m.text] == expected[::-1]
    assert group_id not in [g.group_id for g in await bob.client.groups.list()]


async def test_an_owner_hands_over_before_leaving(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    group_id, group = await group_of(ann, bob)
    owner, heir = await ann.device(), await bob.device()
    with pytest.raises(ApiError) as refused:
        await ann.client.groups.leave(group_id)
    assert refused.value.status == 400
    await ann.client.groups.hand_over(group_id, bob.uid)
    await ann.client.groups.leave(group_id)
    await eventually(lambda: heir.of(group)[-1].msg_type == MessageType.MEMBER_LEFT)
    assert await refused_text(owner, group) == (403, "message.not_a_member")
    await heir.client.send_text(group, "alone")
    assert [(m.user_id, m.leader) for m in await bob.client.groups.members(group_id)] == [(bob.uid, 1)]


async def test_who_is_no_friend_gets_status_3_and_leaves_no_trace(town: Town) -> None:
    ann, bob = await town.person("Ann"), await town.person("Bob")
    sender, receiver, page = await ann.device(), await bob.device(), await bob.page()

    async def is_refused(text: str) -> None:
        message = await sender.client.send_text(bob.talk, text)
        assert (message.status, message.seq, message.accepted) == (3, 0, False)
        assert (message.extra["invalid"], message.extra["invalid_reason"]) == (True, "not_friend")

    await is_refused("stranger")
    await befriend(ann, bob)
    await sender.client.send_text(bob.talk, "friend")
    await shows(receiver, ann.talk, ["friend"])
    await bob.client.post("contact/block", {"user_id": ann.uid, "action": 1})
    await is_refused("blocked")
    await bob.client.post("contact/block", {"user_id": ann.uid, "action": 2})
    await sender.client.send_text(bob.talk, "friend again")
    await shows(receiver, ann.talk, ["friend", "friend again"])
    await bob.client.contacts.delete(ann.uid)
    await is_refused("unfriended")
    assert [m.user_id for m in await bob.client.contacts.list()] == []
    log = (await sender.client.history(bob.talk, after=0, limit=100)).messages
    assert [m.seq for m in log] == list(range(1, len(log) + 1))
    assert [m.text for m in log][-2:] == ["friend", "friend again"]
    said = [text for text in page.texts(*ann.talk) if text]
    assert not {"stranger", "blocked", "unfriended"}.intersection(said)
    assert ann.talk not in [line.talk for line in await bob.client.talks.list()]
    await befriend(bob, ann)
    await sender.client.send_text(bob.talk, "third time")
    await shows(receiver, ann.talk, ["third time"])
