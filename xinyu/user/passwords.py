"""Passwords, from what a client sends to what is stored."""

from __future__ import annotations

import abc
from typing import NamedTuple

MIN_LENGTH = 6
MAX_LENGTH = 128
"""Characters of a password. The web clients ask for six; the upper limit bounds what is hashed."""


class Verdict(NamedTuple):
    """Whether a password is right; if so and its hash is of an older kind, a better one to store."""

    right: bool
    better_hash: str | None = None


class PasswordVault(abc.ABC):
    """Opens, hashes and checks passwords, off the event loop. Raises Overloaded when too many wait."""

    @abc.abstractmethod
    async def check(self, sent: str, stored_hash: str | None) -> Verdict:
        """Whether `sent` is the password of `stored_hash`. Without one (no such user) it is wrong, and takes as long.

        A ciphertext of the right form that cannot be decrypted is a wrong password like any other, so that nobody can
        find out about paddings by asking (Bleichenbacher). Raises BadPasswordText, BadPasswordCipher for what no client
        would send, which says nothing about the key or the user."""

    @abc.abstractmethod
    async def hash_new(self, sent: str) -> str:
        """The hash to store for a new password. Call it only when the caller has proved himself by a code or the old
        password: here a ciphertext that cannot be decrypted has to be told.
        Raises BadPassword, BadPasswordText, BadPasswordCipher."""
