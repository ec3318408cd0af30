"""Log-ins and their end."""

import asyncio
from collections.abc import Iterable

import pytest

from testkit.users import ORIGIN, UserDomain
from testkit.waiting import eventually
from xinyu.kernel.ids import LoginId, UserId
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.sql import Database
from xinyu.user.errors import UserNotFound
from xinyu.user.logins import LoginService
from xinyu.user.store_sql_logins import SqlLoginStore
from xinyu.user.types import LoginState

MOBILE = "13800138000"


async def test_log_out_ends_one_login_once(domain: UserDomain) -> None:
    first = await domain.register(MOBILE)
    second = await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)
    domain.clock.jump(1)
    await domain.logins.end_login(first.user_id, first.login_id)
    ended = await domain.logins.list_ended_since(0)
    domain.clock.jump(1)
    await domain.logins.end_login(first.user_id, first.login_id)
    assert await domain.logins.list_ended_since(0) == ended
    assert [(item.user_id, item.login_id) for item in ended] == [(first.user_id, first.login_id)]
    assert not (await domain.logins.get_login_state(second.user_id, second.login_id)).ended


async def test_nobody_ends_or_reads_anothers_login(domain: UserDomain) -> None:
    token = await domain.register(MOBILE)
    stranger = UserId(token.user_id + 1)
    await domain.logins.end_login(stranger, token.login_id)
    assert (await domain.logins.get_login_state(stranger, token.login_id)).ended
    assert (await domain.logins.get_login_state(token.user_id, LoginId("f" * 32))).ended
    assert await domain.logins.get_login_state(token.user_id, token.login_id) == LoginState(0, False, False)


async def test_end_all_but_one_and_all(domain: UserDomain) -> None:
    first = await domain.register(MOBILE)
    second = await domain.accounts.log_in(MOBILE, "secret-1", ORIGIN)
    state = domain.logins.get_login_state
    for _ in range(2):
        await domain.logins.end_all(first.user_id, second.login_id)
        assert (await state(first.user_id, first.login_id)).ended
        assert await state(first.user_id, second.login_id) == LoginState(0, False, False)
    await domain.logins.end_all(first.user_id)
    assert await state(first.user_id, second.login_id) == LoginState(1, True, False)
    with pytest.raises(UserNotFound):
        await domain.logins.end_all(UserId(1))


async def test_the_sweep_sees_what_ended_since_oldest_first(domain: UserDomain) -> None:
    tokens = [await domain.register(f"1380013800{i}") for i in range(3)]
    ended_at = []
    for token in tokens:
        domain.clock.jump(1)
        ended_at.append(domain.clock.now_ms())
        await domain.logins.end_login(token.user_id, token.login_id)
    listed = await domain.logins.list_ended_since(ended_at[1])
    assert [item.user_id for item in listed] == [token.user_id for token in tokens[1:]]
    assert [item.ended_ms for item in listed] == ended_at[1:]
    assert await domain.logins.list_ended_since(ended_at[2] + 1) == []


class HeldBack(SqlLoginStore):
    """The real store, whose reads wait for a gate and are counted."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reads: list[list[LoginId]] = []
        self.gate = asyncio.Event()
        self.fails: Iterable[type[BaseException]] = iter(())

    async def list_states(self, login_ids: list[LoginId]) -> dict[LoginId, tuple[UserId, LoginState]]:
        self.reads.append(login_ids)
        await self.gate.wait()
        for failure in self.fails:
            raise failure()
        return await super().list_states(login_ids)


async def test_questions_that_come_while_one_is_read_are_read_together(domain: UserDomain, database: Database) -> None:
    tokens = [await domain.register(f"1380013800{i}") for i in range(4)]
    store = HeldBack(database)
    service = LoginService(store, domain.clock)
    first = asyncio.create_task(service.get_login_state(tokens[0].user_id, tokens[0].login_id))
    await eventually(lambda: len(store.reads) == 1)
    rest = [asyncio.create_task(service.get_login_state(t.user_id, t.login_id)) for t in [*tokens, *tokens]]
    await asyncio.sleep(0)
    rest[0].cancel()
    store.gate.set()
    await first
    states = await asyncio.gather(*rest[1:])
    assert states == [LoginState(0, False, False)] * 7
    assert [len(read) for read in store.reads] == [1, 4]
    assert await service.get_login_state(UserId(1), tokens[0].login_id) == LoginState(0, True, False)
    assert len(store.reads) == 3


async def test_a_failed_read_fails_its_askers_only(domain: UserDomain, database: Database) -> None:
    token = await domain.register(MOBILE)
    store = HeldBack(database)
    store.fails = iter([StorageUnavailable])
    store.gate.set()
    service = LoginService(store, domain.clock)
    with pytest.raises(StorageUnavailable):
        await service.get_login_state(token.user_id, token.login_id)
    assert not (await service.get_login_state(token.user_id, token.login_id)).ended
