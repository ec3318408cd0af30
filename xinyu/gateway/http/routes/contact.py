"""One's contacts (CONTRACT.md section 1.3; `contact/block` is xinyu's own)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from xinyu.contact.errors import ContactError, NotAContact, UserUnknown
from xinyu.gateway.http.body import IdNumber
from xinyu.gateway.http.call import Call, NoBody, RawRoute, Route
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.contact import contacts_json, detail_json, found_json, online_json
from xinyu.kernel.errors import InvalidInput
from xinyu.kernel.ids import UserId
from xinyu.user.types import Profile

ERRORS: dict[str, str] = {
    "contact.user_unknown": "用户不存在",
    "contact.self": "不能对自己进行此操作",
    "contact.not_a_contact": "对方不是你的好友",
    "contact.bad_remark": "备注过长",
    "contact.bad_mobile": "手机号格式不正确",
}
"""Where CONTRACT.md has no words for an error, these are ours."""

BLOCK, UNBLOCK = 1, 2


class UserBody(msgspec.Struct):
    """contact/detail, contact/delete, contact/online-status"""

    user_id: IdNumber = 0


class SearchBody(msgspec.Struct):
    """contact/search"""

    mobile: str | int = ""


class RemarkBody(msgspec.Struct):
    """contact/edit-remark"""

    user_id: IdNumber = 0
    remark: str = ""


class BlockBody(msgspec.Struct):
    """contact/block: action 1 blocks, 2 unblocks"""

    user_id: IdNumber = 0
    action: int = 0


@contextmanager
def said_as(text: str, *errors: type[ContactError]) -> Iterator[None]:
    """Give these errors the words that the contract has for them on one route."""
    try:
        yield
    except errors as error:
        raise type(error)(text) from error


async def profiles_by_id(ports: Ports, user_ids: Iterable[UserId]) -> dict[UserId, Profile]:
    """Profiles for a list, in one call; unknown users are left out."""
    wanted = list(dict.fromkeys(user_ids))
    if not wanted:
        return {}
    return {profile.user_id: profile for profile in await ports.profiles.list_profiles(wanted)}


async def list_contacts(call: Call[NoBody]) -> object:
    """The caller's contacts, in the order in which they became one."""
    contacts = await call.ports.contacts.list_contacts(call.user_id)
    return contacts_json(contacts, await profiles_by_id(call.ports, (contact.user_id for contact in contacts)))


async def detail(call: Call[UserBody]) -> object:
    """A user as the caller may see him: mobile and e-mail of contacts and of oneself only."""
    with said_as("获取联系人详情失败", UserUnknown):
        return detail_json(await call.ports.contacts.get_detail(call.user_id, UserId(call.body.user_id)))


async def search(call: Call[SearchBody]) -> object:
    """The user with exactly this mobile number."""
    return found_json(await call.ports.contacts.search(call.user_id, str(call.body.mobile)))


async def online_status(call: Call[UserBody]) -> object:
    """Whether a user is connected."""
    if call.body.user_id == 0:
        raise InvalidInput("missing uid")
    with said_as("获取用户在线状态失败", UserUnknown):
        return online_json(await call.ports.contacts.is_online(call.user_id, UserId(call.body.user_id)))


async def edit_remark(call: Call[RemarkBody]) -> None:
    """Name a contact."""
    with said_as("修改联系人备注失败", NotAContact):
        await call.ports.contacts.edit_remark(call.user_id, UserId(call.body.user_id), call.body.remark)


async def delete(call: Call[UserBody]) -> None:
    """Remove a contact; the other side keeps the caller."""
    with said_as("删除联系人失败", NotAContact):
        await call.ports.contacts.delete(call.user_id, UserId(call.body.user_id))


async def block(call: Call[BlockBody]) -> None:
    """Accept no messages and no applications from a user (`action` 1), or do again (2)."""
    if call.body.action not in (BLOCK, UNBLOCK):
        raise InvalidInput("action must be 1 or 2")
    blocked = call.body.action == BLOCK
    await call.ports.contacts.set_blocked(call.user_id, UserId(call.body.user_id), blocked)


ROUTES: list[Route | RawRoute] = [
    Route("/api/v1/contact/list", list_contacts),
    Route("/api/v1/contact/detail", detail, UserBody),
    Route("/api/v1/contact/search", search, SearchBody),
    Route("/api/v1/contact/online-status", online_status, UserBody),
    Route("/api/v1/contact/edit-remark", edit_remark, RemarkBody),
    Route("/api/v1/contact/delete", delete, UserBody),
    Route("/api/v1/contact/block", block, BlockBody),
]
