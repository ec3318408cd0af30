"""The drills' proxy: what passes, what vanishes, what is refused, who hears of an end and when."""

from __future__ import annotations

import asyncio
import random
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from drills.net import Net
from drills.proxy import CHUNK, Address, Mode, Proxy
from testkit.placement import free_port
from testkit.waiting import eventually


class Target:
    """A server that answers with what it gets, and tells how many connections it has."""

    def __init__(self) -> None:
        self.open = 0
        self.got = b""

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.open += 1
        try:
            while data := await reader.read(CHUNK):
                self.got += data
                writer.write(data)
        except OSError:
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def listening(target: Target) -> AsyncIterator[Address]:
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()
    server.close()


@pytest.fixture
async def target() -> Target:
    return Target()


@pytest.fixture
async def proxy(target: Target) -> AsyncIterator[Proxy]:
    async with listening(target) as address:
        proxy = Proxy(lambda: [address], random.Random(1))
        await proxy.start()
        yield proxy
        await proxy.close()


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.transport.abort()


async def said(reader: StreamReader, writer: StreamWriter, text: bytes) -> bytes:
    writer.write(text)
    return await asyncio.wait_for(reader.readexactly(len(text)), 5)


async def ends(reader: StreamReader) -> None:
    """Until the other side has hung up, in whatever way."""
    try:
        assert await asyncio.wait_for(reader.read(1), 5) == b""
    except ConnectionResetError:
        pass


async def test_what_is_said_passes_and_an_end_is_heard(proxy: Proxy, target: Target) -> None:
    async with connected(proxy) as (reader, writer):
        assert await said(reader, writer, b"hello" * CHUNK) == b"hello" * CHUNK
        writer.write(b"bye")
        writer.close()
        await eventually(lambda: not target.open and not proxy.connections)
    assert target.got.endswith(b"bye") and (proxy.swallowed, proxy.refused) == (0, 0)


async def test_a_target_that_is_away_is_passed_over(target: Target) -> None:
    async with listening(target) as address:
        proxy = Proxy(lambda: [("127.0.0.1", free_port()), address], random.Random(1))
        await proxy.start()
        for _ in range(4):
            async with connected(proxy) as (reader, writer):
                assert await said(reader, writer, b"x") == b"x"
        await proxy.close()


async def test_without_a_target_a_connection_ends() -> None:
    proxy = Proxy(list, random.Random(1))
    await proxy.start()
    async with connected(proxy) as (reader, _):
        await ends(reader)
    await proxy.close()


async def test_a_dropped_connection_may_linger_at_its_target(proxy: Proxy, target: Target) -> None:
    async with connected(proxy) as (reader, writer):
        await said(reader, writer, b"x")
        assert (proxy.drop(5, linger=0.3), proxy.drop(5)) == (1, 0)
        await ends(reader)
        assert target.open == 1
        await eventually(lambda: target.open == 0)


async def test_what_vanishes_is_counted_and_nobody_hears_of_it(proxy: Proxy, target: Target) -> None:
    async with connected(proxy) as (reader, writer), connected(proxy) as (other, gone):
        await said(reader, writer, b"x")
        await said(other, gone, b"y")
        proxy.set_mode(Mode.SWALLOW)
        writer.write(b"lost")
        gone.close()
        async with connected(proxy) as (new, late):
            late.write(b"too")
            await eventually(lambda: proxy.swallowed == len(b"losttoo"))
            assert target.open == 2
            proxy.set_mode(Mode.REFUSE)
            await ends(reader)
            await ends(new)
        async with connected(proxy) as (refused, _):
            await ends(refused)
        assert proxy.refused == 4
    proxy.set_mode(Mode.PASS)
    await eventually(lambda: target.open == 0)
    async with connected(proxy) as (reader, writer):
        assert await said(reader, writer, b"again") == b"again"


async def test_one_that_is_stalled_reads_nothing_and_goes_on_later(proxy: Proxy, target: Target) -> None:
    async with connected(proxy) as (reader, writer):
        await said(reader, writer, b"x")
        proxy.set_mode(Mode.STALL)
        writer.write(b"held")
        await eventually(lambda: target.got.endswith(b"held"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        proxy.set_mode(Mode.PASS)
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"held"


async def test_the_net_leads_clients_to_gateways_and_counts_what_its_link_lost(target: Target) -> None:
    net = Net("seed")
    calls: list[Callable[[], object]] = [lambda: net.cut(Mode.REFUSE), lambda: net.drop(), lambda: net.drop(1, 0.1)]
    try:
        async with listening(target) as address:
            net.gateways = [address]
            reader, writer = await asyncio.open_connection("127.0.0.1", net.door(slow=False))
            assert await said(reader, writer, b"x") == b"x" and net.door(slow=True) != net.door(slow=False)
            assert [await asyncio.to_thread(call) for call in calls] == [None, 1, 0]
            await ends(reader)
            writer.close()
        [rpc, advertised] = net.put_before("processes.ws")
        link = int(advertised.rpartition("=")[2])
        assert rpc.startswith("processes.ws.rpc.port=") and advertised.startswith("processes.ws.discovery.")
        reader, writer = await asyncio.open_connection("127.0.0.1", link)
        await ends(reader)
        writer.close()
        assert net.lost == (0, 1)
    finally:
        await asyncio.to_thread(net.stop)
