"""How verification codes reach people."""

from __future__ import annotations

import abc

from xinyu.user.types import CodeChannel


class CodeSender(abc.ABC):
    """Sends codes by text message or by e-mail."""

    @abc.abstractmethod
    async def send(self, target: str, code: str, channel: CodeChannel, lifetime_seconds: int) -> None:
        """Hand a code over to the carrier. Raises SmsNotSent or EmailNotSent; then it may have arrived or not."""
