"""Accounts: registering, logging in, shutting."""

from __future__ import annotations

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import LoginId, UserId, new_hex_id
from xinyu.user.code_book import CodeBook
from xinyu.user.errors import AccountDisabled, UserNotFound, WrongCredentials
from xinyu.user.passwords import PasswordVault
from xinyu.user.port import AccountPort
from xinyu.user.rules import normalised_mobile, normalised_nickname, normalised_origin
from xinyu.user.settings import UserSettings
from xinyu.user.store import AccountStore, NewAccount, NewLogin, ProfileStore
from xinyu.user.throttle import Throttle
from xinyu.user.tokens import TokenIssuer
from xinyu.user.types import AccessToken, CodeChannel, LoginOrigin, Profile

MAX_PAGE = 1000


class AccountService(AccountPort):
    """AccountPort."""

    def __init__(
        self,
        store: AccountStore,
        profiles: ProfileStore,
        vault: PasswordVault,
        codes: CodeBook,
        tokens: TokenIssuer,
        clock: Clock,
        settings: UserSettings,
    ) -> None:
        self._store = store
        self._profiles = profiles
        self._vault = vault
        self._codes = codes
        self._tokens = tokens
        self._clock = clock
        window = settings.throttle_window_seconds
        self._per_mobile = Throttle(settings.logins_per_mobile, window, clock)
        self._per_address = Throttle(settings.logins_per_address, window, clock)

    async def register(self, nickname: str, mobile: str, password: str, code: str, origin: LoginOrigin) -> AccessToken:
        name, number = normalised_nickname(nickname), normalised_mobile(mobile)
        self._count_address(origin.ip)
        code_id = await self._codes.check(number, CodeChannel.REGISTER, code)
        new = NewAccount(name, number, await self._vault.hash_new(password))
        login = self._new_login(origin)
        user_id = await self._store.create(new, self._clock.now_ms(), login, code_id)
        return self._tokens.issue(user_id, login.login_id, 0, login.origin.platform)

    async def log_in(self, mobile: str, password: str, origin: LoginOrigin) -> AccessToken:
        number = normalised_mobile(mobile)
        self._count_address(origin.ip)
        self._per_mobile.hit(number)
        account = await self._store.find_by_mobile(number)
        verdict = await self._vault.check(password, account.password_hash if account else None)
        if account is None or not verdict.right:
            raise WrongCredentials()
        if account.disabled:
            raise AccountDisabled()
        login = self._new_login(origin)
        version = await self._store.open_login(account.user_id, account.password_hash, login, verdict.better_hash)
        if version is None:  # a new password, or disabled, while this one was being checked
            raise WrongCredentials()
        self._per_mobile.clear(number)
        return self._tokens.issue(account.user_id, login.login_id, version, login.origin.platform)

    async def create(self, nickname: str, mobile: str, password: str) -> UserId:
        name, number = normalised_nickname(nickname), normalised_mobile(mobile)
        new = NewAccount(name, number, await self._vault.hash_new(password))
        return await self._store.create(new, self._clock.now_ms())

    async def set_disabled(self, user_id: UserId, disabled: bool) -> None:
        if not await self._store.set_disabled(user_id, disabled, self._clock.now_ms()):
            raise UserNotFound()

    async def list_users(self, after: UserId = UserId(0), limit: int = 100) -> list[Profile]:
        return await self._profiles.list_page(after, max(1, min(limit, MAX_PAGE)))

    def _count_address(self, ip: str) -> None:
        if ip:
            self._per_address.hit(ip)

    def _new_login(self, origin: LoginOrigin) -> NewLogin:
        now = self._clock.now_ms()
        expires = now + self._tokens.lifetime_seconds * 1000
        return NewLogin(LoginId(new_hex_id()), normalised_origin(origin), now, expires)
