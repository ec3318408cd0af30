"""Changing passwords, mobile numbers and e-mail addresses; profile and settings."""

import asyncio

import pytest

from testkit.users import ORIGIN, UserDomain, sealed, user_domain
from xinyu.kernel.ids import UserId
from xinyu.storage.sql import Database
from xinyu.user.errors import (
    BadPassword,
    BadPasswordCipher,
    EmailTaken,
    MobileTaken,
    MobileUnknown,
    SameEmail,
    SameMobile,
    TooManyAttempts,
    UserNotFound,
    WrongCode,
    WrongCredentials,
    WrongOldPassword,
    WrongPassword,
)
from xinyu.user.types import CodeChannel, Gender, LoginState, Preferences, ProfileChange

MOBILE, OTHER = "13800138000", "13900139000"


async def test_a_new_password_ends_every_other_login(domain: UserDomain) -> None:
    first = await domain.register(MOBILE)
    current = await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)
    stranger = await domain.register(OTHER)
    await domain.credentials.change_password(first.user_id, current.login_id, "secret-1", sealed("secret-2"))
    state = domain.logins.get_login_state
    assert (await state(first.user_id, first.login_id)).ended
    assert await state(first.user_id, current.login_id) == LoginState(0, False, False)
    assert not (await state(stranger.user_id, stranger.login_id)).ended
    with pytest.raises(WrongCredentials):
        await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)
    assert await domain.accounts.log_in(MOBILE, "secret-2", ORIGIN)


async def test_a_wrong_old_password_changes_nothing(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    with pytest.raises(WrongOldPassword):
        await domain.credentials.change_password(token.user_id, token.login_id, "secret-2", "secret-3")
    with pytest.raises(BadPassword):
        await domain.credentials.change_password(token.user_id, token.login_id, "secret-1", "short")
    with pytest.raises(UserNotFound):
        await domain.credentials.change_password(UserId(1), token.login_id, "secret-1", "secret-2")
    assert await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)


async def test_of_two_changes_at_once_one_wins(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    change = domain.credentials.change_password
    results = await asyncio.gather(
        *(change(token.user_id, token.login_id, "secret-1", f"secret-{i}") for i in (2, 3)), return_exceptions=True
    )
    assert sorted(map(type, results), key=str) == sorted([type(None), WrongOldPassword], key=str)


async def test_a_stolen_token_is_no_way_to_guess_the_password(database: Database) -> None:
    async with user_domain(database, passwords_per_user=2) as domain:
        token = await domain.register(MOBILE)
        for _ in range(2):
            with pytest.raises(WrongOldPassword):
                await domain.credentials.change_password(token.user_id, token.login_id, "guess-1", "secret-2")
        with pytest.raises(TooManyAttempts):
            await domain.credentials.change_password(token.user_id, token.login_id, "secret-1", "secret-2")


async def test_a_forgotten_password_is_set_by_a_code_and_ends_every_login(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    code = await domain.code_for(MOBILE, CodeChannel.FORGET_ACCOUNT)
    assert await domain.credentials.reset_password(MOBILE, "secret-2", code) == token.user_id
    assert await domain.logins.get_login_state(token.user_id, token.login_id) == LoginState(1, True, False)
    assert await domain.accounts.log_in(MOBILE, "secret-2", ORIGIN)
    with pytest.raises(WrongCode):
        await domain.credentials.reset_password(MOBILE, "secret-3", code)


async def test_a_reset_needs_an_account_and_its_own_kind_of_code(domain: UserDomain) -> None:
    register_code = await domain.code_for(OTHER, CodeChannel.REGISTER)
    with pytest.raises(WrongCode):
        await domain.credentials.reset_password(OTHER, "secret-2", register_code)
    token = await domain.register(MOBILE)
    code = await domain.code_for(MOBILE, CodeChannel.FORGET_ACCOUNT)
    change = await domain.code_for(OTHER, CodeChannel.MOBILE_UPDATE)
    await domain.credentials.change_mobile(token.user_id, OTHER, "secret-1", change)
    with pytest.raises(MobileUnknown):
        await domain.credentials.reset_password(MOBILE, "secret-2", code)


async def test_a_broken_ciphertext_is_told_only_behind_a_right_code_and_costs_an_attempt(domain: UserDomain) -> None:
    await domain.register(MOBILE)
    code = await domain.code_for(MOBILE, CodeChannel.FORGET_ACCOUNT)
    broken = "AQ" * 170 + "AQ=="  # 256 bytes in base64
    for _ in range(5):
        with pytest.raises((BadPasswordCipher, BadPassword)):
            await domain.credentials.reset_password(MOBILE, broken, code)
    with pytest.raises(WrongCode):
        await domain.credentials.reset_password(MOBILE, "secret-2", code)


async def test_change_the_mobile(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    code = await domain.code_for(OTHER, CodeChannel.MOBILE_UPDATE)
    with pytest.raises(WrongPassword):
        await domain.credentials.change_mobile(token.user_id, OTHER, "secret-2", code)
    with pytest.raises(WrongCode):
        await domain.credentials.change_mobile(token.user_id, "13700000000", "secret-1", code)
    await domain.credentials.change_mobile(token.user_id, "139 0013 9000", "secret-1", code)
    assert (await domain.accounts.log_in(OTHER, "secret-1", ORIGIN)).user_id == token.user_id
    with pytest.raises(WrongCredentials):
        await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)
    same = await domain.code_for(OTHER, CodeChannel.MOBILE_UPDATE)
    with pytest.raises(SameMobile):
        await domain.credentials.change_mobile(token.user_id, OTHER, "secret-1", same)


async def test_a_mobile_of_somebody_else_stays_his(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    await domain.register(OTHER)
    code = await domain.code_for(OTHER, CodeChannel.MOBILE_UPDATE)
    with pytest.raises(MobileTaken):
        await domain.credentials.change_mobile(token.user_id, OTHER, "secret-1", code)
    found = await domain.profiles.find_by_mobile(OTHER)
    assert found is not None and found.user_id != token.user_id


async def test_change_the_email(domain: UserDomain) -> None:
    token, other = await domain.register(MOBILE), await domain.register(OTHER)

    async def code_for(email: str) -> str:
        await domain.codes.send_email_code(email, CodeChannel.UPDATE_EMAIL, ORIGIN.ip)
        return domain.mail.last

    change = domain.credentials.change_email
    code = await code_for("Ada@Example.org")
    with pytest.raises(WrongCode):
        await change(token.user_id, "bob@example.org", "secret-1", code)
    with pytest.raises(WrongPassword):
        await change(token.user_id, "ada@example.org", "secret-2", code)
    await change(token.user_id, "ada@example.org", "secret-1", code)
    (profile,) = await domain.profiles.list_profiles([token.user_id])
    assert profile.email == "ada@example.org"
    with pytest.raises(SameEmail):
        await change(token.user_id, "ADA@example.org", "secret-1", await code_for("ada@example.org"))
    with pytest.raises(EmailTaken):
        await change(other.user_id, "ada@example.org", "secret-1", await code_for("ada@example.org"))


async def test_profile_update(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    change = ProfileChange("小明", "https://example.org/a.png", "hi", Gender.FEMALE, "2001-02-03")
    await domain.profiles.update_profile(token.user_id, change)
    await domain.profiles.update_profile(token.user_id, change)
    (profile,) = await domain.profiles.list_profiles([token.user_id])
    assert (profile.nickname, profile.avatar, profile.motto) == ("小明", "https://example.org/a.png", "hi")
    assert (profile.gender, profile.birthday, profile.mobile) == (Gender.FEMALE, "2001-02-03", MOBILE)
    await domain.profiles.update_profile(token.user_id, ProfileChange())
    (profile,) = await domain.profiles.list_profiles([token.user_id])
    assert (profile.nickname, profile.avatar, profile.motto, profile.birthday) == ("小明", "", "", "")
    with pytest.raises(UserNotFound):
        await domain.profiles.update_profile(UserId(1), change)


async def test_preferences(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    assert await domain.profiles.get_preferences(token.user_id) == Preferences("light", "", "#409eff", False, False)
    wanted = Preferences("dark", "bag.png", "#000", True, True)
    await domain.profiles.save_preferences(token.user_id, wanted)
    await domain.profiles.save_preferences(token.user_id, wanted)
    assert await domain.profiles.get_preferences(token.user_id) == wanted
    with pytest.raises(UserNotFound):
        await domain.profiles.save_preferences(UserId(1), wanted)
