"""Registering, logging in, shutting an account."""

import asyncio
import hashlib
import secrets

import jwt
import pytest
import sqlalchemy as sa

from testkit.users import ISSUER, ORIGIN, SECRET, UserDomain, sealed, user_domain
from xinyu.kernel.ids import UserId
from xinyu.storage.sql import Database
from xinyu.user.errors import (
    AccountDisabled,
    BadMobile,
    BadPassword,
    BadProfile,
    MobileRegistered,
    TooManyAttempts,
    UserNotFound,
    WrongCode,
    WrongCredentials,
)
from xinyu.user.store import NewAccount
from xinyu.user.tables import codes, logins
from xinyu.user.types import CodeChannel, LoginOrigin, LoginState

MOBILE = "13800138000"


async def test_register_makes_an_account_that_is_logged_in(domain: UserDomain) -> None:
    token = await domain.register(MOBILE, nickname="  Ada ")
    (profile,) = await domain.profiles.list_profiles([token.user_id])
    assert (profile.nickname, profile.mobile, profile.disabled) == ("Ada", MOBILE, False)
    assert profile.created_ms == domain.clock.now_ms()
    assert token.expires_in == 7 * 86_400
    state = await domain.logins.get_login_state(token.user_id, token.login_id)
    assert state == LoginState(version=0, ended=False, disabled=False)


async def test_the_token_is_the_contracts(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    assert jwt.get_unverified_header(token.token) == {"alg": "HS256", "typ": "JWS"}
    claims = jwt.decode(token.token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
    now = domain.clock.now_ms() // 1000
    uid = str(token.user_id)
    assert claims == {
        "iss": ISSUER,
        "iat": now,
        "exp": now + 604_800,
        "sub": uid,
        "uid": uid,
        "jti": token.login_id,
        "ver": 0,
        "platform": "web",
    }


async def test_log_in_by_any_spelling_of_the_mobile_sealed_or_plain(domain: UserDomain) -> None:
    registered = await domain.register(MOBILE)
    for mobile, password in (("138 0013-8000", "secret-1"), (MOBILE, sealed("secret-1"))):
        token = await domain.accounts.log_in(mobile, password, LoginOrigin(" APP ", "", ""))
        assert token.user_id == registered.user_id
        assert token.login_id != registered.login_id


async def test_an_unknown_mobile_and_a_wrong_password_are_one_error(domain: UserDomain) -> None:
    await domain.register(MOBILE)
    errors = []
    for mobile in (MOBILE, "13800138001"):
        with pytest.raises(WrongCredentials) as wrong:
            await domain.accounts.log_in(mobile, "secret-2", ORIGIN)
        errors.append((wrong.value.code, wrong.value.message, wrong.value.details))
    assert errors[0] == errors[1]


async def test_an_unknown_mobile_costs_a_hash_too(domain: UserDomain, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    real = domain.vault._matches

    def counting(stored_hash: str, password: str) -> bool:
        checked.append(stored_hash)
        return real(stored_hash, password)

    monkeypatch.setattr(domain.vault, "_matches", counting)
    with pytest.raises(WrongCredentials):
        await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)
    assert len(checked) == 1 and checked[0].startswith("$argon2id$")


async def test_only_who_knows_the_password_learns_that_an_account_is_disabled(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    await domain.accounts.set_disabled(token.user_id, True)
    with pytest.raises(WrongCredentials):
        await domain.accounts.log_in(MOBILE, "secret-2", ORIGIN)
    with pytest.raises(AccountDisabled):
        await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)


async def test_disabling_ends_all_logins_for_ever(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    await domain.accounts.set_disabled(token.user_id, True)
    assert await domain.logins.get_login_state(token.user_id, token.login_id) == LoginState(1, True, True)
    assert [ended.login_id for ended in await domain.logins.list_ended_since(0)] == [token.login_id]
    await domain.accounts.set_disabled(token.user_id, False)
    assert (await domain.logins.get_login_state(token.user_id, token.login_id)).ended
    again = await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)
    assert await domain.logins.get_login_state(again.user_id, again.login_id) == LoginState(1, False, False)
    with pytest.raises(UserNotFound):
        await domain.accounts.set_disabled(UserId(99), True)


async def test_two_registrations_of_one_mobile_at_once_make_one_account(database: Database) -> None:
    async with user_domain(database) as domain:
        code = await domain.code_for(MOBILE, CodeChannel.REGISTER)
        results = await asyncio.gather(
            *(domain.accounts.register(f"n{i}", MOBILE, "secret-1", code, ORIGIN) for i in range(4)),
            return_exceptions=True,
        )
        made = [result for result in results if not isinstance(result, BaseException)]
        assert len(made) == 1
        assert all(isinstance(result, MobileRegistered | WrongCode) for result in results if result not in made)
        assert len(await domain.accounts.list_users()) == 1


async def test_a_taken_mobile_leaves_nothing_half_made_and_the_code_unused(
    domain: UserDomain, database: Database
) -> None:
    code = await domain.code_for(MOBILE, CodeChannel.REGISTER)
    await domain.accounts.create("First", MOBILE, "secret-1")
    with pytest.raises(MobileRegistered):
        await domain.accounts.register("Second", MOBILE, "secret-2", code, ORIGIN)
    (only,) = await domain.accounts.list_users()
    assert only.nickname == "First"
    assert await database.read(lambda connection: connection.scalar(sa.select(codes.c.used_ms))) == 0
    assert await database.read(lambda connection: connection.scalar(sa.select(sa.func.count(logins.c.login_id)))) == 0
    assert (await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)).user_id == only.user_id


async def test_what_cannot_be_registered(domain: UserDomain) -> None:
    code = await domain.code_for(MOBILE, CodeChannel.REGISTER)
    register = domain.accounts.register
    with pytest.raises(BadProfile):
        await register("", MOBILE, "secret-1", code, ORIGIN)
    with pytest.raises(BadMobile):
        await register("Ada", "none", "secret-1", code, ORIGIN)
    with pytest.raises(BadPassword):
        await register("Ada", MOBILE, "short", code, ORIGIN)
    with pytest.raises(WrongCode):
        await register("Ada", MOBILE, "secret-1", "", ORIGIN)
    assert await domain.accounts.list_users() == []
    assert (await register("Ada", MOBILE, "secret-1", code, ORIGIN)).user_id


async def test_attempts_per_mobile_are_limited_and_success_clears_them(database: Database) -> None:
    async with user_domain(database, logins_per_mobile=3) as domain:
        await domain.register(MOBILE)
        for _ in range(2):
            with pytest.raises(WrongCredentials):
                await domain.accounts.log_in(MOBILE, "secret-2", ORIGIN)
        await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)
        for _ in range(3):
            with pytest.raises(WrongCredentials):
                await domain.accounts.log_in(MOBILE, "secret-2", ORIGIN)
        with pytest.raises(TooManyAttempts) as refused:
            await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)
        assert refused.value.retry_after_ms == 300_000
        domain.clock.jump(300)
        await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)


async def test_attempts_at_once_count_before_they_are_checked(database: Database) -> None:
    async with user_domain(database, logins_per_mobile=3) as domain:
        results = await asyncio.gather(
            *(domain.accounts.log_in(MOBILE, f"guess-{i}", ORIGIN) for i in range(10)), return_exceptions=True
        )
        assert sum(isinstance(result, WrongCredentials) for result in results) == 3
        assert sum(isinstance(result, TooManyAttempts) for result in results) == 7


async def test_attempts_per_address_are_limited(database: Database) -> None:
    async with user_domain(database, logins_per_address=5) as domain:
        for i in range(5):
            with pytest.raises(WrongCredentials):
                await domain.accounts.log_in(f"1380013800{i}", "secret-1", ORIGIN)
        with pytest.raises(TooManyAttempts):
            await domain.accounts.log_in("13800138009", "secret-1", ORIGIN)
        with pytest.raises(WrongCredentials):
            await domain.accounts.log_in("13800138009", "secret-1", LoginOrigin(ip="203.0.113.9"))


async def test_a_predecessors_password_still_works_and_is_stored_anew(domain: UserDomain) -> None:
    salt = secrets.token_bytes(16)
    key = hashlib.pbkdf2_hmac("sha256", b"secret-1", salt, 120_000)
    old = f"pbkdf2_sha256$120000${salt.hex()}${key.hex()}"
    user_id = await domain.account_store.create(NewAccount("Old", MOBILE, old), 1)
    assert (await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)).user_id == user_id
    account = await domain.account_store.find(user_id)
    assert account is not None and account.password_hash.startswith("$argon2id$")
    assert (await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)).user_id == user_id


async def test_a_login_does_not_outlive_a_password_that_changed_while_it_was_checked(
    domain: UserDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await domain.register(MOBILE)
    check = domain.vault.check

    async def slow_check(sent: str, stored_hash: str | None):  # type: ignore[no-untyped-def]
        verdict = await check(sent, stored_hash)
        monkeypatch.setattr(domain.vault, "check", check)
        await domain.credentials.change_password(token.user_id, token.login_id, "secret-1", "secret-2")
        return verdict

    monkeypatch.setattr(domain.vault, "check", slow_check)
    with pytest.raises(WrongCredentials):
        await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)
    assert (await domain.logins.list_ended_since(0)) == []  # none was opened that would have had to be ended


async def test_list_users_in_pages(domain: UserDomain) -> None:
    made = [await domain.accounts.create(f"u{i}", f"1380013800{i}", "secret-1") for i in range(5)]
    first = await domain.accounts.list_users(limit=2)
    rest = await domain.accounts.list_users(after=first[-1].user_id, limit=1_000_000)
    assert [profile.user_id for profile in first + rest] == made
    assert len(await domain.accounts.list_users(limit=0)) == 1


async def test_profiles_by_id_and_mobile(domain: UserDomain) -> None:
    made = [await domain.accounts.create(f"u{i}", f"1380013800{i}", "secret-1") for i in range(3)]
    listed = await domain.profiles.list_profiles([made[2], made[0], made[2], UserId(1)])
    assert sorted(profile.user_id for profile in listed) == [made[0], made[2]]
    assert await domain.profiles.list_profiles([]) == []
    found = await domain.profiles.find_by_mobile("138-0013-8001")
    assert found is not None and found.user_id == made[1]
    assert await domain.profiles.find_by_mobile("19900000000") is None
    assert await domain.profiles.find_by_mobile("'; DROP TABLE user_account") is None
