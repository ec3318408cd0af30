"""The page of bounds says what is so (G8): each row has a setting, a metric, a policy and a test that is there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from architecture.codebase import ROOT
from reference_pages.config import setting_names
from reference_pages.metrics import metric_names

PAGE = ROOT / "docs" / "explanation" / "bounds.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and "::" in line
]
WITHOUT = re.compile(r"^fixed: \d")
"""A bound that nobody has to move."""


@cache
def named_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_bound_has_all_that_it_needs(row: list[str]) -> None:
    _, settings, metrics, policy, seen, test = row
    assert WITHOUT.match(settings) or set(quoted(settings)) & setting_names()
    assert quoted(metrics) and set(quoted(metrics)) <= metric_names()
    assert policy and seen
    [where] = quoted(test)
    path, _, name = where.partition("::")
    assert name in named_in(path), where


def test_the_settings_that_bound_something_are_all_there() -> None:
    """Known by their names: a new queue needs its row."""
    named = {name for row in ROWS for name in quoted(row[1])}
    words = (
        "queue",
        "max_requests",
        "max_sessions",
        "max_frame",
        "lane_",
        "_window_frames",
        "concurrent",
        "pending_bytes",
    )
    bounds = {name for name in setting_names() if any(word in name for word in words)}
    assert bounds - named - {"delivery.queue"} == set(), "that one says where, not how many"
