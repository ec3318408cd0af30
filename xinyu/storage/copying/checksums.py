"""A checksum of a table's rows that is the same on every engine, in whatever order they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from decimal import Decimal

DIGEST_BYTES = 32
_MODULUS = 1 << 8 * DIGEST_BYTES


class Checksum:
    """How many rows were added, and the sum of their digests: order does not count, repeated rows do."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, row: Iterable[object]) -> None:
        """One row, its values in the order of the table's columns. Raises TypeError for a value of unknown type."""
        digest = hashlib.blake2b(b"".join(map(encoded, row)), digest_size=DIGEST_BYTES).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % _MODULUS
        self.rows += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checksum) and (self.rows, self._sum) == (other.rows, other._sum)

    __hash__ = None  # type: ignore[assignment]  # it changes


def encoded(value: object) -> bytes:
    """A value as bytes: a letter for its kind, and its length where one value could run into the next.

    What drivers tell apart and SQL does not is one: True and 1, 1.50 and 1.5, bytes and memoryview. Text and bytes stay
    two, and so do NULL and the empty text. Raises TypeError for a type that has no encoding yet."""
    if value is None:
        return b"n;"
    if isinstance(value, int):
        return b"i%d;" % value
    if isinstance(value, str):
        return _sized(b"t", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes | bytearray | memoryview):
        return _sized(b"b", bytes(value))
    if isinstance(value, float | Decimal):
        return _number(Decimal(repr(value)) if isinstance(value, float) else value)
    if isinstance(value, dict | list):
        return _sized(b"j", json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    raise TypeError(f"no encoding for {type(value).__name__}: give it one in {__name__}")


def _sized(kind: bytes, content: bytes) -> bytes:
    return b"%s%d:%s" % (kind, len(content), content)


def _number(value: Decimal) -> bytes:
    if value.is_finite() and value == value.to_integral_value():
        return b"i%d;" % int(value)
    return b"d%s;" % str(value.normalize()).encode()
