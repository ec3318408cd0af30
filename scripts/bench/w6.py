"""W6: `kill -9` of the server under W1, and of processes of a stage; what was acked is in the log, once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Sequence

from bench.accounts import Friends
from bench.chat import BadFrame, connect_user
from bench.checker import Verdict, check
from bench.context import Context
from bench.fetch import Returner
from bench.result import Case, Run
from bench.sending import Sender
from bench.wire import Socket

PAIRS = 100
_AGAIN_WITHIN = 60.0
_AFTERWARDS = 1.0


async def measure(context: Context) -> list[Case]:
    """Each victim in turn, `runs` times; none at a cluster that is not ours."""
    cases = {victim: Case("W6", f"kill {victim}") for victim in context.server.victims}
    friends = await context.accounts.make(PAIRS) if cases else []
    for _ in range(context.runs):
        for victim, case in cases.items():
            context.say(f"W6 kill {victim}")
            case.runs.append(await _run(context, friends, victim))
            context.advance()
    return list(cases.values())


async def _run(context: Context, friends: Sequence[Friends], victim: str) -> Run:
    urls, done = list(context.target.ws_urls), asyncio.Event()
    listeners = [await _listen(urls[n % len(urls)], two) for n, two in enumerate(friends)]
    senders = [Sender(two) for two in friends]
    for number, one in enumerate(senders):
        await one.connect(urls[number % len(urls)])
    talking = [asyncio.create_task(one.insist(urls, done)) for one in senders]
    try:
        await _all_acked_since(senders, 0.0)
        await asyncio.sleep(context.warm_seconds)
        killed = time.monotonic()
        await context.server.kill(victim)
        restarted = time.monotonic()
        context.target = await context.server.start_again(victim)
        urls[:] = context.target.ws_urls
        context.accounts.at(context.target.http_url)
        since = killed if victim in context.server.twins else restarted
        measures = {"acked_again_seconds": await _all_acked_since(senders, since) - since}
        await asyncio.sleep(_AFTERWARDS)
        done.set()
        await asyncio.wait_for(asyncio.gather(*talking), _AGAIN_WITHIN)
    except TimeoutError:
        raise BadFrame(f"after {victim} was killed a send was not acked within {_AGAIN_WITHIN:.0f} s") from None
    finally:
        done.set()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        for listener in listeners:
            listener.close()
        for one in senders:
            one.close()
    measures["largest_pause_seconds"] = max(map(_largest_pause, senders))
    return Run(measures, await _verdict(urls, friends, senders), saturated=False)


async def _listen(ws_url: str, two: Friends) -> Socket:
    """The receiver, until his gateway goes."""
    return await connect_user(ws_url, two.receiver, f"load-{two.receiver.uid}", lambda _payload: None)


async def _all_acked_since(senders: Sequence[Sender], since: float) -> float:
    """When the last of them was acked for the first time after `since`. Raises TimeoutError."""
    async with asyncio.timeout(_AGAIN_WITHIN):
        while not all(one.acked_at and one.acked_at[-1] > since for one in senders):
            await asyncio.sleep(0.02)
    return max(next(at for at in one.acked_at if at > since) for one in senders)


def _largest_pause(sender: Sender) -> float:
    times = sender.acked_at
    return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)


async def _verdict(urls: Sequence[str], friends: Sequence[Friends], senders: Sequence[Sender]) -> Verdict:
    """What the receivers find in the log when they come back."""
    back = [
        Returner(two.receiver, {two.talk_id: one.log.begins_after}) for two, one in zip(friends, senders, strict=True)
    ]
    for number, (two, one, reader) in enumerate(zip(friends, senders, back, strict=True)):
        await reader.connect(urls[number % len(urls)], f"reader-{two.receiver.uid}")
        with contextlib.closing(reader):
            await reader.sync()
        one.log.delivered = reader.fetched.get(two.talk_id, [])
    return check(one.log for one in senders)
