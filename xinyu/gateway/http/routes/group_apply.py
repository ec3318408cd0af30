"""Applications to join a group (CONTRACT.md section 1.7)."""

from __future__ import annotations

import msgspec

from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.http.call import Call, NoBody, RawRoute, Route
from xinyu.gateway.http.routes.group import GroupBody, profiles_of
from xinyu.gateway.present.group import applications_json
from xinyu.group.types import Application
from xinyu.kernel.ids import GroupId

ERRORS: dict[str, str] = {
    "group.application_not_found": "apply not found",
    "group.application_handled": "该申请已处理",
    "group.already_a_member": "已是群成员",
}


class CreateBody(msgspec.Struct):
    """group-apply/create"""

    group_id: IdNumber
    remark: str = ""


class AnswerBody(msgspec.Struct):
    """group-apply/agree and decline"""

    apply_id: IdNumber
    remark: str = ""


async def create(call: Call[CreateBody]) -> None:
    """Ask to join."""
    await call.ports.group_applications.apply(call.user_id, GroupId(call.body.group_id), call.body.remark)


async def agree(call: Call[AnswerBody]) -> None:
    """Let the applicant join."""
    await call.ports.group_applications.accept(call.user_id, call.body.apply_id)


async def decline(call: Call[AnswerBody]) -> None:
    """Refuse."""
    await call.ports.group_applications.decline(call.user_id, call.body.apply_id, call.body.remark)


async def list_of_group(call: Call[GroupBody]) -> object:
    """Pending applications to one group."""
    found = await call.ports.group_applications.list_pending(call.user_id, GroupId(call.body.group_id))
    return await _presented(call, found)


async def list_all(call: Call[NoBody]) -> object:
    """Pending applications to the groups that the caller manages."""
    return await _presented(call, await call.ports.group_applications.list_all_pending(call.user_id))


async def unread_num(call: Call[NoBody]) -> object:
    """How many applications wait for the caller."""
    return {"num": await call.ports.group_applications.count_pending(call.user_id)}


async def _presented(call: Call[GroupBody] | Call[NoBody], applications: list[Application]) -> object:
    if not applications:
        return {"items": []}
    profiles = await profiles_of(call.ports, [application.user_id for application in applications])
    group_ids = sorted({application.group_id for application in applications})
    groups = {info.group_id: info for info in await call.ports.groups.list_groups_by_id(group_ids)}
    return applications_json(applications, profiles, groups, call.zone)


ROUTES: list[Route | RawRoute] = [
    Route("/api/v1/group-apply/create", create, CreateBody),
    Route("/api/v1/group-apply/agree", agree, AnswerBody),
    Route("/api/v1/group-apply/decline", decline, AnswerBody),
    Route("/api/v1/group-apply/list", list_of_group, GroupBody),
    Route("/api/v1/group-apply/all", list_all),
    Route("/api/v1/group-apply/unread-num", unread_num),
]
