"""What clients are told of errors: the contract's words, and nothing of how the server is made."""

from __future__ import annotations

import pytest

from xinyu.app.cluster.picking import NoInstance
from xinyu.gateway.http.errors import ErrorTexts
from xinyu.kernel.errors import DeadlineExceeded, Overloaded, Unavailable, XinyuError
from xinyu.media.errors import BlobsUnavailable
from xinyu.message.errors import BadQuote
from xinyu.rpc.client import NotSent
from xinyu.storage.errors import StorageUnavailable

AWAY, BUSY = "服务暂不可用，请稍后再试", "操作过于频繁，请稍后再试"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotSent("10.0.0.3:9001 could not be reached a moment ago"), AWAY),
        (Unavailable("no answer from 10.0.0.3:9001: closed by the peer"), AWAY),
        (NoInstance("no process that hosts message is known; `xinyu cluster` shows which are"), AWAY),
        (StorageUnavailable("cannot reach db.internal:3306: refused"), AWAY),
        (BlobsUnavailable("cannot write /srv/blobs"), AWAY),
        (DeadlineExceeded("no answer from 10.0.0.3:9001"), "服务响应超时，请稍后再试"),
        (Overloaded("too many calls wait for 10.0.0.3:9001", retry_after_ms=100), BUSY),
        (XinyuError("KeyError: 'x'"), "服务器内部错误"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, XinyuError) else "",
)
def test_no_address_and_no_inner_working_is_shown(error: XinyuError, text: str) -> None:
    assert ErrorTexts({}).text_of(error) == text


def test_a_domains_own_words_are_shown() -> None:
    texts = ErrorTexts({"message.bad_quote": "引用的消息不存在"})
    assert texts.text_of(BadQuote()) == "引用的消息不存在"
    assert texts.text_of(BadQuote("quote 7 is not of this talk")) == "quote 7 is not of this talk"
