"""The user domain over each database, and its ports over each transport."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from testkit.users import HISTORY, ORIGIN, UserDomain, user_domain
from xinyu.kernel.ids import LoginId, UserId, new_hex_id
from xinyu.kernel.port import Port
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_local import LocalTransport
from xinyu.rpc.transport_loopback import LoopbackTransport
from xinyu.storage.migrations import upgrade
from xinyu.storage.sql import Database, open_database
from xinyu.user.errors import (
    EmailTaken,
    MobileRegistered,
    MobileTaken,
    TooManyAttempts,
    UserNotFound,
    WrongCode,
    WrongCredentials,
)
from xinyu.user.port import AccountPort, CodePort, CredentialPort, LoginPort, ProfilePort
from xinyu.user.store import NewAccount, NewCode, NewLogin
from xinyu.user.tables import METADATA
from xinyu.user.types import CodeChannel, Gender, LoginState, Preferences, ProfileChange

PortT = TypeVar("PortT", bound=Port)
MOBILE, OTHER, EMAIL = "13800138000", "13900139000", "ada@example.org"
NOW = 1_700_000_000_000


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.engine)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        dsn = f"sqlite:///{tmp_path}/user.db"
    else:
        account_dsn: Callable[[str], str] = request.getfixturevalue("account_dsn")
        dsn = account_dsn("user")
    database = open_database(dsn)
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
async def domain(database: Database) -> AsyncIterator[UserDomain]:
    async with user_domain(database) as domain:
        yield domain


@pytest.fixture(params=["local", "loopback"])
def via(request: pytest.FixtureRequest, domain: UserDomain) -> Callable[[type[PortT]], PortT]:
    """Stubs of the domain's ports, over a transport."""
    dispatcher = Dispatcher()
    for port, service in domain.ports.items():
        dispatcher.add(port, service)

    def stub(port: type[PortT]) -> PortT:
        if request.param == "local":
            return make_stub(port, LocalTransport(lambda: domain.ports[port]))
        return make_stub(port, LoopbackTransport(dispatcher))

    return stub


def login(login_id: str = "") -> NewLogin:
    return NewLogin(LoginId(login_id or new_hex_id()), ORIGIN, NOW, NOW + 1000)


async def test_migrations_make_the_tables(database: Database) -> None:
    await upgrade(database, HISTORY)
    await upgrade(database, HISTORY)

    def compare(connection: Connection) -> list[object]:
        def is_ours(name: str | None, kind: str, _parents: object) -> bool:
            return kind != "table" or name in METADATA.tables

        options = {"compare_type": True, "include_name": is_ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))

    assert await database.read(compare) == []


async def test_accounts(domain: UserDomain) -> None:
    store = domain.account_store
    user_id = await store.create(NewAccount("小明 🙂", MOBILE, "hash-1"), NOW, login())
    assert user_id == 10_000
    with pytest.raises(MobileRegistered):
        await store.create(NewAccount("Bob", MOBILE, "hash-1"), NOW)
    account = await store.find(user_id)
    assert account is not None and account == await store.find_by_mobile(MOBILE)
    assert (account.mobile, account.email, account.password_hash, account.disabled) == (MOBILE, "", "hash-1", False)
    assert await store.find(UserId(1)) is None
    (profile,) = await domain.profiles.list_profiles([user_id])
    assert profile.nickname == "小明 🙂"


async def test_a_login_opens_only_for_the_hash_that_was_checked(domain: UserDomain) -> None:
    store = domain.account_store
    user_id = await store.create(NewAccount("Ada", MOBILE, "hash-1"), NOW)
    assert await store.open_login(user_id, "hash-0", login()) is None
    assert await store.open_login(user_id, "hash-1", login("a" * 32), "hash-2") == 0
    assert await store.open_login(user_id, "hash-1", login()) is None
    await store.set_disabled(user_id, True, NOW)
    assert await store.open_login(user_id, "hash-2", login()) is None
    key = LoginId("a" * 32)
    states = await domain.login_store.list_states([key, LoginId("f" * 32)])
    assert states == {key: (user_id, LoginState(1, True, True))}


async def test_a_code_is_used_with_the_change_or_not_at_all(domain: UserDomain) -> None:
    store, codes = domain.account_store, domain.code_store
    user_id = await store.create(NewAccount("Ada", MOBILE, "hash-1"), NOW)
    await store.create(NewAccount("Bob", OTHER, "hash-1"), NOW)
    await codes.add(NewCode(OTHER, CodeChannel.MOBILE_UPDATE, "c" * 64, "", NOW, NOW + 1000))
    code_id = await codes.try_code(OTHER, CodeChannel.MOBILE_UPDATE, "c" * 64, 5, NOW)
    assert code_id is not None
    with pytest.raises(MobileTaken):
        await store.set_mobile(user_id, OTHER, "hash-1", NOW, code_id)
    assert await codes.try_code(OTHER, CodeChannel.MOBILE_UPDATE, "c" * 64, 5, NOW) == code_id
    assert await store.set_mobile(user_id, "13700000000", "hash-1", NOW, code_id)
    assert await codes.try_code(OTHER, CodeChannel.MOBILE_UPDATE, "c" * 64, 5, NOW) is None
    with pytest.raises(WrongCode):
        await store.set_mobile(user_id, "13700000001", "hash-1", NOW, code_id)
    account = await store.find(user_id)
    assert account is not None and account.mobile == "13700000000"


async def test_an_email_belongs_to_one_account_and_many_have_none(domain: UserDomain) -> None:
    store, codes = domain.account_store, domain.code_store
    users = [await store.create(NewAccount("x", mobile, "hash-1"), NOW) for mobile in (MOBILE, OTHER, "13700000000")]
    for user_id in users[:2]:
        await codes.add(NewCode(EMAIL, CodeChannel.UPDATE_EMAIL, "c" * 64, "", NOW, NOW + 1000))
        code_id = await codes.try_code(EMAIL, CodeChannel.UPDATE_EMAIL, "c" * 64, 5, NOW)
        assert code_id is not None
        if user_id == users[0]:
            assert await store.set_email(user_id, EMAIL, "hash-1", NOW, code_id)
        else:
            with pytest.raises(EmailTaken):
                await store.set_email(user_id, EMAIL, "hash-1", NOW, code_id)


async def test_attempts_of_a_code_are_counted_also_at_once(domain: UserDomain) -> None:
    codes = domain.code_store
    await codes.add(NewCode(MOBILE, CodeChannel.REGISTER, "c" * 64, "", NOW, NOW + 1000))
    wrong = await asyncio.gather(*(codes.try_code(MOBILE, CodeChannel.REGISTER, "d" * 64, 5, NOW) for _ in range(5)))
    assert wrong == [None] * 5
    assert await codes.try_code(MOBILE, CodeChannel.REGISTER, "c" * 64, 5, NOW) is None
    assert await codes.try_code(MOBILE, CodeChannel.REGISTER, "c" * 64, 6, NOW) is not None


async def test_of_two_passwords_set_at_once_one_is_refused(domain: UserDomain) -> None:
    store = domain.account_store
    user_id = await store.create(NewAccount("Ada", MOBILE, "hash-1"), NOW)
    results = await asyncio.gather(
        *(store.set_password(user_id, f"hash-{i}", NOW, verified_hash="hash-1") for i in (2, 3))
    )
    assert sorted(results) == [False, True]


async def test_many_registrations_of_one_mobile_at_once_make_one_account(domain: UserDomain) -> None:
    code = await domain.code_for(MOBILE, CodeChannel.REGISTER)
    results = await asyncio.gather(
        *(domain.accounts.register(f"n{i}", MOBILE, "secret-1", code, ORIGIN) for i in range(4)),
        return_exceptions=True,
    )
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    refused = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(result, MobileRegistered | WrongCode) for result in refused)
    assert len(await domain.accounts.list_users()) == 1


async def test_logins_end_once(domain: UserDomain) -> None:
    store = domain.login_store
    user_id = await domain.account_store.create(NewAccount("Ada", MOBILE, "hash-1"), NOW, login("a" * 32))
    await domain.account_store.open_login(user_id, "hash-1", login("b" * 32))
    await store.end(user_id, LoginId("a" * 32), NOW + 1)
    await store.end(user_id, LoginId("a" * 32), NOW + 2)
    assert [item.ended_ms for item in await store.list_ended_since(0, 10)] == [NOW + 1]
    assert await store.end_all(user_id, NOW + 3)
    assert [item.login_id for item in await store.list_ended_since(NOW + 2, 10)] == ["b" * 32]
    assert [item.login_id for item in await store.list_ended_since(0, 1)] == ["a" * 32]
    assert not await store.end_all(UserId(1), NOW + 3)
    assert await store.remove_expired(NOW + 1001, 1) == 1
    assert await store.remove_expired(NOW + 1001, 10) == 1
    assert await store.list_states([LoginId("a" * 32)]) == {}


async def test_ports_over_transports(domain: UserDomain, via: Callable[[type[Port]], Port]) -> None:
    accounts, codes, profiles = via(AccountPort), via(CodePort), via(ProfilePort)
    logins, credentials = via(LoginPort), via(CredentialPort)
    assert isinstance(accounts, AccountPort) and isinstance(codes, CodePort) and isinstance(profiles, ProfilePort)
    assert isinstance(logins, LoginPort) and isinstance(credentials, CredentialPort)
    await codes.send_sms_code(MOBILE, CodeChannel.REGISTER, ORIGIN.ip)
    token = await accounts.register("小明", MOBILE, "secret-1", domain.sms.last, ORIGIN)
    user_id = token.user_id
    change = ProfileChange("Ada", "", "hi", Gender.FEMALE, "2001-02-03")
    wanted = Preferences("dark", "", "#000", True, False)
    for _ in range(2):  # what is marked idempotent is as good twice
        await profiles.update_profile(user_id, change)
        await profiles.save_preferences(user_id, wanted)
        await logins.end_all(user_id, token.login_id)
        await accounts.set_disabled(user_id, False)
    (profile,) = await profiles.list_profiles([user_id, UserId(1)])
    assert (profile.nickname, profile.gender, profile.birthday) == ("Ada", Gender.FEMALE, "2001-02-03")
    assert await profiles.find_by_mobile(MOBILE) == profile
    assert await profiles.find_by_mobile(OTHER) is None
    assert await profiles.get_preferences(user_id) == wanted
    assert [item.user_id for item in await accounts.list_users()] == [user_id]
    await credentials.change_password(user_id, token.login_id, "secret-1", "secret-2")
    assert await logins.get_login_state(user_id, token.login_id) == LoginState(0, False, False)
    for _ in range(2):
        await logins.end_login(user_id, token.login_id)
        await accounts.set_disabled(user_id, True)
    assert (await logins.get_login_state(user_id, token.login_id)).ended
    assert [item.login_id for item in await logins.list_ended_since(0)] == [token.login_id]


async def test_errors_over_transports(domain: UserDomain, via: Callable[[type[Port]], Port]) -> None:
    accounts, logins = via(AccountPort), via(LoginPort)
    assert isinstance(accounts, AccountPort) and isinstance(logins, LoginPort)
    for _ in range(10):
        with pytest.raises(WrongCredentials):
            await accounts.log_in(MOBILE, "secret-1", ORIGIN)
    with pytest.raises(TooManyAttempts) as refused:
        await accounts.log_in(MOBILE, "secret-1", ORIGIN)
    assert refused.value.retry_after_ms == 300_000
    with pytest.raises(UserNotFound):
        await logins.end_all(UserId(1))
