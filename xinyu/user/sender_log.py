"""Codes into the log: for trying out, in an embedded server alone. Whoever reads the log can use them."""

from __future__ import annotations

from xinyu.telemetry.logs import get_logger
from xinyu.user.code_sender import CodeSender
from xinyu.user.types import CodeChannel

log = get_logger(__name__)


class LogCodeSender(CodeSender):
    """Sends nothing to nobody."""

    async def send(self, target: str, code: str, channel: CodeChannel, lifetime_seconds: int) -> None:
        log.info(
            "verification code",
            target=target,
            code=code,
            channel=channel.value,
            lifetime_seconds=lifetime_seconds,
        )
