"""Passwords, mobile numbers and e-mail addresses: changing what proves that an account is one's own."""

from __future__ import annotations

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import LoginId, UserId
from xinyu.user.code_book import CodeBook
from xinyu.user.errors import MobileUnknown, SameEmail, SameMobile, UserNotFound, WrongOldPassword, WrongPassword
from xinyu.user.passwords import PasswordVault
from xinyu.user.port import CredentialPort
from xinyu.user.rules import normalised_email, normalised_mobile
from xinyu.user.settings import UserSettings
from xinyu.user.store import Account, AccountStore
from xinyu.user.throttle import Throttle
from xinyu.user.types import CodeChannel


class CredentialService(CredentialPort):
    """CredentialPort."""

    def __init__(
        self, store: AccountStore, vault: PasswordVault, codes: CodeBook, clock: Clock, settings: UserSettings
    ) -> None:
        self._store = store
        self._vault = vault
        self._codes = codes
        self._clock = clock
        self._attempts = Throttle(settings.passwords_per_user, settings.throttle_window_seconds, clock)

    async def change_password(self, user_id: UserId, login_id: LoginId, old_password: str, new_password: str) -> None:
        account = await self._get(user_id)
        if not await self._is_right(account, old_password):
            raise WrongOldPassword()
        new_hash = await self._vault.hash_new(new_password)
        changed = await self._store.set_password(
            user_id, new_hash, self._clock.now_ms(), verified_hash=account.password_hash, keep_login=login_id
        )
        if not changed:
            raise WrongOldPassword()

    async def reset_password(self, mobile: str, new_password: str, code: str) -> UserId:
        number = normalised_mobile(mobile)
        code_id = await self._codes.check(number, CodeChannel.FORGET_ACCOUNT, code)
        account = await self._store.find_by_mobile(number)
        if account is None:
            raise MobileUnknown()
        new_hash = await self._vault.hash_new(new_password)
        if not await self._store.set_password(account.user_id, new_hash, self._clock.now_ms(), code_id=code_id):
            raise MobileUnknown()
        return account.user_id

    async def change_mobile(self, user_id: UserId, mobile: str, password: str, code: str) -> None:
        number = normalised_mobile(mobile)
        account = await self._get(user_id)
        code_id = await self._codes.check(number, CodeChannel.MOBILE_UPDATE, code)
        if not await self._is_right(account, password):
            raise WrongPassword()
        if number == account.mobile:
            raise SameMobile()
        now = self._clock.now_ms()
        if not await self._store.set_mobile(user_id, number, account.password_hash, now, code_id):
            raise WrongPassword()

    async def change_email(self, user_id: UserId, email: str, password: str, code: str) -> None:
        address = normalised_email(email)
        account = await self._get(user_id)
        code_id = await self._codes.check(address, CodeChannel.UPDATE_EMAIL, code)
        if not await self._is_right(account, password):
            raise WrongPassword()
        if address == account.email:
            raise SameEmail()
        now = self._clock.now_ms()
        if not await self._store.set_email(user_id, address, account.password_hash, now, code_id):
            raise WrongPassword()

    async def _get(self, user_id: UserId) -> Account:
        account = await self._store.find(user_id)
        if account is None:
            raise UserNotFound()
        return account

    async def _is_right(self, account: Account, password: str) -> bool:
        """Whether it is the account's password, counting tries: a stolen token must not become a way to guess it."""
        key = str(account.user_id)
        self._attempts.hit(key)
        verdict = await self._vault.check(password, account.password_hash)
        if verdict.right:
            self._attempts.clear(key)
        return verdict.right
