"""The user domain."""

from __future__ import annotations

from dependency_injector import providers

from xinyu.app.containers.infrastructure import Infrastructure, database_of
from xinyu.app.secrets import password_key
from xinyu.app.settings import Settings
from xinyu.user.accounts import AccountService
from xinyu.user.code_book import CodeBook, derived_key
from xinyu.user.code_sender import CodeSender, NoCarrier
from xinyu.user.codes import CodeService
from xinyu.user.credentials import CredentialService
from xinyu.user.errors import EmailNotSent, SmsNotSent
from xinyu.user.hash_queue import HashQueue
from xinyu.user.housekeeping import Housekeeping
from xinyu.user.logins import LoginService
from xinyu.user.passwords_argon2 import Argon2Cost, Argon2Vault
from xinyu.user.profiles import ProfileService
from xinyu.user.sealing import PasswordOpener
from xinyu.user.sender_log import LogCodeSender
from xinyu.user.sender_smtp import SmtpCodeSender
from xinyu.user.sender_webhook import WebhookCodeSender
from xinyu.user.settings import UserSettings
from xinyu.user.store_sql import SqlAccountStore
from xinyu.user.store_sql_codes import SqlCodeStore
from xinyu.user.store_sql_logins import SqlLoginStore
from xinyu.user.store_sql_profiles import SqlProfileStore
from xinyu.user.tokens import TokenIssuer


def _password_opener(settings: Settings) -> PasswordOpener:
    return PasswordOpener(password_key(settings), settings.user.accept_plain_passwords)


def _argon2(opener: PasswordOpener, settings: UserSettings, queue: HashQueue) -> Argon2Vault:
    cost = Argon2Cost(settings.argon2_time_cost, settings.argon2_memory_kib, settings.argon2_parallelism)
    return Argon2Vault(opener, cost, queue)


def _sms_sender(settings: Settings) -> CodeSender:
    if settings.user.sms_url:
        return WebhookCodeSender(settings.user)
    return LogCodeSender() if settings.embedded else NoCarrier(SmsNotSent)


def _email_sender(settings: Settings) -> CodeSender:
    if settings.user.smtp_host:
        return SmtpCodeSender(settings.user)
    return LogCodeSender() if settings.embedded else NoCarrier(EmailNotSent)


class UserContainer(Infrastructure):
    """Accounts, profiles, log-ins, codes."""

    _settings = Infrastructure.settings
    _mine = Infrastructure.settings.provided.user
    user_db = database_of("user")
    account_store = providers.Singleton(SqlAccountStore, user_db)
    profile_store = providers.Singleton(SqlProfileStore, user_db)
    login_store = providers.Singleton(SqlLoginStore, user_db)
    code_store = providers.Singleton(SqlCodeStore, user_db)
    password_queue = providers.Singleton(HashQueue, _mine.hash_threads, _mine.hash_queue)
    password_vault = providers.Singleton(
        _argon2, providers.Singleton(_password_opener, _settings), _mine, password_queue
    )
    code_book = providers.Singleton(
        CodeBook,
        code_store,
        providers.Callable(derived_key, _settings.provided.auth.jwt_secret),
        Infrastructure.clock,
        _mine,
    )
    token_issuer = providers.Singleton(
        TokenIssuer,
        _settings.provided.auth.jwt_secret,
        _settings.provided.auth.jwt_issuer,
        _mine.token_lifetime_seconds,
        Infrastructure.clock,
    )
    account_service = providers.Singleton(
        AccountService,
        account_store,
        profile_store,
        password_vault,
        code_book,
        token_issuer,
        Infrastructure.clock,
        _mine,
    )
    credential_service = providers.Singleton(
        CredentialService, account_store, password_vault, code_book, Infrastructure.clock, _mine
    )
    profile_service = providers.Singleton(ProfileService, profile_store)
    login_service = providers.Singleton(LoginService, login_store, Infrastructure.clock)
    sms_sender = providers.Singleton(_sms_sender, _settings)
    email_sender = providers.Singleton(_email_sender, _settings)
    code_service = providers.Singleton(
        CodeService,
        profile_store,
        code_book,
        sms_sender,
        email_sender,
        Infrastructure.clock,
        _mine,
    )
    user_housekeeping = providers.Singleton(Housekeeping, login_store, code_store, Infrastructure.clock)
