"""The user's own profile, settings and credentials (CONTRACT.md section 1.2)."""

from __future__ import annotations

import msgspec

from xinyu.delivery.types import CloseOrder
from xinyu.gateway.http.call import Call, NoBody, RawRoute, Route
from xinyu.gateway.http.routes.auth import close_sessions, code_text
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.user import detail_json, setting_json
from xinyu.kernel.ids import MediaId, UserId, is_hex_id
from xinyu.media.errors import MediaNotFound
from xinyu.media.types import Kind
from xinyu.user.errors import BadProfile, UserNotFound
from xinyu.user.types import Gender, Preferences, Profile, ProfileChange

ERRORS: dict[str, str] = {
    "user.not_found": "用户不存在",
    "user.wrong_password": "密码错误",
    "user.wrong_old_password": "旧密码错误",
    "user.same_mobile": "新手机号不能与原手机号相同",
    "user.mobile_taken": "新手机号已被使用",
    "user.same_email": "新邮箱不能与原邮箱相同",
    "user.email_taken": "新邮箱已被使用",
    "user.bad_profile": "用户信息不正确",
}


class DetailUpdateBody(msgspec.Struct):
    """user/detail-update"""

    nickname: str = ""
    avatar: str = ""
    motto: str = ""
    gender: Gender = Gender.UNKNOWN
    birthday: str = ""


class EmailUpdateBody(msgspec.Struct):
    """user/email-update"""

    email: str = ""
    password: str = ""
    code: str | int = ""


class MobileUpdateBody(msgspec.Struct):
    """user/mobile-update"""

    mobile: str | int = ""
    password: str = ""
    sms_code: str | int = ""


class PasswordUpdateBody(msgspec.Struct):
    """user/password-update"""

    old_password: str = ""
    new_password: str = ""


class SettingBody(msgspec.Struct):
    """user/setting/save"""

    theme_mode: str = ""
    theme_bag_img: str = ""
    theme_color: str = ""
    notify_cue_tone: str = ""
    keyboard_event_notify: str = ""


async def detail(call: Call[NoBody]) -> object:
    """The caller's profile."""
    return detail_json(await _own_profile(call.ports, call.user_id))


async def detail_update(call: Call[DetailUpdateBody]) -> None:
    """Replace the caller's profile; `avatar` is an address, or the id of an uploaded image. Others read names when they
    need them, so nothing is copied about; other gateways show the new one within `name_cache_seconds`, this one at
    once."""
    body = call.body
    avatar = await _address_of(call.ports, body.avatar.strip())
    change = ProfileChange(body.nickname, avatar, body.motto, body.gender, body.birthday)
    await call.ports.profiles.update_profile(call.user_id, change)
    call.services.names.forget(call.user_id)


async def email_update(call: Call[EmailUpdateBody]) -> None:
    """Change the caller's e-mail address."""
    body = call.body
    await call.ports.credentials.change_email(call.user_id, body.email, body.password, code_text(body.code))


async def mobile_update(call: Call[MobileUpdateBody]) -> None:
    """Change the caller's mobile number."""
    body = call.body
    await call.ports.credentials.change_mobile(call.user_id, str(body.mobile), body.password, code_text(body.sms_code))


async def password_update(call: Call[PasswordUpdateBody]) -> None:
    """Change the caller's password; every other log-in of his is logged out."""
    caller, body = call.login, call.body
    await call.ports.credentials.change_password(caller.user_id, caller.login_id, body.old_password, body.new_password)
    await close_sessions(call.ports, CloseOrder(caller.user_id, except_login_id=caller.login_id))


async def setting(call: Call[NoBody]) -> object:
    """The caller's head and settings."""
    profile = await _own_profile(call.ports, call.user_id)
    return setting_json(profile, await call.ports.profiles.get_preferences(call.user_id))


async def setting_save(call: Call[SettingBody]) -> None:
    """Replace the caller's settings."""
    body = call.body
    preferences = Preferences(
        theme_mode=body.theme_mode,
        theme_bag_img=body.theme_bag_img,
        theme_color=body.theme_color,
        notify_cue_tone=body.notify_cue_tone == "Y",
        keyboard_event_notify=body.keyboard_event_notify == "Y",
    )
    await call.ports.profiles.save_preferences(call.user_id, preferences)


async def _address_of(ports: Ports, avatar: str) -> str:
    """Where an avatar is shown from. Raises BadProfile for an id that is no image's."""
    media_id = avatar.lower()
    if not is_hex_id(media_id):
        return avatar
    try:
        found = await ports.media.get_object(MediaId(media_id))
    except MediaNotFound:
        found = None
    if found is None or found.kind is not Kind.IMAGE:
        raise BadProfile("avatar is no image that was uploaded")
    return found.url


async def _own_profile(ports: Ports, user_id: UserId) -> Profile:
    profiles = await ports.profiles.list_profiles([user_id])
    if not profiles:
        raise UserNotFound()
    return profiles[0]


ROUTES: list[Route | RawRoute] = [
    Route("/api/v1/user/detail", detail),
    Route("/api/v1/user/detail-update", detail_update, DetailUpdateBody),
    Route("/api/v1/user/email-update", email_update, EmailUpdateBody, replay=True),
    Route("/api/v1/user/mobile-update", mobile_update, MobileUpdateBody, replay=True),
    Route("/api/v1/user/password-update", password_update, PasswordUpdateBody, replay=True),
    Route("/api/v1/user/setting", setting),
    Route("/api/v1/user/setting/save", setting_save, SettingBody),
]
"""`replay`: a repeated change of credentials would fail, its code or old password being used up."""
