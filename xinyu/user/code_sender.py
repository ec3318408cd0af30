"""How verification codes reach people."""

from __future__ import annotations

import abc

from xinyu.telemetry.logs import get_logger
from xinyu.user.errors import EmailNotSent, SmsNotSent
from xinyu.user.types import CodeChannel

log = get_logger(__name__)


class CodeSender(abc.ABC):
    """Sends codes by text message or by e-mail."""

    @abc.abstractmethod
    async def send(self, target: str, code: str, channel: CodeChannel, lifetime_seconds: int) -> None:
        """Hand a code over to the carrier. Raises SmsNotSent or EmailNotSent; then it may have arrived or not."""


class NoCarrier(CodeSender):
    """Where no carrier is set, codes go nowhere: above all not into a log, whose readers could use them."""

    def __init__(self, refusal: type[SmsNotSent] | type[EmailNotSent]) -> None:
        self._refusal = refusal

    async def send(self, target: str, code: str, channel: CodeChannel, lifetime_seconds: int) -> None:
        log.warning("a code cannot be sent; set user.sms_url and user.smtp_host", error=self._refusal.code)
        raise self._refusal()
