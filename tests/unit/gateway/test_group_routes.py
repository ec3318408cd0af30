"""Groups over REST, on the real group domain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.groups import ANNA, BORIS, CLARA, DORA, OWNER, Conversations, GroupWorld
from testkit.rest import RestClient, ports_of, rest_client
from xinyu.contact.types import NO_GROUP, Contact
from xinyu.gateway.http.routes import group, group_apply
from xinyu.kernel.ids import UserId
from xinyu.message.types import EntryType, Ref
from xinyu.storage.sql import SqliteDatabase

CONTACTS = {OWNER: [ANNA, BORIS, CLARA, DORA], ANNA: [OWNER, DORA]}


class Contacts:
    """The one question that groups ask."""

    async def list_contacts(self, owner_id: UserId) -> list[Contact]:
        return [Contact(user, f"r{user}", NO_GROUP, False, 0) for user in CONTACTS.get(owner_id, [])]


class Muted:
    """Everybody muted every group with an odd id."""

    async def list_muted(self, user_id: UserId, refs: list[Ref]) -> list[bool]:
        return [ref.target_id % 2 == 1 for ref in refs]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GroupWorld]:
    database = SqliteDatabase(tmp_path / "groups.db")
    await database.start()
    world = GroupWorld(database)
    await world.start()
    yield world
    await database.stop()


@pytest.fixture
async def rest(world: GroupWorld) -> AsyncIterator[RestClient]:
    ports = ports_of(
        groups=world.groups,
        group_members=world.members,
        group_applications=world.applications,
        profiles=world.people,
        contacts=Contacts(),
        conversations=Muted(),
    )
    texts = {**group.ERRORS, **group_apply.ERRORS}
    async with rest_client(ports, [*group.ROUTES, *group_apply.ROUTES], texts) as client:
        yield client


async def new_group(rest: RestClient, *members: UserId) -> int:
    made = await rest.post(OWNER, "group/create", {"name": "lunch", "user_ids": list(members)})
    return int(made["group_id"])


async def test_a_group_as_list_and_detail_show_it(rest: RestClient) -> None:
    group_id = await new_group(rest, ANNA)
    assert await rest.post(ANNA, "group/list") == {
        "items": [
            {
                "group_id": group_id,
                "group_name": "lunch",
                "avatar": "",
                "profile": "",
                "leader": OWNER,
                "creator_id": OWNER,
            }
        ]
    }
    expected = {
        "group_id": group_id,
        "group_name": "lunch",
        "profile": "",
        "avatar": "",
        "created_at": "2023-11-15 06:13:20",
        "is_manager": False,
        "is_disturb": 1,
        "visit_card": "annie",
        "is_mute": 2,
        "is_overt": 2,
    }
    await rest.post(ANNA, "group/remark-update", {"group_id": str(group_id), "remark": "annie"})
    assert await rest.post(ANNA, "group/detail", {"group_id": group_id}) == expected
    await rest.post(OWNER, "group/mute", {"group_id": group_id, "action": 1})
    changed = {"is_manager": True, "visit_card": "", "is_mute": 1}
    assert await rest.post(OWNER, "group/detail", {"group_id": group_id}) == expected | changed
    assert await rest.post(DORA, "group/list") == {"items": []}


async def test_members_under_both_keys_with_the_front_ends_roles(rest: RestClient, world: GroupWorld) -> None:
    """CONTRACT.md section 0, rows 1 and 2."""
    group_id = await new_group(rest, ANNA, BORIS)
    await rest.post(OWNER, "group/assign-admin", {"group_id": group_id, "user_id": ANNA, "action": 1})
    await rest.post(ANNA, "group/no-speak", {"group_id": group_id, "user_id": BORIS, "action": 1})
    await rest.post(BORIS, "group/remark-update", {"group_id": group_id, "remark": "bo"})
    world.people.calls = 0
    answer = await rest.post(BORIS, "group/member-list", {"group_id": group_id})
    assert world.people.calls == 1
    assert answer["items"] == answer["list"]
    assert [(item["user_id"], item["leader"], item["is_mute"], item["remark"]) for item in answer["items"]] == [
        (OWNER, 1, 2, ""),
        (ANNA, 2, 2, ""),
        (BORIS, 3, 1, "bo"),
    ]
    assert set(answer["items"][0]) == {
        "user_id", "nickname", "avatar", "gender", "motto", "leader", "is_mute", "remark"
    }  # fmt: skip
    await rest.post(ANNA, "group/no-speak", {"group_id": group_id, "user_id": BORIS, "action": "2"})
    answer = await rest.post(BORIS, "group/member-list", {"group_id": group_id})
    assert [item["is_mute"] for item in answer["items"]] == [2, 2, 2]


async def test_only_contacts_are_brought_in(rest: RestClient, world: GroupWorld) -> None:
    group_id = await new_group(rest, ANNA, UserId(77))
    await rest.post(ANNA, "group/invite", {"group_id": group_id, "user_ids": [DORA, BORIS, 78]})
    listed = await rest.post(ANNA, "group/member-list", {"group_id": group_id})
    assert {item["user_id"] for item in listed["items"]} == {OWNER, ANNA, DORA}
    assert len(world.conversations.events(EntryType.MEMBERS_JOINED)) == 1
    friends = await rest.post(OWNER, "group/get-invite-friends", {"group_id": group_id})
    assert [(item["user_id"], item["nickname"], item["remark"]) for item in friends["items"]] == [
        (BORIS, "user-3", "r3"),
        (CLARA, "user-4", "r4"),
    ]
    everybody = await rest.post(ANNA, "group/get-invite-friends", {"group_id": 0})
    assert [item["user_id"] for item in everybody["items"]] == [OWNER, DORA]


async def test_refusals_in_the_contracts_words(rest: RestClient) -> None:
    group_id = await new_group(rest, ANNA, BORIS)
    one = {"group_id": group_id}
    for user, path, body, status, words in (
        (DORA, "detail", one, 403, "not a member"),
        (DORA, "member-list", one, 403, "not a member"),
        (DORA, "get-invite-friends", one, 403, "not a member"),
        (DORA, "invite", {**one, "user_ids": [9]}, 403, "not a member"),
        (DORA, "setting", {**one, "group_name": "x"}, 403, "not a member"),
        (DORA, "secede", one, 404, "not a member"),
        (DORA, "remark-update", {**one, "remark": "x"}, 403, "not a member"),
        (ANNA, "setting", {**one, "group_name": "x"}, 403, "permission denied"),
        (ANNA, "mute", {**one, "action": 1}, 403, "permission denied"),
        (ANNA, "no-speak", {**one, "user_id": BORIS, "action": 1}, 403, "permission denied"),
        (ANNA, "assign-admin", {**one, "user_id": ANNA, "action": 1}, 403, "permission denied"),
        (ANNA, "remove-member", {**one, "user_ids": [BORIS]}, 403, "permission denied"),
        (ANNA, "handover", {**one, "user_id": ANNA}, 403, "permission denied"),
        (ANNA, "dismiss", one, 403, "permission denied"),
        (OWNER, "secede", one, 400, "owner cannot secede, must handover first"),
        (OWNER, "handover", {**one, "user_id": DORA}, 404, "该用户不是群成员"),
        (OWNER, "detail", {"group_id": 999}, 404, "group not found"),
        (OWNER, "detail", {"group_id": 2**53}, 404, "group not found"),
    ):
        answer = await rest.post(user, f"group/{path}", body, status)
        assert (answer["code"], answer["message"], answer["data"]) == (status, words, None), path
    for path, body in (
        ("detail", {}),
        ("detail", {"group_id": -1}),
        ("detail", {"group_id": 2**64}),
        ("detail", {"group_id": "x"}),
        ("mute", {**one, "action": 3}),
        ("mute", one),
        ("invite", {**one, "user_ids": "5"}),
        ("create", {"name": ""}),
        ("create", {"name": ["x"]}),
        ("setting", {**one, "group_name": "x" * 65}),
    ):
        assert (await rest.post(OWNER, f"group/{path}", body, 400))["code"] == 400, path


@pytest.mark.parametrize("route", [*group.ROUTES, *group_apply.ROUTES], ids=lambda route: route.path)
async def test_nobody_comes_in_without_a_token(rest: RestClient, route: group.Route) -> None:
    await rest.post(None, route.path.removeprefix("/api/v1/"), {"group_id": 1}, 401)


async def test_a_group_is_changed_left_and_ended(rest: RestClient, world: GroupWorld) -> None:
    group_id = await new_group(rest, ANNA, BORIS, CLARA)
    one = {"group_id": group_id}
    assert await rest.post(OWNER, "group/setting", {**one, "group_name": "", "avatar": "/a", "profile": "p"}) == {}
    assert await rest.post(OWNER, "group/remove-member", {**one, "user_ids": [CLARA]}) == {}
    assert await rest.post(BORIS, "group/secede", one) == {}
    assert await rest.post(BORIS, "group/secede", one) == {}  # the client's own repetition (section 1.0)
    assert await rest.post(OWNER, "group/handover", {**one, "user_id": ANNA}) == {}
    [item] = (await rest.post(OWNER, "group/list"))["items"]
    assert (item["group_name"], item["avatar"], item["profile"], item["leader"]) == ("lunch", "/a", "p", ANNA)
    assert await rest.post(ANNA, "group/dismiss", one) == {}
    assert await rest.post(ANNA, "group/list") == {"items": []}
    await rest.post(ANNA, "group/detail", one, 404)


async def test_repeating_a_create_at_once_makes_one_group(rest: RestClient) -> None:
    assert await new_group(rest, ANNA) == await new_group(rest, ANNA)
    assert len((await rest.post(OWNER, "group/list"))["items"]) == 1


async def test_a_group_that_was_dismissed_is_made_anew(rest: RestClient) -> None:
    first = await new_group(rest, ANNA)
    await rest.post(OWNER, "group/dismiss", {"group_id": first})
    second = await new_group(rest, ANNA)
    assert second == await new_group(rest, ANNA) != first
    assert [item["group_id"] for item in (await rest.post(ANNA, "group/list"))["items"]] == [second]


async def test_leaving_twice_is_done_once_unless_he_was_brought_back(rest: RestClient) -> None:
    one = {"group_id": await new_group(rest, ANNA)}
    for _ in range(2):
        assert await rest.post(ANNA, "group/secede", one) == {}
        assert await rest.post(ANNA, "group/secede", one) == {}, "the client's automatic repetition"
        assert (await rest.post(ANNA, "group/list"))["items"] == []
        await rest.post(OWNER, "group/invite", {**one, "user_ids": [ANNA]})
        assert len((await rest.post(ANNA, "group/list"))["items"]) == 1
    await rest.post(BORIS, "group/secede", one, 404)


async def test_a_group_may_be_handed_over_and_back_and_over(rest: RestClient) -> None:
    one = {"group_id": await new_group(rest, ANNA)}
    for owner, heir in ((OWNER, ANNA), (OWNER, ANNA), (ANNA, OWNER), (OWNER, ANNA)):
        assert await rest.post(owner, "group/handover", {**one, "user_id": heir}) == {}
    [item] = (await rest.post(OWNER, "group/list"))["items"]
    assert item["leader"] == ANNA


async def test_a_change_that_is_pending_is_unavailable_not_done(rest: RestClient, world: GroupWorld) -> None:
    group_id = await new_group(rest, ANNA)
    world.conversations.away = True
    await rest.post(OWNER, "group/mute", {"group_id": group_id, "action": 1}, 503)
    assert isinstance(world.conversations, Conversations)
    world.conversations.away = False
    assert await rest.post(OWNER, "group/mute", {"group_id": group_id, "action": 1}) == {}


async def test_applications_from_asking_to_joining(rest: RestClient) -> None:
    group_id = await new_group(rest, ANNA)
    assert await rest.post(OWNER, "group-apply/unread-num") == {"num": 0}
    assert await rest.post(OWNER, "group-apply/all") == {"items": []}
    for user in (CLARA, DORA):
        assert await rest.post(user, "group-apply/create", {"group_id": group_id, "remark": f"I am {user}"}) == {}
    assert await rest.post(OWNER, "group-apply/unread-num") == {"num": 2}
    assert await rest.post(ANNA, "group-apply/unread-num") == {"num": 0}
    items = (await rest.post(OWNER, "group-apply/all"))["items"]
    assert items == (await rest.post(OWNER, "group-apply/list", {"group_id": group_id}))["items"]
    assert items[0] == {
        "id": items[0]["id"],
        "user_id": DORA,
        "group_id": group_id,
        "group_name": "lunch",
        "remark": f"I am {DORA}",
        "avatar": "",
        "nickname": "user-5",
        "created_at": "2023-11-15 06:13:20",
    }
    await rest.post(ANNA, "group-apply/agree", {"apply_id": items[0]["id"]}, 403)
    await rest.post(ANNA, "group-apply/list", {"group_id": group_id}, 403)
    assert await rest.post(OWNER, "group-apply/agree", {"apply_id": items[0]["id"]}) == {}
    assert await rest.post(OWNER, "group-apply/decline", {"apply_id": items[1]["id"], "remark": "no"}) == {}
    assert await rest.post(OWNER, "group-apply/unread-num") == {"num": 0}
    answer = await rest.post(OWNER, "group-apply/agree", {"apply_id": 999}, 404)
    assert answer["message"] == "apply not found"
    assert (await rest.post(DORA, "group/list"))["items"][0]["group_id"] == group_id
    assert (await rest.post(CLARA, "group/list"))["items"] == []
