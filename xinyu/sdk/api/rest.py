"""The REST side: one POST, its envelope and its errors (CONTRACT.md 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from xinyu.sdk.errors import ApiError, ConnectionLost, ContractViolation
from xinyu.sdk.types import Json

T = TypeVar("T")


class Empty(msgspec.Struct):
    """`{}`: done, nothing to say."""


class Items(msgspec.Struct):
    """The envelope of lists."""

    items: list[Json]


class _Refusal(msgspec.Struct):
    code: int
    message: str = ""


class Rest:
    """Posts JSON to `<base_url>/api/v1/<path>` with the access token of the moment."""

    def __init__(self, base_url: str, *, token: str | None, http: httpx.AsyncClient | None, timeout: float) -> None:
        """`http`: a client of the application's (proxies, TLS); it is then not closed here. `timeout` in seconds."""
        self.base_url = base_url.rstrip("/")
        self.token = token
        self._owns_http = http is None
        self._timeout = timeout
        self._http = http

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        if self._owns_http and self._http is not None:
            await self._http.aclose()

    async def post(self, path: str, body: Mapping[str, object] | None = None) -> Json:
        """POST `body` to a route ("user/detail") and return the data object; JSON null becomes {}.

        Sent once. Raises ApiError for a refusal, ConnectionLost when nobody answered (it may or may not have run).
        """
        return await self.post_as(path, Json, body)

    async def post_as(self, path: str, kind: type[T], body: Mapping[str, object] | None = None) -> T:
        """As `post`, with the data object as a `kind`. Raises ContractViolation when it is none."""
        content = msgspec.json.encode(dict(body or {}))
        request = self._client().build_request(
            "POST", self.url(path), content=content, headers={"Content-Type": "application/json", **self.headers()}
        )
        return self._decode(path, await self.exchange(request), kind)

    async def post_form(self, path: str, kind: type[T], fields: Mapping[str, str], file: tuple[str, bytes, str]) -> T:
        """POST a multipart form with one part `file` (name, bytes, content type)."""
        request = self._client().build_request(
            "POST", self.url(path), data=dict(fields), files={"file": file}, headers=self.headers()
        )
        return self._decode(path, await self.exchange(request), kind)

    async def list_as(self, path: str, kind: type[T], body: Mapping[str, object] | None = None) -> list[T]:
        """As `post_as` for routes that answer `{items: [...]}`."""
        answer = await self.post_as(path, Items, body)
        return _convert(path, answer.items, list[kind])  # type: ignore[valid-type]  # a type at run time only

    async def exchange(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        """Send one request and return the answer whatever its status. Raises ConnectionLost."""
        try:
            return await self._client().send(request, stream=stream)
        except httpx.TransportError as error:
            raise ConnectionLost(f"{request.url.path}: {type(error).__name__}") from error

    def get(self, url: str, headers: Mapping[str, str], params: Mapping[str, str]) -> httpx.Request:
        """A GET request; the token goes along to the server's own origin only."""
        target = self.absolute(url)
        own = urlsplit(target)[:2] == urlsplit(self.base_url)[:2]
        merged = {**(self.headers() if own else {}), **headers}
        return self._client().build_request("GET", target, headers=merged, params=dict(params) or None)

    def _client(self) -> httpx.AsyncClient:
        """Made when first needed: who only talks over the socket does without its 20 ms."""
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=self._timeout)
        return self._http

    def url(self, path: str) -> str:
        """The address of an API route."""
        return f"{self.base_url}/api/v1/{path.lstrip('/')}"

    def absolute(self, url: str) -> str:
        """`url` itself, or below the server's address when it is a path ("/media/…")."""
        return url if "://" in url else f"{self.base_url}/{url.lstrip('/')}"

    def headers(self) -> dict[str, str]:
        """The authorisation header, when there is a token."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def _decode(self, path: str, response: httpx.Response, kind: type[T]) -> T:
        if response.status_code != 200:
            raise refusal(response)
        try:
            data = msgspec.json.decode(response.content)
        except msgspec.DecodeError as error:
            raise ContractViolation(f"{path} answered something that is not JSON") from error
        return _convert(path, {} if data is None else data, kind)


def refusal(response: httpx.Response) -> ApiError:
    """The error envelope (or whatever a proxy in between sent) as an exception."""
    seconds = response.headers.get("Retry-After", "")
    retry_after_ms = int(seconds) * 1000 if seconds.isascii() and seconds.isdigit() else None
    try:
        refused = msgspec.json.decode(response.content, type=_Refusal)
    except msgspec.DecodeError:
        return ApiError(response.status_code, response.reason_phrase, retry_after_ms=retry_after_ms)
    return ApiError(refused.code, refused.message, retry_after_ms=retry_after_ms)


def _convert(path: str, data: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ContractViolation(f"{path} answered {error}") from error
