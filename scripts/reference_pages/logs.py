"""The words of the logs: every field, and every line that the server writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import xinyu
from reference_pages.markdown import code, page, table
from xinyu.telemetry.logs import FIELDS

INTRO = """Lines go to stderr, as JSON or for the eye (`log.style`), from `log.level` on. They use the fields
below and no others. At `debug` every hop of a request writes a line, so that the lines of all processes with one
`trace_id` are its whole way. A request that takes `log.slow_request_ms` is told at `info` too."""
LEVELS = ("debug", "info", "warning", "error", "exception")
TELL_REQUEST = ("request done", "a slow request; its hops are told at log.level debug")
OWN = {"exc_info"}
"""Arguments that are no fields: they ask for the stack, the field `exception`."""


class LogCall(NamedTuple):
    """One place in the source that writes a line."""

    place: str
    level: str
    text: str
    fields: tuple[str, ...]
    error: str
    """The source of what it gives as `error`, "" for none."""


def logs_page() -> str:
    """docs/reference/logs.md"""
    fields = [(code(name), text) for name, text in FIELDS.items()]
    calls = sorted({(call.text, shown(call.level), call.fields) for call in log_calls()})
    rows = [(text, level, ", ".join(code(name) for name in fields if name in FIELDS)) for text, level, fields in calls]
    parts = [
        f"## Fields\n\n{table(('field', 'what'), fields)}",
        "## Lines\n\nBesides the fields that any line has.\n\n" + table(("event", "level", "fields"), rows),
    ]
    return page("Logs", INTRO, parts)


def shown(level: str) -> str:
    """The level that a line has."""
    return "error" if level == "exception" else level


def log_calls() -> Iterator[LogCall]:
    """Every line that the server may write; the SDK has its own logger."""
    folder = Path(xinyu.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if inside.parts[0] not in ("sdk", "telemetry"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield from _read(f"xinyu/{inside}:{node.lineno}", node)


def _read(place: str, call: ast.Call) -> Iterator[LogCall]:
    owner, _, called = ast.unparse(call.func).rpartition(".")
    names = tuple(keyword.arg or "**" for keyword in call.keywords if keyword.arg not in OWN)
    error = next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "error"), "")
    if called == "tell_request":
        for text, level in zip(TELL_REQUEST, ("debug", "warning"), strict=True):
            yield LogCall(place, level, text, ("duration_ms", *names), error)
    elif owner == "log" and called in LEVELS:
        yield LogCall(place, called, ast.literal_eval(call.args[0]), names, error)
