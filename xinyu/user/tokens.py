"""Access tokens: JWT, HS256, as CONTRACT.md section 7 has them, with the log-in (`jti`) and the account's token version
(`ver`) in them, so that a log-in can be ended. Checked in gateway/auth_jwt.py."""

from __future__ import annotations

import jwt

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import LoginId, UserId
from xinyu.user.types import AccessToken

MIN_SECRET = 32


class TokenIssuer:
    """Signs tokens. Raises ValueError for a secret that is too short (RFC 7518, section 3.2)."""

    def __init__(self, secret: str, issuer: str, lifetime_seconds: int, clock: Clock) -> None:
        if len(secret) < MIN_SECRET:
            raise ValueError(f"auth.jwt_secret must have at least {MIN_SECRET} characters")
        self._secret = secret
        self._issuer = issuer
        self._clock = clock
        self.lifetime_seconds = lifetime_seconds

    def issue(self, user_id: UserId, login_id: LoginId, version: int, platform: str) -> AccessToken:
        """A token for a log-in, good from now on."""
        now = self._clock.now_ms() // 1000
        claims = {
            "iss": self._issuer,
            "iat": now,
            "exp": now + self.lifetime_seconds,
            "sub": str(user_id),
            "uid": str(user_id),
            "jti": login_id,
            "ver": version,
            "platform": platform,
        }
        token = jwt.encode(claims, self._secret, algorithm="HS256", headers={"typ": "JWS"})
        return AccessToken(token, self.lifetime_seconds, user_id, login_id)
