"""How `xinyu chat` writes messages, and that what others send cannot steer the terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from xinyu.cli.chat_text import content_of, label_of, line_of, name_of
from xinyu.cli.terminal import Terminal
from xinyu.sdk import Conversation, Message, MessageType, Talk


def message(**fields: Any) -> Message:
    given = {
        "talk": Talk.user(2), "talk_id": 1, "seq": 1, "msg_id": "m", "msg_type": MessageType.TEXT, "from_id": 2,
        "nickname": "Ben", "avatar": "", "is_revoked": False, "status": 1, "send_time": "2026-05-04 12:34:56",
        "extra": {"content": "hello"}, "quote": {},
    }  # fmt: skip
    return Message(**{**given, **fields})


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "12:34 Ben: hello"),
        ({"own": True}, "12:34 you: hello"),
        ({"nickname": ""}, "12:34 user 2: hello"),
        ({"is_revoked": True, "extra": {}}, "12:34 Ben: (taken back)"),
        ({"msg_type": MessageType.FILE, "extra": {"name": "a.pdf"}}, "12:34 Ben: [file: a.pdf]"),
        ({"msg_type": 77, "extra": {}}, "12:34 Ben: [message of another kind]"),
        ({"msg_type": MessageType.RECALLED, "extra": {}}, "12:34 (a message was recalled)"),
        ({"msg_type": 1999, "extra": {}}, "12:34 (something happened)"),
        (
            {"own": True, "status": 3, "seq": 0},
            "12:34 you: hello  (not accepted: you are not a contact of the receiver)",
        ),
    ],
)
def test_a_message_is_one_line(fields: dict[str, Any], line: str) -> None:
    assert line_of(message(**fields)) == line


def test_a_deleted_message_shows_nothing_of_what_it_was() -> None:
    assert "hello" not in content_of(message(hidden=True))


def test_a_conversation_is_called_by_the_remark_then_the_name_then_what_is_known() -> None:
    line = {"id": 1, "talk_mode": 2, "to_from_id": 5}
    assert name_of(Conversation(**line, name="Tea", remark="Mine")) == "Mine"
    assert name_of(Conversation(**line, name="Tea")) == "Tea"
    assert name_of(Conversation(**line)) == "group 5" and label_of(Talk.user(3)) == "user 3"


async def test_what_others_send_neither_steers_the_terminal_nor_is_taken_for_markup() -> None:
    out = io.StringIO()
    Terminal(Console(file=out, highlight=False)).show("[red]a\x1b]0;title\x07b\r[/]")
    assert out.getvalue() == "[red]a\ufffd]0;title\ufffdb\ufffd[/]\n"
