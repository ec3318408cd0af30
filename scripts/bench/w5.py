"""W5: 100 users are away while each gets 100 messages, then 1 000; they come back and sync."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence

from bench.accounts import Friends
from bench.chat import BadFrame
from bench.checker import Conversation, check
from bench.context import Context
from bench.fetch import Returner
from bench.meter import Meter
from bench.result import Case, Run
from bench.sending import Sender

USERS = 100
SIZES = (100, 1000)
_OUTSTANDING = 8
_SENT_WITHIN = 240.0


async def measure(context: Context) -> list[Case]:
    """Each size in turn, `runs` times; quick: the smaller alone."""
    cases = {size: Case("W5", f"{USERS} × {size}") for size in (SIZES[:1] if context.quick else SIZES)}
    friends = await context.accounts.make(USERS)
    for _ in range(context.runs):
        for size, case in cases.items():
            context.say(f"W5 {size} messages each")
            case.runs.append(await _run(context, friends, size))
            context.advance()
    return list(cases.values())


async def _run(context: Context, friends: Sequence[Friends], size: int) -> Run:
    urls = context.target.ws_urls
    logs = await _leave_messages(urls, friends, size)
    back = [Returner(two.receiver, {two.talk_id: log.begins_after}) for two, log in zip(friends, logs, strict=True)]
    began, device = time.perf_counter(), f"back-{secrets.token_hex(4)}"
    await asyncio.gather(*(one.connect(urls[n % len(urls)], device) for n, one in enumerate(back)))
    meter = Meter(context.target.pids)
    await asyncio.gather(*(one.sync() for one in back))
    cost, fetched = meter.stop(), sum(one.count for one in back)
    seconds = time.perf_counter() - began
    for one in back:
        one.close()
    for two, log, one in zip(friends, logs, back, strict=True):
        log.delivered = one.fetched.get(two.talk_id, [])
    measures = {
        "fetched_per_second": fetched / cost.wall_seconds,
        "cpu_us_per_message": cost.micros_per(fetched),
        "back_and_synced_seconds": seconds,
        "server_share": cost.server_share,
        "client_share": cost.client_share,
    }
    return Run(measures, check(logs), cost.saturated)


async def _leave_messages(urls: Sequence[str], friends: Sequence[Friends], size: int) -> list[Conversation]:
    """`size` messages from each first friend to the second, who is away. Raises BadFrame."""
    senders = [Sender(two, size) for two in friends]
    await asyncio.gather(*(one.connect(urls[n % len(urls)]) for n, one in enumerate(senders)))
    try:
        async with asyncio.timeout(_SENT_WITHIN):
            await asyncio.gather(*(one.send_all(_OUTSTANDING) for one in senders))
    except TimeoutError:
        raise BadFrame(f"{size} messages each were not acked within {_SENT_WITHIN:.0f} s") from None
    finally:
        for one in senders:
            one.close()
    return [one.log for one in senders]
