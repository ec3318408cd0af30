"""Who is calling: a token in, a `Caller` out.

The signature is checked here; whether the login is still good is asked of the user domain and remembered for
`login_cache_seconds` (DESIGN.md section 5, *Revocation*).
"""

from __future__ import annotations

import abc
import asyncio

import jwt
import msgspec
from cachetools import TTLCache

from xinyu.gateway.limits import RateLimits
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Unauthenticated
from xinyu.kernel.ids import MAX_JSON_INT, DeviceId, LoginId, UserId
from xinyu.telemetry.readings import Reading
from xinyu.user.port import LoginPort
from xinyu.user.types import LoginState

MAX_TOKEN = 2048
"""Characters of an access token; ours have about 350."""
MAX_CACHED_LOGINS = 100_000
MAX_DEVICE_ID = 100
"""Characters of a device's name."""


class Caller(msgspec.Struct, frozen=True):
    """An authenticated user and the login that the token stands for."""

    user_id: UserId
    login_id: LoginId
    platform: str
    version: int
    expires_at: int
    """Seconds since 1970 (the token's `exp`)."""

    def device(self, named: str) -> DeviceId:
        """What owns the client's cursors: the device that it `named`, or its login where that is no name."""
        usable = 0 < len(named) <= MAX_DEVICE_ID and named.isascii() and named.isprintable()
        return DeviceId(named if usable else self.login_id)


class Authenticator(abc.ABC):
    """Checks tokens."""

    @abc.abstractmethod
    async def authenticate(self, token: str) -> Caller:
        """The caller that `token` stands for. Raises Unauthenticated when it is missing, malformed, forged, expired,
        or when its login was ended since (logout, password change, disabling)."""


class Door:
    """How sockets get in: counted for their address first, for those with a bad token are to have a bound too."""

    def __init__(self, authenticator: Authenticator, limits: RateLimits) -> None:
        self._authenticator = authenticator
        self._limits = limits

    async def admit(self, token: str, ip: str) -> Caller:
        """As `Authenticator.authenticate`. Raises Overloaded for an address that has begun too many."""
        await self._limits.check_handshake(ip)
        return await self._authenticator.authenticate(token)


class JwtAuthenticator(Authenticator):
    """Tokens as user/tokens.py makes them (CONTRACT.md section 7).

    A token costs one HMAC; its log-in one read per `cache_seconds`, however many ask at once.
    """

    def __init__(self, secret: str, issuer: str, logins: LoginPort, clock: Clock, cache_seconds: float) -> None:
        self._secret = secret
        self._issuer = issuer
        self._logins = logins
        self._clock = clock
        self._decoder = jwt.PyJWT({"require": ["iss", "exp", "uid", "jti", "ver"], "verify_exp": False})
        self._states: TTLCache[tuple[UserId, LoginId], LoginState] = TTLCache(
            MAX_CACHED_LOGINS, cache_seconds, timer=clock.monotonic
        )
        self._failed = 0
        self._reading: dict[tuple[UserId, LoginId], asyncio.Task[LoginState]] = {}

    async def authenticate(self, token: str) -> Caller:
        try:
            return await self._authenticated(token)
        except Unauthenticated:
            self._failed += 1
            raise

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [("xinyu_auth_failures_total", "Tokens that were forged, expired or of an ended log-in.", self._failed)]

    async def _authenticated(self, token: str) -> Caller:
        caller = self._read(token)
        if caller.expires_at * 1000 <= self._clock.now_ms():
            raise Unauthenticated()
        state = await self._state_of((caller.user_id, caller.login_id))
        if state.ended or state.disabled or state.version != caller.version:
            raise Unauthenticated()
        return caller

    def _read(self, token: str) -> Caller:
        """What a token claims, its signature checked. The time is compared by the caller, on the server's clock."""
        if len(token) > MAX_TOKEN:
            raise Unauthenticated()
        try:
            claims = self._decoder.decode(token, self._secret, algorithms=["HS256"], issuer=self._issuer)
            caller = Caller(
                user_id=UserId(int(claims["uid"])),
                login_id=LoginId(str(claims["jti"])),
                platform=str(claims.get("platform", "")),
                version=int(claims["ver"]),
                expires_at=int(claims["exp"]),
            )
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
            raise Unauthenticated() from error
        if not 0 < caller.user_id < MAX_JSON_INT:
            raise Unauthenticated()
        return caller

    async def _state_of(self, key: tuple[UserId, LoginId]) -> LoginState:
        state = self._states.get(key)
        if state is not None:
            return state
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(self._fetch(key))
        return await asyncio.shield(task)  # a caller that leaves does not take the others with it

    async def _fetch(self, key: tuple[UserId, LoginId]) -> LoginState:
        try:
            state = self._states[key] = await self._logins.get_login_state(*key)
            return state
        finally:
            del self._reading[key]
