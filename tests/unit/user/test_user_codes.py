"""Verification codes."""

import asyncio
import re

import pytest
import sqlalchemy as sa

from testkit.users import ORIGIN, UserDomain, user_domain
from testkit.waiting import eventually
from xinyu.storage.sql import Database
from xinyu.user.errors import (
    BadEmail,
    BadMobile,
    EmailNotRegistered,
    MobileNotRegistered,
    MobileRegistered,
    TooManyAttempts,
    UnknownChannel,
    WrongCode,
)
from xinyu.user.housekeeping import Housekeeping
from xinyu.user.tables import codes
from xinyu.user.types import CodeChannel

MOBILE, EMAIL = "13800138000", "ada@example.org"


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def send_mail(domain: UserDomain, email: str = EMAIL) -> str:
    await domain.codes.send_email_code(email, CodeChannel.UPDATE_EMAIL, ORIGIN.ip)
    return domain.mail.last


async def test_a_code_has_six_digits_is_sent_and_neither_told_nor_stored(
    domain: UserDomain, database: Database
) -> None:
    sent = await domain.codes.send_sms_code("138 0013 8000", CodeChannel.REGISTER, ORIGIN.ip)
    assert sent.code == ""
    ((target, code, channel),) = domain.sms.sent
    assert (target, channel) == (MOBILE, CodeChannel.REGISTER)
    assert re.fullmatch("[0-9]{6}", code)
    row = await database.read(lambda connection: connection.execute(sa.select(codes)).one())
    assert code not in str(row.code_hash) and len(row.code_hash) == 64
    assert row.expires_ms - row.created_ms == 300_000


async def test_codes_are_told_where_the_configuration_says_so(database: Database) -> None:
    async with user_domain(database, codes_in_response=True) as domain:
        sent = await domain.codes.send_sms_code(MOBILE, CodeChannel.REGISTER, ORIGIN.ip)
        assert sent.code == domain.sms.last
        mail = await domain.codes.send_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, ORIGIN.ip)
        assert mail.code == domain.mail.last


async def test_a_code_serves_once_its_channel_and_its_target_only(domain: UserDomain) -> None:
    verify = domain.codes.verify_email_code
    code = await send_mail(domain)
    with pytest.raises(WrongCode):
        await verify(EMAIL, CodeChannel.REGISTER, code, ORIGIN.ip)
    with pytest.raises(WrongCode):
        await verify("bob@example.org", CodeChannel.UPDATE_EMAIL, code, ORIGIN.ip)
    await verify("Ada@example.org", CodeChannel.UPDATE_EMAIL, f" {code} ", ORIGIN.ip)
    with pytest.raises(WrongCode):
        await verify(EMAIL, CodeChannel.UPDATE_EMAIL, code, ORIGIN.ip)


async def test_of_many_uses_at_once_one_succeeds(domain: UserDomain) -> None:
    code = await send_mail(domain)
    results = await asyncio.gather(
        *(domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, code, "") for _ in range(5)),
        return_exceptions=True,
    )
    assert results.count(None) == 1
    assert all(isinstance(result, WrongCode) for result in results if result is not None)


async def test_a_code_expires(domain: UserDomain) -> None:
    code = await send_mail(domain)
    domain.clock.jump(599)
    wrong = other_than(code)
    with pytest.raises(WrongCode):
        await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, wrong, ORIGIN.ip)
    domain.clock.jump(1)
    with pytest.raises(WrongCode):
        await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, code, ORIGIN.ip)


async def test_just_before_it_expires_a_code_is_good(domain: UserDomain) -> None:
    code = await send_mail(domain)
    domain.clock.jump(599)
    await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, code, ORIGIN.ip)


async def test_only_the_newest_code_serves(domain: UserDomain) -> None:
    first, second = await send_mail(domain), await send_mail(domain)
    if first != second:
        with pytest.raises(WrongCode):
            await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, first, ORIGIN.ip)
    await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, second, ORIGIN.ip)


async def test_a_used_code_does_not_bring_its_predecessor_back(domain: UserDomain) -> None:
    first, second = await send_mail(domain), await send_mail(domain)
    await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, second, ORIGIN.ip)
    with pytest.raises(WrongCode):
        await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, first, ORIGIN.ip)


async def test_after_five_tries_a_code_is_worthless(domain: UserDomain) -> None:
    code = await send_mail(domain)
    for _ in range(5):
        with pytest.raises(WrongCode):
            await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, other_than(code), ORIGIN.ip)
    with pytest.raises(WrongCode):
        await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, code, ORIGIN.ip)


async def test_new_codes_do_not_give_endless_tries(database: Database) -> None:
    async with user_domain(database, code_attempts_per_target=4, code_attempts_per_code=2) as domain:
        for _ in range(4):
            code = await send_mail(domain)
            with pytest.raises(WrongCode):
                await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, other_than(code), ORIGIN.ip)
        code = await send_mail(domain)
        with pytest.raises(TooManyAttempts):
            await domain.codes.verify_email_code(EMAIL, CodeChannel.UPDATE_EMAIL, code, ORIGIN.ip)


async def test_who_gets_a_code(domain: UserDomain) -> None:
    sms, mail = domain.codes.send_sms_code, domain.codes.send_email_code
    with pytest.raises(MobileNotRegistered):
        await sms(MOBILE, CodeChannel.FORGET_ACCOUNT, ORIGIN.ip)
    with pytest.raises(EmailNotRegistered):
        await mail(EMAIL, CodeChannel.FORGET_ACCOUNT, ORIGIN.ip)
    await domain.register(MOBILE)
    with pytest.raises(MobileRegistered):
        await sms(MOBILE, CodeChannel.REGISTER, ORIGIN.ip)
    await sms(MOBILE, CodeChannel.FORGET_ACCOUNT, ORIGIN.ip)
    for channel, send, target in ((CodeChannel.UPDATE_EMAIL, sms, MOBILE), (CodeChannel.MOBILE_UPDATE, mail, EMAIL)):
        with pytest.raises(UnknownChannel):
            await send(target, channel, ORIGIN.ip)
    with pytest.raises(BadMobile):
        await sms("", CodeChannel.REGISTER, ORIGIN.ip)
    with pytest.raises(BadEmail):
        await mail("", CodeChannel.UPDATE_EMAIL, ORIGIN.ip)


async def test_sending_is_throttled_per_target_and_per_address_also_for_unknown_ones(database: Database) -> None:
    async with user_domain(database, code_sends_per_target=2, code_sends_per_address=5) as domain:
        sms = domain.codes.send_sms_code
        for _ in range(2):
            await sms(MOBILE, CodeChannel.REGISTER, ORIGIN.ip)
        with pytest.raises(TooManyAttempts) as refused:
            await sms(MOBILE, CodeChannel.REGISTER, ORIGIN.ip)
        assert refused.value.retry_after_ms == 300_000
        for mobile in ("13800138001", "13800138002"):
            with pytest.raises(MobileNotRegistered):
                await sms(mobile, CodeChannel.FORGET_ACCOUNT, ORIGIN.ip)
        with pytest.raises(TooManyAttempts):
            await sms("13800138003", CodeChannel.FORGET_ACCOUNT, ORIGIN.ip)
        await sms("13800138003", CodeChannel.REGISTER, "203.0.113.9")


async def test_expired_rows_are_removed_a_day_later(domain: UserDomain, database: Database) -> None:
    await send_mail(domain)
    token = await domain.register(MOBILE)
    housekeeping = Housekeeping(domain.login_store, domain.code_store, domain.clock)
    domain.clock.jump(86_400)
    assert await housekeeping.remove_expired() == 0
    domain.clock.jump(601)
    assert await housekeeping.remove_expired() == 2
    assert not (await domain.logins.get_login_state(token.user_id, token.login_id)).ended
    domain.clock.jump(7 * 86_400)
    assert await housekeeping.remove_expired() == 1
    assert (await domain.logins.get_login_state(token.user_id, token.login_id)).ended


async def test_housekeeping_goes_on(domain: UserDomain) -> None:
    await send_mail(domain)
    domain.clock.jump(2 * 86_400)
    run = asyncio.create_task(Housekeeping(domain.login_store, domain.code_store, domain.clock).run())
    await eventually(lambda: domain.clock.sleepers == 1)
    assert await domain.code_store.remove_expired(domain.clock.now_ms(), 10) == 0
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
