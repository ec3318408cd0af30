"""Request bodies: limits before parsing, then JSON into the route's type."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request

from xinyu.kernel.errors import Category, InvalidInput, XinyuError
from xinyu.kernel.ids import MAX_JSON_INT

BodyT = TypeVar("BodyT", bound=msgspec.Struct)
IdNumber = Annotated[int, msgspec.Meta(ge=0, le=MAX_JSON_INT)]
"""An id in a body. Larger numbers are nobody's, and no database could compare with them."""


class BodyTooLarge(XinyuError):
    """The request body is too large."""

    category = Category.INVALID
    code = "request.too_large"


async def read_limited(request: Request, limit: int) -> bytes:
    """The body, at most `limit` bytes. Raises BodyTooLarge before more than that is in memory."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise BodyTooLarge()
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge()
        chunks.append(chunk)
    return b"".join(chunks)


def parse_body(raw: bytes, body_type: type[BodyT]) -> BodyT:
    """A JSON object as `body_type`. An empty body is an empty object; `null` is a field left out; numeric strings are
    numbers where a number is wanted. Raises InvalidInput naming the field."""
    if not raw.strip():
        raw = b"{}"
    try:
        content = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("the body is not valid JSON") from error
    if not isinstance(content, dict):
        raise InvalidInput("the body must be a JSON object")
    present: dict[str, Any] = {key: value for key, value in content.items() if value is not None}
    try:
        return msgspec.convert(present, body_type, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error)) from error
