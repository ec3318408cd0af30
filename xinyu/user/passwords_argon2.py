"""Passwords as Argon2id hashes (RFC 9106), made on a few threads of their own. The predecessor's PBKDF2 hashes are
understood too and replaced at the next log-in."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from xinyu.user.errors import BadPassword, BadPasswordCipher
from xinyu.user.hash_queue import HashQueue
from xinyu.user.passwords import MAX_LENGTH, MIN_LENGTH, PasswordVault, Verdict
from xinyu.user.sealing import PasswordOpener

LEGACY_PREFIX = "pbkdf2_sha256$"
MAX_LEGACY_ROUNDS = 10_000_000


class Argon2Cost(NamedTuple):
    """Parameters of Argon2id; hashes with others are replaced at the next log-in."""

    time_cost: int = 2
    memory_kib: int = 19_456
    parallelism: int = 1


class Argon2Vault(PasswordVault):
    """The adapter for production, and for tests with a small cost."""

    def __init__(self, opener: PasswordOpener, cost: Argon2Cost, queue: HashQueue | None = None) -> None:
        self._opener = opener
        self._hasher = PasswordHasher(cost.time_cost, cost.memory_kib, cost.parallelism, type=Type.ID)
        self._queue = queue or HashQueue()
        self._nobodys_hash = self._hasher.hash(secrets.token_hex(32))

    async def check(self, sent: str, stored_hash: str | None) -> Verdict:
        return await self._queue.run(lambda: self._check(sent, stored_hash))

    async def hash_new(self, sent: str) -> str:
        return await self._queue.run(lambda: self._hash_new(sent))

    def close(self) -> None:
        """Let what runs finish and end the threads."""
        self._queue.close()

    def _check(self, sent: str, stored_hash: str | None) -> Verdict:
        password = self._opener.open(sent)
        if password is None or len(password) > MAX_LENGTH:
            password = secrets.token_hex(32)  # nobody's password: the work is done all the same
        if stored_hash is None:
            self._matches(self._nobodys_hash, password)
            return Verdict(False)
        if stored_hash.startswith(LEGACY_PREFIX):
            right = matches_legacy(stored_hash, password)
            return Verdict(right, self._hasher.hash(password) if right else None)
        right = self._matches(stored_hash, password)
        if right and self._hasher.check_needs_rehash(stored_hash):
            return Verdict(True, self._hasher.hash(password))
        return Verdict(right)

    def _matches(self, stored_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def _hash_new(self, sent: str) -> str:
        password = self._opener.open(sent)
        if password is None:
            raise BadPasswordCipher()
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise BadPassword()
        return self._hasher.hash(password)


def matches_legacy(stored_hash: str, password: str) -> bool:
    """Whether `password` is that of `pbkdf2_sha256$<rounds>$<salt hex>$<key hex>` (CONTRACT.md section 7)."""
    parts = stored_hash.split("$")
    try:
        rounds, salt, key = int(parts[1]), bytes.fromhex(parts[2]), bytes.fromhex(parts[3])
    except (IndexError, ValueError):
        return False
    if not 1 <= rounds <= MAX_LEGACY_ROUNDS or len(parts) != 4 or not key:
        return False
    made = hashlib.pbkdf2_hmac("sha256", password.encode("utf-8"), salt, rounds, len(key))
    return hmac.compare_digest(made, key)
