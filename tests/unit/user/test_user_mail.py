"""Codes by e-mail, to a mail server on loopback."""

import asyncio
from email import message_from_string
from email.policy import default

import pytest

from xinyu.user.errors import EmailNotSent
from xinyu.user.sender_smtp import SmtpCodeSender
from xinyu.user.settings import UserSettings
from xinyu.user.types import CodeChannel

EMAIL = "ada@example.org"


class MailServer:
    """Takes mails as RFC 5321 has it, as far as a client that trusts it needs."""

    def __init__(self, greeting: str = "220 here") -> None:
        self.commands: list[str] = []
        self.mails: list[str] = []
        self._greeting = greeting

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._say(writer, self._greeting)
        while line := (await reader.readline()).decode().strip():
            self.commands.append(line)
            if line == "DATA":
                await self._say(writer, "354 go on")
                self.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                await self._say(writer, "250 taken")
                continue
            await self._say(writer, "221 bye" if line == "QUIT" else "250 fine")
            if line == "QUIT":
                break
        writer.close()

    @staticmethod
    async def _say(writer: asyncio.StreamWriter, line: str) -> None:
        writer.write(f"{line}\r\n".encode())
        await writer.drain()


def settings_for(port: int) -> UserSettings:
    return UserSettings(smtp_host="127.0.0.1", smtp_port=port, smtp_tls="none", smtp_from="xinyu@example.org")


async def test_a_code_arrives_by_mail_and_says_what_it_is_for() -> None:
    mailbox = MailServer()
    async with await asyncio.start_server(mailbox.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await SmtpCodeSender(settings_for(port)).send(EMAIL, "012345", CodeChannel.UPDATE_EMAIL, 600)
    (raw,) = mailbox.mails
    mail = message_from_string(raw, policy=default)
    assert (mail["To"], mail["From"]) == (EMAIL, "xinyu@example.org")
    text = mail.get_content()
    assert "012345" in text and "10 minutes" in text and "confirm this e-mail address" in text
    assert any(command.startswith(f"RCPT TO:<{EMAIL}>") for command in mailbox.commands)


async def test_a_server_that_refuses_or_is_not_there_is_one_error() -> None:
    server = await asyncio.start_server(MailServer("554 go away").serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = SmtpCodeSender(settings_for(port))
    async with server:
        with pytest.raises(EmailNotSent):
            await sender.send(EMAIL, "012345", CodeChannel.REGISTER, 600)
    with pytest.raises(EmailNotSent):
        await sender.send(EMAIL, "012345", CodeChannel.REGISTER, 600)


def test_mail_needs_a_sender() -> None:
    with pytest.raises(ValueError, match="smtp_from"):
        SmtpCodeSender(UserSettings(smtp_host="mail.example.org"))
