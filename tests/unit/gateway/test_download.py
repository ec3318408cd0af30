"""Ranges, validators and names of downloads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinyu.gateway.http.download import Unsatisfiable, disposition, etag_listed, parse_range


@pytest.mark.parametrize(
    ("header", "range_"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 4)),
        ("bytes=9-", (9, 1)),
        ("bytes=-3", (7, 3)),
        ("bytes=-99", (0, 10)),
        ("bytes=5-99", (5, 5)),
        ("Bytes = 1 - 2", (1, 2)),
        ("", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=x-1", None),
        ("bytes=0-" + "9" * 30, None),
    ],
)
def test_one_range_is_understood_all_else_is_the_whole(header: str, range_: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == range_


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, 10)


@given(st.text(max_size=30), st.integers(1, 1000))
def test_a_range_lies_inside_or_is_none(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        try:
            found = parse_range(text, size)
        except Unsatisfiable:
            continue
        if found is not None:
            offset, length = found
            assert 0 <= offset < size and 0 < length <= size - offset


def test_names_in_headers_are_ascii_with_the_real_one_beside() -> None:
    assert disposition('报告 "1";\\.pdf', False) == (
        "attachment; filename=\"__ _1___.pdf\"; filename*=UTF-8''%E6%8A%A5%E5%91%8A%20%221%22%3B%5C.pdf"
    )
    assert disposition("a.png", True) == "inline; filename=\"a.png\"; filename*=UTF-8''a.png"


@given(st.text(max_size=50))
def test_no_name_breaks_out_of_its_header(name: str) -> None:
    value = disposition(name.encode("utf-8", "replace").decode("utf-8"), False)
    assert value.isascii() and value.isprintable()
    assert value.count('"') == 2


@pytest.mark.parametrize(
    ("header", "listed"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False), ("a", False)],
)
def test_etags_are_compared_weakly(header: str, listed: bool) -> None:
    assert etag_listed(header, '"a"') is listed
