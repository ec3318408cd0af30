"""The storm: what a page that comes back must have had, each once and in order."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from bench import storm
from bench.accounts import Account
from bench.checker import Verdict

MISSED = ["a", "b", "c"]


class Server:
    """Pushes these messages to whoever connects, the first before `connect_user` returns."""

    def __init__(self, *msg_ids: str) -> None:
        self.msg_ids = msg_ids
        self.acks: list[str] = []
        self.closed = False

    async def connect(
        self, url: str, account: Account, device: str, on_text: Callable[[bytes], None], sync: bool
    ) -> Any:
        for number, msg_id in enumerate(self.msg_ids):
            frame = {"event": "im.message", "ackid": f"5.{number}", "payload": {"body": {"msg_id": msg_id}}}
            on_text(json.dumps(frame).encode())
        return self

    def send(self, frame: bytes) -> None:
        self.acks.append(json.loads(frame[frame.index(b"{") :])["ackid"])


@pytest.mark.parametrize(
    ("pushed", "wrong"),
    [("abc", []), ("ab", ["missed"]), ("acb", ["missed"]), ("abbc", ["missed"]), ("abcd", ["missed"])],
)
async def test_a_page_must_have_what_it_missed(monkeypatch: pytest.MonkeyPatch, pushed: str, wrong: list[str]) -> None:
    server, page, verdict = Server(*pushed), storm._Page(Account(1, "token")), Verdict()
    monkeypatch.setattr(storm, "connect_user", server.connect)
    monkeypatch.setattr(storm, "_ANSWER_SECONDS", 0.01)
    await page.open("ws://x", MISSED)
    page.judge(MISSED, verdict)
    assert list(verdict.violations) == wrong
    assert server.acks == [f"5.{number}" for number in range(len(pushed))], "every frame is acknowledged"


async def test_a_page_that_was_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    server, page, verdict = Server(*MISSED), storm._Page(Account(1, "token")), Verdict()
    monkeypatch.setattr(storm, "connect_user", server.connect)
    await page.open("ws://x", MISSED)
    server.closed = True
    page.judge(MISSED, verdict)
    assert list(verdict.violations) == ["closed"]
