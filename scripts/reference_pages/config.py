"""Every setting: name, type, default, bounds, environment variable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reference_pages.markdown import code, page, summary, table
from xinyu.app.settings import Settings

INTRO = """Settings come from defaults, then YAML files (`--config`, several on top of one another), then the
environment, then command-line flags; each layer lies over the one before. A setting that does not exist is an
error. The environment variable of `gateway.http_port` is `XINYU_GATEWAY__HTTP_PORT`; lists and mappings are
given there as JSON. `xinyu config show` prints what is in force, with secrets masked."""
HEAD = ("setting", "type", "default", "bounds", "what")
BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


def config_page() -> str:
    """docs/reference/config.md"""
    own, sections = [], []
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            rows = [_row(f"{name}.{key}", inner) for key, inner in kind.model_fields.items()]
            sections.append(f"## {name}\n\n{summary(kind)}\n\n{table(HEAD, rows)}")
        else:
            own.append(_row(name, field))
    return page("Settings", INTRO, [f"## Of the process\n\n{table(HEAD, own)}", *sections])


def setting_names() -> set[str]:
    """Every setting by its dotted name."""
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        inner = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        names |= {f"{name}.{key}" for key in inner} or {name}
    return names


def _row(name: str, field: FieldInfo) -> tuple[str, ...]:
    default = json.dumps(field.get_default(call_default_factory=True), default=str, ensure_ascii=False)
    return code(name), _type(field.annotation), code(default), ", ".join(_bounds(field)), field.description or ""


def _bounds(field: FieldInfo) -> Iterator[str]:
    for item in field.metadata:
        for name, text in BOUNDS.items():
            value = getattr(item, name, None)
            if value is not None:
                yield text.format(value)
        pattern = getattr(item, "pattern", None)
        if pattern:
            yield _choices(pattern)
        shortest = getattr(item, "min_length", None)
        if shortest:
            yield f"at least {shortest} character{'s' if shortest > 1 else ''}"


def _choices(pattern: str) -> str:
    inner = pattern.removeprefix("^(").removesuffix(")$")
    if inner != pattern and all(word.isalnum() for word in inner.split("|")):
        return " or ".join(code(word) for word in inner.split("|"))
    return f"matches {code(pattern)}"


def _type(annotation: Any) -> str:
    if get_origin(annotation) is tuple:
        return f"list of {_type(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return f"mapping of {_type(get_args(annotation)[1])}"
    name: str = annotation.__name__
    return {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "Path": "path"}.get(name, name)
