"""What the user services need stored, in the domain's words. Every method is one transaction: all of it or nothing.

Targets (mobile numbers, e-mail addresses) come normalised; `now_ms` is the caller's clock.
"""

from __future__ import annotations

import abc

import msgspec

from xinyu.kernel.ids import LoginId, UserId
from xinyu.user.types import CodeChannel, EndedLogin, LoginOrigin, LoginState, Preferences, Profile, ProfileChange


class Account(msgspec.Struct, frozen=True):
    """What a log-in is checked against."""

    user_id: UserId
    mobile: str
    email: str
    password_hash: str
    disabled: bool


class NewAccount(msgspec.Struct, frozen=True):
    """An account to be made."""

    nickname: str
    mobile: str
    password_hash: str


class NewLogin(msgspec.Struct, frozen=True):
    """A log-in to be opened."""

    login_id: LoginId
    origin: LoginOrigin
    created_ms: int
    expires_ms: int


class NewCode(msgspec.Struct, frozen=True):
    """A code to be remembered."""

    target: str
    channel: CodeChannel
    code_hash: str
    ip: str
    created_ms: int
    expires_ms: int


class AccountStore(abc.ABC):
    """Accounts and their passwords. Where a `code_id` is given, the code is used up in the same transaction; WrongCode
    is raised, and nothing done, when it was used before."""

    @abc.abstractmethod
    async def create(
        self, new: NewAccount, now_ms: int, login: NewLogin | None = None, code_id: int | None = None
    ) -> UserId:
        """Make an account, with its first log-in if one is given. Raises MobileRegistered, WrongCode."""

    @abc.abstractmethod
    async def find_by_mobile(self, mobile: str) -> Account | None:
        """The account with this mobile number."""

    @abc.abstractmethod
    async def find(self, user_id: UserId) -> Account | None:
        """The account of a user."""

    @abc.abstractmethod
    async def open_login(
        self, user_id: UserId, verified_hash: str, login: NewLogin, better_hash: str | None = None
    ) -> int | None:
        """Open a log-in for a password that was checked against `verified_hash`, and store a better hash of the same
        password. Returns the account's token version; None, and nothing done, when the hash is another by now or the
        account is disabled."""

    @abc.abstractmethod
    async def set_password(
        self,
        user_id: UserId,
        new_hash: str,
        now_ms: int,
        verified_hash: str | None = None,
        keep_login: LoginId | None = None,
        code_id: int | None = None,
    ) -> bool:
        """Replace the password and end all log-ins but `keep_login`. False, and nothing done, when the hash is not
        `verified_hash` (if given) any more. Raises WrongCode."""

    @abc.abstractmethod
    async def set_mobile(self, user_id: UserId, mobile: str, verified_hash: str, now_ms: int, code_id: int) -> bool:
        """Replace the mobile number. False as above. Raises MobileTaken, WrongCode."""

    @abc.abstractmethod
    async def set_email(self, user_id: UserId, email: str, verified_hash: str, now_ms: int, code_id: int) -> bool:
        """Replace the e-mail address. False as above. Raises EmailTaken, WrongCode."""

    @abc.abstractmethod
    async def set_disabled(self, user_id: UserId, disabled: bool, now_ms: int) -> bool:
        """Shut an account, ending its log-ins, or open it. Whether it exists."""


class ProfileStore(abc.ABC):
    """Profiles and settings."""

    @abc.abstractmethod
    async def list_profiles(self, user_ids: list[UserId]) -> list[Profile]:
        """The profiles that exist of `user_ids`, each once."""

    @abc.abstractmethod
    async def list_page(self, after: UserId, limit: int) -> list[Profile]:
        """Profiles by id, above `after`."""

    @abc.abstractmethod
    async def find_by_mobile(self, mobile: str) -> Profile | None:
        """The user with this mobile number."""

    @abc.abstractmethod
    async def find_by_email(self, email: str) -> Profile | None:
        """The user with this e-mail address."""

    @abc.abstractmethod
    async def update_profile(self, user_id: UserId, change: ProfileChange) -> bool:
        """Replace a profile; an empty nickname keeps the old one. Whether the user exists."""

    @abc.abstractmethod
    async def find_preferences(self, user_id: UserId) -> Preferences | None:
        """A user's settings, if any were saved."""

    @abc.abstractmethod
    async def save_preferences(self, user_id: UserId, preferences: Preferences) -> bool:
        """Replace a user's settings. Whether the user exists."""


class LoginStore(abc.ABC):
    """Log-ins."""

    @abc.abstractmethod
    async def list_states(self, login_ids: list[LoginId]) -> dict[LoginId, tuple[UserId, LoginState]]:
        """The log-ins that exist of `login_ids`, whose they are and their state, by key."""

    @abc.abstractmethod
    async def list_ended_since(self, since_ms: int, limit: int) -> list[EndedLogin]:
        """Log-ins ended at or after `since_ms`, oldest first."""

    @abc.abstractmethod
    async def end(self, user_id: UserId, login_id: LoginId, now_ms: int) -> None:
        """End one log-in, if it is that user's and not ended."""

    @abc.abstractmethod
    async def end_all(self, user_id: UserId, now_ms: int, keep_login: LoginId | None = None) -> bool:
        """End all log-ins of a user but `keep_login`; without one, tokens of forgotten log-ins too. Whether the user
        exists."""

    @abc.abstractmethod
    async def remove_expired(self, before_ms: int, limit: int) -> int:
        """Remove log-ins whose tokens expired before `before_ms`, at most `limit`; how many."""


class CodeStore(abc.ABC):
    """Verification codes."""

    @abc.abstractmethod
    async def add(self, new: NewCode) -> None:
        """Remember a code; older ones of the same target and channel are worthless from now on."""

    @abc.abstractmethod
    async def try_code(
        self, target: str, channel: CodeChannel, code_hash: str, max_attempts: int, now_ms: int
    ) -> int | None:
        """The newest code's id if its hash is `code_hash` and it is neither used, expired nor tried `max_attempts`
        times. The try is counted, right or wrong."""

    @abc.abstractmethod
    async def use(self, code_id: int, now_ms: int) -> bool:
        """Use a code up. Whether it was unused."""

    @abc.abstractmethod
    async def remove_expired(self, before_ms: int, limit: int) -> int:
        """Remove codes that expired before `before_ms`, at most `limit`; how many."""
