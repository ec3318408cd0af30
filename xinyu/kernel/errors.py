"""One tree of errors for the whole server.

A raised error carries a closed `Category`, which each edge maps to its own status, and a stable `code`
("<domain>.<what>"), which travels over RPC and to SDK clients. The class docstring is the message, so the place that
defines an error is also the place that documents it; docs/reference/errors.md is generated from these classes.
"""

from __future__ import annotations

import inspect
from enum import StrEnum
from typing import Any, ClassVar


class Category(StrEnum):
    """What kind of trouble, closed: edges map exactly these."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    PRECONDITION = "precondition"
    EXHAUSTED = "exhausted"
    UNAVAILABLE = "unavailable"
    DEADLINE = "deadline"
    INTERNAL = "internal"


_BY_CODE: dict[str, type[XinyuError]] = {}


class XinyuError(Exception):
    """Something went wrong."""

    category: ClassVar[Category] = Category.INTERNAL
    code: ClassVar[str] = "internal.error"

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.message: str = message or (inspect.getdoc(type(self)) or "").split("\n")[0]
        self.details: dict[str, Any] = details
        super().__init__(self.message)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            return  # an abstract family without a code of its own
        other = _BY_CODE.setdefault(cls.code, cls)
        if other is not cls and other.__qualname__ != cls.__qualname__:
            raise TypeError(f"error code {cls.code!r} is taken by {other.__module__}.{other.__qualname__}")

    @property
    def retry_after_ms(self) -> int | None:
        """After how many milliseconds a retry makes sense, where the raiser knows."""
        value = self.details.get("retry_after_ms")
        return int(value) if value is not None else None


_BY_CODE[XinyuError.code] = XinyuError


class InvalidInput(XinyuError):
    """The request is not of the expected form."""

    category = Category.INVALID
    code = "request.invalid"


class Unauthenticated(XinyuError):
    """No valid access token."""

    category = Category.UNAUTHENTICATED
    code = "auth.unauthenticated"


class Overloaded(XinyuError):
    """Too much work is queued; try again later."""

    category = Category.EXHAUSTED
    code = "request.overloaded"


class Unavailable(XinyuError):
    """A service or engine cannot be reached; the call may or may not have run."""

    category = Category.UNAVAILABLE
    code = "transport.unavailable"


class DeadlineExceeded(XinyuError):
    """The time for this call is up; it may or may not have run."""

    category = Category.DEADLINE
    code = "transport.deadline"


def from_wire(code: str, message: str, details: dict[str, Any]) -> XinyuError:
    """The error that a peer answered with, as the class that was raised there (its base class if unknown here)."""
    cls = _BY_CODE.get(code)
    if cls is None:
        return XinyuError(f"{code}: {message}", **details)
    error = cls.__new__(cls)
    XinyuError.__init__(error, message, **details)
    return error


def code_of(error: BaseException) -> str:
    """The code that stands for any exception, as in logs: what nobody foresaw is internal.error."""
    if isinstance(error, XinyuError):
        return error.code
    return DeadlineExceeded.code if isinstance(error, TimeoutError) else XinyuError.code


def all_errors() -> dict[str, type[XinyuError]]:
    """Every error class by its code, for the generated reference."""
    return dict(_BY_CODE)
