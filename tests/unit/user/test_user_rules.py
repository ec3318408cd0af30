"""How fields look once they are stored."""

import pytest

from xinyu.user.errors import BadEmail, BadMobile, BadProfile
from xinyu.user.rules import (
    normalised_change,
    normalised_email,
    normalised_mobile,
    normalised_nickname,
    normalised_origin,
    normalised_preferences,
)
from xinyu.user.types import LoginOrigin, Preferences, ProfileChange


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("13800138000", "13800138000"),
        (" +86 138-0013 (8000) ", "+8613800138000"),
        ("12345", "12345"),
        ("1" * 20, "1" * 20),
    ],
)
def test_mobiles(given: str, stored: str) -> None:
    assert normalised_mobile(given) == stored


@pytest.mark.parametrize(
    "given",
    [
        "",
        "1234",
        "1" * 21,
        "+",
        "13800a38000",
        "１３８００１３８０００",
        "+138+0013",
        "1\n2345",
        "12345" + " " * 99 + "6",
    ],
)
def test_no_mobiles(given: str) -> None:
    with pytest.raises(BadMobile):
        normalised_mobile(given)


def test_emails() -> None:
    assert normalised_email(" Ada.L+x@Example.ORG ") == "ada.l+x@example.org"


@pytest.mark.parametrize(
    "given",
    ["", "a", "a@b", "a@b..c", "a b@c.de", "a@c.de\nBcc: x@y.de", "ä@c.de", "a@" + "b" * 99 + ".de", "<a@c.de>"],
)
def test_no_emails(given: str) -> None:
    with pytest.raises(BadEmail):
        normalised_email(given)


@pytest.mark.parametrize("given", ["", "   ", "n" * 65, "a\x00b", "a\nb", "a\u202eb"])
def test_no_nicknames(given: str) -> None:
    with pytest.raises(BadProfile):
        normalised_nickname(given)


def test_nicknames() -> None:
    assert normalised_nickname(" 小明 🙂 ") == "小明 🙂"


def test_a_profile_keeps_its_name_when_none_is_given_and_its_birthday_is_a_date() -> None:
    assert normalised_change(ProfileChange(nickname=" ", birthday="2001-02-03T00:00:00Z")) == ProfileChange(
        birthday="2001-02-03"
    )


@pytest.mark.parametrize(
    "change",
    [
        ProfileChange(birthday="2001-02-30"),
        ProfileChange(birthday="yesterday"),
        ProfileChange(birthday="2001-2-3"),
        ProfileChange(birthday="2001-02-03x"),
        ProfileChange(motto="m" * 256),
        ProfileChange(avatar="a" * 256),
        ProfileChange(motto="a\x00"),
    ],
)
def test_bad_profiles_name_the_field(change: ProfileChange) -> None:
    field = "birthday" if change.birthday else "motto" if change.motto else "avatar"
    with pytest.raises(BadProfile, match=field):
        normalised_change(change)


def test_empty_themes_are_the_default_ones() -> None:
    assert normalised_preferences(Preferences("", "", "", True, False)) == Preferences(notify_cue_tone=True)
    with pytest.raises(BadProfile, match="theme_mode"):
        normalised_preferences(Preferences(theme_mode="x" * 17))


@pytest.mark.parametrize(
    ("given", "stored"),
    [("web", "web"), ("", "web"), (" iOS ", "ios"), ("<script>", "script"), ("!!!", "web"), ("x" * 500, "x" * 32)],
)
def test_platforms(given: str, stored: str) -> None:
    origin = normalised_origin(LoginOrigin(given, "1" * 100, "u" * 500))
    assert (origin.platform, len(origin.ip), len(origin.user_agent)) == (stored, 64, 200)
