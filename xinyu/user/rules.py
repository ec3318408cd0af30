"""What mobile numbers, e-mail addresses, names and other fields look like once they are stored."""

from __future__ import annotations

import re
from datetime import date

from xinyu.user.errors import BadEmail, BadMobile, BadProfile
from xinyu.user.types import LoginOrigin, Preferences, ProfileChange

MOBILE = re.compile(r"\+?[0-9]{5,20}")
EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
"""Clients' date pickers may add a time."""
MAX_MOBILE_TEXT = 40
"""A mobile number with its spaces and brackets."""
MAX_NICKNAME = 64
MAX_TEXT = 255
MAX_PLATFORM = 32
_SEPARATORS = str.maketrans("", "", " -().\t")
_NOT_PLATFORM = re.compile(r"[^a-z0-9._-]")


def normalised_mobile(text: str) -> str:
    """Digits with or without a leading +; spaces, hyphens, dots and brackets are dropped. Raises BadMobile."""
    mobile = text.translate(_SEPARATORS) if len(text) <= MAX_MOBILE_TEXT else ""
    if not MOBILE.fullmatch(mobile):
        raise BadMobile()
    return mobile


def normalised_email(text: str) -> str:
    """In lower case, ASCII only, at most 100 characters. Raises BadEmail."""
    email = text.strip().lower()
    if len(email) > 100 or not EMAIL.fullmatch(email):
        raise BadEmail()
    return email


def normalised_nickname(text: str) -> str:
    """Without space around it, 1 to 64 printable characters. Raises BadProfile."""
    nickname = text.strip()
    if not 1 <= len(nickname) <= MAX_NICKNAME or not nickname.isprintable():
        raise BadProfile(f"nickname must have 1 to {MAX_NICKNAME} printable characters")
    return nickname


def normalised_change(change: ProfileChange) -> ProfileChange:
    """A profile that can be stored. Raises BadProfile naming the field."""
    return ProfileChange(
        nickname=normalised_nickname(change.nickname) if change.nickname.strip() else "",
        avatar=_text("avatar", change.avatar, MAX_TEXT),
        motto=_text("motto", change.motto, MAX_TEXT),
        gender=change.gender,
        birthday=_birthday(change.birthday),
    )


def normalised_preferences(preferences: Preferences) -> Preferences:
    """Settings that can be stored; an empty theme is the default one. Raises BadProfile naming the field."""
    default = Preferences()
    return Preferences(
        theme_mode=_text("theme_mode", preferences.theme_mode, 16) or default.theme_mode,
        theme_bag_img=_text("theme_bag_img", preferences.theme_bag_img, MAX_TEXT),
        theme_color=_text("theme_color", preferences.theme_color, 32) or default.theme_color,
        notify_cue_tone=preferences.notify_cue_tone,
        keyboard_event_notify=preferences.keyboard_event_notify,
    )


def normalised_origin(origin: LoginOrigin) -> LoginOrigin:
    """Cut to what is stored: a platform is a short ASCII word, `web` where there is none."""
    platform = _NOT_PLATFORM.sub("", origin.platform[:MAX_PLATFORM].strip().lower())
    return LoginOrigin(platform=platform or "web", ip=origin.ip[:64], user_agent=origin.user_agent[:200])


def _text(name: str, value: str, limit: int) -> str:
    text = value.strip()
    if len(text) > limit or "\x00" in text:
        raise BadProfile(f"{name} must have at most {limit} characters")
    return text


def _birthday(value: str) -> str:
    text = value.strip()
    if not text:
        return ""
    if not DAY.fullmatch(text):
        raise BadProfile("birthday must be YYYY-MM-DD")
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise BadProfile("birthday must be YYYY-MM-DD") from None
