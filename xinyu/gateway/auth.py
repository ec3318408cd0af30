"""Who is calling: a token in, a `Caller` out.

The signature is checked here; whether the login is still good is asked of the user domain and remembered for
`login_cache_seconds` (DESIGN.md section 5, *Revocation*).
"""

from __future__ import annotations

import abc

import msgspec

from xinyu.kernel.ids import LoginId, UserId


class Caller(msgspec.Struct, frozen=True):
    """An authenticated user and the login that the token stands for."""

    user_id: UserId
    login_id: LoginId
    platform: str
    version: int
    expires_at: int
    """Seconds since 1970 (the token's `exp`)."""


class Authenticator(abc.ABC):
    """Checks tokens."""

    @abc.abstractmethod
    async def authenticate(self, token: str) -> Caller:
        """The caller that `token` stands for. Raises Unauthenticated when it is missing, malformed, forged, expired,
        or when its login was ended since (logout, password change, disabling)."""
