"""Lines of the logs use the one vocabulary, and `error` is always the code of an error."""

from __future__ import annotations

import re

from reference_pages.logs import LogCall, log_calls
from xinyu.telemetry.logs import FIELDS

CODE = re.compile(r"code_of\(error\)|(\w+\.)*code|error|None if .+ else (\w+\.)*(code|result_str)")
ADDRESSES = "ready"
"""This line gives one field per listener."""


def calls() -> list[LogCall]:
    found = list(log_calls())
    assert len(found) > 50
    return found


def test_lines_use_no_other_words() -> None:
    wrong = [
        f"{call.place}: {name}"
        for call in calls()
        for name in call.fields
        if name not in FIELDS and not (name == "**" and call.text == ADDRESSES)
    ]
    assert not wrong, "say it with a field of telemetry.logs.FIELDS, or add one there"


def test_every_word_is_used() -> None:
    always = {"event", "level", "timestamp", "logger", "service_name", "instance_id", "trace_id", "exception"}
    addresses = {"http", "ws", "admin", "rpc", "predecessor"}
    assert set(FIELDS) == always | addresses | {name for call in calls() for name in call.fields if name != "**"}


def test_an_error_is_a_code() -> None:
    told = [call for call in calls() if call.error]
    wrong = [f"{call.place}: {call.error}" for call in told if not CODE.fullmatch(call.error)]
    assert not wrong, "error= is a code (code_of), what the exception says is reason="


def test_the_same_words_are_one_line() -> None:
    """Whoever searches for an event finds lines of one level."""
    levels: dict[str, set[str]] = {}
    for call in calls():
        levels.setdefault(call.text, set()).add("error" if call.level == "exception" else call.level)
    assert {text for text, found in levels.items() if len(found) > 1} == set()
