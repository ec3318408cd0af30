"""Errors as REST clients see them: category → status, code → the contract's words.

No business error is a 401: web clients would drop their token (CONTRACT.md section 0, row 16).
"""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from xinyu.kernel.errors import Category, Overloaded, XinyuError

STATUS_OF: dict[Category, int] = {
    Category.INVALID: 400,
    Category.UNAUTHENTICATED: 401,
    Category.PERMISSION: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.PRECONDITION: 400,
    Category.EXHAUSTED: 429,
    Category.INTERNAL: 500,
    Category.UNAVAILABLE: 503,
    Category.DEADLINE: 504,
}

COMMON_TEXTS: dict[str, str] = {
    "internal.error": "服务器内部错误",
    "request.overloaded": "操作过于频繁，请稍后再试",
    "transport.unavailable": "服务暂不可用，请稍后再试",
    "transport.deadline": "服务响应超时，请稍后再试",
    "storage.unavailable": "服务暂不可用，请稍后再试",
    "storage.commit_unknown": "服务暂不可用，请稍后再试",
    "storage.effect_pending": "操作已提交，稍后生效",
    "auth.unauthenticated": "无效的访问令牌！",
}

TROUBLE: dict[Category, str] = {
    Category.UNAVAILABLE: "transport.unavailable",
    Category.DEADLINE: "transport.deadline",
}
"""Of these an error's own message is for operators: it names addresses, files, what a driver said."""


class ErrorTexts:
    """The contract's string for each error code; an error without one keeps its own English message."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = {**COMMON_TEXTS, **texts}

    def text_of(self, error: XinyuError) -> str:
        """What a client is shown. Internal errors never show their own message, nor does trouble between processes."""
        if error.category is Category.INTERNAL:
            return self._texts["internal.error"]
        text, is_usual = self._texts.get(error.code), error.message == type(error)().message
        if error.category in TROUBLE or error.code == Overloaded.code:
            general = self._texts[TROUBLE.get(error.category, Overloaded.code)]
            return text or (error.message if is_usual else general)
        return text if text is not None and is_usual else error.message

    def response(self, error: XinyuError) -> Response:
        """The error envelope of CONTRACT.md section 1.0."""
        status = STATUS_OF[error.category]
        headers = {}
        if error.retry_after_ms is not None:
            headers["Retry-After"] = str(max(1, -(-error.retry_after_ms // 1000)))
        body = msgspec.json.encode({"code": status, "message": self.text_of(error), "data": None, "error": error.code})
        return Response(body, status, headers, media_type="application/json")
