"""Users as the contract shows them (CONTRACT.md sections 1.1 and 1.2)."""

from __future__ import annotations

from xinyu.user.types import AccessToken, Preferences, Profile

Json = dict[str, object]


def token_json(token: AccessToken) -> Json:
    """The answer to a log-in; `expires_in` in seconds."""
    return {"type": "Bearer", "access_token": token.token, "expires_in": token.expires_in}


def detail_json(profile: Profile) -> Json:
    """The user's own profile."""
    return {
        "id": profile.user_id,
        "mobile": profile.mobile,
        "nickname": profile.nickname,
        "email": profile.email,
        "gender": int(profile.gender),
        "motto": profile.motto,
        "avatar": profile.avatar,
        "birthday": profile.birthday,
    }


def setting_json(profile: Profile, preferences: Preferences) -> Json:
    """The user's own head and settings; flags are "Y" or "N"."""
    return {
        "user_info": {
            "uid": profile.user_id,
            "nickname": profile.nickname,
            "avatar": profile.avatar,
            "motto": profile.motto,
            "gender": int(profile.gender),
            "is_qiye": int(profile.is_qiye),
            "mobile": profile.mobile,
            "email": profile.email,
        },
        "setting": {
            "theme_mode": preferences.theme_mode,
            "theme_bag_img": preferences.theme_bag_img,
            "theme_color": preferences.theme_color,
            "notify_cue_tone": _flag(preferences.notify_cue_tone),
            "keyboard_event_notify": _flag(preferences.keyboard_event_notify),
        },
    }


def _flag(value: bool) -> str:
    return "Y" if value else "N"
