"""What the CLI does to a server's data: the same functions, called over the admin port or on an opened store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from xinyu.delivery.types import CloseOrder
from xinyu.gateway.ports import Ports
from xinyu.kernel.errors import Category, XinyuError
from xinyu.kernel.ids import UserId

Action = Callable[..., Awaitable[dict[str, Any]]]


async def create_user(ports: Ports, nickname: str, mobile: str, password: str) -> dict[str, Any]:
    """Make an account without a code. Raises what AccountPort.create raises."""
    user_id = await ports.accounts.create(nickname, mobile, password)
    return {"user_id": user_id, "nickname": nickname, "mobile": mobile}


async def set_user_disabled(ports: Ports, mobile: str, disabled: bool) -> dict[str, Any]:
    """Disable an account (its log-ins and sockets end) or enable it again."""
    profile = await ports.profiles.find_by_mobile(mobile)
    if profile is None:
        raise NoSuchUser()
    await ports.accounts.set_disabled(profile.user_id, disabled)
    if disabled:
        try:
            await ports.delivery.close_sessions(CloseOrder(profile.user_id, reason="disabled"))
        except XinyuError as error:
            if error.category is not Category.UNAVAILABLE:  # no gateway runs here: there is nothing to close
                raise
    return {"user_id": profile.user_id, "mobile": mobile, "disabled": disabled}


async def list_users(ports: Ports, after: int = 0, limit: int = 100) -> dict[str, Any]:
    """A page of accounts, by id."""
    profiles = await ports.accounts.list_users(UserId(after), limit)
    return {
        "items": [
            {"user_id": p.user_id, "nickname": p.nickname, "mobile": p.mobile, "disabled": p.disabled} for p in profiles
        ]
    }


class NoSuchUser(XinyuError):
    """There is no account with this mobile number."""

    category = Category.NOT_FOUND
    code = "admin.no_user"


ACTIONS: dict[str, Action] = {
    "user-create": create_user,
    "user-disable": set_user_disabled,
    "user-list": list_users,
}
