"""Calls between made-up processes: their order, and what nobody knows after a connection broke."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest

from xinyu.kernel.errors import DeadlineExceeded, Unavailable
from xinyu.kernel.port import Port, rpc
from xinyu.rpc.client import Connected, NotSent
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.handshake import Peer
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.spec import spec_of
from xinyu.simulation.world.loop import Place, SimulationLoop
from xinyu.simulation.world.network import Host, Network
from xinyu.simulation.world.paths import Paths


class NotePort(Port):
    """Something to call."""

    @rpc(9001)
    async def note(self, text: str, seconds: float) -> str:
        """Write down the beginning and, some time later, the end."""


class Notes(NotePort):
    """Serves it."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    async def note(self, text: str, seconds: float) -> str:
        self.begun.append(text)
        await asyncio.sleep(seconds)
        self.ended.append(text)
        return text


class Pair(NamedTuple):
    """A process that calls, and one that is called."""

    loop: SimulationLoop
    network: Network
    caller: Place
    host: Place
    notes: Notes

    async def dial(self) -> Connected:
        return await self.network.dialler(self.caller)("there:1", RpcSettings(), None, None)

    def play(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        self.loop.run_until_complete(self.caller.spawn(run()))


@pytest.fixture
def pair() -> Iterator[Pair]:
    loop = SimulationLoop(random.Random(1).random)
    network = Network(loop, Paths(loop, random.Random(2)))
    host, notes, dispatcher = Place(loop, "there"), Notes(), Dispatcher()
    dispatcher.add(NotePort, notes)
    network.listen("there:1", Host(host, Peer("there", 1, False), dispatcher))
    yield Pair(loop, network, Place(loop, "here"), host, notes)
    loop.dispose()


async def call(connection: Connected, text: str, seconds: float = 0.0, deadline: float = 1e9) -> str:
    method = spec_of(NotePort).methods["note"]
    body = method.encode_request({"text": text, "seconds": seconds})
    return str(method.decode_result((await connection.call(9001, "", body, deadline)).body))


def test_requests_of_a_connection_arrive_in_their_order(pair: Pair) -> None:
    async def work() -> None:
        connection = await pair.dial()
        texts = [str(number) for number in range(100)]
        assert await asyncio.gather(*(call(connection, text) for text in texts)) == texts
        assert pair.notes.begun == texts

    pair.play(work)


def test_after_a_break_the_caller_knows_nothing_and_the_call_is_called_off(pair: Pair) -> None:
    async def work() -> None:
        connection = await pair.dial()
        asked = asyncio.ensure_future(call(connection, "late", 1.0))
        await asyncio.sleep(0.5)
        pair.network.cut("here", "there")
        with pytest.raises(Unavailable) as caught:
            await asked
        assert not isinstance(caught.value, NotSent) and not connection.usable
        with pytest.raises(NotSent):
            await pair.dial()
        pair.network.paths.mend("here", "there")
        await asyncio.sleep(2)
        assert (await call(await pair.dial(), "again"), pair.notes.ended) == ("again", ["again"])

    pair.play(work)


def test_a_crashed_process_is_heard_of_and_not_reached(pair: Pair) -> None:
    async def work() -> None:
        connection = await pair.dial()
        asked = asyncio.ensure_future(call(connection, "never", 1.0))
        await asyncio.sleep(0.5)
        pair.host.kill()
        pair.network.close("there:1", pair.host)
        pair.network.crash(pair.host)
        with pytest.raises(Unavailable):
            await asked
        with pytest.raises(NotSent):
            await pair.dial()
        assert pair.notes.begun == ["never"] and not pair.notes.ended

    pair.play(work)


def test_what_is_stalled_arrives_afterwards(pair: Pair) -> None:
    async def work() -> None:
        connection, begin = await pair.dial(), pair.loop.time()
        pair.network.paths.stall("here", "there", begin + 3)
        assert await call(connection, "kept") == "kept"
        assert pair.loop.time() >= begin + 3

    pair.play(work)


def test_a_call_ends_with_its_deadline_and_is_called_off(pair: Pair) -> None:
    async def work() -> None:
        connection = await pair.dial()
        with pytest.raises(DeadlineExceeded):
            await call(connection, "slow", 5.0, pair.loop.time() + 1)
        await asyncio.sleep(6)
        assert pair.notes.begun == ["slow"] and not pair.notes.ended

    pair.play(work)
