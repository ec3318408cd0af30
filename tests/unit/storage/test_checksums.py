"""Checksums of rows: the same for what SQL calls the same, others for all else."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations

import pytest

from xinyu.storage.copying.checksums import Checksum, encoded


def checksum(*rows: tuple[object, ...]) -> Checksum:
    made = Checksum()
    for row in rows:
        made.add(row)
    return made


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (True, 1),
        (Decimal("3"), 3),
        (Decimal("1.50"), 1.5),
        (memoryview(b"ab"), b"ab"),
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}),
    ],
)
def test_what_drivers_alone_tell_apart_is_one(one: object, other: object) -> None:
    assert encoded(one) == encoded(other)


def test_different_values_stay_different() -> None:
    values = [None, "", "None", b"", 0, 1, -1, "1", 1.5, "é", "e\u0301", "😀", b"\xff", [], {}, Decimal("1.05")]
    for one, other in combinations(values, 2):
        assert encoded(one) != encoded(other), (one, other)


def test_the_order_of_rows_does_not_count_but_that_of_values_and_their_bounds_do() -> None:
    assert checksum((1, "a"), (2, "b")) == checksum((2, "b"), (1, "a"))
    assert checksum((1, "a"), (2, "b")) != checksum((1, "b"), (2, "a"))
    assert checksum(("ab", "c")) != checksum(("a", "bc"))


def test_rows_that_are_there_twice_or_missing_count() -> None:
    assert checksum((1,)) != checksum((1,), (1,))
    assert checksum((1,), (1,)) != checksum((2,), (2,)), "an even number of equal rows does not vanish"
    assert checksum() != checksum((0,))


def test_a_value_without_an_encoding_is_no_silent_guess() -> None:
    with pytest.raises(TypeError, match="complex"):
        encoded(1j)
