"""Applications to become a contact (CONTRACT.md section 1.3)."""

from __future__ import annotations

import msgspec

from xinyu.contact.errors import AlreadyContacts, ApplicationNotFound, TooManyApplications
from xinyu.contact.types import ApplicationId
from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.http.call import Call, NoBody, RawRoute, Route
from xinyu.gateway.http.routes.contact import profiles_by_id, said_as
from xinyu.gateway.present.contact import applications_json
from xinyu.gateway.present.session import session_item
from xinyu.kernel.ids import UserId
from xinyu.message.types import private_ref

ERRORS: dict[str, str] = {
    "contact.no_application": "处理好友申请失败",
    "contact.application_handled": "更新好友申请状态失败",
    "contact.already": "对方已经是你的好友",
    "contact.blocked": "你已屏蔽对方，请先解除屏蔽",
    "contact.full": "好友数量已达上限",
    "contact.too_many_applications": "待处理的好友申请过多，请稍后再试",
}
"""Where CONTRACT.md has no words for an error, these are ours."""


class CreateBody(msgspec.Struct):
    """contact-apply/create"""

    user_id: IdNumber = 0
    remark: str = ""


class AnswerBody(msgspec.Struct):
    """contact-apply/accept, contact-apply/decline"""

    apply_id: IdNumber = 0
    remark: str = ""


async def create(call: Call[CreateBody]) -> None:
    """Ask a user to become a contact; asking again while it is pending renews the remark."""
    await call.ports.contact_applications.apply(call.user_id, UserId(call.body.user_id), call.body.remark)


async def accept(call: Call[AnswerBody]) -> object:
    """Become contacts; `remark` names the new one. Answers with the conversation that came of it."""
    with said_as("获取好友申请详情失败", ApplicationNotFound):
        applicant_id = await call.ports.contact_applications.accept(
            call.user_id, ApplicationId(call.body.apply_id), call.body.remark
        )
    view = await call.ports.conversations.open(call.user_id, private_ref(applicant_id))
    session = await session_item(call.services, call.user_id, view)
    return {"session": session}


async def decline(call: Call[AnswerBody]) -> None:
    """Refuse; the applicant is not told."""
    await call.ports.contact_applications.decline(call.user_id, ApplicationId(call.body.apply_id), call.body.remark)


async def list_pending(call: Call[NoBody]) -> object:
    """Applications that wait for the caller, newest first."""
    applications = await call.ports.contact_applications.list_pending(call.user_id)
    profiles = await profiles_by_id(call.ports, (application.applicant_id for application in applications))
    return applications_json(applications, profiles, call.zone)


async def unread_num(call: Call[NoBody]) -> object:
    """How many applications wait for the caller."""
    return {"num": await call.ports.contact_applications.count_pending(call.user_id)}


ROUTES: list[Route | RawRoute] = [
    Route("/api/v1/contact-apply/create", create, CreateBody, taken=(AlreadyContacts, TooManyApplications)),
    Route("/api/v1/contact-apply/accept", accept, AnswerBody),
    Route("/api/v1/contact-apply/decline", decline, AnswerBody),
    Route("/api/v1/contact-apply/list", list_pending),
    Route("/api/v1/contact-apply/unread-num", unread_num),
]
