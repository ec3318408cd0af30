"""Codes by text message, asked of an HTTP service on loopback."""

import asyncio
import json
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from xinyu.user.code_sender import NoCarrier
from xinyu.user.errors import SmsNotSent
from xinyu.user.sender_webhook import WebhookCodeSender
from xinyu.user.settings import UserSettings
from xinyu.user.types import CodeChannel

MOBILE, CODE = "13800138000", "012345"


class Carrier:
    """Takes one request per connection and gives the same answer to each; with `answer=b""`, none."""

    def __init__(self, answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> None:
        self.heads: list[str] = []
        self.bodies: list[object] = []
        self.done = asyncio.Event()
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length: ")[2].split()[0])
        self.heads.append(head)
        self.bodies.append(json.loads(await reader.readexactly(size)))
        writer.write(self._answer)
        if not self._answer:
            await reader.read()
        writer.close()
        self.done.set()


async def sent_to(carrier: Carrier, **settings: object) -> None:
    async with await asyncio.start_server(carrier.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/codes?to=all"
        sender = WebhookCodeSender(UserSettings.model_validate({"sms_url": url, **settings}))
        try:
            await sender.send(MOBILE, CODE, CodeChannel.REGISTER, 300)
        finally:
            await asyncio.wait_for(carrier.done.wait(), 5)


@pytest.mark.parametrize(("secret", "shown"), [("s3cret", True), ("", False)])
async def test_a_code_is_posted_with_the_secret(secret: str, shown: bool) -> None:
    carrier = Carrier()
    await sent_to(carrier, sms_secret=secret)
    assert carrier.bodies == [{"mobile": MOBILE, "code": CODE, "channel": "register"}]
    (head,) = carrier.heads
    assert head.startswith("post /codes?to=all ") and "content-type: application/json\r\n" in head
    assert ("authorization: bearer s3cret\r\n" in head) is shown == ("authorization" in head)


def refusing(status: str) -> Callable[[], Carrier]:
    body = f"no such number: {MOBILE}, {CODE}"
    return lambda: Carrier(f"HTTP/1.1 {status}\r\nLocation: /\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


@pytest.mark.parametrize(
    ("carrier", "reason"),
    [
        (refusing("500 Oops"), "HTTP 500"),
        (refusing("401 Who"), "HTTP 401"),
        (refusing("302 There"), "HTTP 302"),
        (lambda: Carrier(b"HTTP/1.1 what? 012345\r\n\r\n"), "RemoteProtocolError"),
        (lambda: Carrier(b""), "Timeout"),
    ],
)
async def test_what_was_not_taken_is_an_error_that_says_where_to_look_and_no_more(
    carrier: Callable[[], Carrier], reason: str
) -> None:
    with capture_logs() as lines, pytest.raises(SmsNotSent):
        await sent_to(carrier(), sms_timeout_seconds=0.3)
    (line,) = lines
    assert (line["event"], line["address"]) == ("text message not sent; check user.sms_*", "127.0.0.1")
    assert reason in line["reason"]
    assert CODE not in str(line) and MOBILE not in str(line)


async def test_a_service_that_is_not_there_is_the_same_error() -> None:
    async with await asyncio.start_server(Carrier().serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    sender = WebhookCodeSender(UserSettings(sms_url=f"http://127.0.0.1:{port}/"))
    with pytest.raises(SmsNotSent):
        await sender.send(MOBILE, CODE, CodeChannel.REGISTER, 300)


async def test_without_a_carrier_nothing_is_told() -> None:
    with capture_logs() as lines, pytest.raises(SmsNotSent):
        await NoCarrier(SmsNotSent).send(MOBILE, CODE, CodeChannel.REGISTER, 300)
    assert "set user.sms_url" in lines[0]["event"] and CODE not in str(lines) and MOBILE not in str(lines)
