"""Verification codes: making and checking them."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from xinyu.kernel.clock import Clock
from xinyu.user.errors import WrongCode
from xinyu.user.settings import UserSettings
from xinyu.user.store import CodeStore, NewCode
from xinyu.user.throttle import Throttle
from xinyu.user.types import CodeChannel

DIGITS = 6


def derived_key(secret: str) -> bytes:
    """The key of code hashes, from the deployment's token secret: a stolen table alone gives no codes away."""
    return hmac.digest(secret.encode("utf-8"), b"xinyu verification codes", "sha256")


class CodeBook:
    """The codes of all channels. One per process: it counts the attempts."""

    def __init__(self, store: CodeStore, key: bytes, clock: Clock, settings: UserSettings) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._max_attempts = settings.code_attempts_per_code
        self._attempts = Throttle(settings.code_attempts_per_target, settings.throttle_window_seconds, clock)

    async def make(self, target: str, channel: CodeChannel, ip: str, lifetime_seconds: int) -> str:
        """A new code for a normalised target, from the CSPRNG; it replaces the one before."""
        code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
        now = self._clock.now_ms()
        code_hash = self._hash(target, channel, code)
        await self._store.add(NewCode(target, channel, code_hash, ip[:64], now, now + lifetime_seconds * 1000))
        return code

    async def check(self, target: str, channel: CodeChannel, code: str) -> int:
        """The id of a code that is right; use it up with the change that it allows. Every check counts as an attempt.
        Raises WrongCode, TooManyAttempts."""
        key = f"{channel}:{target}"
        self._attempts.hit(key)
        code_hash = self._hash(target, channel, code.strip()[:32])
        code_id = await self._store.try_code(target, channel, code_hash, self._max_attempts, self._clock.now_ms())
        if code_id is None:
            raise WrongCode()
        return code_id

    async def use(self, target: str, channel: CodeChannel, code: str) -> None:
        """Check a code and use it up. Raises WrongCode, TooManyAttempts."""
        if not await self._store.use(await self.check(target, channel, code), self._clock.now_ms()):
            raise WrongCode()

    def _hash(self, target: str, channel: CodeChannel, code: str) -> str:
        return hmac.new(self._key, f"{channel}\n{target}\n{code}".encode(), hashlib.sha256).hexdigest()
