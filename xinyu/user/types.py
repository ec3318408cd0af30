"""Values of the user domain. All of them travel over RPC."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from xinyu.kernel.ids import LoginId, UserId


class Gender(IntEnum):
    """The contract's numbers."""

    UNKNOWN = 0
    MALE = 1
    FEMALE = 2


class Profile(msgspec.Struct, frozen=True):
    """Who a user is. `mobile`, `email` and `birthday` are private: a presenter shows them to the user himself, or where
    CONTRACT.md has them."""

    user_id: UserId
    nickname: str
    mobile: str = ""
    email: str = ""
    avatar: str = ""
    motto: str = ""
    gender: Gender = Gender.UNKNOWN
    birthday: str = ""
    """YYYY-MM-DD, or empty."""
    is_robot: bool = False
    is_qiye: bool = False
    """Member of an enterprise, as the predecessor calls it."""
    disabled: bool = False
    created_ms: int = 0


class ProfileChange(msgspec.Struct, frozen=True):
    """A whole new profile. An empty nickname keeps the old one; any other empty field is emptied."""

    nickname: str = ""
    avatar: str = ""
    motto: str = ""
    gender: Gender = Gender.UNKNOWN
    birthday: str = ""


class Preferences(msgspec.Struct, frozen=True):
    """What a user's clients share about their looks and sounds."""

    theme_mode: str = "light"
    theme_bag_img: str = ""
    theme_color: str = "#409eff"
    notify_cue_tone: bool = False
    keyboard_event_notify: bool = False


class LoginOrigin(msgspec.Struct, frozen=True):
    """Where a log-in comes from, as far as the server can tell."""

    platform: str = "web"
    """A short name that the client gives itself: web, pc, app, ios, android …"""
    ip: str = ""
    user_agent: str = ""


class AccessToken(msgspec.Struct, frozen=True):
    """What a log-in gives: show `token` with every request for `expires_in` seconds."""

    token: str
    expires_in: int
    user_id: UserId
    login_id: LoginId


class LoginState(msgspec.Struct, frozen=True):
    """Whether a log-in is (still) good."""

    version: int
    """The account's token version; a token with another `ver` is worthless."""
    ended: bool
    disabled: bool


class EndedLogin(msgspec.Struct, frozen=True):
    """A log-in that was ended; sessions that it opened must be closed."""

    user_id: UserId
    login_id: LoginId
    ended_ms: int


class CodeChannel(StrEnum):
    """What a verification code is for; it serves nothing else."""

    REGISTER = "register"
    FORGET_ACCOUNT = "forget_account"
    MOBILE_UPDATE = "mobile_update"
    UPDATE_EMAIL = "update_email"


class SentCode(msgspec.Struct, frozen=True):
    """A code is on its way. `code` is empty unless the configuration puts codes into responses (development)."""

    code: str = ""
