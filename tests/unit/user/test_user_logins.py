"""Log-ins and their end."""

import pytest

from testkit.users import ORIGIN, UserDomain
from xinyu.kernel.ids import LoginId, UserId
from xinyu.user.errors import UserNotFound
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
