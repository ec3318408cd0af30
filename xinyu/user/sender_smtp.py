"""Codes by e-mail, over SMTP."""

from __future__ import annotations

from email.message import EmailMessage

import aiosmtplib

from xinyu.telemetry.logs import get_logger
from xinyu.user.code_sender import CodeSender
from xinyu.user.errors import EmailNotSent
from xinyu.user.settings import UserSettings
from xinyu.user.types import CodeChannel

log = get_logger(__name__)
PURPOSES = {
    CodeChannel.REGISTER: "open an account",
    CodeChannel.FORGET_ACCOUNT: "set a new password",
    CodeChannel.UPDATE_EMAIL: "confirm this e-mail address",
    CodeChannel.MOBILE_UPDATE: "change the mobile number",
}


class SmtpCodeSender(CodeSender):
    """One connection per mail: codes are rare. Raises ValueError without a sender's address."""

    def __init__(self, settings: UserSettings) -> None:
        if not settings.smtp_from:
            raise ValueError("user.smtp_from must be set with user.smtp_host")
        self._settings = settings

    async def send(self, target: str, code: str, channel: CodeChannel, lifetime_seconds: int) -> None:
        settings = self._settings
        try:
            await aiosmtplib.send(
                self.message_for(target, code, channel, lifetime_seconds),
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                use_tls=settings.smtp_tls == "tls",
                start_tls=settings.smtp_tls == "starttls",
                username=settings.smtp_user or None,
                password=settings.smtp_password or None,
                timeout=settings.smtp_timeout_seconds,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            log.warning("mail not sent; check user.smtp_*", address=settings.smtp_host, reason=str(error)[:200])
            raise EmailNotSent() from error

    def message_for(self, target: str, code: str, channel: CodeChannel, lifetime_seconds: int) -> EmailMessage:
        """The mail. `target` is normalised, so it cannot bring headers of its own."""
        message = EmailMessage()
        message["From"] = self._settings.smtp_from
        message["To"] = target
        message["Subject"] = f"{code} is your code"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(
            f"Your code to {PURPOSES[channel]}: {code}\n\n"
            f"It is good for {max(1, lifetime_seconds // 60)} minutes and serves once. "
            "If you did not ask for it, ignore this mail.\n"
        )
        return message
