"""W7: growth: what a unit costs with more users, larger groups, longer lists, deeper logs; against the smallest size.
The deep log is written straight into the database, so it is had of servers of our own alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bench.accounts import Account, Friends
from bench.checker import Verdict
from bench.context import Context
from bench.meter import Meter
from bench.private_load import ClosedLoop, run_private
from bench.rest import Rest
from bench.result import Case, Run
from bench.seeding import ADDED
from bench.stats import spread
from bench.w3 import Shape, run_group

DEEPEST = 1_000_000
PAGE = 30
_LISTS, _PAGES = 60, 300
"""Requests of a run: so many that the clock of the CPU time, 10 ms, does not count."""


@dataclass(frozen=True, slots=True)
class Series:
    """What grows, through which sizes, and what a unit is."""

    what: str
    sizes: tuple[int, ...]
    measure: str
    run: Callable[[Context, int], Awaitable[Run]]


async def measure(context: Context) -> list[Case]:
    """Every series from its smallest size on, `runs` times; quick: the two smallest sizes. Each run carries its cost as
    a multiple of the smallest size's median."""
    cases: list[Case] = []
    for series in SERIES if context.server.deepens else SERIES[:-1]:
        base = float("nan")
        for size in series.sizes[:2] if context.quick else series.sizes:
            case = Case("W7", f"{size} {series.what}")
            for _ in range(context.runs):
                context.say(f"W7 {case.name}")
                case.runs.append(await series.run(context, size))
                context.advance()
            costs = case.values(series.measure)
            base = spread(costs).median if size == series.sizes[0] else base
            for run, cost in zip(case.runs, costs, strict=True):
                run.measures["growth"] = cost / base
            cases.append(case)
    return cases


async def _users(context: Context, pairs: int) -> Run:
    """W1 with k=1."""
    friends = await context.accounts.make(pairs)
    return await run_private(
        context.target, friends, ClosedLoop(1), warm_seconds=context.warm_seconds, seconds=context.seconds
    )


async def _members(context: Context, members: int) -> Run:
    """W3 with sync sessions."""
    room = await context.accounts.group(members)
    return await run_group(context.target, room, Shape(members, members), context.warm_seconds, context.seconds)


async def _conversations(context: Context, conversations: int) -> Run:
    """The list of a user who has so many, per conversation."""
    user = await context.accounts.sociable(conversations)
    verdict = Verdict()

    async def read(rest: Rest) -> None:
        items = (await rest.post("/talk/session-list", {}, user.token))["items"]
        if len(items) != conversations:
            verdict.add("missing", f"{len(items)} of {conversations} conversations are listed")

    return await _repeated(context, read, _LISTS, conversations, "cpu_us_per_conversation", verdict)


async def _depth(context: Context, depth: int) -> Run:
    """A page of the log that lies so many entries back."""
    [two] = await context.accounts.make(1)
    newest = await _deep_log(context, two)
    verdict, reader = Verdict(), two.receiver

    async def read(rest: Rest) -> None:
        page = await _records(rest, reader, two.sender.uid, newest - depth + PAGE)
        wanted = list(range(newest - depth + PAGE - 1, newest - depth - 1, -1))
        if page != wanted:
            verdict.add("wrong page", f"{page[:3]}… instead of {wanted[:3]}…")

    return await _repeated(context, read, _PAGES, 1, "cpu_us_per_page", verdict)


async def _deep_log(context: Context, two: Friends) -> int:
    """The newest seq of a log of DEEPEST entries and more; written at the first call."""
    async with Rest(context.target.http_url, 1) as rest:
        [newest, *_] = await _records(rest, two.receiver, two.sender.uid, 0)
    if newest > DEEPEST:
        return newest
    context.say("W7 writing a deep log")
    context.target = await context.server.deepen(two.talk_id, newest)
    context.accounts.at(context.target.http_url)
    return newest + ADDED


async def _records(rest: Rest, reader: Account, peer: int, before: int) -> list[int]:
    """The sequences of a page, newest first."""
    body = {"talk_mode": 1, "to_from_id": peer, "cursor": before, "limit": PAGE}
    return [item["sequence"] for item in (await rest.post("/message/records", body, reader.token))["items"]]


async def _repeated(
    context: Context, job: Callable[[Rest], Awaitable[None]], times: int, units: int, measure: str, verdict: Verdict
) -> Run:
    """One request after the other. The first few are not counted: caches fill."""
    async with Rest(context.target.http_url, 1) as rest:
        for _ in range(5):
            await job(rest)
        meter = Meter(context.target.pids)
        for _ in range(times):
            await job(rest)
        cost = meter.stop()
    measures = {measure: cost.micros_per(times * units), "milliseconds": cost.wall_seconds / times * 1000}
    return Run(measures, verdict, saturated=False)


SERIES: Sequence[Series] = (
    Series("pairs", (25, 100, 400), "cpu_us_per_message", _users),
    Series("members", (50, 200, 500, 2000), "cpu_us_per_delivery", _members),
    Series("conversations", (10, 100, 1000), "cpu_us_per_conversation", _conversations),
    Series("deep", (1000, 100_000, DEEPEST), "cpu_us_per_page", _depth),
)
