"""Ports of the user domain: who somebody is (`ProfilePort`), accounts (`AccountPort`) and what proves their ownership
(`CredentialPort`), log-ins (`LoginPort`), verification codes (`CodePort`).

Passwords travel as the client sent them: encrypted as CONTRACT.md section 7 says, or plain where that is accepted.
Mobile numbers and e-mail addresses may come in any spelling; they are normalised here.
"""

from __future__ import annotations

from xinyu.kernel.ids import LoginId, UserId
from xinyu.kernel.port import Port, rpc
from xinyu.user.types import (
    AccessToken,
    CodeChannel,
    EndedLogin,
    LoginOrigin,
    LoginState,
    Preferences,
    Profile,
    ProfileChange,
    SentCode,
)


class ProfilePort(Port):
    """Who users are."""

    @rpc(501, idempotent=True)
    async def list_profiles(self, user_ids: list[UserId]) -> list[Profile]:
        """The profiles of `user_ids`, each once, in no order; unknown ids are left out, disabled users are not."""

    @rpc(506, idempotent=True)
    async def find_by_mobile(self, mobile: str) -> Profile | None:
        """The user with this mobile number; None also where it cannot be one."""

    @rpc(503, idempotent=True)
    async def update_profile(self, user_id: UserId, change: ProfileChange) -> None:
        """Replace the profile. Raises UserNotFound, BadProfile naming the field."""

    @rpc(511, idempotent=True)
    async def get_preferences(self, user_id: UserId) -> Preferences:
        """The user's settings; the defaults where nothing was ever saved."""

    @rpc(510, idempotent=True)
    async def save_preferences(self, user_id: UserId, preferences: Preferences) -> None:
        """Replace the user's settings. Raises UserNotFound, BadProfile naming the field."""


class AccountPort(Port):
    """Accounts: how they come about, are entered, and are shut."""

    @rpc(516)
    async def register(self, nickname: str, mobile: str, password: str, code: str, origin: LoginOrigin) -> AccessToken:
        """Make an account with a code of channel `register`, and log in: all of it or nothing.
        Raises WrongCode, BadMobile, BadPassword, BadPasswordText, BadPasswordCipher, BadProfile, MobileRegistered,
        TooManyAttempts."""

    @rpc(513)
    async def log_in(self, mobile: str, password: str, origin: LoginOrigin) -> AccessToken:
        """Open a log-in. An unknown mobile and a wrong password look the same and take as long.
        Raises WrongCredentials, AccountDisabled (to who knows the password only), BadPasswordText, BadPasswordCipher
        (malformed ones only: not every ciphertext that cannot be decrypted is told apart from a wrong password),
        TooManyAttempts."""

    @rpc(518)
    async def create(self, nickname: str, mobile: str, password: str) -> UserId:
        """Make an account without a code, for administrators. Raises as `register` does."""

    @rpc(519, idempotent=True)
    async def set_disabled(self, user_id: UserId, disabled: bool) -> None:
        """Shut an account, ending all its log-ins, or open it again (ended log-ins stay ended). Raises UserNotFound."""

    @rpc(520, idempotent=True)
    async def list_users(self, after: UserId = UserId(0), limit: int = 100) -> list[Profile]:
        """Accounts by id, those above `after`; at most min(limit, 1000)."""


class CredentialPort(Port):
    """What proves that an account is one's own. Raised by all: BadPasswordText, BadPasswordCipher, TooManyAttempts."""

    @rpc(502)
    async def change_password(self, user_id: UserId, login_id: LoginId, old_password: str, new_password: str) -> None:
        """Set a new password and end every log-in but `login_id`.
        Raises UserNotFound, WrongOldPassword, BadPassword."""

    @rpc(517)
    async def reset_password(self, mobile: str, new_password: str, code: str) -> UserId:
        """Set a new password with a code of channel `forget_account`, and end every log-in. Returns whose.
        Raises WrongCode, MobileUnknown, BadMobile, BadPassword."""

    @rpc(504)
    async def change_mobile(self, user_id: UserId, mobile: str, password: str, code: str) -> None:
        """Change the mobile number with a code of channel `mobile_update` that was sent to the new one.
        Raises UserNotFound, WrongCode, WrongPassword, BadMobile, SameMobile, MobileTaken."""

    @rpc(505)
    async def change_email(self, user_id: UserId, email: str, password: str, code: str) -> None:
        """Change the e-mail address with a code of channel `update_email` that was sent to the new one.
        Raises UserNotFound, WrongCode, WrongPassword, BadEmail, SameEmail, EmailTaken."""


class LoginPort(Port):
    """Log-ins: whether one is good, and ending them."""

    @rpc(530, idempotent=True)
    async def get_login_state(self, user_id: UserId, login_id: LoginId) -> LoginState:
        """Whether a log-in is good: one indexed read. One that never was, or of another user, counts as ended."""

    @rpc(531, idempotent=True)
    async def list_ended_since(self, since_ms: int) -> list[EndedLogin]:
        """Log-ins ended at or after `since_ms`, oldest first, at most 1000: a full page is continued at its last
        `ended_ms`. Times are taken before the commit, so ask from some seconds before the last answer."""

    @rpc(532, idempotent=True)
    async def end_login(self, user_id: UserId, login_id: LoginId) -> None:
        """Log out. Nothing happens where it was ended before or is another user's."""

    @rpc(533, idempotent=True)
    async def end_all(self, user_id: UserId, except_login_id: LoginId | None = None) -> None:
        """End every log-in of a user, but one. Raises UserNotFound."""


class CodePort(Port):
    """Verification codes. Of those sent to one target for one channel only the newest serves."""

    @rpc(540)
    async def send_sms_code(self, mobile: str, channel: CodeChannel, ip: str) -> SentCode:
        """Send a code to a mobile number. Raises BadMobile, UnknownChannel, MobileRegistered (register),
        MobileNotRegistered (forget_account), SmsNotSent, TooManyAttempts."""

    @rpc(541)
    async def send_email_code(self, email: str, channel: CodeChannel, ip: str) -> SentCode:
        """Send a code to an e-mail address. Raises BadEmail, UnknownChannel, EmailNotRegistered (forget_account),
        EmailNotSent, TooManyAttempts."""

    @rpc(542)
    async def verify_email_code(self, email: str, channel: CodeChannel, code: str, ip: str) -> None:
        """Use a code up. Raises BadEmail, WrongCode, TooManyAttempts."""
