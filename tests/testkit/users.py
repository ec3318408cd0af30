"""The whole user domain over a database, with cheap hashes and codes that a test can read."""

from __future__ import annotations

import base64
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import padding, rsa

import xinyu.user
from testkit.clock import ManualClock
from xinyu.kernel.port import Port
from xinyu.storage.migrations import History, upgrade
from xinyu.storage.sql import Database
from xinyu.user.accounts import AccountService
from xinyu.user.code_book import CodeBook, derived_key
from xinyu.user.code_sender import CodeSender
from xinyu.user.codes import CodeService
from xinyu.user.credentials import CredentialService
from xinyu.user.logins import LoginService
from xinyu.user.passwords_argon2 import Argon2Cost, Argon2Vault
from xinyu.user.port import AccountPort, CodePort, CredentialPort, LoginPort, ProfilePort
from xinyu.user.profiles import ProfileService
from xinyu.user.sealing import PasswordOpener
from xinyu.user.settings import UserSettings
from xinyu.user.store_sql import SqlAccountStore
from xinyu.user.store_sql_codes import SqlCodeStore
from xinyu.user.store_sql_logins import SqlLoginStore
from xinyu.user.store_sql_profiles import SqlProfileStore
from xinyu.user.tokens import TokenIssuer
from xinyu.user.types import AccessToken, CodeChannel, LoginOrigin

HISTORY = History("user", Path(xinyu.user.__file__).parent / "migrations")
SECRET = "a secret for tests only, 32 and more"
ISSUER = "auth-service"
ORIGIN = LoginOrigin("web", "198.51.100.7", "test")
CHEAP = Argon2Cost(1, 8, 1)


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One key for the whole run: making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def sealed(password: str) -> str:
    """A password as the web clients send it."""
    cipher = rsa_key().public_key().encrypt(password.encode(), padding.PKCS1v15())
    return base64.b64encode(cipher).decode()


class Outbox(CodeSender):
    """Keeps the codes it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, CodeChannel]] = []

    async def send(self, target: str, code: str, channel: CodeChannel, lifetime_seconds: int) -> None:
        self.sent.append((target, code, channel))

    @property
    def last(self) -> str:
        """The code sent last."""
        return self.sent[-1][1]


@dataclass(frozen=True, slots=True)
class UserDomain:
    """The services, and what stands around them."""

    clock: ManualClock
    settings: UserSettings
    vault: Argon2Vault
    sms: Outbox
    mail: Outbox
    account_store: SqlAccountStore
    login_store: SqlLoginStore
    code_store: SqlCodeStore
    profiles: ProfilePort
    accounts: AccountPort
    credentials: CredentialPort
    logins: LoginPort
    codes: CodePort

    @property
    def ports(self) -> dict[type[Port], Port]:
        """What is served."""
        return {
            ProfilePort: self.profiles,
            AccountPort: self.accounts,
            CredentialPort: self.credentials,
            LoginPort: self.logins,
            CodePort: self.codes,
        }

    async def code_for(self, mobile: str, channel: CodeChannel) -> str:
        """A code sent to a mobile."""
        await self.codes.send_sms_code(mobile, channel, ORIGIN.ip)
        return self.sms.last

    async def register(self, mobile: str, password: str = "secret-1", nickname: str = "Ada") -> AccessToken:
        """A new account, logged in."""
        code = await self.code_for(mobile, CodeChannel.REGISTER)
        return await self.accounts.register(nickname, mobile, password, code, ORIGIN)


@asynccontextmanager
async def user_domain(database: Database, accept_plain: bool = True, **settings: object) -> AsyncIterator[UserDomain]:
    """The domain over a database that is started; its tables are made."""
    await upgrade(database, HISTORY)
    clock = ManualClock()
    configured = UserSettings.model_validate(settings)
    vault = Argon2Vault(PasswordOpener(rsa_key(), accept_plain), CHEAP)
    account_store, login_store = SqlAccountStore(database), SqlLoginStore(database)
    profile_store, code_store = SqlProfileStore(database), SqlCodeStore(database)
    book = CodeBook(code_store, derived_key(SECRET), clock, configured)
    tokens = TokenIssuer(SECRET, ISSUER, configured.token_lifetime_seconds, clock)
    sms, mail = Outbox(), Outbox()
    try:
        yield UserDomain(
            clock=clock,
            settings=configured,
            vault=vault,
            sms=sms,
            mail=mail,
            account_store=account_store,
            login_store=login_store,
            code_store=code_store,
            profiles=ProfileService(profile_store),
            accounts=AccountService(account_store, profile_store, vault, book, tokens, clock, configured),
            credentials=CredentialService(account_store, vault, book, clock, configured),
            logins=LoginService(login_store, clock),
            codes=CodeService(profile_store, book, sms, mail, clock, configured),
        )
    finally:
        vault.close()
