"""A fast wrong run is no result: what the generator notices about a server that is wrong on purpose."""

from typing import Any

import pytest

from bench.accounts import Accounts
from bench.aims import aim_for
from bench.chat import BadFrame, Pair, connect_user
from bench.checker import Conversation, check
from bench.private_load import ClosedLoop, OpenLoop, run_private
from bench.rest import RestError
from bench.result import Run
from bench.stats import latency_summary, percentile
from bench.target import Operators, Target
from bench.wire import text_frame
from testkit.waiting import eventually

NOTICED_AS = {
    "drop": "lost",
    "duplicate": "duplicated",
    "swap": "reordered",
    "skip": "gap",
    "silent": "unanswered",
    "close": "closed",
}


async def run(fake_server: Any, faults: tuple[str, ...], driver: Any = None) -> tuple[Run, list[str]]:
    """A short run with a conversation for each fault, and the conversations' names."""
    friends = await Accounts(fake_server.url).make(len(faults))
    fake_server.fault_for = {two.receiver.uid: fault for two, fault in zip(friends, faults, strict=True)}
    target = Target(fake_server.url, fake_server.url.replace("http", "ws"))
    loop = driver or ClosedLoop(4)
    result = await run_private(target, friends, loop, warm_seconds=0.05, seconds=0.1, drain_seconds=0.1)
    return result, [f"talk {two.talk_id}" for two in friends]


async def test_a_right_server_is_right(fake_server: Any) -> None:
    result, _ = await run(fake_server, ("", "", ""))
    assert not result.verdict.wrong, result.verdict.describe()
    assert result.verdict.acked == result.verdict.delivered > 20
    assert result.measures["delivered_per_second"] > 0
    assert 0 < result.measures["p50_ms"] <= result.measures["p99_ms"] <= result.measures["max_ms"]


async def test_a_wrong_server_is_wrong(fake_server: Any) -> None:
    result, names = await run(fake_server, tuple(NOTICED_AS))
    for name, (fault, kind) in zip(names, NOTICED_AS.items(), strict=True):
        found = result.verdict.examples.get(kind, [])
        assert any(example.startswith(name) for example in found), f"{fault}: {result.verdict.describe()}"


async def test_refusing_is_not_losing(fake_server: Any) -> None:
    result, _ = await run(fake_server, ("refuse", ""))
    assert not result.verdict.wrong, result.verdict.describe()
    assert result.verdict.refused >= 1


async def test_open_loop_keeps_its_rate(fake_server: Any) -> None:
    result, _ = await run(fake_server, ("", ""), OpenLoop(400))
    assert not result.verdict.wrong, result.verdict.describe()
    assert 20 <= result.verdict.acked <= 100  # 400/s over 0.15 s, however slow the machine is


async def test_acknowledgements_are_cumulative(fake_server: Any) -> None:
    friends = (await Accounts(fake_server.url).make(1))[0]
    finished: list[Pair] = []
    pair = Pair(friends, finished.append)
    await pair.open(fake_server.url.replace("http", "ws"))
    driver = ClosedLoop(1)
    driver.start([pair])
    await eventually(lambda: len(finished) == 1)
    pair.acknowledge()
    pair.acknowledge()
    await eventually(lambda: len(fake_server.acks) >= 2)
    assert fake_server.acks == [{str(friends.talk_id): 11}] * 2  # one from each end, none repeated
    pair.close()


async def test_a_refused_token_is_said(fake_server: Any) -> None:
    fake_server.fault = "unauthorized"
    account = (await Accounts(fake_server.url).users(1))[0]
    with pytest.raises(BadFrame, match="event_error"):
        await connect_user(fake_server.url.replace("http", "ws"), account, "device", lambda _payload: None)


async def test_accounts_are_made_once(fake_server: Any) -> None:
    accounts = Accounts(fake_server.url)
    users = await accounts.users(4)
    assert await accounts.users(2) == users[:2]
    assert len({user.uid for user in users}) == 4
    assert {two.talk_id for two in await accounts.make(2)} == {
        two.receiver.uid * 1000 + 7 for two in await accounts.make(2)
    }


async def test_codes_that_are_kept_secret_are_said(fake_server: Any) -> None:
    fake_server.fault = "secretive"
    with pytest.raises(RestError, match="verification codes"):
        await Accounts(fake_server.url).users(1)


def test_one_number_for_two_messages_is_wrong() -> None:
    conversation = Conversation("talk 1", {"a", "b"}, [("a", 1), ("b", 1)], set(), [("a", 1), ("b", 1)])
    assert set(check([conversation]).violations) == {"seq", "reordered"}


def test_what_nobody_sent_is_wrong() -> None:
    conversation = Conversation("talk 1", {"a"}, [("a", 4)], set(), [("a", 4), ("z", 5)])
    assert set(check([conversation]).violations) == {"foreign"}


def test_what_was_refused_must_not_come_what_was_left_open_may() -> None:
    refused = Conversation("talk 1", {"a", "b"}, [("a", 1)], {"b"}, [("a", 1), ("b", 2)])
    left_open = Conversation("talk 1", {"a", "b", "c"}, [("a", 1)], set(), [("a", 1), ("b", 2)], {"b", "c"})
    assert set(check([refused]).violations) == {"phantom"}
    assert not check([left_open]).wrong
    assert check([left_open]).refused == 2


def test_what_came_before_the_run_is_no_part_of_it() -> None:
    conversation = Conversation("talk 1", {"a"}, [("a", 4)], set(), [("greeting", 1), ("a", 4)])
    assert not check([conversation]).wrong


def test_who_comes_back_begins_before_the_first_acked_whatever_order_the_acks_came_in() -> None:
    assert Conversation("talk 1", acked=[("b", 8), ("a", 7)]).begins_after == 6


def test_percentiles() -> None:
    assert percentile(range(1, 101), 0.5) == 51
    assert latency_summary([])["p50_ms"] != latency_summary([])["p50_ms"]  # NaN
    assert latency_summary([2_000_000])["p999_ms"] == 2.0


def test_aims() -> None:
    aim = aim_for("W4", "5000 idle", "rss_kb_per_connection")
    assert aim is not None and aim.reached(29.0) and not aim.reached(31.0) and aim.stretched(20.0)


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frames_are_masked_text_of_their_length(size: int) -> None:
    frame = text_frame(b"x" * size)
    assert frame[0] == 0x81 and frame[1] & 0x80
    assert frame.endswith(b"x" * size) and len(frame) - size == 6 + (0 if size < 126 else 2 if size < 65_536 else 8)


async def test_accounts_are_made_by_operators_where_codes_are_secret(fake_server: Any) -> None:
    fake_server.fault = "secretive"
    operators = Operators(fake_server.url, "operators' secret")
    users = await Accounts(fake_server.url, operators=operators).users(2)
    assert len({user.uid for user in users}) == 2
    assert fake_server.admin_tokens == {"operators' secret"}
