"""Codes by text message, through an HTTP service that the operator names."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httpx

from xinyu.telemetry.logs import get_logger
from xinyu.user.code_sender import CodeSender
from xinyu.user.errors import SmsNotSent
from xinyu.user.settings import UserSettings
from xinyu.user.types import CodeChannel

log = get_logger(__name__)


class WebhookCodeSender(CodeSender):
    """POSTs `{"mobile", "code", "channel"}` to `user.sms_url`; any 2xx is a message handed over. One connection per
    message: codes are rare."""

    def __init__(self, settings: UserSettings) -> None:
        self._settings = settings
        self._host = urlsplit(settings.sms_url).hostname
        self._tls = httpx.create_ssl_context()  # reads the certificates, which takes a while
        self._headers = {"Authorization": f"Bearer {settings.sms_secret}"} if settings.sms_secret else {}

    async def send(self, target: str, code: str, channel: CodeChannel, lifetime_seconds: int) -> None:
        message = {"mobile": target, "code": code, "channel": channel.value}
        try:
            status = await self._post(message)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            unreadable = isinstance(error, httpx.ProtocolError)  # whose words are the service's
            self._tell(type(error).__name__, "" if unreadable else str(error))
            raise SmsNotSent() from error
        if not 200 <= status < 300:
            self._tell(f"HTTP {status}")
            raise SmsNotSent()

    async def _post(self, message: dict[str, str]) -> int:
        """The status alone: what the service answers may name the number."""
        async with (
            asyncio.timeout(self._settings.sms_timeout_seconds),
            httpx.AsyncClient(verify=self._tls, headers=self._headers, timeout=None, trust_env=False) as http,
            http.stream("POST", self._settings.sms_url, json=message) as answer,
        ):
            return answer.status_code

    def _tell(self, kind: str, words: str = "") -> None:
        reason = f"{kind}: {words[:200]}" if words else kind
        log.warning("text message not sent; check user.sms_*", address=self._host, reason=reason)
