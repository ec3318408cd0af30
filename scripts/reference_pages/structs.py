"""Message types as clients fill them in: fields, JSON types, what is left out."""

from __future__ import annotations

import types
from collections.abc import Iterator
from enum import IntEnum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

JSON_NAMES: dict[Any, str] = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    dict: "object",
    Any: "any",
    type(None): "null",
}


def fields_of(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str, str]]:
    """(name, JSON type, default as JSON) of each field, in order."""
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        if field.default is not msgspec.NODEFAULT:
            default = msgspec.json.encode(field.default).decode()
        elif field.default_factory is not msgspec.NODEFAULT:
            default = msgspec.json.encode(field.default_factory()).decode()
        else:
            default = "required"
        yield field.encode_name, json_type(hints[field.name]), default


def json_type(hint: Any) -> str:
    """A type as JSON knows it."""
    if hint in JSON_NAMES:
        return JSON_NAMES[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return json_type(arguments[0])
    if origin in (types.UnionType, Union):
        return " or ".join(json_type(argument) for argument in arguments if argument is not type(None))
    if origin in (list, tuple, set, frozenset):
        inner = next((a for a in arguments if a is not Ellipsis), Any)
        return f"array of {json_type(inner)}"
    if origin is dict:
        return f"object of {json_type(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return "integer"
    if hasattr(hint, "__supertype__"):
        return json_type(hint.__supertype__)
    return getattr(hint, "__name__", str(hint))
