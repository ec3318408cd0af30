"""What an SDK call can raise: `ApiError` is the server's answer, the others are about the way to it."""

from __future__ import annotations

from xinyu.kernel.errors import Category, XinyuError

TEMPORARY = frozenset({408, 429, 502, 503, 504})
"""Answers after which the same request may succeed (CONTRACT.md 2.6: `code` is HTTP-like)."""


class ApiError(XinyuError):
    """The server refused the request."""

    category = Category.INVALID
    code = "sdk.refused"

    def __init__(self, status: int, message: str, *, error: str = "", retry_after_ms: int | None = None) -> None:
        """`status` is the HTTP-like code, `error` the server's "<domain>.<what>" (empty on REST, which has none)."""
        if retry_after_ms is None:
            super().__init__(message or None, status=status, error=error)
        else:
            super().__init__(message or None, status=status, error=error, retry_after_ms=retry_after_ms)
        self.status = status
        self.error = error

    @property
    def temporary(self) -> bool:
        """Whether repeating the same request later makes sense."""
        return self.status in TEMPORARY

    def __str__(self) -> str:
        return f"{self.status} {self.error + ': ' if self.error else ''}{self.message}"


class ConnectionLost(XinyuError):
    """The server cannot be reached, or the connection broke before the answer; the request may or may not have run."""

    category = Category.UNAVAILABLE
    code = "sdk.connection_lost"


class RequestTimeout(XinyuError):
    """No answer came in time; the request may or may not have run."""

    category = Category.DEADLINE
    code = "sdk.request_timeout"


class SendTimeout(XinyuError):
    """The message was not acknowledged in time; send it again with the same msg_id (in `details`) to be sure."""

    category = Category.DEADLINE
    code = "sdk.send_timeout"


class NotConnected(XinyuError):
    """This call needs `connect()` first."""

    category = Category.PRECONDITION
    code = "sdk.not_connected"


class ClientClosed(XinyuError):
    """The client was closed."""

    category = Category.PRECONDITION
    code = "sdk.closed"


class ClientFailed(XinyuError):
    """The client failed: a defect, or its cursor store's trouble; the cause is attached."""

    category = Category.INTERNAL
    code = "sdk.failed"


class LoginEnded(XinyuError):
    """The server does not accept the access token (any more); log in again."""

    category = Category.UNAUTHENTICATED
    code = "sdk.login_ended"


class Dismissed(XinyuError):
    """The server closed the connection with a code that forbids reconnecting."""

    category = Category.PERMISSION
    code = "sdk.dismissed"


class ContractViolation(XinyuError):
    """The server answered something that the contract does not allow."""

    category = Category.INTERNAL
    code = "sdk.contract_violation"


class ForeignCursors(XinyuError):
    """The cursor file belongs to another user or device."""

    category = Category.CONFLICT
    code = "sdk.foreign_cursors"


class TransferInterrupted(XinyuError):
    """The transfer did not finish; call again (an upload with the upload_id in `details`) to resume it."""

    category = Category.UNAVAILABLE
    code = "sdk.transfer_interrupted"


def is_temporary(error: XinyuError) -> bool:
    """Whether an idempotent request that failed so may be repeated."""
    if isinstance(error, ApiError):
        return error.temporary
    return isinstance(error, ConnectionLost | RequestTimeout)


def may_pass(error: XinyuError) -> bool:
    """Whether setting up a connection that failed so may succeed later: the server's own defects count, too."""
    return is_temporary(error) or (isinstance(error, ApiError) and error.status >= 500)
